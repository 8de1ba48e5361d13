// `protochain`: unrolled here, a loop in libpcap.  The judge is a walk along the headers that is
// written out below; libpcap's program is asked only about packets on which its loop ends.
#include <optional>
#include <random>
#include <vector>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include "frontend/compile.h"
#include "tests/support/steer.h"

namespace {

using namespace tamis;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t network = 14;
constexpr unsigned authentication = 51;

struct Walk {
    bool found = false;
    unsigned headers = 0;  // gone through
};

// Nothing when it leaves the packet or goes on for ever.  An authentication header's own place is
// not added to its length: as in libpcap.
std::optional<Walk> walk(Bytes const& packet, unsigned wanted) {
    if (packet.size() < network) return std::nullopt;
    unsigned const type = packet[12] * 256U + packet[13];
    bool const ip4 = type == 0x800;
    if (!ip4 && type != 0x86dd) return Walk{};
    auto const byte = [&](std::size_t at) { return std::size_t{packet.at(network + at)}; };
    try {
        std::size_t next = byte(ip4 ? 9 : 6), place = ip4 ? 4 * (byte(0) & 0xf) : 40;
        for (unsigned headers = 0; headers < 1000; ++headers) {
            if (next == wanted) return Walk{true, headers};
            bool const options = !ip4 && (next == 0 || next == 43 || next == 44 || next == 60);
            if (!options && next != authentication) return Walk{false, headers};
            next = byte(place);
            place = options ? place + 8 * (byte(place + 1) + 1) : 4 * (byte(place + 1) + 2);
        }
    } catch (std::out_of_range const&) {
    }
    return std::nullopt;
}

bool matches(std::vector<bpf_insn> const& program, Bytes const& packet) {
    auto const size = static_cast<unsigned>(packet.size());
    return bpf_filter(program.data(), packet.data(), size, size) != 0;
}

cbpf::Program ours(std::string const& text, unsigned headers) {
    auto compiled = frontend::compile(text, {.optimise = false, .protochain_max = headers});
    EXPECT_TRUE(compiled) << text;
    return compiled ? compiled->program : cbpf::Program{};
}

std::vector<bpf_insn> as_theirs(cbpf::Program const& program) {
    std::vector<bpf_insn> insns;
    for (cbpf::Insn const& i : program.insns) insns.push_back({i.code, i.jt, i.jf, i.k});
    return insns;
}

std::vector<bpf_insn> theirs(std::string const& text) {
    pcap_t* const handle = pcap_open_dead(DLT_EN10MB, 262144);
    bpf_program program{};
    EXPECT_EQ(pcap_compile(handle, &program, text.c_str(), 0, 0), 0) << text;
    std::vector<bpf_insn> insns(program.bf_insns, program.bf_insns + program.bf_len);
    pcap_freecode(&program);
    pcap_close(handle);
    return insns;
}

// A chain of headers, most of them in the way, some of them cut off.
Bytes chained(std::mt19937_64& random, unsigned wanted) {
    bool const ip4 = random() % 2 == 0;
    std::uint8_t const in_the_way[] = {0, 43, 44, 60, 51};
    auto const next = [&]() -> std::uint8_t {
        if (random() % 5 == 0) return static_cast<std::uint8_t>(wanted);
        if (random() % 12 == 0) return 59;
        return ip4 ? 51 : in_the_way[random() % 5];
    };
    Bytes packet(network + (ip4 ? 20 : 40));
    packet[12] = ip4 ? 0x08 : 0x86;
    packet[13] = ip4 ? 0x00 : 0xdd;
    packet[network] = ip4 ? 0x45 : 0x60;
    packet[network + (ip4 ? 9 : 6)] = next();
    for (std::uint64_t i = random() % 24; i > 0; --i) {
        Bytes header(8);
        header[0] = next();
        header[1] = random() % 4 == 0 ? static_cast<std::uint8_t>(random() % 3) : 0;
        packet.insert(packet.end(), header.begin(), header.end());
    }
    if (random() % 4 == 0) packet.resize(random() % (packet.size() + 1));
    return packet;
}

struct Case {
    char const* text;
    unsigned wanted;
    bool ip4, ip6;
};
constexpr Case cases[] = {
    {"ip protochain 6", 6, true, false},    {"ip6 protochain 6", 6, false, true},
    {"protochain 6", 6, true, true},        {"protochain \\udp", 17, true, true},
    {"protochain 51", 51, true, true},      {"ip6 protochain 0", 0, false, true},
    {"ip6 protochain 44", 44, false, true}, {"protochain 59", 59, true, true},
};

TEST(Protochain, GoesWhereLibpcapGoes) {
    std::mt19937_64 random(1);
    std::size_t matched = 0, total = 0, deep = 0, without_end = 0;
    for (Case const& c : cases) {
        for (unsigned const headers : {1U, 2U, 8U, 20U}) {
            auto const program = ours(c.text, headers);
            auto const unrolled = as_theirs(program), loop = theirs(c.text);
            ASSERT_NE(bpf_validate(unrolled.data(), static_cast<int>(unrolled.size())), 0);
            std::vector<Bytes> packets = test::steer(program, random, 200);
            for (int i = 0; i < 500; ++i) packets.push_back(chained(random, c.wanted));
            for (Bytes const& packet : packets) {
                bool const asked = packet.size() < 13 || (packet[12] == 0x08 ? c.ip4 : c.ip6);
                auto const judged = walk(packet, c.wanted);
                bool const found = asked && judged && judged->found;
                bool const expected = found && judged->headers <= headers;
                ASSERT_EQ(matches(unrolled, packet), expected) << c.text << ", " << headers;
                if (judged) {
                    ASSERT_EQ(matches(loop, packet), found) << c.text;
                }
                matched += expected ? 1U : 0U;
                deep += found && !expected ? 1U : 0U;
                without_end += judged ? 0U : 1U;
                ++total;
            }
        }
    }
    fmt::print("{} packets, {} matched, {} too deep, {} without an end\n", total, matched, deep,
               without_end);
    EXPECT_GT(matched, total / 10);
    EXPECT_GT(deep, total / 100);
}

TEST(Protochain, StandsAmongOtherTests) {
    std::mt19937_64 random(2);
    for (char const* const text :
         {"not ip protochain 6", "protochain (6 or 17)", "protochain 6 or 17 and ip6",
          "ip[0] & 0xf > 5 or ip protochain 6", "protochain 17 and len > 100 and udp",
          "vlan and ip protochain 6", "ip protochain 6 and ip[0] = 0x45"}) {
        auto const unrolled = as_theirs(ours(text, 8)), loop = theirs(text);
        for (int i = 0; i < 2000; ++i) {
            Bytes const packet = chained(random, 6);
            auto const tcp = walk(packet, 6), udp = walk(packet, 17);
            if (!tcp || !udp || tcp->headers > 8 || udp->headers > 8) continue;
            ASSERT_EQ(matches(unrolled, packet), matches(loop, packet)) << text;
        }
    }
}

TEST(Protochain, IsRefusedWhereLibpcapRefusesIt) {
    for (char const* const text :
         {"tcp protochain 6", "ether protochain 6", "arp protochain 6", "iso protochain 6",
          "src protochain 6", "protochain tcp", "protochain 10.0.0.1", "geneve and protochain 6",
          "protochain 256", "protochain \\no-such-protocol"})
        EXPECT_FALSE(frontend::compile(text, {})) << text;
    EXPECT_FALSE(frontend::compile("protochain 6", {.link_type = dlt_wlan}));
    EXPECT_FALSE(frontend::compile("protochain 6", {.protochain_max = 0}));
    EXPECT_FALSE(
        frontend::compile("protochain 6", {.protochain_max = frontend::max_protochain + 1}));
    EXPECT_TRUE(frontend::compile("protochain 6", {.protochain_max = frontend::max_protochain}));
}

}  // namespace
