// Classic BPF as data: the instruction, the program, and one row per opcode that says everything
// else about it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bpf/diagnostic.h"

namespace tamis::cbpf {

struct Insn {  // struct sock_filter, bit for bit
    std::uint16_t code = 0;
    std::uint8_t jt = 0, jf = 0;
    std::uint32_t k = 0;
    constexpr bool operator==(Insn const&) const = default;
};
static_assert(sizeof(Insn) == 8);

struct Program {
    std::vector<Insn> insns;
    std::vector<Span>
        origin;  // per instruction, the filter text it came from; empty when there is no text
};

// What an instruction does.  Translators and interpreters switch on this and on nothing else.
enum class Kind : std::uint8_t {
    load_imm,  // A|X = k
    load_abs,  // A = packet[k], or an ancillary value
    load_ind,  // A = packet[X + k]
    load_mem,  // A|X = M[k]
    load_len,  // A|X = length of the packet on the wire
    load_msh,  // X = 4 * (packet[k] & 15)
    store,     // M[k] = A|X
    alu,       // A = A op k|X
    neg,       // A = -A
    jump,      // pc += k
    branch,    // pc += A cond k|X ? jt : jf
    ret,       // return k|A
    copy,      // A = X or X = A
};
enum class Alu : std::uint8_t { add, sub, mul, div, or_, and_, lsh, rsh, mod, xor_ };
enum class Cond : std::uint8_t { eq, gt, ge, set };

// Machine state that an instruction reads or writes, as a bit set.
enum Regs : std::uint8_t { none = 0, A = 1, X = 2, M = 4 };

struct Op {
    std::uint16_t code;
    std::string_view name;      // "ldh"
    std::string_view operands;  // "[x + $k]"; $k, $t and $f stand for the fields, $x for k in hex
    Kind kind;
    std::uint8_t arg;                         // an Alu, a Cond or a size in bytes, by kind
    std::uint8_t reads, writes;               // Regs
    std::uint32_t k_max = ~std::uint32_t{0};  // largest k that bpf_check_classic takes
    Alu alu() const { return static_cast<Alu>(arg); }
    Cond cond() const { return static_cast<Cond>(arg); }
};

// The 49 opcodes (kernel: chk_code_allowed).
std::span<Op const> ops();
// The row of an opcode; null for one that classic BPF does not have.
Op const* find(std::uint16_t code);

inline constexpr unsigned memory_words = 16;           // M[0..15] (BPF_MEMWORDS)
inline constexpr std::size_t max_socket_insns = 4096;  // BPF_MAXINSNS

// Absolute loads from ancillary_base + number read socket-buffer metadata instead of packet bytes
// (SKF_AD_OFF).
inline constexpr std::uint32_t ancillary_base = 0xfffff000;
enum class Anc : std::uint8_t {
    protocol = 0,
    pkttype = 4,
    ifindex = 8,
    nlattr = 12,
    nlattr_nest = 16,
    mark = 20,
    queue = 24,
    hatype = 28,
    rxhash = 32,
    cpu = 36,
    alu_xor_x = 40,
    vlan_tag = 44,
    vlan_tag_present = 48,
    pay_offset = 52,
    random = 56,
    vlan_tpid = 60,
};
struct Ancillary {
    Anc number;                 // offset from ancillary_base
    std::string_view name;      // as tcpdump -d prints it
    std::string_view asm_name;  // as bpf_asm reads it, without the '#'
};
std::span<Ancillary const> ancillaries();
// The row that an absolute load of offset k reads; null when k is a packet offset.
Ancillary const* find_ancillary(std::uint32_t k);

// Offsets from here up, relative to the network and the link header (kernel: SKF_NET_OFF,
// SKF_LL_OFF).
inline constexpr std::uint32_t network_base = 0xfff00000;
inline constexpr std::uint32_t link_base = 0xffe00000;

// Where control may go on, as absolute indices: to the next instruction, where that neither jumps
// nor branches.  A return has nothing behind it.
struct Targets {
    std::size_t taken, fallen;
};
constexpr Targets targets(Insn const& insn, std::size_t pc, Kind kind) {
    if (kind == Kind::jump) return {pc + 1 + insn.k, pc + 1 + insn.k};
    if (kind != Kind::branch) return {pc + 1, pc + 1};
    return {pc + 1 + insn.jt, pc + 1 + insn.jf};
}

}  // namespace tamis::cbpf
