// Code that no packet reaches breaks a proof, and is told from code that is dead in the classic
// program.
#include "bpf/builder.h"
#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "tests/verify/support.h"

namespace tamis::verify {
namespace {

using ebpf::Alu;
using ebpf::Builder;
using ebpf::Cond;
using ebpf::Reg;
using ebpf::Size;

constexpr Span nowhere{};

cbpf::Program classic(char const* text) {
    auto const program = cbpf::read(text);
    EXPECT_TRUE(program && cbpf::check(*program)) << text;
    return *program;
}

Proof proof_at(Hook hook, cbpf::Program const& program, ProveOptions const& how = {}) {
    auto const translated = translator::translate(program, defaults(hook));
    if (!translated) return {.reason = translated.error().message};
    return prove_translation(program, *translated, defaults(hook), how);
}

// `ldb [0]`, checked twice: the second check cannot fail, and what it would lead to never runs.
TEST(Unreached, AFallbackThatNeverRunsBreaksTheProof) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const program = classic("ldb [0]\njeq #7, 0, 1\nret #1\nret #0\n");
    for (bool const twice : {false, true}) {
        Builder b;
        auto const match = b.label(), short_one = b.label(), fallback = b.label();
        b.from({0, nowhere});
        b.load(Size::word, Reg::r2, Reg::r1, 0).load(Size::word, Reg::r3, Reg::r1, 4);
        b.alu(Alu::add, Reg::r2, 1).jump(Cond::gt, Reg::r2, Reg::r3, short_one);
        if (twice) b.jump(Cond::gt, Reg::r2, Reg::r3, fallback);
        b.load(Size::byte, Reg::r0, Reg::r2, -1);
        b.from({1, nowhere}).jump(Cond::eq, Reg::r0, 7, match);
        b.from({3, nowhere}).mov(Reg::r0, 0).exit();
        b.from({2, nowhere}).bind(match).mov(Reg::r0, 1).exit();
        b.from({}).bind(short_one).mov(Reg::r0, 0).exit();
        if (twice) b.from({1, nowhere}).bind(fallback).mov(Reg::r0, 0).exit();
        auto const extended = b.finish();
        ASSERT_TRUE(extended) << extended.error().message;
        Proof const proof = prove_filter(program, *extended, row(Hook::xdp));
        EXPECT_EQ(proof.outcome, twice ? Outcome::refuted : Outcome::proved) << proof.reason;
        EXPECT_FALSE(proof.counterexample);
        EXPECT_TRUE(proof.idle.empty());
        ASSERT_EQ(proof.dead.size(), twice ? 1U : 0U);
        if (twice) {
            EXPECT_EQ(proof.dead[0].classic, 1U);
            EXPECT_EQ(proof.dead[0].insn, extended->insns.size() - 2);
        }
        EXPECT_EQ(prove_filter(program, *extended, row(Hook::xdp), {.blocks = false}).outcome,
                  Outcome::proved);
    }
}

TEST(Unreached, WhatIsDeadInTheClassicProgramIsNotTheTranslations) {
    TAMIS_NEED_SOLVER();
    // A branch that is never taken, a division that always ends the program, a verdict that is
    // never a match.
    for (char const* const text : {"ldb [0]\njgt #255, 0, 2\nldb [7]\nret a\nret #1\n",
                                   "ld #0\ntax\ndiv x\nret #1\n", "ld #0\nret a\n"}) {
        for (Hook const hook : {Hook::socket, Hook::xdp, Hook::xdp_frags, Hook::netfilter_input}) {
            Proof const proof = proof_at(hook, classic(text));
            EXPECT_EQ(proof.outcome, Outcome::proved)
                << text << row(hook).name << ": " << proof.reason;
            EXPECT_TRUE(proof.dead.empty());
        }
        EXPECT_FALSE(proof_at(Hook::xdp_frags, classic(text)).idle.empty()) << text;
    }
}

// The slow version is entered behind a test for a tag that lies beside the packet, and the filter
// asks for it again.
TEST(Unreached, TheSlowVersionLeavesOutWhatTheWayThereHasDecided) {
    TAMIS_NEED_SOLVER();
    auto const compiled = frontend::compile(
        "vlan 7 and vlan 8 and udp", {.context = frontend::Context::live, .optimise = false});
    ASSERT_TRUE(compiled);
    for (Hook const hook : {Hook::tc_ingress, Hook::cgroup_egress}) {
        Proof const proof = proof_at(hook, compiled->program);
        EXPECT_EQ(proof.outcome, Outcome::proved) << proof.reason;
        EXPECT_TRUE(proof.dead.empty());
    }
}

// What was found at one hook is not asked for again at another.
// Behind a call there is other code for the rest of the text; what comes to the code that has no
// call before it are other packets, none of which gets to one of its tests.
TEST(Unreached, ACopyIsForThePacketsThatComeToIt) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const program = compiled("not port 22 and tcp[13] & 2 != 0 or icmp6");
    translator::Options options = defaults(Hook::xdp);
    options.shape.no_perfmon = true;
    auto const translated = translator::translate(program, options);
    ASSERT_TRUE(translated) << translated.error().message;
    Proof const proof = prove_translation(program, *translated, options);
    EXPECT_EQ(proof.outcome, Outcome::proved) << proof.reason;
    EXPECT_EQ(proof.idle.size(), 1U);
}

