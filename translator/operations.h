// Operations that classic and extended BPF share, by their names on either side.
#pragma once

#include <cstdint>
#include <optional>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"

namespace tamis::translator {

constexpr ebpf::Alu alu_of(cbpf::Alu op) {
    switch (op) {
        case cbpf::Alu::add:
            return ebpf::Alu::add;
        case cbpf::Alu::sub:
            return ebpf::Alu::sub;
        case cbpf::Alu::mul:
            return ebpf::Alu::mul;
        case cbpf::Alu::div:
            return ebpf::Alu::div;
        case cbpf::Alu::or_:
            return ebpf::Alu::or_;
        case cbpf::Alu::and_:
            return ebpf::Alu::and_;
        case cbpf::Alu::lsh:
            return ebpf::Alu::lsh;
        case cbpf::Alu::rsh:
            return ebpf::Alu::rsh;
        case cbpf::Alu::mod:
            return ebpf::Alu::mod;
        case cbpf::Alu::xor_:
            return ebpf::Alu::xor_;
    }
    return ebpf::Alu::add;
}

constexpr ebpf::Cond cond_of(cbpf::Cond cond) {
    switch (cond) {
        case cbpf::Cond::eq:
            return ebpf::Cond::eq;
        case cbpf::Cond::gt:
            return ebpf::Cond::gt;
        case cbpf::Cond::ge:
            return ebpf::Cond::ge;
        case cbpf::Cond::set:
            return ebpf::Cond::set;
    }
    return ebpf::Cond::eq;
}

// The condition that holds exactly when `cond` does not; eBPF has none for a bit test.
constexpr std::optional<ebpf::Cond> inverse(cbpf::Cond cond) {
    switch (cond) {
        case cbpf::Cond::eq:
            return ebpf::Cond::ne;
        case cbpf::Cond::gt:
            return ebpf::Cond::le;
        case cbpf::Cond::ge:
            return ebpf::Cond::lt;
        case cbpf::Cond::set:
            return std::nullopt;
    }
    return std::nullopt;
}

constexpr std::int32_t as_imm(std::uint32_t k) { return static_cast<std::int32_t>(k); }

}  // namespace tamis::translator
