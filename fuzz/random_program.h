// Bytes of a fuzzer as a classic program and a packet.
#pragma once

#include <cstdint>
#include <span>

#include "bpf/cbpf.h"
#include "bpf/cbpf_check.h"

namespace tamis::fuzz {

struct ProgramAndPacket {
    cbpf::Program program;  // not checked
    std::span<std::uint8_t const> packet;
};

// The first byte says how many instructions follow, 8 bytes each as in struct sock_filter, but that
// the opcode is a row of the table (most numbers are no opcode) and, where it is a jump, that it
// stays inside the program.  The rest is the packet.
inline ProgramAndPacket program_and_packet(std::span<std::uint8_t const> bytes) {
    ProgramAndPacket out;
    if (bytes.empty()) return out;
    std::size_t const count = 1 + bytes[0] % 48U;
    bytes = bytes.subspan(1);
    while (out.program.insns.size() < count && bytes.size() >= 8) {
        cbpf::Op const& op = cbpf::ops()[bytes[0] % cbpf::ops().size()];
        std::size_t const rest = count - out.program.insns.size();
        auto const inside = [rest](std::uint32_t offset) {
            return static_cast<std::uint32_t>(offset % rest);
        };
        cbpf::Insn insn{op.code, bytes[2], bytes[3],
                        std::uint32_t{bytes[4]} | std::uint32_t{bytes[5]} << 8 |
                            std::uint32_t{bytes[6]} << 16 | std::uint32_t{bytes[7]} << 24};
        if (op.kind == cbpf::Kind::branch) {
            insn.jt = static_cast<std::uint8_t>(inside(insn.jt));
            insn.jf = static_cast<std::uint8_t>(inside(insn.jf));
        } else {
            insn.jt = insn.jf = 0;
        }
        if (op.kind == cbpf::Kind::jump) insn.k = inside(insn.k);
        out.program.insns.push_back(insn);
        bytes = bytes.subspan(8);
    }
    out.program.insns.push_back({0x16, 0, 0, 0});  // ret a
    out.program.origin.resize(out.program.insns.size());
    out.packet = bytes;
    return out;
}

}  // namespace tamis::fuzz
