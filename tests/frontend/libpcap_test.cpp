// Our programs beside libpcap's unoptimised ones: the same filters are accepted, and they give the
// same verdict on every packet, short ones included.
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "frontend/compile.h"
#include "tests/support/random_expr.h"
#include "tests/support/steer.h"

namespace {

using namespace tamis;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t netmask = 0xffffff00;

class Pcap {
  public:
    Pcap() : handle_(pcap_open_dead(DLT_EN10MB, 262144)) {}
    Pcap(Pcap const&) = delete;
    Pcap& operator=(Pcap const&) = delete;
    ~Pcap() { pcap_close(handle_); }

    // Empty when libpcap refuses the filter; why() then says why.
    std::vector<bpf_insn> compile(std::string const& text) {
        bpf_program program{};
        if (pcap_compile(handle_, &program, text.c_str(), 0, netmask) != 0) return {};
        std::vector<bpf_insn> insns(program.bf_insns, program.bf_insns + program.bf_len);
        pcap_freecode(&program);
        return insns;
    }
    std::string why() { return pcap_geterr(handle_); }

  private:
    pcap_t* handle_;
};

std::vector<bpf_insn> ours_as_theirs(cbpf::Program const& program) {
    std::vector<bpf_insn> insns;
    for (cbpf::Insn const& i : program.insns) insns.push_back({i.code, i.jt, i.jf, i.k});
    return insns;
}

cbpf::Program theirs_as_ours(std::vector<bpf_insn> const& insns) {
    cbpf::Program program;
    for (bpf_insn const& i : insns) program.insns.push_back({i.code, i.jt, i.jf, i.k});
    return program;
}

bool matches(std::vector<bpf_insn> const& program, Bytes const& packet, std::uint32_t wire) {
    return bpf_filter(program.data(), packet.data(), wire, static_cast<unsigned>(packet.size())) !=
           0;
}

// libpcap 1.10.3 reads the words of an address even where the mask covers none of their bits, and
// later versions do not: packets that end in the addresses tell them apart.
bool reads_less_than_1_10_3(std::string_view text) {
    for (std::size_t slash = text.find('/'); slash != text.npos;
         slash = text.find('/', slash + 1)) {
        int const length = std::atoi(text.data() + slash + 1);
        bool const ip6 = text.substr(0, slash).ends_with(':');
        if (length == 0 || (ip6 && length <= 96)) return true;
    }
    return false;
}

// Filters on which 1.10.3 and later versions part; we follow the later ones.
struct Parting {
    std::string_view text;
    bool accepted_later;
};
constexpr Parting parted[] = {
    {"ip multicast", true},          // from 224.0.0.0 up, class E included; later 224.0.0.0/4
    {"byte 0 & 1", true},            // does not test the bits; later whether they share one
    {"ether proto 300", false},      // later no EtherType
    {"proto 256", false},            // later out of range
    {"portrange 80-90-100", false},  // later no range
    {"inbound", false},              // asks the kernel of packets that it does not have
    {"ifindex 3", false},            // the same
    {"decnet net 1.2", false},       // later an error
    {"lsp", true},                   // the whole byte; later the five bits of the type
    {"isis proto 18", true},         // the same
};

struct Tally {
    std::size_t filters = 0, refused = 0, packets = 0, both = 0;
};

void compare(Pcap& pcap, std::string const& text, std::mt19937_64& random, std::size_t packets,
             Tally& tally) {
    SCOPED_TRACE(text);
    auto const theirs = pcap.compile(text);
    auto const ours = frontend::compile(text, {.netmask = netmask, .optimise = false});
    ++tally.filters;
    if (theirs.empty() || !ours) {
        ++tally.refused;
        EXPECT_EQ(theirs.empty(), !ours.has_value())
            << (ours ? "libpcap: " + pcap.why() : render(ours.error(), {"filter", text}));
        return;
    }
    ASSERT_EQ(ours->program.origin.size(), ours->program.insns.size());
    auto const program = ours_as_theirs(ours->program);
    ASSERT_NE(bpf_validate(program.data(), static_cast<int>(program.size())), 0);

    bool const shortened = reads_less_than_1_10_3(text);
    std::size_t matched = 0, total = 0;
    for (int side = 0; side < 2; ++side) {
        auto const& steering = side == 0 ? ours->program : theirs_as_ours(theirs);
        for (Bytes const& packet : test::steer(steering, random, packets)) {
            if (shortened && packet.size() < 54) continue;
            auto const wire = static_cast<std::uint32_t>(packet.size() +
                                                         (random() % 4 == 0 ? random() % 100 : 0));
            bool const verdict = matches(theirs, packet, wire);
            ++total;
            matched += verdict ? 1 : 0;
            ASSERT_EQ(matches(program, packet, wire), verdict)
                << "on a packet of " << packet.size() << " bytes: " << [&] {
                       std::string hex;
                       for (std::uint8_t const byte : packet) hex += fmt::format("{:02x}", byte);
                       return hex;
                   }();
        }
    }
    tally.packets += total;
    tally.both += matched > 0 && matched < total ? 1 : 0;
}

void report(char const* what, Tally const& tally) {
    fmt::print(
        "{}: {} filters, {} of them refused by both; {} packets; both verdicts seen: {:.1f} %\n",
        what, tally.filters, tally.refused, tally.packets,
        100.0 * static_cast<double>(tally.both) /
            static_cast<double>(tally.filters - tally.refused));
}

std::size_t setting(char const* name, std::size_t otherwise) {
    char const* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Libpcap, AgreesOnTheListedExpressions) {
    Pcap pcap;
    std::mt19937_64 random(setting("TAMIS_SEED", 1));
    Tally tally;
    std::ifstream file(TAMIS_SOURCE_ROOT "/tests/frontend/expressions.txt");
    for (std::string line; std::getline(file, line);)
        if (!line.empty() && line[0] != '#') compare(pcap, line, random, 150, tally);
    report("listed", tally);
    EXPECT_GE(tally.filters, 300U);
    EXPECT_GE(tally.both, (tally.filters - tally.refused) * 9 / 10);
}

TEST(Libpcap, AgreesOnRandomExpressions) {
    Pcap pcap;
    std::uint64_t const seed = setting("TAMIS_SEED", 1);
    fmt::print("seed {}\n", seed);
    std::mt19937_64 random(seed);
    test::RandomExpressions expressions(seed);
    Tally tally;
    for (std::size_t i = setting("TAMIS_EXPRESSIONS", 3000); i > 0; --i)
        compare(pcap, expressions.next(), random, 40, tally);
    report("random", tally);
    EXPECT_EQ(tally.refused, 0U) << "the generator makes filters that are right";
    EXPECT_GE(tally.both, tally.filters * 7 / 10);
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
        bool const theirs = !pcap.compile(text).empty();
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

// What the comparison above leaves out, so that the list stays honest.
TEST(Libpcap, PartsFrom1_10_3WhereLaterVersionsDo) {
    if (std::string_view(pcap_lib_version()).find("1.10.") == std::string_view::npos)
        GTEST_SKIP() << "another libpcap: " << pcap_lib_version();
    Pcap pcap;
    for (Parting const& parting : parted) {
        std::string const text(parting.text);
        EXPECT_FALSE(pcap.compile(text).empty()) << text;
        EXPECT_EQ(frontend::compile(text, {}).has_value(), parting.accepted_later) << text;
    }
}

}  // namespace
