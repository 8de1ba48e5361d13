// A table of what each instruction that we emit computes, by the instruction set's description
// (RFC 9669) and the kernel's documentation of its functions; the model and the interpreter are
// held against it.  Whatever translations of the repository's filters are made of is in the table.
#include <set>

#include <fmt/format.h>

#include "bpf/builder.h"
#include "bpf/ebpf_text.h"
#include "runtime/ebpf_vm.h"
#include "tests/support/corpus.h"
#include "tests/verify/support.h"
#include "verify/packet_model.h"
#include "verify/symbolic_ebpf.h"

namespace tamis::verify {
namespace {

using ebpf::Alu;
using ebpf::Builder;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Kfunc;
using ebpf::Reg;
using ebpf::Size;

using u64 = std::uint64_t;

constexpr Reg r0 = Reg::r0, r1 = Reg::r1, r2 = Reg::r2, r3 = Reg::r3, r4 = Reg::r4, r6 = Reg::r6,
              r7 = Reg::r7, frame = Reg::r10;

// Byte n of the packet is 0x80 + n; 40 of them.
ConcretePacket packet() {
    ConcretePacket p;
    for (unsigned n = 0; n < 40; ++n) p.bytes.push_back(static_cast<std::uint8_t>(0x80 + n));
    p.length = p.linear = 40;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::ifindex) / 4] = 3;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::mark) / 4] = 0xfedcba98;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::cpu) / 4] = 5;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::random) / 4] = 0x12345678;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::vlan_tag_present) / 4] = 1;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::vlan_tag) / 4] = 0x6007;
    p.ancillary[static_cast<std::size_t>(cbpf::Anc::vlan_tpid) / 4] = 0x88a8;
    return p;
}

// What was seen in the table: an opcode, and for calls what is called.
using Seen = std::set<std::pair<std::uint8_t, std::int64_t>>;

void note(ebpf::Program const& program, Seen& seen) {
    for (std::size_t i = 0; i < program.insns.size(); ++i) {
        ebpf::Insn const& insn = program.insns[i];
        bool const call = insn.code == 0x85;
        std::int64_t const what = !call           ? 0
                                  : insn.src == 1 ? -1  // of the program: to any place
                                                  : insn.imm + 1000 * insn.src;
        bool const atomic =
            ebpf::class_of(insn) == ebpf::Class::stx && ebpf::mode_of(insn) == ebpf::Mode::atomic;
        bool const swap = (insn.code & 0xf7) == 0xd4;
        seen.emplace(insn.code, atomic || swap ? insn.imm : what);
        i += ebpf::is_ld_imm64(insn);
    }
}

class Conformance : public testing::Test {
  protected:
    // r0 at the end, at that hook.
    template <class Write>
    void expect(u64 value, Hook at, Write const& write, std::string const& what) {
        HookRow const& hook = row(at);
        Builder b;
        write(b);
        ebpf::Program program = *b.finish();
        program.functions = {{"table", 0}};
        program.maps.push_back({.name = "counters",
                                .type = ebpf::MapType::percpu_array,
                                .key_size = 4,
                                .max_entries = 2,
                                .value_type = "counter",
                                .value_fields = {"packets", "bytes"},
                                .content = {}});
        note(program, seen);
        ConcretePacket const p = packet();
        runtime::MapMemory maps = runtime::map_memory(program);
        auto const result = runtime::run(program, hook, p.view(), maps);
        ASSERT_TRUE(result) << what << ": " << result.error().message;
        EXPECT_EQ(*result, value) << what << ", interpreted";
        for (bool const simplify : {true, false}) {
            Terms terms(simplify);
            PacketModel model(terms, runtime::Rules::kernel, &hook);
            auto const run = run_symbolically(program, hook, terms, model);
            ASSERT_TRUE(run) << what << ": " << run.error().message;
            Term broken = terms.truth(false);
            for (Obligation const& o : run->obligations) broken = terms.or_(broken, o.broken);
            Term const roots[] = {run->result, broken, model.assumptions()};
            Evaluation evaluation(terms, roots);
            evaluation.run(model.valuation(p));
            EXPECT_EQ(evaluation[model.assumptions()], 1U) << what;
            EXPECT_EQ(evaluation[broken], 0U) << what;
            EXPECT_EQ(evaluation[run->result], value) << what << ", in the model";
        }
    }

    Seen seen;

    void arithmetic();
    void jumps();
    void memory();
    void packets();
    void functions();
};

// ---- Arithmetic: of two numbers in 64 and in 32 bits; the second one fits an immediate.

