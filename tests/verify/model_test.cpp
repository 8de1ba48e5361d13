// The models of packets and programs, held against the interpreters.
#include <cstdlib>
#include <random>

#include <fmt/format.h>

#include "bpf/builder.h"
#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "runtime/ebpf_vm.h"
#include "tests/bpf/ebpf_samples.h"
#include "tests/verify/support.h"
#include "verify/formula_truth.h"
#include "verify/random_cbpf.h"
#include "verify/solver.h"
#include "verify/symbolic_cbpf.h"
#include "verify/symbolic_ebpf.h"

namespace tamis::verify {
namespace {

using ebpf::Builder;
using ebpf::Cond;
using ebpf::Reg;
using ebpf::Size;
using runtime::Rules;

ConcretePacket random_packet(RandomPrograms& random, Rules rules, HookRow const* hook) {
    ConcretePacket packet;
    packet.bytes = random.packet(random.one_in(4) ? random.below(20) : random.below(90));
    bool const xdp = hook && hook->context == "xdp_md";
    // Direct forms know no headers to count from; offset 0 is where their packets begin.
    bool const headers = rules == Rules::kernel && (!hook || hook->access == Access::ld_abs);
    if (headers && random.one_in(2)) {
        packet.start = static_cast<std::uint32_t>(random.below(packet.bytes.size() / 2 + 1));
        if (random.one_in(2)) packet.link = random.below(20);
        if (random.one_in(2)) packet.network = random.below(40);
        // Without a header before it nothing is known of what lies before offset 0.
        std::uint32_t const first = std::min({packet.start, packet.link.value_or(packet.start),
                                              packet.network.value_or(packet.start)});
        packet.bytes.erase(packet.bytes.begin(), packet.bytes.begin() + first);
        packet.start -= first;
        if (packet.link) *packet.link -= first;
        if (packet.network) *packet.network -= first;
    }
    packet.length = packet.captured();
    packet.linear = packet.captured();
    if (hook && !hook->linear && random.one_in(3))
        packet.linear = static_cast<std::uint32_t>(random.below(packet.linear + 1));
    if (rules == Rules::libpcap && random.one_in(3))
        packet.length += static_cast<std::uint32_t>(random.below(2000));
    for (cbpf::Ancillary const& row : cbpf::ancillaries()) {
        bool const narrow = row.number == cbpf::Anc::protocol || row.number == cbpf::Anc::queue ||
                            row.number == cbpf::Anc::hatype || row.number == cbpf::Anc::vlan_tag ||
                            row.number == cbpf::Anc::vlan_tpid;
        std::uint32_t const value = random.constant();
        packet.ancillary[static_cast<std::size_t>(row.number) / 4] =
            narrow ? value & 0xffff : value;
    }
    auto const metadata = [&](cbpf::Anc number) -> std::uint32_t& {
        return packet.ancillary[static_cast<std::size_t>(number) / 4];
    };
    if (xdp) {
        metadata(cbpf::Anc::ifindex) |= 1;
        std::uint32_t& tagged = metadata(cbpf::Anc::vlan_tag_present);
        tagged &= 1;
        if (tagged == 0) metadata(cbpf::Anc::vlan_tag) = metadata(cbpf::Anc::vlan_tpid) = 0;
    }
    return packet;
}

RandomPrograms::Options with_everything(Rules rules) {
    RandomPrograms::Options options;
    if (rules == Rules::libpcap) return options;
    options.header_offsets = true;
    for (cbpf::Ancillary const& row : cbpf::ancillaries())
        if (row.number != cbpf::Anc::nlattr && row.number != cbpf::Anc::nlattr_nest)
            options.ancillaries.push_back(row.number);
    return options;
}

TEST(ClassicModel, IsTheInterpreterOnRandomPrograms) {
    std::size_t matches = 0, runs = 0;
    for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
        RandomPrograms random(7, with_everything(rules));
        for (int i = 0; i < 1500; ++i) {
            cbpf::Program const program = random.next();
            Terms terms(i % 4 != 0);
            PacketModel model(terms, rules);
            auto const run = run_symbolically(program.insns, terms, model);
            ASSERT_TRUE(run) << run.error().message;
            Term const roots[] = {run->verdict, run->accepts, model.assumptions()};
            Evaluation evaluation(terms, roots);
            for (int n = 0; n < 20; ++n) {
                ConcretePacket const packet = random_packet(random, rules, nullptr);
                evaluation.run(model.valuation(packet));
                std::uint32_t const expected = runtime::run(program.insns, packet.view(), rules);
                ASSERT_EQ(evaluation[model.assumptions()], 1U);
                ASSERT_EQ(evaluation[run->verdict], expected)
                    << "program " << i << "\n"
                    << cbpf::listing(program)
                    << fmt::format("{} bytes, start {}", packet.bytes.size(), packet.start);
                ASSERT_EQ(evaluation[run->accepts], expected != 0 ? 1U : 0U);
                ++runs;
                matches += expected != 0 ? 1U : 0U;
            }
        }
    }
    EXPECT_GT(matches, runs / 10);
    EXPECT_LT(matches, runs * 9 / 10);
}

// The same through the solver: with the packet asserted, there is the interpreter's verdict only.
TEST(ClassicModel, TheSolverAgreesOnConcretePackets) {
    TAMIS_NEED_SOLVER();
    RandomPrograms random(11, with_everything(Rules::kernel));
    for (int i = 0; i < 25; ++i) {
        cbpf::Program const program = random.next();
        Terms t;
        PacketModel model(t, Rules::kernel);
        auto const run = run_symbolically(program.insns, t, model);
        ASSERT_TRUE(run);
        ConcretePacket const packet = random_packet(random, Rules::kernel, nullptr);
        std::vector<std::uint64_t> const values = model.variables(packet);
        std::vector<Term> all{model.assumptions()};
        for (Term const variable : t.variables()) {
            std::uint64_t const value = values[t[variable].value];
            all.push_back(t.width(variable) == 0
                              ? t.eq(variable, t.truth(value != 0))
                              : t.eq(variable, t.constant(value, t.width(variable))));
        }
        for (std::uint32_t n = 0; n < packet.bytes.size(); ++n)
            all.push_back(
                t.eq(model.byte(t.constant(n - packet.start, 32)), t.constant(packet.bytes[n], 8)));
        std::uint32_t const expected = runtime::run(program.insns, packet.view(), Rules::kernel);
        Solver solver(t);
        EXPECT_EQ(solver.ask(all, std::chrono::seconds(20)), Answer::yes);
        all.push_back(t.not_(t.eq(run->verdict, t.constant(expected, 32))));
        EXPECT_EQ(solver.ask(all, std::chrono::seconds(20)), Answer::no) << "program " << i << "\n"
                                                                         << cbpf::listing(program);
    }
}

void compare_with_interpreter(ebpf::Program const& program, HookRow const& hook,
                              RandomPrograms& random, int packets, bool simplify) {
    Terms terms(simplify);
    PacketModel model(terms, Rules::kernel, &hook);
    auto const run = run_symbolically(program, hook, terms, model);
    ASSERT_TRUE(run) << run.error().message << "\n" << ebpf::listing(program);
    Term broken = terms.truth(false);
    for (Obligation const& o : run->obligations) broken = terms.or_(broken, o.broken);
    Term const roots[] = {run->result, broken, model.assumptions()};
    Evaluation evaluation(terms, roots);
    for (int i = 0; i < packets; ++i) {
        ConcretePacket const packet = random_packet(random, Rules::kernel, &hook);
        runtime::MapMemory maps = runtime::map_memory(program);
        auto const expected = runtime::run(program, hook, packet.view(), maps);
        evaluation.run(model.valuation(packet));
        ASSERT_EQ(evaluation[model.assumptions()], 1U);
        ASSERT_EQ(evaluation[broken] == 0, expected.has_value())
            << (expected ? "" : expected.error().message);
        if (expected) {
            ASSERT_EQ(evaluation[run->result], *expected) << ebpf::listing(program);
        }
    }
}

TEST(ExtendedModel, IsTheInterpreterOnTranslationsOfRandomPrograms) {
    for (HookRow const& hook : hooks()) {
        SCOPED_TRACE(hook.name);
        RandomPrograms random(3, with_everything(Rules::kernel));
        int translated = 0;
        for (int i = 0; i < 250; ++i) {
            cbpf::Program const classic = random.next();
            translator::Options options;
            options.hook = hook.hook;
            options.match = {find_action(hook, hook.match), 0};
            options.no_match = {find_action(hook, hook.no_match), 0};
            options.shape.vlan_offload =
                i % 3 == 0 ? translator::VlanOffload::metadata : translator::VlanOffload::refuse;
            auto const program = i % 2 == 0 ? translator::translate(classic, options)
                                            : translator::translate_filter(classic, hook);
            if (!program) continue;
            ++translated;
            compare_with_interpreter(*program, hook, random, 12, i % 5 != 0);
            if (HasFatalFailure()) return;
        }
        EXPECT_GT(translated, 40);
    }
}

// Every arithmetic and jump instruction there is, on numbers that come from the context.
ebpf::Program around(test::Sample const& sample) {
    ebpf::Insn insn = sample.insns()[0];
    auto const dst = static_cast<Reg>(insn.dst), src = static_cast<Reg>(insn.src);
    bool const jumps = class_of(insn) == ebpf::Class::jmp || class_of(insn) == ebpf::Class::jmp32;
    Builder b;
    auto const whole = [&](Reg reg, std::int32_t high, std::int32_t low) {
        b.load(Size::word, reg, Reg::r6, high).load(Size::word, Reg::r8, Reg::r6, low);
        b.alu(ebpf::Alu::lsh, reg, 32).alu(ebpf::Alu::or_, reg, Reg::r8);
    };
    b.mov(Reg::r6, Reg::r1);
    whole(dst, 8, 68);                  // mark, rxhash
    if (src != dst) whole(src, 40, 4);  // ifindex, pkttype
    ebpf::Program program = *b.finish();
    if (jumps) insn.off = 2;
    program.insns.push_back(insn);
    auto const add = [&](unsigned code, unsigned to, unsigned from, std::int32_t imm) {
        program.insns.push_back(ebpf::make_insn(code, to, from, 0, imm));
    };
    if (jumps) {
        add(0xb7, 0, 0, 0);
        add(0x95, 0, 0, 0);
        add(0xb7, 0, 0, 1);
    } else {
        add(0xbf, 0, insn.dst, 0);
    }
    add(0x95, 0, 0, 0);
    program.origin.resize(program.insns.size());
    program.functions = {{"entry", 0}};
    return program;
}

TEST(ExtendedModel, EveryArithmeticAndJumpInstruction) {
    HookRow const& hook = row(Hook::socket);
    std::size_t tried = 0;
    for (test::Sample const& sample : test::samples) {
        ebpf::Insn const insn = sample.insns()[0];
        ebpf::Class const cls = class_of(insn);
        bool const arithmetic = cls == ebpf::Class::alu || cls == ebpf::Class::alu64;
        bool const branch =
            (cls == ebpf::Class::jmp || cls == ebpf::Class::jmp32) && ebpf::find_jump(insn.code);
        // Pointers between address spaces do not exist here, and r10 or r6 would be overwritten.
        if ((!arithmetic && !branch) || (arithmetic && insn.off == 1 && insn.code == 0xbf))
            continue;
        SCOPED_TRACE(sample.text);
        RandomPrograms random(sample.fields.code + 1U);
        compare_with_interpreter(around(sample), hook, random, 300, tried % 2 == 0);
        if (HasFatalFailure()) return;
        ++tried;
    }
    EXPECT_GT(tried, 100U);
}

TEST(ExtendedModel, WhatItDoesNotKnowIsRefused) {
    auto const refusal = [](auto const& write, Hook hook = Hook::xdp) {
        Builder b;
        write(b);
        ebpf::Program program = *b.finish();
        program.functions = {{"entry", 0}};
        Terms terms;
        PacketModel model(terms, Rules::kernel, &row(hook));
        auto const run = run_symbolically(program, row(hook), terms, model);
        return run ? std::string() : run.error().message;
    };
    EXPECT_NE(refusal([](Builder& b) { b.mov(Reg::r0, Reg::r3).exit(); }).find("r3 holds nothing"),
              std::string::npos);
    EXPECT_NE(refusal([](Builder& b) {
                  b.call(static_cast<ebpf::Helper>(999)).exit();
              }).find("helper 999 is not modelled"),
              std::string::npos);
    EXPECT_NE(refusal([](Builder& b) {
                  auto const again = b.label();
                  b.mov(Reg::r0, 0).bind(again).jump(Cond::eq, Reg::r0, 0, again).exit();
              }).find("closes a loop"),
              std::string::npos);
    EXPECT_NE(refusal([](Builder& b) {
                  b.load(Size::word, Reg::r0, Reg::r10, -8).exit();
              }).find("not written on all paths"),
              std::string::npos);
    EXPECT_NE(refusal([](Builder& b) {
                  b.mov(Reg::r2, 1).store(Size::word, Reg::r1, 0, Reg::r2).mov(Reg::r0, 0).exit();
              }).find("neither stack nor map value"),
              std::string::npos);
    EXPECT_NE(refusal([](Builder& b) {
                  b.load(Size::word, Reg::r0, Reg::r1, 100).exit();
              }).find("no field of the context"),
              std::string::npos);
}

// The formula's truth is the unoptimised program's verdict wherever no load is outside.
TEST(FormulaTruth, IsTheProgramsVerdictOnWholePackets) {
    char const* const texts[] = {
        "tcp port 80",
        "not (ip6 or arp) and (ether[0] & 1 = 0 or len - 4 > 60)",
        "vlan and (udp or ip[ip[0] & 15] / ip[1] > 3)",
        "ether[0] << ether[1] = 4 or ether[2] % (ether[3] & 3) = 1 or ip",
        "geneve and tcp port 80 or ether[0:4] = -len",
        "mpls 5 or (host 10.0.0.1 and not port 22)",
        "ip6 protochain 6 or tcp[tcpflags] & tcp-syn != 0",
    };
    RandomPrograms random(5);
    std::size_t yes = 0;
    for (char const* const text : texts)
        for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
            auto const formula = frontend::formula(text, {});
            ASSERT_TRUE(formula) << text;
            cbpf::Program const program = compiled(text);
            Terms t;
            PacketModel model(t, rules);
            auto const run = run_symbolically(program.insns, t, model);
            ASSERT_TRUE(run);
            Truth const truth = truth_of(*formula, t, model);
            Term const roots[] = {truth.yes, truth.no, truth.divided_by_zero, run->accepts,
                                  run->out_of_bounds};
            Evaluation e(t, roots);
            for (int i = 0; i < 400; ++i) {
                ConcretePacket packet = random_packet(random, rules, nullptr);
                if (i % 2 == 0) packet.bytes.resize(packet.bytes.size() + 120);
                if (i % 3 == 0 && packet.bytes.size() > 24) {
                    packet.bytes[packet.start + 12] = 8;
                    packet.bytes[packet.start + 13] = 0;
                }
                packet.length = packet.linear = packet.captured();
                e.run(model.valuation(packet));
                ASSERT_FALSE(e[truth.yes] != 0 && e[truth.no] != 0) << text;
                if (e[run->out_of_bounds] != 0) continue;
                bool const is_true = e[truth.yes] != 0 && e[truth.divided_by_zero] == 0;
                ASSERT_EQ(is_true, e[run->accepts] != 0) << text << " packet " << i;
                if (is_true) ++yes;
            }
        }
    EXPECT_GT(yes, 100U);
}

}  // namespace
}  // namespace tamis::verify
