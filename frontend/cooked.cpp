// The fields of the cooked headers are those of pcap-linktype(7); what the kernel says instead is
// in linux/filter.h.
#include "frontend/cooked.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include <fmt/core.h>

#include "bpf/link_types.h"

namespace tamis::frontend {
namespace {

struct Known {
    int link_type;
    std::uint8_t offset, size;
    cbpf::Anc where;
};
constexpr Known known[] = {
    {dlt_sll, 0, 2, cbpf::Anc::pkttype},   {dlt_sll, 14, 2, cbpf::Anc::protocol},
    {dlt_sll2, 0, 2, cbpf::Anc::protocol}, {dlt_sll2, 4, 4, cbpf::Anc::ifindex},
    {dlt_sll2, 10, 1, cbpf::Anc::pkttype},
};
constexpr std::uint32_t sll_header = 16, sll2_header = 20;

Known const* find(int link_type, cbpf::Insn const& insn, cbpf::Op const& op) {
    if (op.kind != cbpf::Kind::load_abs) return nullptr;
    auto const* const at = std::find_if(std::begin(known), std::end(known), [&](Known const& row) {
        return row.link_type == link_type && row.offset == insn.k && row.size == op.arg;
    });
    return at == std::end(known) ? nullptr : at;
}

bool reads_packet(cbpf::Kind kind) {
    return kind == cbpf::Kind::load_abs || kind == cbpf::Kind::load_ind ||
           kind == cbpf::Kind::load_msh;
}

}  // namespace

Result<cbpf::Program> for_cooked_socket(cbpf::Program program, int link_type) {
    if (link_type != dlt_sll && link_type != dlt_sll2) return program;
    std::uint32_t const header = link_type == dlt_sll ? sll_header : sll2_header;
    for (std::size_t i = 0; i < program.insns.size(); ++i) {
        cbpf::Insn& insn = program.insns[i];
        cbpf::Op const* const op = cbpf::find(insn.code);
        if (op == nullptr || !reads_packet(op->kind)) continue;
        if (op->kind == cbpf::Kind::load_abs && cbpf::find_ancillary(insn.k) != nullptr) continue;
        if (insn.k >= header) {
            insn.k -= header;
        } else if (Known const* const row = find(link_type, insn, *op)) {
            insn.k = cbpf::ancillary_base + static_cast<std::uint32_t>(row->where);
        } else {
            std::optional<Span> span;
            if (i < program.origin.size()) span = program.origin[i];
            return fail(
                {fmt::format("byte {} of the cooked header is not known on a live socket", insn.k),
                 span,
                 {{"the kernel makes that header for captures only", std::nullopt}}});
        }
    }
    return program;
}

}  // namespace tamis::frontend
