// One row per production of the grammar: its name, what must be there for it to make sense, and how
// it is drawn.  A drawing is one walk from left to right, as the language's own: headers around the
// packet move what comes after them.  No two draws are in one call or sum: compilers take those in
// different orders, and a seed means the same filters for all of them.
#include "tests/support/random_expr.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/core.h>

namespace tamis::test {
namespace {

// ----------------------------------------------------------------------------- what there can be

// Kinds of packets that exclude each other: one bit each.  A test is drawn with those that it can
// be true of, and those that it can be false of.
using Kinds = std::uint64_t;
enum Transport : unsigned {  // over IPv4; over IPv6 ip6_shift higher
    t_tcp,
    t_udp,
    t_sctp,
    t_icmp,
    t_icmp6,
    t_igmp,
    t_igrp,
    t_pim,
    t_vrrp,
    t_ah,
    t_esp,
    t_fragment,
    t_gre,
    t_ospf,
    t_other,
    ip6_shift,
};
enum Other : unsigned {
    o_arp = 2 * ip6_shift,
    o_rarp,
    o_atalk,
    o_decnet,
    o_aarp,
    o_lat,
    o_sca,
    o_moprc,
    o_mopdl,
    o_lldp,
    o_slow,
    o_loopback,
    o_type,  // another EtherType
    o_clnp,
    o_esis,
    o_isis,
    o_stp,
    o_ipx,
    o_netbeui,
    o_sap,  // another LLC access point
    o_vlan,
    o_mpls,
    o_pppoed,
    o_pppoes,
    o_management,
    o_control,
    kinds_end,
};
constexpr Kinds kind(unsigned bit) { return Kinds{1} << bit; }
constexpr Kinds over4(unsigned transport) { return kind(transport); }
constexpr Kinds over6(unsigned transport) { return kind(transport + ip6_shift); }
constexpr Kinds over(unsigned transport) { return over4(transport) | over6(transport); }
constexpr Kinds from_to(unsigned first, unsigned end) { return kind(end) - kind(first); }
constexpr Kinds ip4_kinds = from_to(t_tcp, ip6_shift), ip6_kinds = ip4_kinds << ip6_shift,
                type_kinds = from_to(o_arp, o_type + 1), llc_kinds = from_to(o_clnp, o_sap + 1),
                osi_kinds = from_to(o_clnp, o_isis + 1), every_kind = from_to(0, kinds_end),
                with_addresses = ip4_kinds | kind(o_arp) | kind(o_rarp),
                port_kinds = over(t_tcp) | over(t_udp) | over(t_sctp),
                data_kinds = every_kind & ~(kind(o_management) | kind(o_control));

Kinds kinds_of(std::uint32_t number) {
    static constexpr std::pair<std::uint32_t, Transport> rows[] = {
        {6, t_tcp},  {17, t_udp},  {132, t_sctp}, {1, t_icmp},  {58, t_icmp6},
        {50, t_esp}, {51, t_ah},   {2, t_igmp},   {9, t_igrp},  {44, t_fragment},
        {47, t_gre}, {89, t_ospf}, {103, t_pim},  {112, t_vrrp}};
    for (auto const& [protocol, transport] : rows)
        if (protocol == number) return over(transport);
    return over(t_other);
}

// What a link type has; a row needs some of it.
enum Has : std::uint32_t {
    any = 0,
    has_ip4 = 1 << 0,
    has_ip6 = 1 << 1,
    has_types = 1 << 2,  // protocols besides IP, by EtherType or the like
    has_osi = 1 << 3,
    has_mac = 1 << 4,
    has_vlan = 1 << 5,
    has_mpls = 1 << 6,
    has_pppoe = 1 << 7,
    has_llc = 1 << 8,
    has_direction = 1 << 9,
    has_ifindex = 1 << 10,
    has_llc_sap = 1 << 11,
    has_protochain = 1 << 12,  // libpcap wants link headers of constant length for it
    has_frames = 1 << 13,      // 802.11: kinds of frames
    has_addr = 1 << 14,        // and where their addresses stand
    has_radio = 1 << 15,
    has_pf = 1 << 16,
    has_tunnel = 1 << 17,
    both_ips = has_ip4 | has_ip6,
    ethernet = both_ips | has_types | has_osi | has_llc_sap | has_mac | has_vlan | has_mpls |
               has_pppoe | has_protochain | has_tunnel,
    wireless =
        both_ips | has_types | has_osi | has_llc_sap | has_mac | has_vlan | has_llc | has_addr,
    serial = both_ips | has_types | has_osi | has_protochain | has_tunnel,
};
struct LinkRow {
    int number;
    std::uint32_t has;
};
constexpr LinkRow link_rows[] = {
    {en10mb, ethernet | has_llc},
    {dlt_netanalyzer, ethernet},
    {dlt_netanalyzer_transparent, ethernet},
    {dlt_wlan, wireless | has_frames | has_pppoe},
    // libpcap loses headers of variable length in front of pppoes and tunnels.
    {dlt_radiotap, wireless | has_frames | has_radio},
    {dlt_avs, wireless | has_frames | has_radio},
    {dlt_prism, wireless | has_frames | has_radio},
    {dlt_ppi, wireless & ~std::uint32_t{has_vlan}},
    {dlt_pflog, both_ips | has_pf | has_direction},
    {dlt_raw, both_ips | has_protochain | has_tunnel},
    {dlt_ipv4, has_ip4 | has_protochain | has_tunnel},
    {dlt_ipv6, has_ip6 | has_protochain | has_tunnel},
    {dlt_null, both_ips | has_protochain | has_tunnel},
    {dlt_loop, both_ips | has_protochain | has_tunnel},
    {dlt_sll, both_ips | has_types | has_osi | has_llc_sap | has_pppoe | has_direction |
                  has_protochain | has_tunnel},
    {dlt_sll2,
     both_ips | has_types | has_pppoe | has_direction | has_ifindex | has_protochain | has_tunnel},
    {dlt_ppp, serial | has_mpls},
    {dlt_ppp_serial, serial},
    {dlt_ppp_ether, serial},
    {dlt_ppp_pppd, serial | has_direction},
    {dlt_c_hdlc, serial | has_mpls},
};
std::uint32_t has_of(int link_type) {
    for (LinkRow const& row : link_rows)
        if (row.number == link_type) return row.has;
    return any;
}

Kinds kinds_on(std::uint32_t has) {
    Kinds kinds = 0;
    if ((has & has_ip4) != 0) kinds |= ip4_kinds;
    if ((has & has_ip6) != 0) kinds |= ip6_kinds;
    if ((has & has_types) != 0) kinds |= type_kinds;
    if ((has & has_osi) != 0) kinds |= llc_kinds;
    if ((has & has_vlan) != 0) kinds |= kind(o_vlan);
    if ((has & has_mpls) != 0) kinds |= kind(o_mpls);
    if ((has & has_pppoe) != 0) kinds |= kind(o_pppoed) | kind(o_pppoes);
    if ((has & has_frames) != 0) kinds |= kind(o_management) | kind(o_control);
    return kinds;
}

// ---------------------------------------------------------------------------------------- words

// Few values, so that tests of one filter meet.

constexpr char const* ports[] = {"22", "53", "80", "443", "8080", "65535", "0", "0x50", "0120"};
constexpr char const* hosts4[] = {"10.0.0.1", "10.0.0.2", "192.168.1.7", "255.255.255.255",
                                  "0.0.0.0",  "10.1",     "172.16.3",    "167772161",
                                  "tcp-syn",  "010.0.0.1"};
constexpr char const* nets4[] = {"10.0.0.0/8",
                                 "10.0.0.0/31",
                                 "192.168.0.0/16",
                                 "10",
                                 "172.16",
                                 "192.168.1",
                                 "10.0.0.0 mask 255.255.0.0",
                                 "10.1.0.3 mask 255.255.0.255",
                                 "128.0.0.0/1",
                                 "10.0.0.0 / 0x8",
                                 "10.1/16",
                                 "0x0a00"};
constexpr char const* hosts6[] = {"::1",         "fe80::1",         "2001:db8::1",
                                  "2001:db8::2", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1"};
constexpr char const* nets6[] = {"2001:db8::/127", "::1/128",           "2001:db8::/100",
                                 "fe80::1",        "2001:db8:0:1::/97", "2001:db8::/64",
                                 "2001:db8::/32",  "fe80::/10"};
constexpr char const* macs[] = {"0:1:2:3:4:5",    "ff:ff:ff:ff:ff:ff", "00-11-22-aa-bb-cc",
                                "0011.22aa.bbcc", "001122aabbcc",      "0.1.2.3.4.5"};
constexpr char const* decnets[] = {"1.2", "63.1023", "1.1", "10.20"};
constexpr char const* links[] = {"ether", "ether", "ether", "link", "ppp",
                                 "slip",  "fddi",  "tr",    "wlan"};
constexpr char const* dirs[] = {
    "", "", "", "src ", "dst ", "src or dst ", "dst or src ", "src and dst ", "dst and src "};
constexpr char const* relations[] = {"=", "==", "!=", "<", "<=", ">", ">="};

// A word that is a test, or names something.
struct Word {
    char const* text;
    Kinds kinds;
    std::uint32_t needs = any;
};
constexpr Word abbreviations[] = {
    {"ip", ip4_kinds, has_ip4},
    {"ip6", ip6_kinds, has_ip6},
    {"tcp", over(t_tcp)},
    {"udp", over(t_udp)},
    {"sctp", over(t_sctp)},
    {"icmp", over4(t_icmp), has_ip4},
    {"icmp6", over6(t_icmp6), has_ip6},
    {"igmp", over4(t_igmp), has_ip4},
    {"igrp", over4(t_igrp), has_ip4},
    {"pim", over(t_pim)},
    {"vrrp", over4(t_vrrp), has_ip4},
    {"carp", over4(t_vrrp), has_ip4},
    {"ah", over(t_ah)},
    {"esp", over(t_esp)},
    {"arp", kind(o_arp), has_types},
    {"rarp", kind(o_rarp), has_types},
    {"atalk", kind(o_atalk), has_types},
    {"decnet", kind(o_decnet), has_types},
    {"aarp", kind(o_aarp), has_types},
    {"lat", kind(o_lat), has_types},
    {"sca", kind(o_sca), has_types},
    {"moprc", kind(o_moprc), has_types},
    {"mopdl", kind(o_mopdl), has_types},
};
constexpr Word llc_words[] = {
    {"iso", osi_kinds},
    {"stp", kind(o_stp)},
    {"ipx", kind(o_ipx)},
    {"netbeui", kind(o_netbeui)},
};
constexpr Word osi_words[] = {
    {"clnp", kind(o_clnp)},
    {"esis", kind(o_esis)},
    {"es-is", kind(o_esis)},
    {"isis", kind(o_isis)},
    {"is-is", kind(o_isis)},
    {"iso proto \\clnp", kind(o_clnp)},
    {"iso proto \\esis", kind(o_esis)},
    {"iso proto \\isis", kind(o_isis)},
    {"iso proto 0x81", kind(o_clnp)},
    {"iso proto (0x82 or 0x83)", kind(o_esis) | kind(o_isis)},
};
// Messages of IS-IS; 1.10.3 tells them apart by the whole byte.
constexpr Word isis_words[] = {
    {"l1", kind(o_isis)},
    {"l2", kind(o_isis)},
    {"iih", kind(o_isis)},
    {"lsp", kind(o_isis)},
    {"snp", kind(o_isis)},
    {"csnp", kind(o_isis)},
    {"psnp", kind(o_isis)},
    {"isis proto 18", kind(o_isis)},
    {"isis proto (15 or 24)", kind(o_isis)},
};
// The names of ether proto; some are later libpcaps'.
constexpr Word ether_protos[] = {
    {"\\ip", ip4_kinds},          {"0x800", ip4_kinds},       {"\\ip6", ip6_kinds},
    {"0x86dd", ip6_kinds},        {"\\arp", kind(o_arp)},     {"0x806", kind(o_arp)},
    {"\\rarp", kind(o_rarp)},     {"\\atalk", kind(o_atalk)}, {"\\aarp", kind(o_aarp)},
    {"\\decnet", kind(o_decnet)}, {"\\lat", kind(o_lat)},     {"\\sca", kind(o_sca)},
    {"\\moprc", kind(o_moprc)},   {"\\mopdl", kind(o_mopdl)}, {"loopback", kind(o_loopback)},
    {"0x88cc", kind(o_lldp)},     {"35020", kind(o_lldp)},    {"0xffff", kind(o_type)},
    {"lldp", kind(o_lldp)},       {"slow", kind(o_slow)},     {"1501", kind(o_type)},
};
constexpr Word sap_protos[] = {
    {"\\stp", kind(o_stp)}, {"\\iso", osi_kinds},  {"\\ipx", kind(o_ipx)},
    {"6", kind(o_sap)},     {"66", kind(o_stp)},   {"0xe0", kind(o_ipx)},
    {"0xfe", osi_kinds},    {"0xaa", kind(o_sap)}, {"\\netbeui", kind(o_netbeui)},
};
constexpr Word frame_words[] = {
    {"type mgt", kind(o_management)},
    {"type ctl", kind(o_control)},
    {"wlan type management", kind(o_management)},
    {"type control", kind(o_control)},
    {"type data", data_kinds},
    {"type 8", data_kinds},
    {"type 4", kind(o_control)},
    {"type mgt subtype beacon", kind(o_management)},
    {"type mgt subtype 0x80", kind(o_management)},
    {"type 0 subtype 64", kind(o_management)},
    {"type mgt subtype assoc-req", kind(o_management)},
    {"type ctl subtype rts", kind(o_control)},
    {"type ctl subtype 0xd0", kind(o_control)},
    {"type data subtype QoS-data", data_kinds},
    {"type data subtype null", data_kinds},
    {"subtype probe-req", kind(o_management)},
    {"subtype deauth", kind(o_management)},
    {"subtype cf-end", kind(o_control)},
    {"wlan subtype ps-poll", kind(o_control)},
    {"subtype qos", data_kinds},
    {"subtype cf-ack-poll", data_kinds},
};
constexpr Word frame_dirs[] = {
    {"dir nods", every_kind},   {"dir tods", every_kind}, {"direction fromds", every_kind},
    {"dir DStoDS", every_kind}, {"dir 2", every_kind},    {"wlan dir 0x3", every_kind},
};
constexpr char const* frame_addresses[] = {"addr1",    "addr2",    "addr3", "addr4",
                                           "address1", "address2", "ra",    "ta"};
constexpr Word pf_words[] = {
    {"on en0", every_kind},
    {"ifname lo12345", every_kind},
    {"on eth0", every_kind},
    {"on e", every_kind},
    {"rset foo", every_kind},
    {"ruleset a-rule-set", every_kind},
    {"rnr 5", every_kind},
    {"rulenum 4294967295", every_kind},
    {"srnr 0x10", every_kind},
    {"subrulenum 0", every_kind},
    {"action pass", every_kind},
    {"action block", every_kind},
    {"action synproxy-drop", every_kind},
    {"reason match", every_kind},
    {"reason src-limit", every_kind},
    {"reason 14", every_kind},
    {"action NAT", every_kind},
};
struct Protocol {
    char const* text;
    std::uint32_t number;
};
constexpr Protocol protocols[] = {
    {"6", 6},    {"17", 17},   {"1", 1},     {"\\tcp", 6},  {"\\udp", 17},
    {"58", 58},  {"44", 44},   {"132", 132}, {"89", 89},    {"255", 255},
    {"gre", 47}, {"ospf", 89}, {"0x6", 6},   {"\\esp", 50}, {"51", 51},
};
// What has bytes to read, and how many are worth it.
struct Accessor {
    char const* text;
    Kinds kinds;
    std::uint32_t needs;
    unsigned bytes;
};
constexpr Accessor accessors[] = {
    {"ether", every_kind, any, 40},           {"link", every_kind, any, 20},
    {"wlan", every_kind, has_addr, 30},       {"radio", every_kind, has_radio, 24},
    {"ip", ip4_kinds, has_ip4, 24},           {"ip6", ip6_kinds, has_ip6, 48},
    {"tcp", over4(t_tcp), has_ip4, 20},       {"tcp", over4(t_tcp), has_ip4, 40},
    {"udp", over4(t_udp), has_ip4, 16},       {"sctp", over4(t_sctp), has_ip4, 16},
    {"icmp", over4(t_icmp), has_ip4, 8},      {"igmp", over4(t_igmp), has_ip4, 8},
    {"igrp", over4(t_igrp), has_ip4, 8},      {"pim", over4(t_pim), has_ip4, 8},
    {"vrrp", over4(t_vrrp), has_ip4, 8},      {"carp", over4(t_vrrp), has_ip4, 8},
    {"icmp6", over6(t_icmp6), has_ip6, 16},   {"arp", kind(o_arp), has_types, 28},
    {"rarp", kind(o_rarp), has_types, 28},    {"atalk", kind(o_atalk), has_types, 8},
    {"decnet", kind(o_decnet), has_types, 8}, {"lat", kind(o_lat), has_types, 8},
    {"sca", kind(o_sca), has_types, 8},       {"moprc", kind(o_moprc), has_types, 8},
    {"mopdl", kind(o_mopdl), has_types, 8},
};
constexpr Word protochains[] = {
    {"ip protochain 6", ip4_kinds, has_ip4},
    {"ip protochain \\udp", ip4_kinds, has_ip4},
    {"ip protochain (6 or 17)", ip4_kinds, has_ip4},
    {"ip6 protochain 6", ip6_kinds, has_ip6},
    {"ip6 protochain \\tcp", ip6_kinds, has_ip6},
    {"ip6 protochain 58 or 44", ip6_kinds, has_ip6},
    {"ip6 protochain 51", ip6_kinds, has_ip6},
    {"protochain 6", ip4_kinds | ip6_kinds, any},
    {"protochain not 17", ip4_kinds | ip6_kinds, any},
};
// Relations that people write.
constexpr Word idioms[] = {
    {"tcp[tcpflags] & tcp-syn != 0", over4(t_tcp)},
    {"tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn", over4(t_tcp)},
    {"tcp[13]&0x12==0x12", over4(t_tcp)},
    {"tcp[(tcp[12]>>4)*4:4] = 0x47455420", over4(t_tcp)},
    {"tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x504f5354", over4(t_tcp)},
    {"ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) != 0", over4(t_tcp)},
    {"(((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)", over4(t_tcp)},
    {"icmp[icmptype] = icmp-echo", over4(t_icmp)},
    {"icmp[icmptype] != icmp-unreach", over4(t_icmp)},
    {"icmp[icmpcode] = 1", over4(t_icmp)},
    {"ip[6:2] & 0x1fff = 0", ip4_kinds},
    {"ip[6] & 0x20 != 0", ip4_kinds},
    {"ip[0] & 0xf > 5", ip4_kinds},
    {"len - ip[2:2] > 14", ip4_kinds},
    {"ip[(ip[0]&0xf)*4] = 1", ip4_kinds},
    {"1 = ip[8]", ip4_kinds},
    {"0x45 != ip[0]", ip4_kinds},
    {"udp[4:2] > 100", over4(t_udp)},
    {"- ip[8] = 0xffffffff", ip4_kinds},
    {"ip[8] % 3 + 1 = 2", ip4_kinds},
    {"ip[8] ^ 0x40 & 0xf0 = 0x20", ip4_kinds},
    {"ip[0] & 3 ^ 1 = 0", ip4_kinds},
};
constexpr Word idioms6[] = {
    {"icmp6[icmp6type] = icmp6-echo", over6(t_icmp6)},
    {"icmp6[0] = icmp6-neighborsolicit", over6(t_icmp6)},
    {"ip6[6] = 17", ip6_kinds},
    {"ip6[4:2] > 100", ip6_kinds},
};

// --------------------------------------------------------------------------------------- drawing

// Text, and what it can be true and false of.
struct Term {
    std::string text;
    Kinds kinds = every_kind, missed = every_kind;
};

// Text of arithmetic, and its values for two packets.
struct Value {
    static constexpr unsigned whole = 9;  // binds tighter than any operator

    std::string text;
    std::uint32_t values[2] = {0, 0};
    unsigned binds = whole;
    bool open = false;  // a `%` or `^` at its end takes all that follows
};

class Drawer {
  public:
    Drawer(std::mt19937_64& random, int link_type) : random_(random), has_(has_of(link_type)) {}

    Term chain(unsigned depth, Kinds allowed, Kinds missed);

    // The rows' functions, in their order.
    Term word();
    Term llc_word();
    Term osi_word();
    Term isis_word();
    Term host4();
    Term net4();
    Term host6();
    Term net6();
    Term port();
    Term portrange();
    Term mac();
    Term ether_proto();
    Term sap_proto();
    Term ip_proto();
    Term decnet();
    Term cast();
    Term ip_cast();
    Term ip6_cast();
    Term length();
    Term byte();
    Term relation();
    Term idiom();
    Term idiom6();
    Term llc();
    Term direction();
    Term ifindex();
    Term vlan();
    Term mpls();
    Term pppoed();
    Term pppoes();
    Term tunnel();
    Term protochain();
    Term frame();
    Term frame_dir();
    Term frame_address();
    Term pf();

  private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    template <class T, std::size_t n>
    T const& pick(T const (&rows)[n]) {
        return rows[below(n)];
    }
    template <std::size_t n>
    Term pick_word(Word const (&words)[n]);
    Term test();
    Term operand(unsigned depth);
    template <class Id>
    std::string ids(std::string const& before, std::string const& dir, std::string const& after,
                    Id const& id);
    template <class Id>
    std::string list(std::string const& qualifiers, bool either, Id const& id);
    Term addressed4();
    Term ported();
    std::string number(std::uint32_t value);
    std::string argument(std::uint32_t most);
    void inside(std::uint32_t has) {
        has_ = has;
        allowed_ = missed_ = moved_ = kinds_on(has);
    }
    Value arithmetic(unsigned depth);
    Value leaf(unsigned depth);
    Value access(unsigned depth);

    std::mt19937_64& random_;
    std::uint32_t has_;
    // Kinds of packets that what is drawn should be true of, and those it should be false of.
    Kinds allowed_ = every_kind, missed_ = every_kind;
    Kinds moved_ = 0;  // those behind headers that were drawn in this term
    unsigned tunnels_ = 0;
};

struct Row {
    char const* name;
    unsigned weight;
    std::uint32_t needs;  // any of it, unless it is `any`
    Term (Drawer::*draw)();
};
// clang-format off
constexpr Row rows[] = {
    {"abbreviation", 84, any,           &Drawer::word},
    {"llc protocol", 12, has_osi,       &Drawer::llc_word},
    {"osi protocol", 12, has_osi,       &Drawer::osi_word},
    {"is-is message", 1, has_osi,       &Drawer::isis_word},
    {"host", 60, has_ip4,       &Drawer::host4},
    {"net", 48, has_ip4,       &Drawer::net4},
    {"host (IPv6)", 36, has_ip6,       &Drawer::host6},
    {"net (IPv6)", 18, has_ip6,       &Drawer::net6},
    {"port", 72, any,           &Drawer::port},
    {"portrange", 30, any,           &Drawer::portrange},
    {"ether host", 36, has_mac,       &Drawer::mac},
    {"ether proto", 30, has_types,     &Drawer::ether_proto},
    {"ether proto (LLC)", 12, has_llc_sap, &Drawer::sap_proto},
    {"proto", 42, any,           &Drawer::ip_proto},
    {"decnet host", 12, has_types,     &Drawer::decnet},
    {"broadcast", 18, has_mac,       &Drawer::cast},
    {"ip broadcast", 12, has_ip4,       &Drawer::ip_cast},
    {"ip6 multicast", 12, has_ip6,       &Drawer::ip6_cast},
    {"length", 24, any,           &Drawer::length},
    {"byte", 18, any,           &Drawer::byte},
    {"relation", 96, any,           &Drawer::relation},
    {"protochain", 12, has_protochain, &Drawer::protochain},
    {"idiom", 36, has_ip4,       &Drawer::idiom},
    {"idiom (IPv6)", 12, has_ip6,       &Drawer::idiom6},
    {"llc", 18, has_llc,       &Drawer::llc},
    {"direction", 18, has_direction, &Drawer::direction},
    {"ifindex", 12, has_ifindex,   &Drawer::ifindex},
    {"vlan", 30, has_vlan,      &Drawer::vlan},
    {"mpls", 24, has_mpls,      &Drawer::mpls},
    {"pppoed", 6, has_pppoe,     &Drawer::pppoed},
    {"frame", 42, has_frames, &Drawer::frame},
    {"frame's direction", 12, has_frames, &Drawer::frame_dir},
    {"frame's address", 30, has_addr, &Drawer::frame_address},
    {"pf", 90, has_pf, &Drawer::pf},
    {"pppoes", 18, has_pppoe,     &Drawer::pppoes},
    {"tunnel", 14, has_tunnel,           &Drawer::tunnel},
};
// clang-format on
constexpr unsigned total_weight = [] {
    unsigned total = 0;
    for (Row const& row : rows) total += row.weight;
    return total;
}();

// ------------------------------------------------------------------------------------- structure

// A row that is there and can be both true and false; now and then any.
Term Drawer::test() {
    bool const anything = one_in(200), contrary = one_in(60);
    for (int tries = 0;; ++tries) {
        std::uint64_t at = below(total_weight);
        Row const* row = rows;
        for (; at >= row->weight; ++row) at -= row->weight;
        if (!anything && row->needs != any && (row->needs & has_) == 0) continue;
        Drawer const before = *this;
        Term term = (this->*row->draw)();
        bool const open =
            (term.kinds & before.allowed_) != 0 && (term.missed & before.missed_) != 0;
        if (anything || contrary || tries > 60 || open) return term;
        has_ = before.has_;
        allowed_ = before.allowed_;
        missed_ = before.missed_;
        tunnels_ = before.tunnels_;
        moved_ = 0;
    }
}

Term Drawer::operand(unsigned depth) {
    if (one_in(9)) {
        std::swap(allowed_, missed_);
        Term term = operand(depth);
        std::swap(allowed_, missed_);
        bool const relation = term.text.find_first_of("=<>") != term.text.npos;
        std::string const negation = one_in(3) ? "!" : "not ";
        return {negation + (relation ? "(" + term.text + ")" : term.text), term.missed, term.kinds};
    }
    if (depth == 0 || !one_in(4)) return test();
    Term const inner = chain(depth - 1, allowed_, missed_);
    return {(one_in(4) ? "( " : "(") + inner.text + ")", inner.kinds, inner.missed};
}

// and/or of one level, from the left.  Behind headers that were moved over the tests are of what is
// inside.
Term Drawer::chain(unsigned depth, Kinds allowed, Kinds missed) {
    static constexpr char const* ands[] = {" and ", " and ", " && ", "&&"};
    static constexpr char const* ors[] = {" or ", " or ", " || ", "||"};
    Term all{"", allowed, missed};
    bool both = true;
    for (std::uint64_t more = 1 + (depth == 0 ? 0 : below(4)); more > 0; --more) {
        allowed_ = both ? all.kinds : allowed;
        missed_ = both ? missed : all.missed;
        moved_ = 0;
        Term const next = operand(depth);
        if (!all.text.empty()) all.text += both ? pick(ands) : pick(ors);
        bool const first = all.text.empty();
        all.text += next.text;
        if (moved_ != 0) {
            allowed = missed = all.kinds = all.missed = moved_;
        } else if (both) {
            all.kinds &= next.kinds;
            all.missed = ((first ? 0 : all.missed) | next.missed) & missed;
        } else {
            all.kinds |= next.kinds & allowed;
            all.missed &= next.missed;
        }
        both = one_in(2);
    }
    return all;
}

// Qualifiers, an identifier, and perhaps more that inherit the qualifiers.  Two addresses can be
// in one packet where either direction will do.
template <class Id>
std::string Drawer::ids(std::string const& before, std::string const& dir, std::string const& after,
                        Id const& id) {
    return list(before + dir + after, dir.empty() || dir.find(" or ") != dir.npos, id);
}

template <class Id>
std::string Drawer::list(std::string const& qualifiers, bool either, Id const& id) {
    std::string const a = id(), c = id();
    std::string b = id();
    while (b == a) b = id();
    char const* const joined = either && one_in(4) ? " and " : " or ";
    switch (below(14)) {
        case 0:
            return fmt::format("{}({}{}{})", qualifiers, a, joined, b);
        case 1:
            return fmt::format("{}({} or ({} or {}))", qualifiers, a, b, c);
        case 2:
            return fmt::format("{}({} and not {})", qualifiers, a, b);
        case 3:
            return fmt::format("{}not {}", qualifiers, a);
        case 4:
            return fmt::format("{}{} or {}{}{}", qualifiers, a, b, joined, c);
        case 5:
            return fmt::format("{}{} and not {}", qualifiers, a, b);
        case 6:
            return fmt::format("{}{} or ({} or {})", qualifiers, a, b, c);
        case 7:
            return fmt::format("{}{}{}{}", qualifiers, a, joined, b);
        default:
            return qualifiers + a;
    }
}

template <std::size_t n>
Term Drawer::pick_word(Word const (&words)[n]) {
    for (;;) {
        Word const& word = pick(words);
        if (word.needs == any || (word.needs & has_) != 0) return {word.text, word.kinds};
    }
}

// ------------------------------------------------------------------------------------ primitives

// A test of nothing but what a packet is.
Term pure(Term term) {
    term.missed = every_kind & ~term.kinds;
    return term;
}

Term Drawer::word() { return pure(pick_word(abbreviations)); }
Term Drawer::llc_word() { return pure(pick_word(llc_words)); }
Term Drawer::osi_word() { return pure(pick_word(osi_words)); }
Term Drawer::isis_word() { return pick_word(isis_words); }
Term Drawer::protochain() { return pick_word(protochains); }
Term Drawer::idiom() { return pick_word(idioms); }
Term Drawer::idiom6() { return pick_word(idioms6); }

// What IPv4 addresses can be asked of.
Term Drawer::addressed4() {
    static constexpr Word words[] = {{"", with_addresses},
                                     {"", with_addresses},
                                     {"", with_addresses},
                                     {"ip ", ip4_kinds},
                                     {"arp ", kind(o_arp), has_types},
                                     {"rarp ", kind(o_rarp), has_types}};
    return pick_word(words);
}

Term Drawer::host4() {
    Term term = addressed4();
    std::string const dir = pick(dirs);
    bool const typed = dir.empty() || one_in(2);
    term.text = ids(term.text, dir, typed ? "host " : "", [&] { return pick(hosts4); });
    return term;
}

Term Drawer::net4() {
    Term term = addressed4();
    auto const net = [&] { return one_in(60) ? "0.0.0.0/0" : pick(nets4); };
    term.text = ids(term.text, pick(dirs), "net ", net);
    return term;
}

Term Drawer::host6() {
    std::string const dir = pick(dirs);
    bool const typed = dir.empty() || one_in(2);
    return {ids(one_in(2) ? "" : "ip6 ", dir, typed ? "host " : "", [&] { return pick(hosts6); }),
            ip6_kinds};
}

Term Drawer::net6() {
    // 1.10.3 reads more of an address than a short prefix asks for.
    auto const net = [&] { return one_in(12) ? pick(nets6) : nets6[below(5)]; };
    std::string const dir = pick(dirs);
    return {ids(one_in(2) ? "" : "ip6 ", dir, "net ", net), ip6_kinds};
}

// What has ports.
Term Drawer::ported() {
    static constexpr Word words[] = {
        {"", port_kinds}, {"tcp ", over(t_tcp)}, {"udp ", over(t_udp)}, {"sctp ", over(t_sctp)}};
    return pick_word(words);
}

Term Drawer::port() {
    static constexpr Word services[] = {
        {"ssh", over(t_tcp)}, {"http", over(t_tcp)}, {"domain", port_kinds}, {"ntp", over(t_udp)}};
    std::string const dir = pick(dirs);
    Term term = one_in(25) ? pick_word(services) : Term{};
    if (!term.text.empty()) return {dir + "port " + term.text, term.kinds};
    term = ported();
    term.text = ids(term.text, dir, "port ", [&] { return pick(ports); });
    return term;
}

Term Drawer::portrange() {
    Term term = ported();
    auto const range = [&] {
        std::string const low = pick(ports), high = pick(ports);
        return one_in(12) ? low : low + "-" + high;
    };
    term.text = ids(term.text, pick(dirs), "portrange ", range);
    return term;
}

Term Drawer::mac() {
    std::string const dir = pick(dirs);
    bool const typed = dir.empty() || one_in(2);
    return {
        ids(std::string(pick(links)) + " ", dir, typed ? "host " : "", [&] { return pick(macs); })};
}

Term Drawer::ether_proto() {
    Word const& one = pick(ether_protos);
    Word const& other = pick(ether_protos);
    std::string const begin = fmt::format("{} proto ", pick(links));
    if (one_in(6))
        return pure(
            {fmt::format("{}({} or {})", begin, one.text, other.text), one.kinds | other.kinds});
    return pure({begin + one.text, one.kinds});
}

Term Drawer::sap_proto() {
    Word const& sap = pick(sap_protos);
    return pure({fmt::format("{} proto {}", pick(links), sap.text), sap.kinds});
}

Term Drawer::ip_proto() {
    static constexpr Word words[] = {{"proto ", ip4_kinds | ip6_kinds},
                                     {"ip proto ", ip4_kinds, has_ip4},
                                     {"ip6 proto ", ip6_kinds, has_ip6}};
    Term const begin = pick_word(words);
    Protocol const& one = pick(protocols);
    Protocol const& other = pick(protocols);
    if (!one_in(6)) return pure({begin.text + one.text, kinds_of(one.number) & begin.kinds});
    std::string const both = fmt::format("{} or {}", one.text, other.text);
    return pure({begin.text + (one_in(2) ? "(" + both + ")" : both),
                 (kinds_of(one.number) | kinds_of(other.number)) & begin.kinds});
}

Term Drawer::decnet() {
    return {ids("decnet ", pick(dirs), "host ", [&] { return pick(decnets); }), kind(o_decnet)};
}

Term Drawer::cast() {
    static constexpr char const* words[] = {"broadcast", "multicast", "ether broadcast",
                                            "ether multicast", "link multicast"};
    return {pick(words)};
}

Term Drawer::ip_cast() { return {one_in(2) ? "ip broadcast" : "ip multicast", ip4_kinds}; }
Term Drawer::ip6_cast() { return {"ip6 multicast", ip6_kinds}; }

Term Drawer::length() {
    std::string const word = one_in(2) ? "less " : "greater ";
    return {word + number(40 + static_cast<std::uint32_t>(below(100)))};
}

// What is set in a number that is not 0 is always set.
Term Drawer::byte() {
    static constexpr char const* ops[] = {"=", "=", "<", ">", "&", "|"};
    std::string const op = pick(ops);
    auto const value = static_cast<std::uint32_t>(op == "|" && !one_in(8) ? 0 : 1 + below(254));
    std::string const compared = number(value);
    return {fmt::format("byte {} {} {}", below(40), op, compared)};
}

Term Drawer::llc() {
    static constexpr char const* kinds[] = {"",      " i",   " s",    " u",     " rr", " rnr",
                                            " rej",  " ui",  " ua",   " disc",  " dm", " sabme",
                                            " test", " xid", " frmr", " SABME", " Ui"};
    return {std::string("llc") + pick(kinds), llc_kinds};
}

Term Drawer::direction() { return {one_in(2) ? "inbound" : "outbound"}; }
Term Drawer::ifindex() { return {fmt::format("ifindex {}", 1 + below(5))}; }

Term Drawer::frame() { return pick_word(frame_words); }
Term Drawer::frame_dir() { return pick_word(frame_dirs); }
Term Drawer::pf() { return pick_word(pf_words); }

Term Drawer::frame_address() {
    std::string const which = pick(frame_addresses), type = one_in(3) ? " host " : " ";
    return {list("wlan " + which + type, false, [&] { return pick(macs); })};
}

// ----------------------------------------------------------------------------- headers all around

// Nothing, or a number, perhaps in parentheses.
std::string Drawer::argument(std::uint32_t most) {
    if (one_in(2)) return "";
    std::string const text =
        number(one_in(6) ? most : static_cast<std::uint32_t>(below(std::min(most, 300U))));
    return one_in(6) ? " (" + text + ")" : " " + text;
}

Term Drawer::vlan() {
    Term term{"vlan" + argument(0xfff), kind(o_vlan)};
    inside(has_);
    return term;
}

// MPLS does not say what it carries.
Term Drawer::mpls() {
    Term term{"mpls" + argument(0xfffff), kind(o_mpls)};
    inside(both_ips | has_mpls);
    return term;
}

Term Drawer::pppoed() { return pure({"pppoed", kind(o_pppoed)}); }

Term Drawer::pppoes() {
    Term term{"pppoes" + argument(0xffff), kind(o_pppoes)};
    inside((serial | has_mpls) & (has_ | ~std::uint32_t{has_tunnel}));
    return term;
}

// Words of memory are taken for where a tunnel's packet begins.  1.10.3 does not know VXLAN.
Term Drawer::tunnel() {
    if (++tunnels_ > 2) return word();
    std::string const id = argument(0xffffff);
    Term term{(one_in(40) ? "vxlan" : "geneve") + id, over(t_udp)};
    inside((ethernet | has_llc) & ~std::uint32_t{has_protochain});
    return term;
}

// ------------------------------------------------------------------------------------ arithmetic

std::string Drawer::number(std::uint32_t value) {
    switch (below(10)) {
        case 0:
            return fmt::format("0x{:x}", value);
        case 1:
            return fmt::format("{:#o}", value);
        default:
            return std::to_string(value);
    }
}

// Reads bytes; narrows the kinds of packets, so that the others of the relation are of the same.
Value Drawer::access(unsigned depth) {
    static constexpr char const* sizes[] = {"", "", ":1", ":2", ":4"};
    Accessor const* accessor = &pick(accessors);
    for (int tries = 0; tries < 60 && ((accessor->kinds & allowed_) == 0 ||
                                       (accessor->needs != any && (accessor->needs & has_) == 0));
         ++tries)
        accessor = &pick(accessors);
    if (!one_in(8)) allowed_ &= accessor->kinds;
    std::string const size = pick(sizes);
    std::uint32_t const mask = size == ":4" ? ~0U : size == ":2" ? 0xffff : 0xff;
    std::string index = number(static_cast<std::uint32_t>(below(accessor->bytes)));
    if (depth > 0 && one_in(6)) index = arithmetic(depth - 1).text;
    if (one_in(300)) index = "-" + index;
    auto const value = [&] { return static_cast<std::uint32_t>(random_()) & mask; };
    return {fmt::format("{}[{}{}]", accessor->text, index, size), {value(), value()}};
}

Value Drawer::leaf(unsigned depth) {
    static constexpr std::uint32_t constants[] = {0,  1,  2,   4,    5,    6,          0xf,
                                                  31, 64, 255, 0x7f, 0x0f, 0xfffffffe, 16};
    auto const length = [&] { return 40 + static_cast<std::uint32_t>(below(80)); };
    if (one_in(6)) return {one_in(3) ? "length" : "len", {length(), length()}};
    if (!one_in(4)) return access(depth);
    if (one_in(8)) return {"tcp-ack", {16, 16}};
    std::uint32_t const value = pick(constants);
    return {number(value), {value, value}};
}

// Operators from the loosest to the tightest.  `%` and `^` have no place among them: their left
// operand is what stands right before them, their right one all that follows.
struct Operator {
    char const* text;
    unsigned binds;
    std::uint32_t (*apply)(std::uint32_t, std::uint32_t);
};
constexpr unsigned grabs = 0;
constexpr Operator operators[] = {
    {"|", 1, [](std::uint32_t a, std::uint32_t b) { return a | b; }},
    {"&", 2, [](std::uint32_t a, std::uint32_t b) { return a & b; }},
    {"<<", 3, [](std::uint32_t a, std::uint32_t b) { return b > 31 ? 0 : a << b; }},
    {">>", 3, [](std::uint32_t a, std::uint32_t b) { return b > 31 ? 0 : a >> b; }},
    {"+", 4, [](std::uint32_t a, std::uint32_t b) { return a + b; }},
    {"-", 4, [](std::uint32_t a, std::uint32_t b) { return a - b; }},
    {"*", 5, [](std::uint32_t a, std::uint32_t b) { return a * b; }},
    {"/", 5, [](std::uint32_t a, std::uint32_t b) { return b == 0 ? 0 : a / b; }},
    {"%", grabs, [](std::uint32_t a, std::uint32_t b) { return b == 0 ? 0 : a % b; }},
    {"^", grabs, [](std::uint32_t a, std::uint32_t b) { return a ^ b; }},
};

Value Drawer::arithmetic(unsigned depth) {
    if (depth == 0 || one_in(4)) return leaf(depth);
    auto const parenthesised = [](Value const& value) {
        return Value{"(" + value.text + ")", {value.values[0], value.values[1]}};
    };
    if (one_in(10)) {
        Value inner = arithmetic(depth - 1);
        if (inner.binds < Value::whole) inner = parenthesised(inner);
        std::string const minus = inner.text[0] == '-' || one_in(4) ? "- " : "-";
        return {minus + inner.text, {0 - inner.values[0], 0 - inner.values[1]}, 6, false};
    }
    Operator const& op = pick(operators);
    bool const shifts = op.binds == 3, divides = op.text[0] == '/' || op.text[0] == '%';
    Value left = arithmetic(depth - 1), right = arithmetic(depth - 1);
    // A divisor or a shift that is written as a number must make sense.
    if ((shifts && !one_in(6)) || (divides && !one_in(3))) {
        auto const by = static_cast<std::uint32_t>(1 + below(shifts ? 8 : 31));
        right = {std::to_string(by), {by, by}};
    }
    bool const swallows = op.binds == grabs;
    bool const splits = left.open || left.binds < (swallows ? unsigned{Value::whole} : op.binds);
    if (splits || one_in(6)) left = parenthesised(left);
    if ((!swallows && right.binds != grabs && right.binds <= op.binds) || one_in(6))
        right = parenthesised(right);
    // `len-1` is one word.
    bool const tight = one_in(4) && (op.text[0] != '-' || left.text.ends_with(']'));
    std::string const blank = tight && right.text[0] != '-' ? "" : " ";
    return {left.text + blank + op.text + blank + right.text,
            {op.apply(left.values[0], right.values[0]), op.apply(left.values[1], right.values[1])},
            op.binds,
            swallows || right.open};
}

// A value that two packets can have differently is compared so that one of them matches.
Term Drawer::relation() {
    Kinds const before = allowed_;
    Value left;
    for (int tries = 0; left.values[0] == left.values[1]; ++tries) {
        allowed_ = before;
        left = arithmetic(tries < 20 ? 2 : 0);
    }
    if (one_in(10)) left = {"(" + left.text + ")", {left.values[0], left.values[1]}};
    auto const [low, high] = std::minmax(left.values[0], left.values[1]);
    std::string const op = pick(relations), blank = one_in(6) ? "" : " ";
    bool const fewer = op == ">" || op == "<=";
    std::string right = number(op == "<" || op == ">=" ? high : fewer ? low : left.values[0]);
    Value const other = arithmetic(1);
    bool const reads = left.text.find('[') != left.text.npos;
    if (one_in(8) && reads && other.text.find('[') != other.text.npos) right = other.text;
    Kinds const kinds = std::exchange(allowed_, before);
    if (one_in(10)) {
        std::string const equal = one_in(2) ? " = " : " != ";
        return {number(left.values[0]) + equal + left.text, kinds};
    }
    return {left.text + blank + op + blank + right, kinds};
}

}  // namespace

std::span<int const> drawn_link_types() {
    static constexpr auto numbers = [] {
        std::array<int, std::size(link_rows)> all{};
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = link_rows[i].number;
        return all;
    }();
    return numbers;
}

std::string RandomExpressions::next() {
    Drawer drawer(random_, link_type_);
    Kinds const kinds = kinds_on(has_of(link_type_));
    std::string text = drawer.chain(random_() % 4 == 0 ? 0 : 2, kinds, kinds).text;
    if (random_() % 50 != 0) return text;
    // A word is missing.
    std::vector<std::size_t> blanks{0};
    for (std::size_t at = 0; at < text.size(); ++at)
        if (text[at] == ' ') blanks.push_back(at);
    if (blanks.size() == 1) return text;
    std::size_t const from = blanks[random_() % blanks.size()];
    std::size_t const to = std::min(text.find(' ', from + 1), text.size());
    return text.erase(from, to - from);
}

}  // namespace tamis::test
