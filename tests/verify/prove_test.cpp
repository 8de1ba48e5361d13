// What is proved, and what is refuted.
#include "verify/prove.h"

#include <fmt/format.h>

#include "bpf/builder.h"
#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "tests/verify/support.h"
#include "verify/cut_points.h"

namespace tamis::verify {
namespace {

using ebpf::Builder;
using ebpf::Cond;
using ebpf::Reg;
using ebpf::Size;
using runtime::Rules;

TEST(Prove, TranslationsOfAFilter) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const classic = compiled("tcp port 80");
    for (HookRow const& hook : hooks()) {
        translator::Options const options = defaults(hook.hook);
        auto const program = translator::translate(classic, options);
        ASSERT_TRUE(program);
        Proof const proof = prove_translation(classic, *program, options);
        EXPECT_EQ(proof.outcome, Outcome::proved) << hook.name << ": " << proof.reason;
    }
}

// Each of these changes makes the program wrong for some packet; the packet that comes out shows it
// to the interpreters, too.
TEST(Prove, WrongTranslationsAreRefuted) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const classic = compiled("udp port 53 and len > 100");
    translator::Options options = defaults(Hook::xdp);
    options.match = {find_action(row(Hook::xdp), "drop"), 0};
    auto const right = translator::translate(classic, options);
    ASSERT_TRUE(right);
    std::size_t refuted = 0, same = 0, undecided = 0;
    for (std::size_t i = 0; i < right->insns.size(); ++i) {
        ebpf::Program wrong = *right;
        ebpf::Insn& insn = wrong.insns[i];
        ebpf::Class const cls = class_of(insn);
        bool const jump = cls == ebpf::Class::jmp || cls == ebpf::Class::jmp32;
        if (ebpf::is_ld_imm64(insn) || insn.code == 0) continue;
        if (jump && ebpf::find_jump(insn.code))
            insn = ebpf::make_insn(0x05);  // the test is gone: what it guards always runs
        else
            ++insn.imm;
        Proof const proof = prove_translation(classic, wrong, options, {.blocks = false});
        switch (proof.outcome) {
            case Outcome::proved:
                ++same;
                break;
            case Outcome::refuted:
                ++refuted;
                ASSERT_TRUE(proof.counterexample);
                EXPECT_LT(proof.counterexample->packet.bytes.size(), 200U) << i;
                EXPECT_GE(proof.counterexample->runs.size(), 2U);
                break;
            case Outcome::undecided:
                ++undecided;
                EXPECT_FALSE(proof.reason.empty());
                break;
        }
    }
    EXPECT_GT(refuted, 20U);
    EXPECT_GT(undecided, 0U);  // what the verifier refuses, too
    fmt::print("{} refuted, {} equivalent, {} refused\n", refuted, same, undecided);
}

// In stretches from cut to cut: what is right is proved, and nothing that one
// question has refuted ever is.
TEST(ProveByCuts, RightTranslations) {
    TAMIS_NEED_SOLVER();
    for (char const* const text : {"tcp port 80", "geneve 1 and udp", "vlan 7 and ip[0] & 15 > 5",
                                   "len > ip[2:2] + ip[ip[9]]"}) {
        cbpf::Program const classic = compiled(text, true);
        for (Hook const at : {Hook::xdp_frags, Hook::tc_ingress, Hook::netfilter_input}) {
            HookRow const& hook = row(at);
            translator::Options const options = defaults(at);
            auto const program = translator::translate(classic, options);
            if (!program) continue;  // metadata that the hook lacks
            auto const why = prove_by_cuts(classic, *program, hook, &options, {});
            EXPECT_FALSE(why) << text << ", " << hook.name << ": " << *why;
        }
    }
}

TEST(ProveByCuts, NoWrongTranslation) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const classic = compiled("ip[ip[9]] = 7 or len > 100 and udp port 53", true);
    translator::Options options = defaults(Hook::tc_ingress);
    options.match = {find_action(row(Hook::tc_ingress), "shot"), 0};
    auto const right = translator::translate(classic, options);
    ASSERT_TRUE(right);
    std::size_t refuted = 0;
    for (std::size_t i = 0; i < right->insns.size(); i += 3) {
        ebpf::Program wrong = *right;
        ebpf::Insn& insn = wrong.insns[i];
        ebpf::Class const cls = class_of(insn);
        if (ebpf::is_ld_imm64(insn) || insn.code == 0) continue;
        if ((cls == ebpf::Class::jmp || cls == ebpf::Class::jmp32) && ebpf::find_jump(insn.code))
            insn = ebpf::make_insn(0x05);
        else
            ++insn.imm;
        Proof const proof = prove_translation(classic, wrong, options, {.blocks = false});
        if (proof.outcome != Outcome::refuted) continue;
        ++refuted;
        EXPECT_TRUE(prove_by_cuts(classic, wrong, row(options.hook), &options, {}))
            << "instruction " << i << "\n"
            << ebpf::listing(wrong);
    }
    EXPECT_GT(refuted, 10U);
}

// cbpfc and others read a whole header after one check; a packet that ends inside it tells.
TEST(Prove, AMissingBoundsCheckIsFound) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const classic = *cbpf::read("ldb [0]\njeq #7, 0, 1\nret #1\nret #0\n");
    Builder b;
    b.load(Size::word, Reg::r2, Reg::r1, 0).load(Size::byte, Reg::r0, Reg::r2, 0);
    auto const match = b.label();
    b.jump(Cond::eq, Reg::r0, 7, match).mov(Reg::r0, 0).exit().bind(match).mov(Reg::r0, 1).exit();
    ebpf::Program program = *b.finish();
    program.functions = {{"classic", 0}};
    Proof const proof = prove_filter(classic, program, row(Hook::xdp));
    ASSERT_EQ(proof.outcome, Outcome::refuted) << proof.reason;
    EXPECT_EQ(proof.counterexample->packet.bytes.size(), 0U);
    EXPECT_EQ(proof.counterexample->insn, 1U);
}

