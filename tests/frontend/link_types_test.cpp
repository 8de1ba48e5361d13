// Every link type that filters are compiled for beside libpcap's unoptimised programs: the same
// filters are accepted, and they give the same verdict on every packet, short ones included.
#include "bpf/link_types.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "frontend/compile.h"
#include "tests/support/steer.h"

namespace {

using namespace tamis;
using Bytes = std::vector<std::uint8_t>;

constexpr int with_addresses[] = {en10mb, dlt_netanalyzer, dlt_netanalyzer_transparent};
constexpr int without[] = {dlt_null, dlt_loop,     dlt_raw,        dlt_ipv4,      dlt_ipv6,
                           dlt_sll,  dlt_sll2,     dlt_ppp,        dlt_ppp_ether, dlt_c_hdlc,
                           dlt_wlan, dlt_ppp_pppd, dlt_ppp_serial, dlt_pflog};

constexpr int of_radio[] = {dlt_radiotap, dlt_avs, dlt_prism, dlt_ppi};

// Without what 1.10.3 means differently: `ip multicast`, and the words that a short prefix masks
// out.
constexpr std::string_view everywhere[] = {"ip",
                                           "ip6",
                                           "arp",
                                           "rarp",
                                           "tcp",
                                           "udp",
                                           "icmp6",
                                           "stp",
                                           "iso",
                                           "ipx",
                                           "netbeui",
                                           "atalk",
                                           "aarp",
                                           "decnet",
                                           "lat",
                                           "ether proto 0x1234",
                                           "ether proto 6",
                                           "ether proto 4",
                                           "clnp",
                                           "host 10.1.2.3",
                                           "src net 10.0.0.0/8",
                                           "arp host 10.1.2.3",
                                           "host 2001:db8::1",
                                           "net 2001:db8::/100",
                                           "port 80",
                                           "tcp dst port 443",
                                           "udp portrange 1000-2000",
                                           "ip proto 47",
                                           "ip6 proto 58",
                                           "ip6 multicast",
                                           "ip broadcast",
                                           "ether[0] = 2",
                                           "ether[2:2] > 5",
                                           "ip[0] & 0xf > 5",
                                           "tcp[tcpflags] & tcp-syn != 0",
                                           "udp[4:2] > 100",
                                           "icmp6[0] = 135",
                                           "ip6[6] = 17",
                                           "len > 60",
                                           "less 100",
                                           "greater 40",
                                           "byte 0 = 69",
                                           "ip[ip[0] & 0xf] = 1",
                                           "tcp or udp and port 53",
                                           "not ip",
                                           "pppoes and ip"};
constexpr std::string_view of_addresses[] = {
    "ether host 1:2:3:4:5:6", "ether src 1:2:3:4:5:6", "broadcast", "multicast", "vlan",
    "vlan 5 and ip"};
constexpr std::string_view of_wlan[] = {"wlan host 1:2:3:4:5:6",
                                        "wlan src 1:2:3:4:5:6",
                                        "wlan dst host 1:2:3:4:5:6",
                                        "wlan src and dst 1:2:3:4:5:6",
                                        "wlan addr1 1:2:3:4:5:6",
                                        "wlan address2 1:2:3:4:5:6",
                                        "wlan addr3 host 1:2:3:4:5:6",
                                        "wlan addr4 1:2:3:4:5:6",
                                        "wlan ra 1:2:3:4:5:6",
                                        "wlan ta 1:2:3:4:5:6",
                                        "wlan broadcast",
                                        "multicast",
                                        "llc",
                                        "llc u",
                                        "llc rnr",
                                        "wlan[0] & 0xc = 8",
                                        "link[len - 20] = 5",
                                        "wlan[wlan[0] & 7:2] > 5",
                                        "ether proto 0xfe",
                                        "isis",
                                        "tcp port 80 and wlan[1] & 3 = 1",
                                        "wlan addr1 1:2:3:4:5:6 or 1:2:3:4:5:7"};
// Not of PPI, as in libpcap.
constexpr std::string_view of_frames[] = {"type mgt",
                                          "type ctl",
                                          "type data",
                                          "type 4",
                                          "wlan type mgt subtype beacon",
                                          "type mgt subtype 0x80",
                                          "type 0xc subtype 0x80",
                                          "type data subtype QoS-data",
                                          "subtype probe-req",
                                          "subtype cf-end",
                                          "dir tods",
                                          "direction DStoDS",
                                          "dir 2",
                                          "vlan",
                                          "vlan 5 and ip",
                                          "ip and type data"};
constexpr std::string_view of_radio_headers[] = {"radio[2] = 24", "radio[len - 30:2] > 5",
                                                 "radio[radio[3]] = 8 and ip"};
constexpr std::string_view of_pflog[] = {"on e",
                                         "on en",
                                         "ifname en0",
                                         "on eth0",
                                         "ifname lo12345",
                                         "on fifteen-letters",
                                         "rset foo",
                                         "ruleset a-rule-set",
                                         "rnr 5",
                                         "rulenum 4294967295",
                                         "srnr 5",
                                         "subrulenum 0",
                                         "action pass",
                                         "action BLOCK",
                                         "action synproxy-drop",
                                         "reason match",
                                         "reason src-limit",
                                         "reason 300",
                                         "reason 14",
                                         "inbound",
                                         "outbound",
                                         "on en0 and inbound and tcp port 80"};
// What libpcap refuses on some link types only, and must be refused there here too.
constexpr std::string_view of_some[] = {"vlan 5",
                                        "mpls",
                                        "mpls 7",
                                        "llc",
                                        "ether host 1:2:3:4:5:6",
                                        "broadcast",
                                        "multicast",
                                        "wlan addr1 1:2:3:4:5:6",
                                        "wlan ta 1:2:3:4:5:6",
                                        "wlan addr2 host 1:2:3:4:5:6",
                                        "addr1 1:2:3:4:5:6",
                                        "wlan addr1 10.0.0.1",
                                        "ip addr1 10.0.0.1",
                                        "addr2 port 80",
                                        "wlan addr1 net 1:2:3:4:5:6",
                                        "wlan addr1 proto 5",
                                        "type mgt",
                                        "type 1",
                                        "type (4)",
                                        "type mgt or ctl",
                                        "type rts",
                                        "type mgt subtype rts",
                                        "type 4 subtype 8",
                                        "type 0xc subtype beacon",
                                        "subtype 0x80",
                                        "subtype mgt",
                                        "subtype beacon",
                                        "ip type mgt",
                                        "type",
                                        "type mgt subtype",
                                        "type mgt subtype beacon 5",
                                        "dir",
                                        "dir mgt",
                                        "dir tods",
                                        "on eth0",
                                        "on sixteen-letters-",
                                        "on sixteen-letters1",
                                        "on 5",
                                        "ip on eth0",
                                        "on eth0 or eth1",
                                        "on eth0 eth1",
                                        "on (eth0)",
                                        "rnr (5)",
                                        "rnr foo",
                                        "ruleset",
                                        "action 0",
                                        "action foo",
                                        "reason foo",
                                        "reason 3",
                                        "radio",
                                        "radio[0] = 1",
                                        "radio host 1.2.3.4",
                                        "radio src 1:2:3:4:5:6"};

class Pcap {
  public:
    explicit Pcap(int link_type) : handle_(pcap_open_dead(link_type, 262144)) {}
    Pcap(Pcap const&) = delete;
    Pcap& operator=(Pcap const&) = delete;
    ~Pcap() { pcap_close(handle_); }

