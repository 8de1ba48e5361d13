// What random filters are made of: kinds of packets, what link types have, and words.
#pragma once

#include <cstdint>
#include <utility>

#include "bpf/link_types.h"

namespace tamis::test::drawing {

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
inline constexpr Kinds kind(unsigned bit) { return Kinds{1} << bit; }
inline constexpr Kinds over4(unsigned transport) { return kind(transport); }
inline constexpr Kinds over6(unsigned transport) { return kind(transport + ip6_shift); }
inline constexpr Kinds over(unsigned transport) { return over4(transport) | over6(transport); }
inline constexpr Kinds from_to(unsigned first, unsigned end) { return kind(end) - kind(first); }
inline constexpr Kinds ip4_kinds = from_to(t_tcp, ip6_shift), ip6_kinds = ip4_kinds << ip6_shift,
                       type_kinds = from_to(o_arp, o_type + 1),
                       llc_kinds = from_to(o_clnp, o_sap + 1),
                       osi_kinds = from_to(o_clnp, o_isis + 1), every_kind = from_to(0, kinds_end),
                       with_addresses = ip4_kinds | kind(o_arp) | kind(o_rarp),
                       port_kinds = over(t_tcp) | over(t_udp) | over(t_sctp),
                       data_kinds = every_kind & ~(kind(o_management) | kind(o_control));

inline Kinds kinds_of(std::uint32_t number) {
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
inline constexpr LinkRow link_rows[] = {
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
inline std::uint32_t has_of(int link_type) {
    for (LinkRow const& row : link_rows)
        if (row.number == link_type) return row.has;
    return any;
}

inline Kinds kinds_on(std::uint32_t has) {
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

inline constexpr char const* ports[] = {"22",    "53", "80",   "443", "8080",
                                        "65535", "0",  "0x50", "0120"};
inline constexpr char const* hosts4[] = {"10.0.0.1", "10.0.0.2", "192.168.1.7", "255.255.255.255",
                                         "0.0.0.0",  "10.1",     "172.16.3",    "167772161",
                                         "tcp-syn",  "010.0.0.1"};
inline constexpr char const* nets4[] = {"10.0.0.0/8",
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
inline constexpr char const* hosts6[] = {"::1",         "fe80::1",         "2001:db8::1",
                                         "2001:db8::2", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1"};
inline constexpr char const* nets6[] = {"2001:db8::/127", "::1/128",           "2001:db8::/100",
                                        "fe80::1",        "2001:db8:0:1::/97", "2001:db8::/64",
                                        "2001:db8::/32",  "fe80::/10"};
inline constexpr char const* macs[] = {"0:1:2:3:4:5",    "ff:ff:ff:ff:ff:ff", "00-11-22-aa-bb-cc",
                                       "0011.22aa.bbcc", "001122aabbcc",      "0.1.2.3.4.5"};
inline constexpr char const* decnets[] = {"1.2", "63.1023", "1.1", "10.20"};
inline constexpr char const* links[] = {"ether", "ether", "ether", "link", "ppp",
                                        "slip",  "fddi",  "tr",    "wlan"};
inline constexpr char const* dirs[] = {
    "", "", "", "src ", "dst ", "src or dst ", "dst or src ", "src and dst ", "dst and src "};
inline constexpr char const* relations[] = {"=", "==", "!=", "<", "<=", ">", ">="};

// A word that is a test, or names something.
struct Word {
    char const* text;
    Kinds kinds;
    std::uint32_t needs = any;
};
inline constexpr Word abbreviations[] = {
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
inline constexpr Word llc_words[] = {
    {"iso", osi_kinds},
    {"stp", kind(o_stp)},
    {"ipx", kind(o_ipx)},
    {"netbeui", kind(o_netbeui)},
};
inline constexpr Word osi_words[] = {
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
inline constexpr Word isis_words[] = {
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
inline constexpr Word ether_protos[] = {
    {"\\ip", ip4_kinds},          {"0x800", ip4_kinds},       {"\\ip6", ip6_kinds},
    {"0x86dd", ip6_kinds},        {"\\arp", kind(o_arp)},     {"0x806", kind(o_arp)},
    {"\\rarp", kind(o_rarp)},     {"\\atalk", kind(o_atalk)}, {"\\aarp", kind(o_aarp)},
    {"\\decnet", kind(o_decnet)}, {"\\lat", kind(o_lat)},     {"\\sca", kind(o_sca)},
    {"\\moprc", kind(o_moprc)},   {"\\mopdl", kind(o_mopdl)}, {"loopback", kind(o_loopback)},
    {"0x88cc", kind(o_lldp)},     {"35020", kind(o_lldp)},    {"0xffff", kind(o_type)},
    {"lldp", kind(o_lldp)},       {"slow", kind(o_slow)},     {"1501", kind(o_type)},
};
inline constexpr Word sap_protos[] = {
    {"\\stp", kind(o_stp)}, {"\\iso", osi_kinds},  {"\\ipx", kind(o_ipx)},
    {"6", kind(o_sap)},     {"66", kind(o_stp)},   {"0xe0", kind(o_ipx)},
    {"0xfe", osi_kinds},    {"0xaa", kind(o_sap)}, {"\\netbeui", kind(o_netbeui)},
};
inline constexpr Word frame_words[] = {
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
inline constexpr Word frame_dirs[] = {
    {"dir nods", every_kind},   {"dir tods", every_kind}, {"direction fromds", every_kind},
    {"dir DStoDS", every_kind}, {"dir 2", every_kind},    {"wlan dir 0x3", every_kind},
};
inline constexpr char const* frame_addresses[] = {"addr1",    "addr2",    "addr3", "addr4",
                                                  "address1", "address2", "ra",    "ta"};
inline constexpr Word pf_words[] = {
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
inline constexpr Protocol protocols[] = {
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
inline constexpr Accessor accessors[] = {
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
inline constexpr Word protochains[] = {
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
inline constexpr Word idioms[] = {
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
inline constexpr Word idioms6[] = {
    {"icmp6[icmp6type] = icmp6-echo", over6(t_icmp6)},
    {"icmp6[0] = icmp6-neighborsolicit", over6(t_icmp6)},
    {"ip6[6] = 17", ip6_kinds},
    {"ip6[4:2] > 100", ip6_kinds},
};

}  // namespace tamis::test::drawing