void Conformance::arithmetic() {
    struct Row {
        Alu op;
        u64 a;
        std::int32_t b;
        u64 wide, narrow;
    };
    constexpr u64 a = 0x1'8000'0005;
    Row const rows[] = {
        {Alu::add, a, -7, 0x1'7fff'fffe, 0x7fff'fffe},
        {Alu::sub, a, 7, 0x1'7fff'fffe, 0x7fff'fffe},
        {Alu::mul, a, 3, 0x4'8000'000f, 0x8000'000f},
        {Alu::div, a, 2, 0xc000'0002, 0x4000'0002},
        {Alu::mod, a, 16, 5, 5},
        {Alu::or_, a, 0x50, 0x1'8000'0055, 0x8000'0055},
        {Alu::and_, a, -4, 0x1'8000'0004, 0x8000'0004},
        {Alu::lsh, a, 4, 0x18'0000'0050, 0x50},
        {Alu::rsh, a, 4, 0x1800'0000, 0x800'0000},
        {Alu::xor_, a, -1, 0xffff'fffe'7fff'fffa, 0x7fff'fffa},
        {Alu::arsh, 0xffff'ffff'8000'0000, 4, 0xffff'ffff'f800'0000, 0xf800'0000},
        {Alu::mov, a, -2, 0xffff'ffff'ffff'fffe, 0xffff'fffe},
    };
    for (Row const& r : rows)
        for (bool const wide : {true, false})
            for (bool const reg : {true, false})
                expect(
                    wide ? r.wide : r.narrow, Hook::xdp,
                    [&](Builder& b) {
                        b.load_imm64(r0, r.a);
                        b.mov(r2, r.b);
                        auto const operand = reg ? Builder::Operand(r2) : Builder::Operand(r.b);
                        wide ? b.alu(r.op, r0, operand) : b.alu32(r.op, r0, operand);
                        b.exit();
                    },
                    fmt::format("operation {:02x}, {} bits, {}", static_cast<unsigned>(r.op),
                                wide ? 64 : 32, reg ? "register" : "immediate"));
    expect(
        0xffff'fffb, Hook::xdp,
        [&](Builder& b) { b.load_imm64(r0, a).mov(r0, 5).neg32(r0).exit(); }, "negation");
    struct Swap {
        unsigned bits;
        u64 value;
    };
    for (Swap const& swap : {Swap{16, 0x0807}, {32, 0x0807'0605}, {64, 0x0807'0605'0403'0201}})
        expect(
            swap.value, Hook::xdp,
            [&](Builder& b) {
                b.load_imm64(r0, 0x0102'0304'0506'0708).to_be(swap.bits, r0).exit();
            },
            fmt::format("big endian, {} bits", swap.bits));
}

// ---- Jumps

void Conformance::jumps() {
    struct Row {
        Cond cond;
        u64 a;
        std::int32_t b;
        bool wide, narrow;
    };
    Row const rows[] = {
        {Cond::eq, 0x1'0000'0005, 5, false, true},
        {Cond::eq, 0xffff'ffff'ffff'fffb, -5, true, true},
        {Cond::ne, 0x1'0000'0005, 5, true, false},
        {Cond::gt, 0xffff'fff0, -5, false, false},  // the immediate is sign-extended
        {Cond::gt, 0x1'0000'0000, 7, true, false},
        {Cond::ge, 7, 7, true, true},
        {Cond::lt, 0xffff'fff0, -5, true, true},
        {Cond::lt, 0x1'0000'0000, 7, false, true},
        {Cond::le, 7, 7, true, true},
        {Cond::set, 0x1'0000'0000, -1, true, false},
        {Cond::set, 6, 9, false, false},
    };
    for (Row const& r : rows)
        for (bool const wide : {true, false})
            for (bool const reg : {true, false})
                expect((wide ? r.wide : r.narrow) ? 1 : 0, Hook::xdp,
                       [&](Builder& b) {
                           auto const taken = b.label();
                           b.load_imm64(r1, r.a);
                           b.mov(r2, r.b).mov(r0, 1);
                           auto const operand = reg ? Builder::Operand(r2) : Builder::Operand(r.b);
                           wide ? b.jump(r.cond, r1, operand, taken)
                                : b.jump32(r.cond, r1, operand, taken);
                           b.mov(r0, 0).bind(taken).exit();
                       },
                       fmt::format("condition {:02x} of {:x} and {}, {} bits",
                                   static_cast<unsigned>(r.cond), r.a, r.b, wide ? 64 : 32));
    expect(
        2, Hook::xdp,
        [&](Builder& b) {
            auto const over = b.label();
            b.mov(r0, 2).jump(over).mov(r0, 3).bind(over).exit();
        },
        "a jump");
}

// ---- Loads and stores

constexpr Size sizes[] = {Size::byte, Size::half, Size::word, Size::dword};

void Conformance::memory() {
    u64 const stored[] = {0xfe, 0xfffe, 0xffff'fffe, 0xffff'ffff'ffff'fffe};
    u64 const held[] = {0xef, 0xcdef, 0x89ab'cdef, 0x0123'4567'89ab'cdef};
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
        expect(
            stored[i], Hook::xdp,
            [&](Builder& b) {
                b.store(sizes[i], frame, -8, -2).load(sizes[i], r0, frame, -8).exit();
            },
            fmt::format("an immediate of size {} on the stack", i));
        expect(
            held[i], Hook::xdp,
            [&](Builder& b) {
                b.load_imm64(r2, 0x0123'4567'89ab'cdef);
                b.store(sizes[i], frame, -16, r2).load(sizes[i], r0, frame, -16).exit();
            },
            fmt::format("a register of size {} on the stack", i));
    }
    // What is stored in parts is read as a whole, little endian.
    expect(
        0xddcc'bbaa, Hook::xdp,
        [](Builder& b) {
            b.store(Size::half, frame, -4, 0xbbaa).store(Size::byte, frame, -2, 0xcc);
            b.store(Size::byte, frame, -1, 0xdd).load(Size::word, r0, frame, -4).exit();
        },
        "a word of three parts");
    expect(
        0xfedc'ba98, Hook::tc_ingress, [](Builder& b) { b.load(Size::word, r0, r1, 8).exit(); },
        "mark in the context");
    u64 const bytes[] = {0x84, 0x8584, 0x8786'8584, 0x8b8a'8988'8786'8584};
    for (std::size_t i = 0; i < std::size(sizes); ++i)
        expect(
            bytes[i], Hook::xdp,
            [&](Builder& b) {
                auto const end = b.label();
                b.load(Size::word, r2, r1, 0).load(Size::word, r3, r1, 4).mov(r0, 0);
                b.alu(Alu::add, r2, 12).jump(Cond::gt, r2, r3, end);
                b.load(sizes[i], r0, r2, -8).bind(end).exit();
            },
            fmt::format("packet bytes through a pointer, size {}", i));
    expect(
        40, Hook::xdp,
        [](Builder& b) {
            b.load(Size::word, r2, r1, 0).load(Size::word, r0, r1, 4).alu(Alu::sub, r0, r2).exit();
        },
        "the difference of the packet's pointers");
}

// ---- The kernel's own loads

void Conformance::packets() {
    u64 const values[] = {0x84, 0x8485, 0x8485'8687};
    for (std::size_t i = 0; i < 3; ++i) {
        expect(
            values[i], Hook::socket,
            [&](Builder& b) { b.mov(r6, r1).load_packet(sizes[i], 4).exit(); },
            fmt::format("LD_ABS, size {}", i));
        expect(
            values[i], Hook::socket,
            [&](Builder& b) { b.mov(r6, r1).mov(r7, 3).load_packet(sizes[i], r7, 1).exit(); },
            fmt::format("LD_IND, size {}", i));
        expect(
            0, Hook::socket,
            [&](Builder& b) { b.mov(r6, r1).load_packet(sizes[i], 40).mov(r0, 7).exit(); },
            fmt::format("LD_ABS behind the packet, size {}", i));
    }
}

// ---- Calls

void Conformance::functions() {
    expect(
        5, Hook::tc_ingress, [](Builder& b) { b.call(Helper::get_smp_processor_id).exit(); },
        "the CPU's number");
    expect(
        0x12345678, Hook::tc_ingress, [](Builder& b) { b.call(Helper::get_prandom_u32).exit(); },
        "a random number");
    expect(
        4, Hook::xdp, [](Builder& b) { b.mov(r1, 3).mov(r2, 0).call(Helper::redirect).exit(); },
        "redirect at XDP");
    expect(
        40, Hook::xdp_frags, [](Builder& b) { b.call(Helper::xdp_get_buff_len).exit(); },
        "the length of a frame with fragments");
    auto const copy = [](Builder& b, Helper helper, std::int32_t offset) {
        auto const failed = b.label();
        b.mov(r2, offset).mov(r3, frame).alu(Alu::add, r3, -8).mov(r4, 4).call(helper);
        b.jump(Cond::ne, r0, 0, failed).load(Size::word, r0, frame, -8).exit();
        b.bind(failed).mov(r0, 1).exit();
    };
    for (Hook const hook : {Hook::tc_ingress, Hook::xdp_frags}) {
        Helper const helper =
            hook == Hook::tc_ingress ? Helper::skb_load_bytes : Helper::xdp_load_bytes;
        expect(
            0xa7a6'a5a4, hook, [&](Builder& b) { copy(b, helper, 36); }, "the last four bytes");
        expect(
            1, hook, [&](Builder& b) { copy(b, helper, 37); }, "four bytes, one too late");
    }
    for (std::int32_t const key : {1, 2})  // the table has two entries
        expect(
            key == 1 ? 9 : 1, Hook::tc_ingress,
            [&](Builder& b) {
                auto const absent = b.label();
                b.store(Size::word, frame, -4, key).mov(r2, frame).alu(Alu::add, r2, -4);
                b.load_map(r1, 0).call(Helper::map_lookup_elem).jump(Cond::eq, r0, 0, absent);
                b.mov(r2, 9).store(Size::dword, r0, 8, 0).atomic_add(Size::dword, r0, 8, r2);
                b.load(Size::dword, r0, r0, 8).exit();
                b.bind(absent).mov(r0, 1).exit();
            },
            "an entry of a map");
    expect(
        8, Hook::tc_ingress,
        [](Builder& b) {
            auto const twice = b.label();
            b.mov(r6, 1).mov(r1, 4).call(twice).exit();
            b.bind(twice).mov(r0, r1).alu(Alu::add, r0, r1).exit();
        },
        "a function of the program");
    auto const slice = [](Builder& b, std::int32_t offset) {
        auto const absent = b.label();
        b.load(Size::dword, r1, r1, 8).mov(r2, 0).mov(r3, frame).alu(Alu::add, r3, -16);
        b.call(Kfunc::dynptr_from_skb);
        b.mov(r1, frame).alu(Alu::add, r1, -16).mov(r2, offset);
        b.mov(r3, frame).alu(Alu::add, r3, -24).mov(r4, 4).call(Kfunc::dynptr_slice);
        b.jump(Cond::eq, r0, 0, absent).load(Size::word, r0, r0, 0).exit();
        b.bind(absent).mov(r0, 1).exit();
    };
    expect(
        0xa7a6'a5a4, Hook::netfilter_input, [&](Builder& b) { slice(b, 36); }, "a slice");
    expect(
        1, Hook::netfilter_input, [&](Builder& b) { slice(b, 37); }, "a slice, one byte too late");
    expect(
        40, Hook::netfilter_input,
        [](Builder& b) {
            b.load(Size::dword, r1, r1, 8).mov(r2, 0).mov(r3, frame).alu(Alu::add, r3, -16);
            b.call(Kfunc::dynptr_from_skb).mov(r1, frame).alu(Alu::add, r1, -16);
            b.call(Kfunc::dynptr_size).exit();
        },
        "the size of a dynptr");
    // The protocol is in the order of the wire.
    expect(
        0xa888'6007, Hook::xdp,
        [](Builder& b) {
            b.store(Size::half, frame, -8, 0).store(Size::half, frame, -4, 0);
            b.mov(r2, frame).alu(Alu::add, r2, -8).mov(r3, frame).alu(Alu::add, r3, -4);
            b.call(Kfunc::xdp_vlan_tag).load(Size::half, r0, frame, -8).alu(Alu::lsh, r0, 16);
            b.load(Size::half, r2, frame, -4).alu(Alu::or_, r0, r2).exit();
        },
        "the tag that a driver has taken out");
}

TEST_F(Conformance, Arithmetic) { arithmetic(); }
TEST_F(Conformance, Jumps) { jumps(); }
TEST_F(Conformance, Memory) { memory(); }
TEST_F(Conformance, TheKernelsLoads) { packets(); }
TEST_F(Conformance, Functions) { functions(); }

TEST_F(Conformance, TheTableHasWhatWeEmit) {
    arithmetic(), jumps(), memory(), packets(), functions();
    auto const all = test::corpus(TAMIS_SOURCE_ROOT);
    ASSERT_TRUE(all) << all.error();
    Seen emitted;
    for (test::CorpusFilter filter : *all)
        for (auto const context : {frontend::Context::dead, frontend::Context::live}) {
            filter.options.context = context;
            auto const program = test::program_of(filter);
            if (!program) continue;
            for (HookRow const& hook : hooks()) {
                translator::Options options = defaults(hook.hook);
                if (find_action(hook, "redirect"))
                    options.match = {find_action(hook, "redirect"), 3};
                for (bool const perfmon : {false, true}) {
                    options.shape.no_perfmon = !perfmon;
                    options.shape.vlan_offload = translator::VlanOffload::metadata;
                    if (auto const made = translator::translate(*program, options))
                        note(*made, emitted);
                }
            }
        }
    EXPECT_GT(emitted.size(), 60U);
    for (auto const& [code, what] : emitted)
        EXPECT_TRUE(seen.contains({code, what})) << fmt::format("opcode {:#04x}, {}", code, what);
}

}  // namespace
}  // namespace tamis::verify
