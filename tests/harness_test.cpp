// The harness itself: a mistake in a case file or in a packet must not pass for a test.
#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/packet_spec.h"

namespace tamis::test {
namespace {

std::vector<SectionRow> const rows = {
    {"in", Role::input, {}},
    {"out", Role::output, {}},
    {"claim", Role::claim, {}},
};

std::string fault(std::string_view text) {
    auto const file = parse_cases(text);
    if (!file) return file.error();
    return fault_of(*file, rows).value_or("none");
}

TEST(CaseFile, ComesBackAsItWas) {
    constexpr std::string_view text =
        "For the reader.\n\n== one\n-- in\na\n\nb\n-- out\nc\n\n== two\n-- in\n-- claim\nd\n";
    auto const file = parse_cases(text);
    ASSERT_TRUE(file.has_value());
    EXPECT_EQ(print_cases(*file), text);
    ASSERT_EQ(file->cases.size(), 2U);
    EXPECT_EQ(file->cases[0].input("in"), "a\n\nb");
    EXPECT_EQ(file->cases[1].input("in"), "");
    EXPECT_EQ(file->cases[1].input("out"), std::nullopt);
}

TEST(CaseFile, MistakesAreFaults) {
    EXPECT_EQ(fault("== a\n-- in\nx\n-- out\ny\n"), "none");
    EXPECT_EQ(fault("== a\n-- in\nx\n-- otu\ny\n"), "case 'a': unknown section 'otu'");
    EXPECT_EQ(fault("== a\n-- in\nx\n"), "case 'a' asserts nothing");
    EXPECT_EQ(fault("== a\n-- out\nx\n-- out\ny\n"), "case 'a': two sections 'out'");
    EXPECT_EQ(fault("== a\n-- out\n\n== a\n-- out\n"), "two cases are called 'a'");
    EXPECT_EQ(fault("== a\n-- out\n\n== A\n-- out\n"), "none");
    EXPECT_EQ(fault("== a b\n-- out\n\n== a.b\n-- out\n"), "two cases are called 'a_b'");
    EXPECT_EQ(fault("text\n"), "no `== CASE` in this file");
    EXPECT_EQ(fault("== a\nx\n"), "line 2: expected `-- SECTION`");
}

using Bytes = std::vector<std::uint8_t>;

Bytes tail(std::string_view spec, std::size_t from) {
    auto const made = packet(spec);
    if (!made) return {};
    return {made->bytes.begin() + static_cast<std::ptrdiff_t>(from), made->bytes.end()};
}

TEST(PacketSpec, HeadersFollowFromLayers) {
    EXPECT_EQ(tail("Ethernet / Vlan id=5 / Ipv6 / Udp", 12)[0], 0x81);
    EXPECT_EQ(tail("Ethernet / Ipv4 / Udp sport=1 dport=0x102 / Payload hex=ab:cd", 34),
              (Bytes{0, 1, 1, 2, 0, 10, 0, 0, 0xab, 0xcd}));
    EXPECT_EQ(tail("Ipv4 options=8 more=1 frag=3 proto=9 src=1.2.3.4 dst=5.6.7.8", 0),
              (Bytes{0x47, 0, 0, 28, 0, 1, 0x20, 3, 64, 9, 0, 0, 1, 2,
                     3,    4, 5, 6,  7, 8, 1,    1, 1,  1, 1, 1, 1, 1}));
    EXPECT_EQ(tail("Fragment frag=2 more=1 / Tcp", 0)[0], 6);
    EXPECT_EQ(tail("Fragment frag=2 more=1 / Tcp", 0)[3], 17);
}

TEST(PacketSpec, CutKeepsTheLength) {
    auto const cut = packet("Ethernet / Payload size=50 cut=20");
    ASSERT_TRUE(cut.has_value());
    EXPECT_EQ(cut->bytes.size(), 20U);
    EXPECT_EQ(cut->length, 64U);
}

TEST(PacketSpec, MistakesAreErrors) {
    for (std::string_view spec :
         {"", "Ethernet /", "/ Ethernet", "Ethernet / Ipv5", "Ethernet / Ipv4 sport=1",
          "Ethernet src=1:2", "Ipv4 src=1.2.3", "Ipv6 src=1.2.3.4", "Tcp sport=65536",
          "Tcp sport=x", "Tcp sport=", "Tcp sport", "Payload hex=a", "Payload cut=-1"})
        EXPECT_FALSE(packet(spec).has_value()) << spec;
    auto const unknown = packet("Ethernet / Tcp port=1");
    ASSERT_FALSE(unknown.has_value());
    EXPECT_EQ(unknown.error().message, "Tcp has no 'port'");
    EXPECT_EQ(unknown.error().span, (Span{15, 21}));
}

}  // namespace
}  // namespace tamis::test
