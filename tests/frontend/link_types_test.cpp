// What link types mean by themselves; tests/differential/language holds all of them against
// libpcap.
#include "bpf/link_types.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/compile.h"
#include "runtime/cbpf_vm.h"

namespace {

using namespace tamis;
using Bytes = std::vector<std::uint8_t>;

bool matches(cbpf::Program const& program, Bytes const& packet) {
    runtime::Packet seen;
    seen.bytes = packet;
    seen.length = static_cast<std::uint32_t>(packet.size());
    return runtime::run(program.insns, seen, runtime::Rules::libpcap) != 0;
}

// Files may come from systems that number IPv6 differently, and from the other byte order.
TEST(Captures, OfLoopbackComeFromAnySystem) {
    auto const match = [](int link_type, Bytes const& packet) {
        auto const compiled = frontend::compile(
            "ip6", {.link_type = link_type, .context = frontend::Context::savefile});
        return compiled && matches(compiled->program, packet);
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
        return compiled && matches(compiled->program, packet);
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
        EXPECT_TRUE(matches(program->program, padded(timed, 0x20))) << timed;
        EXPECT_FALSE(matches(program->program, padded(timed, 0))) << timed;
    }
}

// They ask the kernel, unless the link header says it.
TEST(Directions, AreOfLivePackets) {
    for (int const link_type : {dlt_raw, dlt_null, dlt_netanalyzer, dlt_ppp})
        for (char const* const text : {"inbound", "outbound", "ifindex 1"})
            EXPECT_FALSE(frontend::compile(text, {.link_type = link_type})) << text;
    for (int const link_type : {dlt_sll, dlt_sll2, dlt_ppp_pppd, dlt_pflog})
        EXPECT_TRUE(frontend::compile("inbound", {.link_type = link_type}));
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

}  // namespace
