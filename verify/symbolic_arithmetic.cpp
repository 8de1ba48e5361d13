// Arithmetic and comparisons of eBPF on values that are not known.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "bpf/ebpf_text.h"
#include "verify/symbolic_machine.h"

namespace tamis::verify::symbolic {

using namespace ebpf;

// The lowest bytes in the opposite order.
Term Machine::swapped(Term value, unsigned bytes) {
    Term out = t_.extract(value, 0, 8);
    for (unsigned i = 1; i < bytes; ++i) out = t_.concat(out, t_.extract(value, 8 * i, 8));
    return out;
}

Value Machine::operand(Insn const& insn) {
    return source_is_reg(insn) ? read(insn.src) : scalar(number(static_cast<u64>(s64{insn.imm})));
}

void Machine::alu(Insn const& insn) {
    bool const wide = class_of(insn) == Class::alu64;
    auto const op = static_cast<Alu>(op_of(insn));
    if (op == Alu::end) return write(insn.dst, scalar(byte_order(insn)));
    Value b = operand(insn);
    if (op == Alu::mov && insn.off == 1) return refuse("there are no address spaces here");
    if (op == Alu::mov && insn.off != 0)
        b = scalar(t_.sext(t_.low(read_scalar(insn.src), static_cast<unsigned>(insn.off)), 64));
    if (op == Alu::mov && wide) return write(insn.dst, b);
    Value const a = op == Alu::mov ? scalar(number(0)) : read(insn.dst);
    bool const numbers = a.type == Type::scalar && b.type == Type::scalar;
    if (!numbers && wide) return write(insn.dst, pointer_arithmetic(op, a, b));
    if (!numbers) return refuse("32-bit arithmetic with a pointer");
    unsigned const width = wide ? 64 : 32;
    Term const result = compute(op, insn.off == 1, t_.low(a.term, width), t_.low(b.term, width));
    write(insn.dst, scalar(t_.zext(result, 64)));
}

Value Machine::pointer_arithmetic(Alu op, Value const& a, Value const& b) {
    if (op == Alu::sub) {
        if (a.type == Type::packet && b.type == Type::packet) return scalar(t_.sub(a.term, b.term));
        if (a.type == Type::packet_end && b.type == Type::packet)
            return scalar(t_.sub(t_.zext(packet_.linear(), 64), b.term));
        if (a.type == Type::packet && b.type == Type::packet_end)
            return scalar(t_.sub(a.term, t_.zext(packet_.linear(), 64)));
    }
    bool const added = op == Alu::add || op == Alu::sub;
    bool const left = a.type != Type::scalar;
    Value pointer = left ? a : b;
    Value const& distance = left ? b : a;
    if (!added || distance.type != Type::scalar || (!left && op == Alu::sub)) {
        refuse("this arithmetic with a pointer means nothing");
        return pointer;
    }
    if (pointer.type == Type::packet) {
        pointer.term = op == Alu::add ? t_.add(pointer.term, distance.term)
                                      : t_.sub(pointer.term, distance.term);
        return pointer;
    }
    bool const movable = pointer.type == Type::frame || pointer.type == Type::map_value ||
                         pointer.type == Type::context;
    if (!movable || !t_.is_constant(distance.term)) {
        refuse("this pointer can only be moved by a constant");
        return pointer;
    }
    auto const by = static_cast<s64>(t_[distance.term].value);
    if (by > 1 << 20 || by < -(1 << 20)) refuse("the pointer is moved too far");
    pointer.offset += static_cast<s32>(op == Alu::add ? by : -by);
    return pointer;
}

Term Machine::compute(Alu op, bool is_signed, Term a, Term b) {
    unsigned const width = t_.width(a);
    Term const zero = t_.constant(0, width);
    Term const count = t_.and_(b, t_.constant(width - 1, width));
    switch (op) {
        case Alu::add:
            return t_.add(a, b);
        case Alu::sub:
            return t_.sub(a, b);
        case Alu::mul:
            return t_.binary(Op::mul, a, b);
        case Alu::div:  // by zero: 0
            return t_.ite(t_.eq(b, zero), zero, t_.binary(is_signed ? Op::sdiv : Op::udiv, a, b));
        case Alu::mod:  // by zero: the dividend, as in SMT-LIB
            return t_.binary(is_signed ? Op::srem : Op::urem, a, b);
        case Alu::or_:
            return t_.or_(a, b);
        case Alu::and_:
            return t_.and_(a, b);
        case Alu::lsh:
            return t_.binary(Op::shl, a, count);
        case Alu::rsh:
            return t_.binary(Op::lshr, a, count);
        case Alu::arsh:
            return t_.binary(Op::ashr, a, count);
        case Alu::neg:
            return t_.sub(zero, a);
        case Alu::xor_:
            return t_.xor_(a, b);
        case Alu::mov:
            return b;
        case Alu::end:
            break;  // has a form of its own
    }
    return a;
}

// The machine is little-endian: `be` swaps and `le` only cuts.
Term Machine::byte_order(Insn const& insn) {
    auto const bits = static_cast<unsigned>(insn.imm);
    Term const value = t_.low(read_scalar(insn.dst), bits);
    bool const swap = class_of(insn) == Class::alu64 || source_is_reg(insn);
    return t_.zext(swap ? swapped(value, bits / 8) : value, 64);
}

Term Machine::holds(Cond cond, Term a, Term b) {
    switch (cond) {
        case Cond::eq:
            return t_.eq(a, b);
        case Cond::ne:
            return t_.not_(t_.eq(a, b));
        case Cond::gt:
            return t_.ult(b, a);
        case Cond::ge:
            return t_.ule(b, a);
        case Cond::lt:
            return t_.ult(a, b);
        case Cond::le:
            return t_.ule(a, b);
        case Cond::set:
            return t_.not_(t_.eq(t_.and_(a, b), t_.constant(0, t_.width(a))));
        case Cond::sgt:
            return t_.slt(b, a);
        case Cond::sge:
            return t_.not_(t_.slt(a, b));
        case Cond::slt:
            return t_.slt(a, b);
        case Cond::sle:
            return t_.not_(t_.slt(b, a));
    }
    return t_.truth(false);
}

}  // namespace tamis::verify::symbolic