    // Empty when libpcap refuses the filter.
    std::vector<bpf_insn> compile(std::string const& text) {
        bpf_program program{};
        if (pcap_compile(handle_, &program, text.c_str(), 0, 0xffffff00) != 0) return {};
        std::vector<bpf_insn> insns(program.bf_insns, program.bf_insns + program.bf_len);
        pcap_freecode(&program);
        return insns;
    }

  private:
    pcap_t* handle_;
};

std::vector<bpf_insn> as_theirs(cbpf::Program const& program) {
    std::vector<bpf_insn> insns;
    for (cbpf::Insn const& i : program.insns) insns.push_back({i.code, i.jt, i.jf, i.k});
    return insns;
}

cbpf::Program as_ours(std::vector<bpf_insn> const& insns) {
    cbpf::Program program;
    for (bpf_insn const& i : insns) program.insns.push_back({i.code, i.jt, i.jf, i.k});
    return program;
}

bool matches(std::vector<bpf_insn> const& program, Bytes const& packet, std::uint32_t wire) {
    return bpf_filter(program.data(), packet.data(), wire, static_cast<unsigned>(packet.size())) !=
           0;
}

struct Tally {
    std::size_t filters = 0, refused = 0, packets = 0, both = 0;
};

struct Programs {
    std::string text;
    std::vector<bpf_insn> ours, theirs;
};

template <class List, class Value>
bool holds(List const& list, Value const& value) {
    return std::find(std::begin(list), std::end(list), value) != std::end(list);
}

// libpcap computes where headers of variable length end in front of everything else, and keeps it
// in words of memory that arithmetic before their first use has for itself too (its issue 1192).
// A first use in front of all arithmetic keeps them apart.
std::string with_words_apart(int link_type, std::string const& text) {
    bool const varies =
        link_type == dlt_wlan || link_type == dlt_pflog || holds(of_radio, link_type);
    bool const computes = text.find('[') != text.npos || text.find("len ") != text.npos;
    return varies && computes ? fmt::format("(tcp or not tcp) and ({})", text) : text;
}

// Nothing when both refuse.
std::optional<Programs> programs(Pcap& pcap, int link_type, std::string const& given,
                                 Tally& tally) {
    std::string const text = with_words_apart(link_type, given);
    auto theirs = pcap.compile(text);
    auto const ours =
        frontend::compile(text, {.link_type = link_type, .netmask = 0xffffff00, .optimise = false});
    ++tally.filters;
    EXPECT_EQ(ours.has_value(), !theirs.empty())
        << find_link_type(link_type)->name << ": " << text << "\n"
        << (ours ? "libpcap refuses it" : render(ours.error(), {"filter", text}));
    if (!ours || theirs.empty()) {
        ++tally.refused;
        return std::nullopt;
    }
    return Programs{text, as_theirs(ours->program), std::move(theirs)};
}

void compare(Programs const& both, std::mt19937_64& random, std::size_t packets, Tally& tally) {
    SCOPED_TRACE(both.text);
    ASSERT_NE(bpf_validate(both.ours.data(), static_cast<int>(both.ours.size())), 0);
    std::size_t matched = 0, total = 0;
    for (auto const* const steering : {&both.ours, &both.theirs}) {
        for (Bytes const& packet : test::steer(as_ours(*steering), random, packets)) {
            auto const wire = static_cast<std::uint32_t>(packet.size() + random() % 3);
            bool const verdict = matches(both.theirs, packet, wire);
            ++total;
            matched += verdict ? 1 : 0;
            ASSERT_EQ(matches(both.ours, packet, wire), verdict)
                << "on a packet of " << packet.size() << " bytes";
        }
    }
    tally.packets += total;
    tally.both += matched > 0 && matched < total ? 1 : 0;
}

std::size_t setting(char const* name, std::size_t otherwise) {
    char const* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// libpcap forgets where a header of variable length ends if another link header follows.
bool is_fault_of_libpcap(int link_type, std::string_view text) {
    return (link_type == dlt_pflog || holds(of_radio, link_type)) &&
           text.find("pppoes") != text.npos;
}

std::vector<std::string> filters(int link_type, std::mt19937_64& random) {
    std::vector<std::string> out;
    auto const take = [&](auto const& list) {
        for (std::string_view const text : list)
            if (!is_fault_of_libpcap(link_type, text)) out.emplace_back(text);
    };
    take(everywhere);
    std::size_t moving = out.size() - (is_fault_of_libpcap(link_type, "pppoes") ? 0 : 1);
    if (holds(with_addresses, link_type)) take(of_addresses);
    if (link_type == dlt_wlan || holds(of_radio, link_type)) {
        take(of_wlan);
        if (link_type != dlt_wlan && link_type != dlt_ppi) take(of_radio_headers);
        moving = out.size();
        if (link_type != dlt_ppi) take(of_frames);
    }
    if (link_type == dlt_pflog) {
        take(of_pflog);
        moving = out.size();
    }
    std::vector<std::string> const pool(out.begin(),
                                        out.begin() + static_cast<std::ptrdiff_t>(moving));
    auto const any = [&] { return pool[random() % pool.size()]; };
    for (std::size_t i = setting("TAMIS_EXPRESSIONS", 150); i > 0; --i) {
        std::string text = any();
        for (std::uint64_t more = 1 + random() % 3; more > 0; --more)
            text = fmt::format("({}) {} {}{}", text, random() % 2 == 0 ? "and" : "or",
                               random() % 4 == 0 ? "not " : "", any());
        out.push_back(std::move(text));
    }
    return out;
}

class LinkTypes : public testing::TestWithParam<int> {};

TEST_P(LinkTypes, AgreeWithLibpcap) {
    int const link_type = GetParam();
    Pcap pcap(link_type);
    std::mt19937_64 random(setting("TAMIS_SEED", 1));
    Tally tally;
    for (std::string const& text : filters(link_type, random))
        if (auto const both = programs(pcap, link_type, text, tally))
            compare(*both, random, 30, tally);
    for (std::string_view const text : of_some) programs(pcap, link_type, std::string(text), tally);
    fmt::print(
        "{}: {} filters, {} of them refused by both; {} packets; both verdicts seen: {:.1f} %\n",
        find_link_type(link_type)->name, tally.filters, tally.refused, tally.packets,
        100.0 * static_cast<double>(tally.both) /
            static_cast<double>(tally.filters - tally.refused));
    EXPECT_GT(tally.both, 20U);
}

// TAMIS_CAPTURES names a folder of captures of any link type; without it, the repository's own is
// read.
TEST(Captures, GiveTheSameVerdicts) {
    char const* const named = std::getenv("TAMIS_CAPTURES");
    std::string const folder = named != nullptr ? named : TAMIS_SOURCE_ROOT "/examples";
    std::mt19937_64 random(1);
    std::map<int, std::vector<Programs>> of_link_type;
    std::size_t packets = 0, files = 0;
    for (auto const& entry : std::filesystem::recursive_directory_iterator(folder)) {
        char why[PCAP_ERRBUF_SIZE];
        pcap_t* const capture =
            entry.is_regular_file() ? pcap_open_offline(entry.path().c_str(), why) : nullptr;
        if (capture == nullptr) continue;
        int const link_type = pcap_datalink(capture);
        bool const covered = holds(without, link_type) || holds(with_addresses, link_type) ||
                             link_type == dlt_wlan || holds(of_radio, link_type);
        auto& both = of_link_type[link_type];
        if (covered && both.empty()) {
            Pcap pcap(link_type);
            Tally tally;
            for (std::string const& text : filters(link_type, random))
                if (auto one = programs(pcap, link_type, text, tally))
                    both.push_back(std::move(*one));
        }
        files += covered ? 1U : 0U;
        pcap_pkthdr* header = nullptr;
        std::uint8_t const* data = nullptr;
        for (int i = 0; i < 200 && pcap_next_ex(capture, &header, &data) == 1; ++i) {
            Bytes const packet(data, data + header->caplen);
            for (Programs const& one : both)
                ASSERT_EQ(matches(one.ours, packet, header->len),
                          matches(one.theirs, packet, header->len))
                    << one.text << " on " << entry.path();
            packets += both.empty() ? 0U : 1U;
        }
        pcap_close(capture);
    }
    fmt::print("{} captures, {} packets\n", files, packets);
    EXPECT_GT(packets, 0U);
}

// Files may come from systems that number IPv6 differently, and from the other byte order.
TEST(Captures, OfLoopbackComeFromAnySystem) {
    auto const match = [](int link_type, Bytes const& packet) {
        auto const compiled = frontend::compile(
            "ip6", {.link_type = link_type, .context = frontend::Context::savefile});
        return compiled &&
               matches(as_theirs(compiled->program), packet, static_cast<unsigned>(packet.size()));
    };
    for (std::uint8_t const family : std::initializer_list<std::uint8_t>{24, 28, 30}) {
        EXPECT_TRUE(match(dlt_null, {family, 0, 0, 0}));
        EXPECT_TRUE(match(dlt_null, {0, 0, 0, family}));
        EXPECT_TRUE(match(dlt_loop, {0, 0, 0, family}));
        EXPECT_FALSE(match(dlt_loop, {family, 0, 0, 0}));
        EXPECT_TRUE(match(dlt_pflog, {61, family}));
    }
    EXPECT_FALSE(match(dlt_null, {2, 0, 0, 0}));
}

// Words of these link types thrown together: most are no filters, and both sides must think so.
// Names stand only where nobody is asked about them.
TEST_P(LinkTypes, AgreeOnWordsThrownTogether) {
    static constexpr char const* pieces[] = {"type",
                                             "subtype",
                                             "dir",
                                             "type mgt",
                                             "subtype beacon",
                                             "dir tods",
                                             "type ctl subtype rts",
                                             "wlan",
                                             "ether",
                                             "ip",
                                             "ip6",
                                             "tcp",
                                             "addr1",
                                             "addr4",
                                             "ra",
                                             "ta",
                                             "src",
                                             "dst",
                                             "host",
                                             "net",
                                             "port",
                                             "proto",
                                             "protochain",
                                             "3",
                                             "1:2:3:4:5:6",
                                             "10.0.0.1",
                                             "4",
                                             "0x80",
                                             "6",
                                             "and",
                                             "or",
                                             "not",
                                             "(",
                                             ")",
                                             "[",
                                             "]",
                                             "=",
                                             "radio",
                                             "radio[0] = 1",
                                             "wlan[4:2] > 5",
                                             "llc",
                                             "llc u",
                                             "broadcast",
                                             "multicast",
                                             "on",
                                             "on en0",
                                             "rnr",
                                             "srnr 5",
                                             "ruleset",
                                             "action",
                                             "action pass",
                                             "reason",
                                             "reason match",
                                             "reason 5",
                                             "vlan",
                                             "mpls",
                                             "pppoes",
                                             "vpi",
                                             "opc 5",
                                             "lane",
                                             "fisu",
                                             "len > 5",
                                             "less 100",
                                             "wlan addr2 1:2:3:4:5:6"};
    int const link_type = GetParam();
    Pcap pcap(link_type);
    std::mt19937_64 random(setting("TAMIS_SEED", 1));
    std::size_t accepted = 0;
    for (std::size_t i = setting("TAMIS_EXPRESSIONS", 4000); i > 0; --i) {
        std::string text;
        for (std::uint64_t n = 1 + random() % 6; n > 0; --n)
            text += std::string(pieces[random() % std::size(pieces)]) + " ";
        bool const parted = text.find("dir 4") != text.npos || text.find("dir 6") != text.npos ||
                            text.find("dir 0x80") != text.npos;
        if (parted) continue;  // 1.10.3 does not look at the number, later versions do
        bool const theirs = !pcap.compile(text).empty();
        auto const ours = frontend::compile(text, {.link_type = link_type, .netmask = 0xffffff00});
        ASSERT_EQ(ours.has_value(), theirs)
            << text << "\n"
            << (ours ? "libpcap refuses it" : render(ours.error(), {"filter", text}));
        accepted += theirs ? 1U : 0U;
        if (ours) continue;
        ASSERT_TRUE(ours.error().span) << text;
        ASSERT_LE(ours.error().span->end, text.size()) << text;
    }
    fmt::print("{} accepted\n", accepted);
    EXPECT_GT(accepted, 0U);
}

// What libpcap gets wrong is held against packets that are written out.
TEST(Radios, KeepTheirPlaceWhateverElseIsComputed) {
    Bytes const radiotap{0, 0, 8, 0, 0, 0, 0, 0};
    auto const behind = [&](Bytes frame, Bytes const& rest) {
        frame.resize(24);
        frame.insert(frame.begin(), radiotap.begin(), radiotap.end());
        frame.insert(frame.end(), rest.begin(), rest.end());
        return frame;
    };
    Bytes const probe = behind({0x40}, {});
    Bytes const session =
        behind({0x08}, {0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0x64, 0x11, 0, 0, 7, 0, 2, 0, 0x21});
    auto const match = [](char const* text, Bytes const& packet) {
        auto const compiled =
            frontend::compile(text, {.link_type = dlt_radiotap, .optimise = false});
        EXPECT_TRUE(compiled) << text;
        return compiled &&
               matches(as_theirs(compiled->program), packet, static_cast<unsigned>(packet.size()));
    };
    EXPECT_TRUE(match("radio[2] & 0x40 = 0 and subtype probe-req", probe));
    EXPECT_FALSE(match("radio[2] & 0x40 = 0 and subtype probe-req", session));
    EXPECT_TRUE(match("radio[2] + len > 8 and pppoes 7 and ip", session));
    EXPECT_FALSE(match("pppoes 7 and ip6", session));
    EXPECT_FALSE(match("pppoes", probe));
}

// Padding that the radio put behind the 802.11 header.
TEST(Radios, MayPad) {
    auto const padded = [](bool timed, std::uint8_t flags) {
        Bytes packet{0, 0, 17, 0, static_cast<std::uint8_t>(timed ? 3 : 2), 0, 0, 0};
        packet.resize(17);
        packet[timed ? 16 : 8] = flags;
        Bytes const frame{0x88};  // with QoS: 26 bytes, 28 with the padding
        packet.insert(packet.end(), frame.begin(), frame.end());
        packet.resize(17 + 26);
        while (packet.size() % 4 != 0) packet.push_back(0);
        packet.insert(packet.end(), {0xaa, 0xaa, 3, 0, 0, 0, 8, 0});
        return packet;
    };
    auto const program = frontend::compile("ip", {.link_type = dlt_radiotap, .optimise = false});
    ASSERT_TRUE(program);
    for (bool const timed : {true, false}) {
        EXPECT_TRUE(matches(as_theirs(program->program), padded(timed, 0x20), 100)) << timed;
        EXPECT_FALSE(matches(as_theirs(program->program), padded(timed, 0), 100)) << timed;
    }
}

TEST(Directions, AreReadFromTheLinkHeader) {
    for (int const link_type : {dlt_sll, dlt_sll2, dlt_ppp_pppd}) {
        Pcap pcap(link_type);
        std::mt19937_64 random(1);
        Tally tally;
        std::vector<std::string> texts{"inbound", "outbound", "inbound and ip"};
        if (link_type == dlt_sll2) texts.push_back("ifindex 3");
        for (std::string const& text : texts)
            if (auto const both = programs(pcap, link_type, text, tally))
                compare(*both, random, 30, tally);
        EXPECT_EQ(tally.both, texts.size());
    }
    for (int const link_type : {dlt_raw, dlt_null, dlt_netanalyzer, dlt_ppp})
        for (char const* const text : {"inbound", "outbound", "ifindex 1"})
            EXPECT_FALSE(frontend::compile(text, {.link_type = link_type})) << text;
}

// Of the others nothing but bytes and the length is known.
TEST(OtherLinkTypes, CompileWhatNeedsNoProtocol) {
    for (char const* const text : {"len > 5", "less 100", "ether[3] = 1", "byte 3 = 1"})
        EXPECT_TRUE(frontend::compile(text, {.link_type = 7})) << text;
    for (char const* const text : {"ip", "host 10.0.0.1", "port 80", "tcp[0] = 1", "stp"}) {
        auto const refused = frontend::compile(text, {.link_type = 7});
        ASSERT_FALSE(refused) << text;
        EXPECT_NE(refused.error().message.find("ARCNET"), std::string::npos);
    }
    EXPECT_FALSE(frontend::compile("len > 5", {.link_type = 9999}));
}

std::string name_of(testing::TestParamInfo<int> const& info) {
    return std::string(find_link_type(info.param)->name);
}
INSTANTIATE_TEST_SUITE_P(Addressed, LinkTypes, testing::ValuesIn(with_addresses), name_of);
INSTANTIATE_TEST_SUITE_P(Radio, LinkTypes, testing::ValuesIn(of_radio), name_of);
INSTANTIATE_TEST_SUITE_P(Plain, LinkTypes, testing::ValuesIn(without), name_of);

}  // namespace
