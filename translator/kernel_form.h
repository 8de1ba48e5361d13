// The kernel form: the instructions that Linux itself makes of a classic program, bit for bit
// (bpf_convert_filter in net/core/filter.c).  Numbers that differ from build to build stay symbols
// until bind().  It explains and it is compared; loaded it cannot be.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/result.h"

namespace tamis::translator {

// What one kernel's translation depends on, beside the program.
struct KernelModel {
    // How skb_vlan_tag_present() is asked: from 6.2 on by the word vlan_all, before that by a bit
    // of its own.
    enum class VlanPresent : std::uint8_t { word, bit };
    // Which constant loads read the packet directly.  Where the machine minds alignment, kernels up
    // to 7.0 had the test's parentheses wrong, which left offset 0 only (fixed in e5f635edd393).
    enum class Alignment : std::uint8_t { any, offset_zero, aligned };
    // bpf_check_classic alone, or with seccomp_check_filter behind it.
    enum class Use : std::uint8_t { packets, seccomp };

    VlanPresent vlan_present = VlanPresent::word;
    std::uint8_t vlan_present_bit = 0;  // its number in its byte, counted from the lowest
    Alignment alignment = Alignment::any;
    std::uint8_t ip_align = 2;  // NET_IP_ALIGN, where alignment matters
    bool big_endian = false;    // bit-fields begin at the other end
    Use use = Use::packets;
    // Bytes that a socket's options may take (net.core.optmem_max), and those of a program before
    // its first instruction; 0: no limit.
    std::uint64_t optmem_max = 0;
    std::uint32_t program_header = 96;

    bool operator==(KernelModel const&) const = default;
};

// A number that only a running kernel has: the offset of a field, or a function's address relative
// to __bpf_call_base.
enum class Symbol : std::uint8_t {
    none,
    len,
    data_len,
    data,
    protocol,
    pkt_type,
    dev,
    mark,
    hash,
    queue_mapping,
    vlan_tci,
    vlan_proto,
    vlan_all,
    vlan_present,
    ifindex,
    type,
    load_8,
    load_16,
    load_32,
    pay_offset,
    nlattr,
    nlattr_nest,
    cpu_id,
    random,
};
enum class SymbolKind : std::uint8_t { none, skb_field, device_field, function };
struct SymbolRow {
    Symbol symbol;
    SymbolKind kind;
    std::string_view name;  // the field's or the function's
};
inline constexpr std::size_t symbol_count = static_cast<std::size_t>(Symbol::random) + 1;
std::span<SymbolRow const> symbols();  // row i is the symbol i
SymbolRow const& row(Symbol symbol);

// The numbers of one kernel; none for what it does not have.
struct Layout {
    std::array<std::optional<std::int32_t>, symbol_count> numbers;
    std::optional<std::int32_t>& operator[](Symbol s) {
        return numbers[static_cast<std::size_t>(s)];
    }
    std::optional<std::int32_t> operator[](Symbol s) const {
        return numbers[static_cast<std::size_t>(s)];
    }
};

struct KernelProgram {
    std::vector<ebpf::Insn> insns;     // 0 where a symbol's number goes
    std::vector<ebpf::Origin> origin;  // same size; no classic instruction for the prologue
    std::vector<Symbol> symbols;       // same size
    std::uint32_t stack_depth = 0;     // bytes, as in bpf_prog_aux
};

// Why the kernel refuses a program: the error number, the instruction (the program's size when the
// fault is about all of it) and the rule.
struct KernelRefusal {
    int error = 0;  // EINVAL or ENOMEM
    std::size_t index = 0;
    std::string rule;
};

// The kernel's translation, or its refusal.  The order of the rules is the kernel's.
tl::expected<KernelProgram, KernelRefusal> kernel_form(cbpf::Program const& program,
                                                       KernelModel const& model);
// The refusal with the text that its instruction came from.  Refused by a system it is
// Fault::system; it is about the user's program all the same.
Diagnostic describe(KernelRefusal const& refusal, cbpf::Program const& program);

// The instructions with the kernel's numbers in place.  Fails, as the system's fault, when the
// program uses a symbol that the layout lacks.
Result<std::vector<ebpf::Insn>> bind(KernelProgram const& program, Layout const& layout);

// One instruction in the kernel's words, symbols by name: `r0 = *(u32 *)(skb + len)`, `call
// bpf_skb_load_helper_16`.
std::string disassemble(KernelProgram const& program, std::size_t index);
// The whole program, numbered as every other listing.
std::string listing(KernelProgram const& program);

}  // namespace tamis::translator