// libpcap 1.10.3 makes this of the filter when it optimises: the last `not` is lost.
constexpr std::string_view miscompiled =
    "host 192.168.1.1 and not ((host 1.2.3.4 or host 5.6.7.8) and icmp) and "
    "not (host 5.6.7.8 or host 192.168.1.1)";
constexpr std::string_view miscompiled_program =
#include "tests/verify/miscompiled.inc"
    ;

TEST(Prove, WhatLibpcapMiscompiledIsRefutedByAnOrdinaryPacket) {
    TAMIS_NEED_SOLVER();
    auto const wrong = cbpf::read(std::string(miscompiled_program));
    ASSERT_TRUE(wrong);
    for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
        Proof const proof = prove_relation(*wrong, compiled(miscompiled), Relation::equal, rules);
        ASSERT_EQ(proof.outcome, Outcome::refuted) << proof.reason;
        Counterexample const& c = *proof.counterexample;
        EXPECT_FALSE(c.truncated);
        EXPECT_EQ(c.packet.bytes.size(), 34U);  // Ethernet and IPv4, whole
        EXPECT_NE(runtime::run(wrong->insns, c.packet.view(), rules), 0U);
    }
}

TEST(Prove, RelationsOfExpressions) {
    TAMIS_NEED_SOLVER();
    auto const outcome = [](char const* a, char const* b, Relation relation) {
        return prove_relation(compiled(a), compiled(b), relation, Rules::libpcap).outcome;
    };
    EXPECT_EQ(outcome("tcp port 80", "ip or ip6", Relation::implies), Outcome::proved);
    EXPECT_EQ(outcome("port 80", "tcp port 80", Relation::implies), Outcome::refuted);
    EXPECT_EQ(outcome("ip", "ip6", Relation::disjoint), Outcome::proved);
    EXPECT_EQ(outcome("ip", "tcp", Relation::disjoint), Outcome::refuted);
    EXPECT_EQ(outcome("net 10.0.0.0/8", "net 10.0.0.0 mask 255.0.0.0", Relation::equal),
              Outcome::proved);
}

// Only packets that are cut off tell these apart, and the proof says so.
TEST(Prove, TruncatedPacketsAreCalledSo) {
    TAMIS_NEED_SOLVER();
    cbpf::Program const one = *cbpf::read("ldb [0]\nldb [9]\nret #1\n");
    cbpf::Program const other = *cbpf::read("ldb [0]\nret #1\n");
    Proof const proof = prove_relation(one, other, Relation::equal, Rules::libpcap);
    ASSERT_EQ(proof.outcome, Outcome::refuted);
    EXPECT_TRUE(proof.counterexample->truncated);
    EXPECT_EQ(proof.counterexample->packet.bytes.size(), 1U);
}

// ------------------------------------------------------------------------------------ optimisation

Proof optimisation(std::string_view text, std::string_view optimised, Rules rules) {
    auto const formula = frontend::formula(text, {});
    return prove_optimisation(*formula, 262144, compiled(text), *cbpf::read(std::string(optimised)),
                              rules);
}

TEST(ProveOptimisation, EachClauseCanBreak) {
    TAMIS_NEED_SOLVER();
    struct Row {
        char const *text, *program, *clause;
    } const rows[] = {
        {"ip", "ldh [12]\njeq #0x806, 0, 1\nret #262144\nret #0\n", "(a)"},
        // A needless load rejects packets that end before it.  What is accepted had no load
        // outside, so that (b) never breaks alone.
        {"ip", "ldb [30]\nldh [12]\njeq #0x800, 0, 1\nret #262144\nret #0\n", "(a)"},
        // What cannot be looked at is no match, in `not` as well.
        {"ether[50] = 1 or not ether[60] = 2",
         "ld #len\njgt #60, 1, 0\nret #262144\nldb [50]\njeq #1, 2, 0\nldb [60]\njeq #2, 1, 0\n"
         "ret #262144\nret #0\n",
         "(c)"},
        {"ip", "ldh [12]\njeq #0x800, 0, 1\nret #100\nret #0\n", "(a)"},
    };
    for (Row const& row : rows)
        for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
            Proof const proof = optimisation(row.text, row.program, rules);
            ASSERT_EQ(proof.outcome, Outcome::refuted) << row.text << proof.reason;
            EXPECT_EQ(proof.counterexample->broken.substr(0, 3), row.clause) << row.text;
        }
}

TEST(ProveOptimisation, TheLatitudeOfTruncatedPackets) {
    TAMIS_NEED_SOLVER();
    // Tests in the other order: a packet too short for one may be accepted for the other.
    char const* const text = "ether[40] = 1 or ether[20] = 2";
    char const* const swapped =
        "ldb [20]\njeq #2, 2, 0\nldb [40]\njeq #1, 0, 1\nret #262144\nret #0\n";
    for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
        Proof const proof = optimisation(text, swapped, rules);
        EXPECT_EQ(proof.outcome, Outcome::proved)
            << proof.reason << (proof.counterexample ? proof.counterexample->broken : "");
    }
    Proof const equal =
        prove_relation(compiled(text), *cbpf::read(swapped), Relation::equal, Rules::libpcap);
    EXPECT_EQ(equal.outcome, Outcome::refuted);
}

}  // namespace
}  // namespace tamis::verify
