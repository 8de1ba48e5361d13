// What eBPF instructions compute, on values of one width (u32 or u64): division by zero has a
// result, shift counts are masked (the kernel's
// Documentation/bpf/standardization/instruction-set.rst).
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "bpf/ebpf.h"

namespace tamis::runtime::arithmetic {

using ebpf::Alu;
using ebpf::Class;
using ebpf::Cond;
using ebpf::Insn;

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

template <class T>
using Signed = std::make_signed_t<T>;

template <class T>
constexpr T signed_div(T a, T b) {
    if (b == 0) return 0;
    if (b == static_cast<T>(-1)) return T{0} - a;  // the smallest number stays what it is
    return static_cast<T>(static_cast<Signed<T>>(a) / static_cast<Signed<T>>(b));
}

template <class T>
constexpr T signed_mod(T a, T b) {
    if (b == 0) return a;
    if (b == static_cast<T>(-1)) return 0;
    return static_cast<T>(static_cast<Signed<T>>(a) % static_cast<Signed<T>>(b));
}

template <class T>
constexpr T compute(Alu op, bool is_signed, T a, T b) {
    T const shift = b & (std::numeric_limits<T>::digits - 1);
    switch (op) {
        case Alu::add:
            return a + b;
        case Alu::sub:
            return a - b;
        case Alu::mul:
            return a * b;
        case Alu::div:
            return is_signed ? signed_div(a, b) : b == 0 ? 0 : a / b;
        case Alu::mod:
            return is_signed ? signed_mod(a, b) : b == 0 ? a : a % b;
        case Alu::or_:
            return a | b;
        case Alu::and_:
            return a & b;
        case Alu::xor_:
            return a ^ b;
        case Alu::lsh:
            return a << shift;
        case Alu::rsh:
            return a >> shift;
        case Alu::arsh:
            return static_cast<T>(static_cast<Signed<T>>(a) >> shift);
        case Alu::mov:
            return b;
        case Alu::neg:
            return T{0} - a;
        case Alu::end:
            break;  // has a form of its own
    }
    return a;
}

template <class T>
constexpr bool holds(Cond cond, T a, T b) {
    auto const sa = static_cast<Signed<T>>(a), sb = static_cast<Signed<T>>(b);
    switch (cond) {
        case Cond::eq:
            return a == b;
        case Cond::ne:
            return a != b;
        case Cond::gt:
            return a > b;
        case Cond::ge:
            return a >= b;
        case Cond::lt:
            return a < b;
        case Cond::le:
            return a <= b;
        case Cond::set:
            return (a & b) != 0;
        case Cond::sgt:
            return sa > sb;
        case Cond::sge:
            return sa >= sb;
        case Cond::slt:
            return sa < sb;
        case Cond::sle:
            return sa <= sb;
    }
    return false;
}

constexpr u64 sign_extend(u64 value, unsigned bits) {
    unsigned const above = 64 - bits;
    return static_cast<u64>(static_cast<s64>(value << above) >> above);
}

constexpr u64 zero_extend(u64 value, unsigned bits) {
    return bits == 64 ? value : value & ((u64{1} << bits) - 1);
}

// The low `bits` with their bytes in the opposite order.
constexpr u64 swap_bytes(u64 value, unsigned bits) {
    u64 out = 0;
    for (unsigned i = 0; i < bits; i += 8) out = out << 8 | ((value >> i) & 0xff);
    return out;
}

// The kernel runs on little-endian machines here, so `be` swaps and `le` only cuts.
constexpr u64 byte_order(Insn const& insn, u64 value) {
    auto const bits = static_cast<unsigned>(insn.imm);
    bool const swap = class_of(insn) == Class::alu64 || source_is_reg(insn);
    return swap ? swap_bytes(value, bits) : zero_extend(value, bits);
}

}  // namespace tamis::runtime::arithmetic
