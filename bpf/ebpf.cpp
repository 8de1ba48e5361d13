// The extended instruction set of kernel 6.18 (ISA v4): its tables, what counts as an instruction,
// and the bytes they are stored as.  The rules are those that kernel/bpf/verifier.c answers with
// "unknown opcode", "uses reserved fields" and their kin.
#include "bpf/ebpf.h"

#include <algorithm>
#include <iterator>

#include <fmt/core.h>

namespace tamis::ebpf {
namespace {

constexpr std::uint8_t u(auto e) { return static_cast<std::uint8_t>(e); }

// clang-format off
constexpr AluOp alu_table[] = {
    {Alu::add,  "+=",   ""},
    {Alu::sub,  "-=",   ""},
    {Alu::mul,  "*=",   ""},
    {Alu::div,  "/=",   "s/="},
    {Alu::or_,  "|=",   ""},
    {Alu::and_, "&=",   ""},
    {Alu::lsh,  "<<=",  ""},
    {Alu::rsh,  ">>=",  ""},
    {Alu::mod,  "%=",   "s%="},
    {Alu::xor_, "^=",   ""},
    {Alu::mov,  "=",    ""},
    {Alu::arsh, "s>>=", ""},
};

constexpr JumpOp jump_table[] = {
    {Cond::eq,  "=="},
    {Cond::gt,  ">"},
    {Cond::ge,  ">="},
    {Cond::set, "&"},
    {Cond::ne,  "!="},
    {Cond::sgt, "s>"},
    {Cond::sge, "s>="},
    {Cond::lt,  "<"},
    {Cond::le,  "<="},
    {Cond::slt, "s<"},
    {Cond::sle, "s<="},
};

constexpr AtomicOp atomic_table[] = {
    {Atomic::add,           "lock *({size} *)({dst} {off}) += {src}",                 false},
    {Atomic::or_,           "lock *({size} *)({dst} {off}) |= {src}",                 false},
    {Atomic::and_,          "lock *({size} *)({dst} {off}) &= {src}",                 false},
    {Atomic::xor_,          "lock *({size} *)({dst} {off}) ^= {src}",                 false},
    {Atomic::fetch_add,     "{src} = atomic{width}_fetch_add(({size} *)({dst} {off}), {src})", false},
    {Atomic::fetch_or,      "{src} = atomic{width}_fetch_or(({size} *)({dst} {off}), {src})",  false},
    {Atomic::fetch_and,     "{src} = atomic{width}_fetch_and(({size} *)({dst} {off}), {src})", false},
    {Atomic::fetch_xor,     "{src} = atomic{width}_fetch_xor(({size} *)({dst} {off}), {src})", false},
    {Atomic::xchg,          "{src} = atomic{width}_xchg(({size} *)({dst} {off}), {src})",      false},
    {Atomic::cmpxchg,       "r0 = atomic{width}_cmpxchg(({size} *)({dst} {off}), r0, {src})",  false},
    {Atomic::load_acquire,  "{dst} = load_acquire(({size} *)({src} {off}))",          true},
    {Atomic::store_release, "store_release(({size} *)({dst} {off}), {src})",          true},
};
// clang-format on

template <class Row, class Op>
Row const* find(std::span<Row const> rows, Op op) {
    auto const at =
        std::find_if(rows.begin(), rows.end(), [&](Row const& r) { return r.op == op; });
    return at == rows.end() ? nullptr : &*at;
}

bool zero_operands(Insn const& insn) { return insn.dst == 0 && insn.src == 0; }

// The register operand excludes the immediate and the other way round.
bool one_operand(Insn const& insn) { return source_is_reg(insn) ? insn.imm == 0 : insn.src == 0; }

bool known_end(Insn const& insn) {
    bool const width = insn.imm == 16 || insn.imm == 32 || insn.imm == 64;
    bool const bswap = class_of(insn) == Class::alu64;  // which has no byte order to choose
    return insn.src == 0 && insn.off == 0 && width && !(bswap && source_is_reg(insn));
}

bool known_mov(Insn const& insn) {
    if (!source_is_reg(insn)) return insn.src == 0 && insn.off == 0;
    bool const wide = class_of(insn) == Class::alu64;
    if (wide && insn.off == 1) return insn.imm == 1 || insn.imm == 1 << 16;  // address space cast
    bool const width = insn.off == 0 || insn.off == 8 || insn.off == 16 || (wide && insn.off == 32);
    return width && insn.imm == 0;
}

bool known_alu(Insn const& insn) {
    if (op_of(insn) == u(Alu::end)) return known_end(insn);
    if (op_of(insn) == u(Alu::neg))
        return !source_is_reg(insn) && insn.src == 0 && insn.off == 0 && insn.imm == 0;
    if (op_of(insn) == u(Alu::mov)) return known_mov(insn);
    AluOp const* op = find_alu(insn.code);
    bool const has_sign = op != nullptr && !op->sign_name.empty();
    return op != nullptr && one_operand(insn) && (insn.off == 0 || (insn.off == 1 && has_sign));
}

bool known_call(Insn const& insn) {
    return !source_is_reg(insn) && insn.dst == 0 && insn.src <= u(Callee::kfunc) &&
           (insn.src == u(Callee::kfunc) || insn.off == 0);
}

bool known_jump(Insn const& insn) {
    bool const wide = class_of(insn) == Class::jmp;
    switch (static_cast<Jump>(op_of(insn))) {
        case Jump::ja:  // JMP jumps by off, JMP32 by imm
            return !source_is_reg(insn) && zero_operands(insn) &&
                   (wide ? insn.imm == 0 : insn.off == 0);
        case Jump::call:
            return wide && known_call(insn);
        case Jump::exit:
        case Jump::may_goto:
            return wide && !source_is_reg(insn) && zero_operands(insn) && insn.imm == 0;
    }
    return find_jump(insn.code) != nullptr && one_operand(insn);
}

bool known_imm64(std::span<Insn const> insns) {
    Insn const& first = insns[0];
    if (first.off != 0 || insns.size() < 2) return false;
    Insn const& second = insns[1];
    if (second.code != 0 || !zero_operands(second) || second.off != 0) return false;
    switch (static_cast<Pseudo>(first.src)) {
        case Pseudo::none:
        case Pseudo::map_value:
        case Pseudo::btf_id:
        case Pseudo::func:
        case Pseudo::map_index_value:
            return true;
        case Pseudo::map_fd:
        case Pseudo::map_index:
            return second.imm == 0;
    }
    return false;
}

bool known_ld(std::span<Insn const> insns) {
    Insn const& insn = insns[0];
    if (is_ld_imm64(insn)) return known_imm64(insns);
    bool const indirect = mode_of(insn) == Mode::ind;
    return (indirect || mode_of(insn) == Mode::abs) && size_of(insn) != Size::dword &&
           insn.dst == 0 && insn.off == 0 && (indirect || insn.src == 0);
}

bool known_atomic(Insn const& insn) {
    AtomicOp const* op = find_atomic(insn.imm);
    return op != nullptr && (op->any_size || bytes(size_of(insn)) >= 4);
}

}  // namespace

std::span<AluOp const> alu_ops() { return alu_table; }
std::span<JumpOp const> jump_ops() { return jump_table; }
std::span<AtomicOp const> atomic_ops() { return atomic_table; }

AluOp const* find_alu(std::uint8_t code) { return find(alu_ops(), static_cast<Alu>(code & 0xf0)); }
JumpOp const* find_jump(std::uint8_t code) {
    return find(jump_ops(), static_cast<Cond>(code & 0xf0));
}
AtomicOp const* find_atomic(std::int32_t imm) {
    return find(atomic_ops(), static_cast<Atomic>(imm));
}

std::string_view name_of(Kfunc function) {
    switch (function) {
        case Kfunc::dynptr_from_skb:
            return "bpf_dynptr_from_skb";
        case Kfunc::dynptr_slice:
            return "bpf_dynptr_slice";
        case Kfunc::dynptr_size:
            return "bpf_dynptr_size";
        case Kfunc::xdp_vlan_tag:
            return "bpf_xdp_metadata_rx_vlan_tag";
    }
    return {};
}

bool known(std::span<Insn const> insns) {
    if (insns.empty()) return false;
    Insn const& insn = insns[0];
    if (insn.dst > u(Reg::r10) || insn.src > u(Reg::r10)) return false;
    switch (class_of(insn)) {
        case Class::ld:
            return known_ld(insns);
        case Class::ldx:
            return insn.imm == 0 && (mode_of(insn) == Mode::mem || (mode_of(insn) == Mode::memsx &&
                                                                    size_of(insn) != Size::dword));
        case Class::st:
            return mode_of(insn) == Mode::mem && insn.src == 0;
        case Class::stx:
            return mode_of(insn) == Mode::atomic ? known_atomic(insn)
                                                 : mode_of(insn) == Mode::mem && insn.imm == 0;
        case Class::jmp:
        case Class::jmp32:
            return known_jump(insn);
        case Class::alu:
        case Class::alu64:
            return known_alu(insn);
    }
    return false;
}

std::vector<std::uint8_t> encode(std::span<Insn const> insns) {
    std::vector<std::uint8_t> out;
    out.reserve(8 * insns.size());
    auto const put = [&](std::uint32_t value, unsigned size) {
        for (unsigned i = 0; i < size; ++i)
            out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    };
    for (Insn const& insn : insns) {
        put(insn.code, 1);
        put(insn.dst | static_cast<unsigned>(insn.src) << 4, 1);
        put(static_cast<std::uint16_t>(insn.off), 2);
        put(static_cast<std::uint32_t>(insn.imm), 4);
    }
    return out;
}

Result<std::vector<Insn>> decode(std::span<std::uint8_t const> bytes) {
    if (bytes.size() % 8 != 0)
        return fail({fmt::format("'{}' bytes are no whole number of instructions, which have 8",
                                 bytes.size()),
                     std::nullopt,
                     {}});
    std::vector<Insn> insns;
    insns.reserve(bytes.size() / 8);
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        auto const get = [&](std::size_t i, unsigned size) {
            std::uint32_t value = 0;
            while (size-- > 0) value = value << 8 | bytes[at + i + size];
            return value;
        };
        insns.push_back(make_insn(bytes[at], bytes[at + 1], bytes[at + 1] >> 4,
                                  static_cast<std::int16_t>(get(2, 2)),
                                  static_cast<std::int32_t>(get(4, 4))));
    }
    for (std::size_t i = 0; i < insns.size(); ++i) {
        if (!known(std::span(insns).subspan(i)))
            return fail({fmt::format("instruction {} with opcode '0x{:02x}' is none that kernel "
                                     "6.18 has, or has reserved fields that are not zero",
                                     i, insns[i].code),
                         std::nullopt,
                         {}});
        if (is_ld_imm64(insns[i])) ++i;
    }
    return insns;
}

}  // namespace tamis::ebpf
