// Encodings of the builder's methods, labels, and what does not fit.
#include "bpf/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/ebpf_text.h"

namespace tamis::ebpf {
namespace {

using enum Reg;
using testing::HasSubstr;

std::vector<std::string> texts(Builder& b) {
    Result<Program> const program = b.finish();
    EXPECT_TRUE(program) << program.error().message;
    std::vector<std::string> out;
    if (!program) return out;
    std::span<Insn const> const insns = program->insns;
    EXPECT_EQ(insns.size(), program->origin.size());
    for (std::size_t i = 0; i < insns.size(); ++i) {
        EXPECT_TRUE(known(insns.subspan(i))) << i;
        out.push_back(disassemble(insns.subspan(i)));
        if (is_ld_imm64(insns[i])) ++i;
    }
    return out;
}

TEST(Builder, OneMethodPerKind) {
    Builder b;
    b.alu(Alu::add, r1, r2).alu(Alu::lsh, r1, 3).alu32(Alu::xor_, r0, r0).alu32(Alu::and_, r0, -2);
    b.mov(r6, r1).mov(r0, -1).mov32(r3, r4).mov32(r3, 7).neg32(r5);
    b.to_be(16, r0).to_be(32, r0).to_be(64, r0);
    b.load(Size::half, r0, r8, 12).store(Size::word, r10, -4, r7).store(Size::dword, r10, -16, -5);
    b.atomic_add(Size::dword, r0, 8, r1).atomic_add(Size::word, r0, 0, r1);
    b.load_packet(Size::half, 12).load_packet(Size::byte, r7, -14);
    b.load_map(r1, 2).load_imm64(r2, 0xfedcba9876543210);
    b.call(Helper::skb_load_bytes).exit();
    EXPECT_THAT(texts(b),
                testing::ElementsAre(
                    "r1 += r2", "r1 <<= 3", "w0 ^= w0", "w0 &= -2", "r6 = r1", "r0 = -1", "w3 = w4",
                    "w3 = 7", "w5 = -w5", "r0 = be16 r0", "r0 = be32 r0", "r0 = be64 r0",
                    "r0 = *(u16 *)(r8 +12)", "*(u32 *)(r10 -4) = r7", "*(u64 *)(r10 -16) = -5",
                    "lock *(u64 *)(r0 +8) += r1", "lock *(u32 *)(r0 +0) += r1",
                    "r0 = *(u16 *)skb[12]", "r0 = *(u8 *)skb[r7 + -14]", "r1 = 0x2",
                    "r2 = 0xfedcba9876543210", "call bpf_skb_load_bytes#26", "exit"));
}

TEST(Builder, LabelsForwardAndBack) {
    Builder b;
    Builder::Label const top = b.label(), out = b.label(), function = b.label();
    EXPECT_FALSE(b.is_bound(top));
    b.bind(top).jump(Cond::eq, r0, 0x800, out);
    EXPECT_TRUE(b.is_bound(top));
    b.jump(Cond::sgt, r0, r1, top).jump32(Cond::set, r0, 1, out).jump32(Cond::ne, r0, r1, out);
    b.call(function).jump(out).bind(out).exit().bind(function).exit();
    EXPECT_EQ(b.size(), 8U);
    EXPECT_THAT(texts(b), testing::ElementsAre("if r0 == 0x800 goto pc+5", "if r0 s> r1 goto pc-2",
                                               "if w0 & 0x1 goto pc+3", "if w0 != w1 goto pc+2",
                                               "call pc+2", "goto pc+0", "exit", "exit"));
}

TEST(Builder, OriginFollowsEveryInstruction) {
    Builder b;
    Origin const first{.classic = 0, .text = {1, 2}}, second{.classic = 1, .text = {3, 4}};
    b.mov(r0, 0).from(first).load_map(r1, 0).from(second).exit();
    Result<Program> const program = b.finish();
    ASSERT_TRUE(program);
    EXPECT_THAT(program->origin, testing::ElementsAre(Origin{}, first, first, second));
}

Result<Program> jump_over(std::size_t count, bool back) {
    Builder b;
    Builder::Label const target = b.label();
    if (back) b.bind(target);
    if (!back) b.from({.classic = 0, .text = {5, 9}}).jump(Cond::eq, r0, 0, target);
    for (std::size_t i = 0; i < count; ++i) b.mov(r0, 0);
    if (back) b.jump(target);
    if (!back) b.bind(target);
    b.exit();
    return b.finish();
}

TEST(Builder, JumpsEndWhereTheirFieldEnds) {
    Result<Program> const longest = jump_over(32767, false);
    ASSERT_TRUE(longest);
    EXPECT_EQ(longest->insns[0].off, 32767);
    Result<Program> const longest_back = jump_over(32767, true);
    ASSERT_TRUE(longest_back);
    EXPECT_EQ(longest_back->insns[32767].off, -32768);
}

// Where the jumps from an instruction on end.
std::size_t followed(Program const& program, std::size_t at) {
    constexpr unsigned jump_always = 0x05, jump_if_equal = 0x15;
    while (program.insns[at].code == jump_always || program.insns[at].code == jump_if_equal)
        at = static_cast<std::size_t>(static_cast<std::int64_t>(at) + 1 + program.insns[at].off);
    return at;
}

TEST(Builder, LongerJumpsGoByIslands) {
    for (std::size_t const count : {32768U, 50000U, 200000U}) {
        Result<Program> const forward = jump_over(count, false);
        ASSERT_TRUE(forward);
        EXPECT_EQ(followed(*forward, 0), forward->insns.size() - 1) << "the last: exit";
        EXPECT_EQ(forward->origin.size(), forward->insns.size());
        Result<Program> const back = jump_over(count, true);
        ASSERT_TRUE(back);
        EXPECT_EQ(followed(*back, back->insns.size() - 2), 0U);
        for (std::size_t i = 0; i < forward->insns.size(); ++i)  // nothing ends in the middle
            if (forward->insns[i].code == 0xb7) {
                ASSERT_NE(followed(*forward, i + 1), i);
            }
    }
}

TEST(Builder, CallsReachFurtherThanJumps) {
    Builder b;
    Builder::Label const function = b.label();
    b.call(function);
    for (int i = 0; i < 40000; ++i) b.mov(r0, 0);
    b.exit().bind(function).exit();
    Result<Program> const program = b.finish();
    ASSERT_TRUE(program);
    EXPECT_EQ(program->insns[0].imm, 40001);
}

TEST(Builder, OffsetsThatDoNotFitAreReported) {
    Builder b;
    b.load(Size::byte, r0, r8, 32767).store(Size::byte, r10, -32768, 0);
    b.load(Size::byte, r0, r8, 32768).store(Size::byte, r10, 99999, r0).exit();
    Result<Program> const program = b.finish();
    ASSERT_FALSE(program);
    EXPECT_EQ(program.error().message, "instruction 2: offset '32768' does not fit 16 bits");
    EXPECT_FALSE(program.error().span);
}

}  // namespace
}  // namespace tamis::ebpf
