// Every rule of bpf_check_classic by hand, and where a diagnostic points.
#include "bpf/cbpf_check.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bpf/cbpf_text.h"
#include "tests/support/random_cbpf.h"

namespace tamis::cbpf {
namespace {

struct Case {
    std::string_view source;
    std::size_t index;
    std::string_view rule;  // empty: accepted
};

// clang-format off
Case const cases[] = {
    {"ret #0",                                          0, ""},
    {"ret a",                                           0, ""},
    {"unimp 0x0e\nret #0",                              0, "opcode 0xe is not one of classic BPF's 49"},
    {"unimp 0x106",                                     0, "opcode 0x106 is not one of classic BPF's 49"},
    {"ld #1\nret #0\ntax",                              2, "the last instruction is not a 'ret'"},
    {"div #0\nret a",                                   0, "'div' by the constant 0"},
    {"mod #0\nret a",                                   0, "'mod' by the constant 0"},
    {"div x\nmod x\nret a",                             0, ""},
    {"mul #0\nret a",                                   0, ""},
    {"lsh #31\nrsh #31\nret a",                         0, ""},
    {"lsh #31\nrsh #32\nret a",                         1, "'rsh' takes a number up to 31 here, not 32"},
    {"st M[15]\nret a",                                 0, ""},
    {"st M[16]\nret a",                                 0, "'st' takes a number up to 15 here, not 16"},
    {"stx M[16]\nret a",                                0, "'stx' takes a number up to 15 here, not 16"},
    {"ld M[16]\nret a",                                 0, "'ld' takes a number up to 15 here, not 16"},
    {"ja 0\nret a",                                     0, ""},
    {"ja 1\nret a",                                     0, "jumps to instruction 2, past the last one, 1"},
    {"ja -1\nret a",                                    0, "jumps to instruction 4294967296, past the last one, 1"},
    {"jeq #0, 1, 0\nret a\nret a",                      0, ""},
    {"jeq #0, 2, 0\nret a\nret a",                      0, "jumps to instruction 3, past the last one, 2"},
    {"jset x, 0, 2\nret a\nret a",                      0, "jumps to instruction 3, past the last one, 2"},
    {"ld [0xfffff03c]\nret a",                          0, ""},
    {"ldb [0xfffff000]\nret a",                         0, ""},
    {"ld [0xffffefff]\nret a",                          0, ""},
    {"ld [0x80000000]\nret a",                          0, ""},
    {"ld [0xfffff001]\nret a",                          0, "offset 0xfffff001 is neither in the packet nor an ancillary value"},
    {"ldh [0xfffff040]\nret a",                         0, "offset 0xfffff040 is neither in the packet nor an ancillary value"},
    {"ld [x + 0xfffff001]\nldxb 4*([-1]&0xf)\nret a",   0, ""},
    {"ld M[0]\nret a",                                  0, "M[0] is read where it may not have been written"},
    {"st M[0]\nldx M[0]\nret a",                        0, ""},
    // Both ways to the load have to write the cell.
    {"jeq #0, 0, 1\nst M[3]\nld M[3]\nret a",           2, "M[3] is read where it may not have been written"},
    {"jeq #0, 0, 2\nst M[3]\nja 1\nst M[3]\nld M[3]\nret a", 0, ""},
    // What nothing reaches may read everything, unless it follows a ret.
    {"ja 1\nld M[3]\nret a",                            0, ""},
    {"ret a\nld M[3]\nret a",                           1, "M[3] is read where it may not have been written"},
};
// clang-format on

TEST(CbpfCheck, EveryRule) {
    for (Case const& it : cases) {
        SCOPED_TRACE(it.source);
        auto const program = read(it.source);
        ASSERT_TRUE(program) << program.error().message;
        auto const found = refusal(program->insns);
        EXPECT_EQ(found.has_value(), !it.rule.empty());
        if (!found) continue;
        EXPECT_EQ(found->index, it.index);
        EXPECT_EQ(found->rule, it.rule);
    }
}

TEST(CbpfCheck, Length) {
    auto const refused = [](std::size_t length, std::size_t max_insns) {
        std::vector<Insn> const insns(length, Insn{0x06, 0, 0, 0});
        return refusal(insns, max_insns).has_value();
    };
    EXPECT_TRUE(refused(0, max_socket_insns));
    EXPECT_FALSE(refused(1, max_socket_insns));
    EXPECT_FALSE(refused(4096, max_socket_insns));
    EXPECT_TRUE(refused(4097, max_socket_insns));
    EXPECT_FALSE(refused(100000, 100000));
    auto const long_one = check({std::vector<Insn>(5000, Insn{0x06, 0, 0, 0}), {}});
    ASSERT_FALSE(long_one);
    EXPECT_EQ(long_one.error().message, "5000 instructions, at most 4096");
    EXPECT_FALSE(long_one.error().span);
}

TEST(CbpfCheck, PointsAtTheInstructionsText) {
    std::string_view const text = "ldh [12]\n  lsh #32 ; too far\nret a\n";
    auto const program = read(text);
    ASSERT_TRUE(program);
    auto const checked = check(*program);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().message, "instruction 1: 'lsh' takes a number up to 31 here, not 32");
    ASSERT_TRUE(checked.error().span);
    Span const span = *checked.error().span;
    EXPECT_EQ(text.substr(span.begin, span.end - span.begin), "lsh #32");
    EXPECT_FALSE(check({program->insns, {}}).error().span);
}

TEST(CbpfCheck, RandomProgramsPass) {
    test::RandomPrograms::Options options;
    options.junk_fields = true;
    options.header_offsets = true;
    options.ancillaries = {Anc::mark, Anc::vlan_tpid};
    test::RandomPrograms programs(1, options);
    for (int i = 0; i < 20000; ++i) {
        Program const program = programs.next();
        auto const checked = check(program);
        ASSERT_TRUE(checked) << checked.error().message << '\n' << listing(program);
        ASSERT_GE(program.insns.size(), options.min_length);
        ASSERT_LE(program.insns.size(), options.max_length);
    }
    for (std::size_t const length : {1u, 2u, 3u, 300u, 4096u})
        ASSERT_EQ(programs.program(length).insns.size(), length);
}

}  // namespace
}  // namespace tamis::cbpf
