// The models of the proofs, held against the interpreters; what they prove and what they refute.
#include "verify/prove.h"

#include <cstdlib>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "bpf/builder.h"
#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "frontend/compile.h"
#include "runtime/ebpf_vm.h"
#include "tests/bpf/ebpf_samples.h"
#include "verify/cut_points.h"
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

#define TAMIS_NEED_SOLVER() \
    if (!can_prove()) GTEST_SKIP() << prover_missing

// ------------------------------------------------------------------------------------------ terms

// The same random terms in two arenas: one that simplifies and one that does not.
class RandomTerms {
  public:
    explicit RandomTerms(std::uint64_t seed) : random_(seed) {}

    void grow(std::size_t count) {
        for (unsigned const width : {8U, 32U, 64U})
            for (char const* const name : {"x", "y"}) {
                std::string const full = fmt::format("{}{}", name, width);
                add(plain.variable(full, width), simple.variable(full, width));
            }
        add(plain.truth(true), simple.truth(true));
        while (pairs.size() < count) step();
    }

    struct Pair {
        Term plain, simple;
    };
    Terms plain{false}, simple{true};
    std::vector<Pair> pairs;

  private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    void add(Term a, Term b) { pairs.push_back({a, b}); }
    Pair pick() { return pairs[below(pairs.size())]; }

    // Constants at borders and small ones, where simplifications are.
    Pair constant(unsigned width) {
        std::uint64_t const borders[] = {
            0, 1, 2, 7, 0xf, 0xff, 0xffff, 0x80000000, ~std::uint64_t{0}};
        std::uint64_t const value = below(4) == 0 ? random_() : borders[below(9)];
        return {plain.constant(value, width), simple.constant(value, width)};
    }

    Pair of_width(unsigned width) {
        if (width != 0 && below(3) == 0) return constant(width);
        for (int i = 0; i < 64; ++i)
            if (Pair const p = pick(); plain.width(p.plain) == width) return p;
        return width == 0 ? Pair{plain.truth(false), simple.truth(false)} : constant(width);
    }

    template <class Make>
    void both(Make make) {
        add(make(plain, false), make(simple, true));
    }

    void step() {
        Pair const a = pick();
        unsigned const width = plain.width(a.plain);
        Pair const b = of_width(width), c = of_width(0);
        auto const side = [](Pair const& p, bool simplified) {
            return simplified ? p.simple : p.plain;
        };
        std::uint64_t const kind = below(width == 0 ? 6 : 15);
        std::uint64_t const op = below(8), more = below(64), from = below(64);
        both([&](Terms& t, bool s) -> Term {
            Term const x = side(a, s), y = side(b, s);
            switch (kind) {
                case 0:
                    return t.not_(x);
                case 1:
                    return t.and_(x, y);
                case 2:
                    return t.or_(x, y);
                case 3:
                    return t.xor_(x, y);
                case 4:
                    return t.ite(side(c, s), x, y);
                case 5:
                    return t.eq(x, y);
                case 6:
                    return t.ult(x, y);
                case 7:
                    return t.slt(x, y);
                case 8:
                    return t.add(x, y);
                case 9:
                    return t.sub(x, y);
                case 10:
                case 11:
                    return t.binary(static_cast<Op>(static_cast<unsigned>(Op::mul) + op), x, y);
                case 12:
                    if (width > 32) return t.low(x, 32);
                    return t.concat(x, y);
                case 13: {
                    unsigned const low = static_cast<unsigned>(from % width);
                    return t.extract(x, low, 1 + static_cast<unsigned>(more % (width - low)));
                }
                default:
                    return more % 2 == 0 ? t.zext(x, 64) : t.sext(x, 64);
            }
        });
    }

    std::mt19937_64 random_;
};

Valuation random_valuation(Terms const& terms, std::mt19937_64& random) {
    Valuation v{{}, [](std::uint32_t) { return std::uint8_t{0}; }};
    for (std::size_t i = 0; i < terms.variables().size(); ++i)
        v.variables.push_back(random() % 3 == 0 ? random() % 4 : random());
    return v;
}

TEST(Terms, SimplifiedOnesHaveTheSameValues) {
    std::size_t smaller = 0;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        RandomTerms terms(seed);
        terms.grow(400);
        std::vector<Term> plain, simple;
        for (auto const& pair : terms.pairs) {
            plain.push_back(pair.plain);
            simple.push_back(pair.simple);
        }
        Evaluation expected(terms.plain, plain), got(terms.simple, simple);
        std::mt19937_64 random(seed);
        for (int i = 0; i < 20; ++i) {
            Valuation const v = random_valuation(terms.plain, random);
            expected.run(v);
            got.run(v);
            for (auto const& pair : terms.pairs) {
                ASSERT_EQ(expected[pair.plain], got[pair.simple])
                    << "seed " << seed << "\n"
                    << smt2(terms.plain, terms.plain.eq(pair.plain, pair.plain));
                ASSERT_LE(got[pair.simple], terms.simple.upper(pair.simple)) << "seed " << seed;
            }
        }
        smaller += terms.simple.size() < terms.plain.size() ? 1U : 0U;
    }
    EXPECT_GT(smaller, 50U);
}

// The solver's idea of every operation is ours: with the variables fixed, a term has the value that
// was computed and no other.
TEST(Terms, TheSolverComputesTheSame) {
    TAMIS_NEED_SOLVER();
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        RandomTerms terms(seed);
        terms.grow(150);
        Terms& t = terms.plain;
        std::vector<Term> roots;
        for (auto const& pair : terms.pairs) roots.push_back(pair.plain);
        Evaluation values(t, roots);
        std::mt19937_64 random(seed);
        Valuation const v = random_valuation(t, random);
        values.run(v);
        Term fixed = t.truth(true), all = t.truth(true);
        for (Term const variable : t.variables())
            fixed = t.and_(fixed, t.eq(variable, t.constant(values[variable], t.width(variable))));
        for (Term const root : roots)
            all = t.and_(all, t.width(root) == 0
                                  ? t.eq(root, t.truth(values[root] != 0))
                                  : t.eq(root, t.constant(values[root], t.width(root))));
        Solver solver(t);
        std::chrono::seconds const timeout(20);
        Term const same[] = {fixed, all}, other[] = {fixed, t.not_(all)};
        EXPECT_EQ(solver.ask(same, timeout), Answer::yes) << "seed " << seed;
        EXPECT_EQ(solver.ask(other, timeout), Answer::no) << "seed " << seed;
    }
}

// ------------------------------------------------------------------------------- models of
// programs

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

// ----------------------------------------------------------------------- what is proved, and
// refuted

cbpf::Program compiled(std::string_view text, bool optimise = false) {
    return frontend::compile(text, {.optimise = optimise})->program;
}

translator::Options defaults(Hook hook) {
    HookRow const& at = row(hook);
    return {.hook = hook,
            .match = {find_action(at, at.match), 0},
            .no_match = {find_action(at, at.no_match), 0}};
}

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
