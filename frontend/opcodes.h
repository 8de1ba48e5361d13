// The opcodes that code is made of, see the table in bpf/cbpf.cpp.
#pragma once

#include <cstdint>

#include "bpf/cbpf.h"

namespace tamis::frontend::op {

constexpr std::uint16_t ld_imm = 0x00, ldx_imm = 0x01, ld_mem = 0x60, ldx_mem = 0x61, st = 0x02,
                        ld_len = 0x80, ldx_msh = 0xb1, tax = 0x07, txa = 0x87, neg = 0x84,
                        ja = 0x05, ret = 0x06;
constexpr std::uint16_t with_x = 0x08;
constexpr std::uint16_t width(unsigned size) { return size == 4 ? 0x00 : size == 2 ? 0x08 : 0x10; }
constexpr std::uint16_t ld_abs(unsigned size) { return 0x20 | width(size); }
constexpr std::uint16_t ld_ind(unsigned size) { return 0x40 | width(size); }
constexpr std::uint16_t alu(cbpf::Alu operation) {
    constexpr std::uint16_t codes[] = {0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x94, 0xa4};
    return codes[static_cast<std::size_t>(operation)];
}
constexpr std::uint16_t branch(cbpf::Cond cond) {
    constexpr std::uint16_t codes[] = {0x15, 0x25, 0x35, 0x45};
    return codes[static_cast<std::size_t>(cond)];
}

// Where a formula's variable is kept.
constexpr std::uint32_t word_of(std::uint8_t variable) {
    return cbpf::memory_words - 1U - variable;
}

}  // namespace tamis::frontend::op