TEST(Unreached, PacketsAreShared) {
    TAMIS_NEED_SOLVER();
    auto const compiled = frontend::compile("tcp port 80 or icmp", {});
    ASSERT_TRUE(compiled);
    Shared shared;
    EXPECT_EQ(proof_at(Hook::tc_ingress, compiled->program, {.shared = &shared}).outcome,
              Outcome::proved);
    std::size_t const found = shared.packets.size();
    EXPECT_GT(found, 2U);
    EXPECT_EQ(proof_at(Hook::xdp_frags, compiled->program, {.shared = &shared}).outcome,
              Outcome::proved);
    EXPECT_EQ(shared.packets.size(), found);
}

// A question is known again by what it says, and its answer means the variables of that name.
TEST(Answered, IsFoundWhereverTheQuestionWasBuilt) {
    Terms one, other;
    other.variable("more", 8);  // so that numbers differ
    auto const question_in = [](Terms& t, std::uint64_t least) {
        Term const x = t.variable("x", 8);
        return t.and_(t.ult(t.constant(least, 8), x), t.eq(t.byte(t.zext(x, 32)), x));
    };
    using std::chrono::seconds;
    Term const here = question_in(one, 5), there = question_in(other, 5),
               different = question_in(other, 6);
    Answered answered;
    auto const found_for = [&](Term term, seconds timeout) {
        return answered.find(Answered::question(other, {&term, 1}), other, timeout);
    };
    EXPECT_FALSE(found_for(there, seconds(1)));
    answered.remember(Answered::question(one, {&here, 1}), one, seconds(1),
                      {Answer::yes, {{7}, {{7, 7}}}});
    auto const found = found_for(there, seconds(60));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->answer, Answer::yes);
    Evaluation evaluation(other, {&there, 1});
    evaluation.run(valuation(found->model));
    EXPECT_EQ(evaluation[there], 1U);
    EXPECT_FALSE(found_for(different, seconds(1)));
    // More time is another question.
    answered.remember(Answered::question(other, {&different, 1}), other, seconds(1),
                      {Answer::unknown, {}});
    EXPECT_FALSE(found_for(different, seconds(2)));
    auto const again = found_for(different, seconds(1));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->answer, Answer::unknown);
}

// A packet that has bytes has a length that is not 0: nothing gets to where a division by 0 ends.
TEST(Unreached, WhatEndsADivisionIsAsDeadAsItIsInTheClassicProgram) {
    TAMIS_NEED_SOLVER();
    for (bool const reads : {false, true}) {
        cbpf::Program const program =
            classic(reads ? "ldb [0]\nld #len\ntax\nld #100\ndiv x\njeq #1, 0, 1\nret #1\nret #0\n"
                          : "ld #len\ntax\nld #100\ndiv x\njeq #1, 0, 1\nret #1\nret #0\n");
        Proof const proof = proof_at(Hook::socket, program);
        EXPECT_EQ(proof.outcome, Outcome::proved) << proof.reason;
        EXPECT_EQ(proof.idle.size(), reads ? 1U : 0U);
    }
}

// Nothing but a load leads to that end, and a packet of 101 bytes has a first one.
TEST(Unreached, WhatEndsALoadIsAsDeadAsItIsInTheClassicProgram) {
    TAMIS_NEED_SOLVER();
    for (Hook const hook : {Hook::xdp_frags, Hook::tc_ingress}) {
        for (bool const long_enough : {true, false}) {
            cbpf::Program const program =
                classic(long_enough ? "ld #len\njgt #100, 0, 2\nldb [0]\nret #1\nret #0\n"
                                    : "ld #len\njgt #0, 0, 2\nldb [5]\nret #1\nret #0\n");
            translator::Options options = defaults(hook);
            options.stats = false;
            options.no_match = {find_action(row(hook), hook == Hook::xdp_frags ? "drop" : "shot"),
                                0};
            auto const translated = translator::translate(program, options);
            ASSERT_TRUE(translated) << translated.error().message;
            Proof const proof = prove_translation(program, *translated, options);
            EXPECT_EQ(proof.outcome, Outcome::proved) << proof.reason;
            EXPECT_EQ(proof.idle.empty(), !long_enough);
        }
    }
}

}  // namespace
}  // namespace tamis::verify
