// The kernel form's symbols: their numbers, and its text with their names.
#include <iterator>

#include <fmt/core.h>

#include "bpf/ebpf_text.h"
#include "translator/kernel_form.h"

namespace tamis::translator {
namespace {

// clang-format off
constexpr SymbolRow table[] = {
    {Symbol::none,          SymbolKind::none,         ""},
    {Symbol::len,           SymbolKind::skb_field,    "len"},
    {Symbol::data_len,      SymbolKind::skb_field,    "data_len"},
    {Symbol::data,          SymbolKind::skb_field,    "data"},
    {Symbol::protocol,      SymbolKind::skb_field,    "protocol"},
    {Symbol::pkt_type,      SymbolKind::skb_field,    "pkt_type"},
    {Symbol::dev,           SymbolKind::skb_field,    "dev"},
    {Symbol::mark,          SymbolKind::skb_field,    "mark"},
    {Symbol::hash,          SymbolKind::skb_field,    "hash"},
    {Symbol::queue_mapping, SymbolKind::skb_field,    "queue_mapping"},
    {Symbol::vlan_tci,      SymbolKind::skb_field,    "vlan_tci"},
    {Symbol::vlan_proto,    SymbolKind::skb_field,    "vlan_proto"},
    {Symbol::vlan_all,      SymbolKind::skb_field,    "vlan_all"},
    {Symbol::vlan_present,  SymbolKind::skb_field,    "vlan_present"},
    {Symbol::ifindex,       SymbolKind::device_field, "ifindex"},
    {Symbol::type,          SymbolKind::device_field, "type"},
    {Symbol::load_8,        SymbolKind::function,     "bpf_skb_load_helper_8"},
    {Symbol::load_16,       SymbolKind::function,     "bpf_skb_load_helper_16"},
    {Symbol::load_32,       SymbolKind::function,     "bpf_skb_load_helper_32"},
    {Symbol::pay_offset,    SymbolKind::function,     "bpf_skb_get_pay_offset"},
    {Symbol::nlattr,        SymbolKind::function,     "bpf_skb_get_nlattr"},
    {Symbol::nlattr_nest,   SymbolKind::function,     "bpf_skb_get_nlattr_nest"},
    {Symbol::cpu_id,        SymbolKind::function,     "bpf_get_raw_cpu_id"},
    {Symbol::random,        SymbolKind::function,     "bpf_user_rnd_u32"},
};
// clang-format on

constexpr bool in_order() {
    for (std::size_t i = 0; i < std::size(table); ++i)
        if (table[i].symbol != static_cast<Symbol>(i)) return false;
    return std::size(table) == symbol_count;
}
static_assert(in_order(), "row(symbol) is an index");

}  // namespace

std::span<SymbolRow const> symbols() { return table; }

SymbolRow const& row(Symbol symbol) { return table[static_cast<std::size_t>(symbol)]; }

Result<std::vector<ebpf::Insn>> bind(KernelProgram const& program, Layout const& layout) {
    std::vector<ebpf::Insn> insns = program.insns;
    for (std::size_t i = 0; i < insns.size(); ++i) {
        if (program.symbols[i] == Symbol::none) continue;
        SymbolRow const& symbol = row(program.symbols[i]);
        std::optional<std::int32_t> const value = layout[symbol.symbol];
        if (!value)
            return fail({.message = "this kernel has no '" + std::string(symbol.name) + "'",
                         .span = {},
                         .notes = {},
                         .fault = Fault::system});
        if (symbol.kind == SymbolKind::function)
            insns[i].imm = *value;
        else
            insns[i].off = static_cast<std::int16_t>(*value);
    }
    return insns;
}

std::string disassemble(KernelProgram const& program, std::size_t index) {
    ebpf::Insn const& insn = program.insns[index];
    SymbolRow const& symbol = row(program.symbols[index]);
    auto const field = [&](std::string_view base) {
        return fmt::format("r{} = *(u{} *)({} + {})", unsigned{insn.dst},
                           8 * ebpf::bytes(ebpf::size_of(insn)), base, symbol.name);
    };
    switch (symbol.kind) {
        case SymbolKind::none:
            return ebpf::disassemble({&insn, 1});
        case SymbolKind::skb_field:
            return field("skb");
        case SymbolKind::device_field:
            return field("dev");
        case SymbolKind::function:
            return fmt::format("call {}", symbol.name);
    }
    return "";
}

std::string listing(KernelProgram const& program) {
    std::string out;
    for (std::size_t i = 0; i < program.insns.size(); ++i)
        out +=
            fmt::format("{:4}: ({:02x}) {}\n", i, program.insns[i].code, disassemble(program, i));
    return out;
}

}  // namespace tamis::translator
