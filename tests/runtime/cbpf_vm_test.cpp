// The classic interpreter: by hand where the two rules part, and against libpcap's own.
#include "runtime/cbpf_vm.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <pcap.h>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "tests/support/random_cbpf.h"

namespace tamis::runtime {
namespace {

using cbpf::Anc;

// A packet of the bytes 1, 2, ... 16 of which 20 were on the wire, and a value per ancillary.
struct Sample {
    std::vector<std::uint8_t> bytes;
    Packet packet;

    Sample() : bytes(16) {
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i + 1);
        packet.bytes = bytes;
        packet.length = 20;
        for (std::size_t i = 0; i < packet.ancillary.size(); ++i)
            packet.ancillary[i] = static_cast<std::uint32_t>(1000 + i);
        packet.network = 4;
        packet.link = 0;
    }
};

struct Case {
    std::string_view source;
    std::uint32_t libpcap, kernel;
};

// clang-format off
Case const cases[] = {
    {"ret #7",                                          7, 7},
    {"ret a",                                           0, 0},
    {"txa; X is 0\nret a",                              0, 0},
    {"ld len\nret a",                                   20, 20},
    {"ldx len\ntxa\nret a",                             20, 20},
    {"ldb [0]\nret a",                                  1, 1},
    {"ldh [1]\nret a",                                  0x0203, 0x0203},
    {"ld [12]\nret a",                                  0x0d0e0f10, 0x0d0e0f10},
    {"ld [13]\nret #9",                                 0, 0},
    {"ldh [15]\nret #9",                                0, 0},
    {"ldb [15]\nret a",                                 16, 16},
    {"ldb [16]\nret #9",                                0, 0},
    {"ldx #3\nldb [x + 4]\nret a",                      8, 8},
    {"ldx #3\nldh [x + 12]\nret #9",                    0, 0},
    {"ldxb 4*([6]&0xf)\ntxa\nret a",                    28, 28},
    {"ldxb 4*([15]&0xf)\ntxa\nret a",                   0, 0},
    {"ld #5\nldxb 4*([0]&0xf)\nret a",                  5, 5},
    {"ldxb 4*([16]&0xf)\nret #9",                       0, 0},
    {"ld #6\nst M[15]\nldx M[15]\nadd x\nret a",        12, 12},
    {"ldx #6\nstx M[0]\nld M[0]\nret a",                6, 6},
    {"ld #6\ntax\nld #1\ntxa\nret a",                   6, 6},
    {"ld #1\nneg\nret a",                               0xffffffff, 0xffffffff},
    {"ld #7\nsub #8\nret a",                            0xffffffff, 0xffffffff},
    {"ld #0x10001\nmul #0x10001\nret a",                0x20001, 0x20001},
    {"ld #0xffffffff\ndiv #2\nret a",                   0x7fffffff, 0x7fffffff},
    {"ld #7\nldx #4\nmod x\nret a",                     3, 3},
    {"ld #7\nor #8\nand #0xe\nxor #1\nret a",           15, 15},
    {"ld #1\nlsh #31\nrsh #30\nret a",                  2, 2},
    {"ld #7\nja 1\nld #8\nret a",                       7, 7},
    {"ld #7\njeq #7, 1\nret #0\nret #1",                1, 1},
    {"ld #7\nldx #7\njgt x, 1\nret #0\nret #1",         0, 0},
    {"ld #7\nldx #7\njge x, 1\nret #0\nret #1",         1, 1},
    {"ld #0x80000000\njgt #1, 1\nret #0\nret #1",       1, 1},
    {"ld #6\njset #1, 1\nret #0\nret #1",               0, 0},
    // A division by zero is the end.
    {"ld #5\ndiv x\nret #9",                            0, 0},
    {"ld #5\nmod x\nret #9",                            0, 0},
    // Shifts by 32 and more.
    {"ld #1\nldx #33\nlsh x\nret a",                    0, 2},
    {"ld #8\nldx #34\nrsh x\nret a",                    0, 2},
    {"ld #8\nldx #32\nrsh x\nret a",                    0, 8},
    // X + k past 32 bits.
    {"ldx #-1\nldb [x + 4]\nret a",                     0, 4},
    {"ldx #1\nldb [x + -1]\nret a",                     0, 1},
    {"ldx #0x80000000\nldb [x + 0x80000003]\nret a",    0, 4},
    // Offsets from 0x80000000 up; the network header is at 4, the link header at 0.
    {"ldb [0x80000000]\nret #9",                        0, 0},
    {"ldb [0xffdfffff]\nret #9",                        0, 0},
    {"ldb [0xffe00002]\nret a",                         0, 3},
    {"ldb [0xfff00002]\nret a",                         0, 7},
    {"ldb [0xfff0000b]\nret a",                         0, 16},
    {"ldb [0xfff0000c]\nret #9",                        0, 0},
    {"ldh [0xfff0000b]\nret #9",                        0, 0},
    {"ldx #0xfff00001\nldb [x + 1]\nret a",             0, 7},
    {"ldxb 4*([0xfff00000]&0xf)\ntxa\nret a",           0, 20},
    // Ancillaries are absolute loads only.
    {"ld #proto\nret a",                                0, 1000},
    {"ldb vlan_tpid\nret a",                            0, 1015},
    {"ldh mark\nret a",                                 0, 1005},
    {"ld #6\nldx #3\nld #xor_x\nret a",                 0, 5},
    {"ldb [x + 0xfffff000]\nret #9",                    0, 0},
    {"ldxb 4*([0xfffff000]&0xf)\nret #9",               0, 0},
};
// clang-format on

TEST(CbpfVm, BothRules) {
    Sample const sample;
    for (Case const& it : cases) {
        SCOPED_TRACE(it.source);
        auto const program = cbpf::read(it.source);
        ASSERT_TRUE(program) << program.error().message;
        ASSERT_TRUE(cbpf::check(*program)) << cbpf::check(*program).error().message;
        EXPECT_EQ(run(program->insns, sample.packet, Rules::libpcap), it.libpcap);
        EXPECT_EQ(run(program->insns, sample.packet, Rules::kernel), it.kernel);
    }
}

TEST(CbpfVm, MissingHeaders) {
    Sample sample;
    sample.packet.network.reset();
    sample.packet.link.reset();
    for (char const* const source : {"ldb [0xffe00002]\nret #9", "ldb [0xfff00002]\nret #9"}) {
        auto const program = cbpf::read(source);
        ASSERT_TRUE(program);
        EXPECT_EQ(run(program->insns, sample.packet, Rules::kernel), 0u);
    }
    // A header far away is no way around the bounds.
    sample.packet.network = 0xffffffff;
    auto const program = cbpf::read("ldb [0xfff00002]\nret #9");
    ASSERT_TRUE(program);
    EXPECT_EQ(run(program->insns, sample.packet, Rules::kernel), 0u);
}

TEST(CbpfVm, CountsWhatItExecutes) {
    Sample const sample;
    auto const program = cbpf::read("ldb [0]\nadd #1\nadd #2\njeq #4, 0, 1\nret a\nret #0");
    ASSERT_TRUE(program);
    ExecutionCounts counts{};
    for (int i = 0; i < 3; ++i) run(program->insns, sample.packet, Rules::kernel, &counts);
    ExecutionCounts expected{};
    expected[0x30] = 3;
    expected[0x04] = 6;
    expected[0x15] = 3;
    expected[0x16] = 3;
    EXPECT_EQ(counts, expected);
}

TEST(CbpfVm, LibpcapAgrees) {
    test::RandomPrograms::Options options;
    options.junk_fields = true;
    options.header_offsets = true;
    options.max_length = 60;
    for (cbpf::Ancillary const& row : cbpf::ancillaries())
        options.ancillaries.push_back(row.number);
    test::RandomPrograms::Options plain;
    plain.max_length = 60;
    test::RandomPrograms everything(8, options), deep(9, plain);

    constexpr int programs = 20000, packets = 10;
    ExecutionCounts counts{};
    int passed = 0;
    for (int i = 0; i < programs; ++i) {
        test::RandomPrograms& random = i % 4 == 0 ? everything : deep;
        cbpf::Program const program = random.next();
        std::vector<bpf_insn> theirs;
        for (cbpf::Insn const& insn : program.insns)
            theirs.push_back({insn.code, insn.jt, insn.jf, insn.k});
        for (int j = 0; j < packets; ++j) {
            auto const bytes = random.packet(random.one_in(4) ? random.below(80) : 64);
            Packet packet;
            packet.bytes = bytes;
            packet.length = static_cast<std::uint32_t>(bytes.size() + random.below(3) * 100);
            std::uint32_t const ours = run(program.insns, packet, Rules::libpcap, &counts);
            // The bytes lie at the end of their memory, so that sanitizers see a read beyond.
            ASSERT_EQ(ours, bpf_filter(theirs.data(), bytes.data(), packet.length,
                                       static_cast<u_int>(bytes.size())))
                << "program " << i << ", " << bytes.size() << " bytes of " << packet.length << '\n'
                << cbpf::listing(program);
            passed += ours != 0;
        }
    }
    EXPECT_GT(passed, programs * packets / 4);
    EXPECT_LT(passed, programs * packets * 3 / 4);
    for (cbpf::Op const& op : cbpf::ops())
        EXPECT_GT(counts[op.code], 5000u) << op.name << ' ' << op.operands;
}

}  // namespace
}  // namespace tamis::runtime
