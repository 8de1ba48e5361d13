// Words thrown together, beside libpcap: the same texts are filters.
#include <cctype>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "bpf/link_types.h"
#include "frontend/compile.h"

namespace {

using namespace tamis;

constexpr std::uint32_t netmask = 0xffffff00;

class Pcap {
  public:
    explicit Pcap(int link_type = en10mb) : handle_(pcap_open_dead(link_type, 262144)) {}
    Pcap(Pcap const&) = delete;
    Pcap& operator=(Pcap const&) = delete;
    ~Pcap() { pcap_close(handle_); }

    bool accepts(std::string const& text) {
        bpf_program program{};
        if (pcap_compile(handle_, &program, text.c_str(), 0, netmask) != 0) return false;
        pcap_freecode(&program);
        return true;
    }
    std::string why() { return pcap_geterr(handle_); }

  private:
    pcap_t* handle_;
};

std::size_t setting(char const* name, std::size_t otherwise) {
    char const* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

bool is_word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; }

// Words thrown together: most are no filters, and both sides must think so.  Names would make
// libpcap ask the resolver; its checks of constants see too much (in `1 / ip[0]`) or, in 1.10.3,
// too little (`proto 2048`).
TEST(Libpcap, AgreesOnWordsThrownTogether) {
    static constexpr char const* pieces[] = {"tcp",
                                             "udp",
                                             "ip",
                                             "ip6",
                                             "arp",
                                             "ether",
                                             "host",
                                             "net",
                                             "port",
                                             "portrange",
                                             "proto",
                                             "src",
                                             "dst",
                                             "or",
                                             "and",
                                             "not",
                                             "(",
                                             ")",
                                             "[",
                                             "]",
                                             "10.0.0.1",
                                             "10",
                                             "80",
                                             "::1",
                                             "1:2:3:4:5:6",
                                             "0x80",
                                             "\\tcp",
                                             "/8",
                                             "mask",
                                             "255.0.0.0",
                                             "=",
                                             "!=",
                                             "<",
                                             ">",
                                             "+",
                                             "-",
                                             "*",
                                             "&",
                                             "|",
                                             "^",
                                             "len",
                                             "less",
                                             "greater",
                                             "broadcast",
                                             "multicast",
                                             "byte",
                                             "1",
                                             "2",
                                             ":",
                                             "!",
                                             "&&",
                                             "||",
                                             "10.0.0.0/8",
                                             "icmp",
                                             "icmp[0]",
                                             "tcp[13]",
                                             "src or dst",
                                             "byte 0 = 1",
                                             "ip[0] =",
                                             "port 80",
                                             "host 10.0.0.1"};
    Pcap pcap;
    std::mt19937_64 random(setting("TAMIS_SEED", 1));
    std::size_t accepted = 0;
    for (std::size_t i = setting("TAMIS_EXPRESSIONS", 20000); i > 0; --i) {
        std::string text;
        for (std::uint64_t n = 1 + random() % 8; n > 0; --n) {
            std::string_view const piece = pieces[random() % std::size(pieces)];
            // Glued words would be names.
            bool const glues =
                text.empty() || !is_word_char(text.back()) || !is_word_char(piece[0]);
            if (!glues || random() % 3 != 0) text += ' ';
            text += piece;
        }
        auto const ours = frontend::compile(text, {.netmask = netmask});
        bool const theirs = pcap.accepts(text);
        ASSERT_EQ(ours.has_value(), theirs)
            << text << "\n"
            << (ours ? "libpcap: " + pcap.why() : render(ours.error(), {"filter", text}));
        accepted += theirs ? 1 : 0;
        if (ours) continue;
        ASSERT_TRUE(ours.error().span) << text;
        ASSERT_LE(ours.error().span->end, text.size()) << text;
    }
    fmt::print("{} accepted\n", accepted);
    EXPECT_GT(accepted, 0U);
}

constexpr int link_types[] = {dlt_wlan,  dlt_radiotap, dlt_avs, dlt_prism, dlt_ppi,
                              dlt_pflog, dlt_raw,      dlt_sll, dlt_ppp};
class LinkTypes : public testing::TestWithParam<int> {};

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
        bool const theirs = pcap.accepts(text);
        auto const ours = frontend::compile(text, {.link_type = link_type, .netmask = netmask});
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

std::string name_of(testing::TestParamInfo<int> const& link_type) {
    return std::string(find_link_type(link_type.param)->name);
}
INSTANTIATE_TEST_SUITE_P(All, LinkTypes, testing::ValuesIn(link_types), name_of);

}  // namespace
