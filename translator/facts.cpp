#include "translator/facts.h"

#include <optional>

namespace tamis::translator {
namespace {

using cbpf::Anc;
using cbpf::Insn;
using cbpf::Kind;

Kind kind_of(Insn const& insn) { return cbpf::find(insn.code)->kind; }

std::uint64_t end_of(Insn const& insn) {
    return std::uint64_t{insn.k} + cbpf::find(insn.code)->arg;
}

}  // namespace

bool reads_packet(Insn const& insn) {
    Kind const kind = kind_of(insn);
    return kind == Kind::load_ind || kind == Kind::load_msh ||
           (kind == Kind::load_abs && !cbpf::find_ancillary(insn.k));
}

std::uint32_t reads(Insn const& insn, HookRow const& hook) {
    cbpf::Op const& op = *cbpf::find(insn.code);
    std::uint32_t out = ((op.reads & cbpf::A) != 0 ? state_a : 0) |
                        ((op.reads & cbpf::X) != 0 ? state_x : 0) |
                        (op.kind == Kind::load_mem ? state_cell(insn.k) : 0);
    if (may_return_a(insn, hook)) out |= state_a;
    if (op.kind == Kind::load_abs)
        if (cbpf::Ancillary const* anc = cbpf::find_ancillary(insn.k))
            if (anc->number == Anc::alu_xor_x) out |= state_a | state_x;
    return out;
}

bool may_return_a(Insn const& insn, HookRow const& hook) {
    if (kind_of(insn) != Kind::load_abs || hook.context != "__sk_buff") return false;
    cbpf::Ancillary const* const anc = cbpf::find_ancillary(insn.k);
    return anc && anc->number == Anc::ifindex;
}

std::uint32_t writes(Insn const& insn) {
    cbpf::Op const& op = *cbpf::find(insn.code);
    if (op.kind == Kind::store) return state_cell(insn.k);
    return ((op.writes & cbpf::A) != 0 ? state_a : 0) | ((op.writes & cbpf::X) != 0 ? state_x : 0);
}

bool copies_a(Insn const& insn) {
    Kind const kind = kind_of(insn);
    return (kind == Kind::copy || kind == Kind::store) && cbpf::find(insn.code)->reads == cbpf::A;
}

bool keeps_pointer(Insn const& insn, Facts const& facts) {
    return kind_of(insn) == Kind::load_ind && end_of(insn) <= max_reach &&
           facts.most_x + end_of(insn) <= max_pointer_reach;
}

bool only_pointers(HookRow const& hook, Shape const& shape) {
    return hook.access == Access::pointer && (hook.linear || shape.linear);
}

bool always_fails(HookRow const& hook, Shape const& shape, Insn const& insn) {
    if (only_pointers(hook, shape)) return end_of(insn) > max_pointer_reach;
    // bpf_xdp_load_bytes ends at 65,535; a direct form knows no headers to count from.
    return insn.k > (hook.context == "xdp_md" ? 0xffff : 0x7fffffff);
}

Knowledge find_facts(cbpf::Program const& program, HookRow const& hook, Shape const& shape) {
    Subject const subject{program, hook, shape};
    Knowledge known;
    known.facts.resize(program.insns.size());
    find_bounds(subject, known);
    find_constants(subject, known);
    find_needs(subject, known);
    find_live(subject, known);
    find_orders(subject, known);
    find_checks(subject, known);
    find_joins(subject, known);
    return known;
}

}  // namespace tamis::translator
