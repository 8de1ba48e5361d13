#include "translator/direct_plan.h"

#include <algorithm>

#include "translator/networks.h"
#include "translator/reloads.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using cbpf::Insn;
using cbpf::Kind;
using ebpf::Reg;

// With calls: what has to survive them lives in r6-r9.
constexpr Registers with_calls{Reg::r6, Reg::r7, Reg::r8, Reg::r2, Reg::r3,
                               Reg::r4, Reg::r5, Reg::r1, {}};
// Without: registers that a JIT need not save.  X is where the caller would have put something.
constexpr Registers without_calls{Reg::r1, Reg::r1, Reg::r0, Reg::r2, Reg::r3,
                                  Reg::r4, Reg::r5, Reg::r7, {}};
// What others have chosen, for a filter that is given the packet's bounds.
Registers given(BodyRegisters const& body) {
    auto const& s = body.scratch;
    return {body.data, body.result, s[0], body.data, body.data_end,
            s[1],      s[2],        s[3], {},        body.stack};
}

Kind kind_of(Insn const& insn) { return cbpf::find(insn.code)->kind; }

bool has(HookRow const& hook, Shape const& shape, Anc number) {
    bool const called = number == Anc::cpu || number == Anc::random;
    return number == Anc::alu_xor_x || (called && has_context(hook)) ||
           find_metadata(hook, number) || is_offloaded_tag(hook, shape, number);
}

Reordered prepared(cbpf::Program const& program) {
    Reordered out = rotate_tests(program);
    mask_networks(out.program);
    drop_reloads(out.program);
    return out;
}

bool returns_a(Insn const& insn) { return cbpf::find(insn.code)->reads == cbpf::A; }

}  // namespace

bool length_by_call(HookRow const& hook, Shape const& shape) {
    return hook.access == Access::dynptr ||
           (hook.fields.len < 0 && (!hook.linear || shape.no_perfmon));
}

bool is_offloaded_tag(HookRow const& hook, Shape const& shape, Anc number) {
    return has_context(hook) && hook.vlan == VlanTag::packet &&
           shape.vlan_offload == VlanOffload::metadata &&
           (number == Anc::vlan_tag || number == Anc::vlan_tag_present || number == Anc::vlan_tpid);
}

cbpf::Ancillary const* ancillary(Insn const& insn) {
    return kind_of(insn) == Kind::load_abs ? cbpf::find_ancillary(insn.k) : nullptr;
}

Plan::Plan(Builder& builder, cbpf::Program const& given_program, HookRow const& hook_row,
           Shape const& given_shape, Surroundings const& surroundings)
    : ordered_(prepared(given_program)),
      known_(find_facts(ordered_.program, hook_row, given_shape)),
      program(ordered_.program),
      insns(program.insns),
      hook(hook_row),
      shape(given_shape),
      around(surroundings),
      ends(around.ends),
      facts(known_.facts),
      x_is_pointer(known_.x_is_pointer),
      regs(choose_registers()),
      first_read(find_first_read()),
      keeps_data(wants_data(has_context(hook) && regs.context != regs.a)) {
    for (std::size_t i = 0; i < 2 * insns.size(); ++i) labels_.push_back(builder.label());
}

Result<void> Plan::refusal() const {
    for (std::size_t pc = 0; pc < insns.size(); ++pc) {
        cbpf::Ancillary const* anc = ancillary(insns[pc]);
        if (facts[pc].reached && anc && !has(hook, shape, anc->number))
            return no_such_metadata(program, pc, hook, *anc);
    }
    return {};
}

ebpf::Origin Plan::origin(std::size_t pc) const {
    return {ordered_.number[pc], program.origin.empty() ? Span{} : program.origin[pc]};
}

ebpf::Origin Plan::first_accept() const {
    for (std::size_t pc = 0; pc < insns.size(); ++pc)
        if (facts[pc].reached && kind_of(insns[pc]) == Kind::ret && facts[pc].needed == 0)
            return origin(pc);
    return {};
}

// ---- Registers

Registers Plan::choose_registers() const {
    auto const with_x_as_pointer = [&](Registers out) {
        if (x_is_pointer) out.x = out.checked_x;
        return out;
    };
    if (around.registers) return with_x_as_pointer(given(*around.registers));
    auto const reads_context = [&](Insn const& insn, Facts const&) {
        return ancillary(insn) || (kind_of(insn) == Kind::load_len &&
                                   (hook.fields.len >= 0 || length_by_call(hook, shape)));
    };
    bool const calls =
        around.needs_context ||
        std::any_of(facts.begin(), facts.end(), [](Facts const& f) { return f.slow; }) ||
        any_emitted(reads_context);
    Registers chosen = calls ? with_calls : without_calls;
    // X and cells live in what is left, first in what need not be saved; which of them are used
    // more does not matter much.
    std::vector<Reg> free = calls ? std::vector{Reg::r9} : std::vector{Reg::r6, Reg::r8};
    if (!calls && !wants_data(false)) {
        if (used_state() == (used_state() & (state_a | state_x)) && !x_is_pointer)
            chosen.x = chosen.data;  // which leaves r0 to the verdict
        else
            free.insert(free.begin(), chosen.data);
    }
    std::uint32_t const used = used_state();
    auto next = free.begin();
    auto const give = [&](std::uint32_t k) {
        if ((used & state_cell(k)) != 0 && !chosen.cells[k] && next != free.end())
            chosen.cells[k] = *next++;
    };
    if (known_.kept_cell) give(*known_.kept_cell);
    for (std::uint32_t k = 0; k < cbpf::memory_words; ++k) give(k);
    return with_x_as_pointer(chosen);
}

std::uint32_t Plan::used_state() const {
    std::uint32_t used = 0;
    for (Facts const& f : facts)
        if (f.fast || f.slow) used |= f.live;
    return used;
}

bool Plan::keeps_r0() const {
    return around.registers || regs.x != Reg::r0 || (used_state() & state_x) == 0;
}

// ---- Where the packet's bounds are loaded

bool Plan::reads_length() const {
    return any_emitted(
        [](Insn const& insn, Facts const&) { return kind_of(insn) == Kind::load_len; });
}

bool Plan::has_pointers() const {
    return hook.access == Access::pointer && any_emitted([&](Insn const& insn, Facts const& f) {
               return f.fast && reads_packet(insn);
           });
}

// The first instruction of the fast version that reads the packet, if all others that do so, or use
// pointers, come behind it on every path: what ends before it needs no bounds.
std::optional<std::size_t> Plan::find_first_read() const {
    bool const subtracts = reads_length() && hook.fields.len < 0 && !length_by_call(hook, shape);
    if (!has_context(hook) || subtracts || regs.context == regs.a) return std::nullopt;
    auto const uses_pointers = [&](std::size_t pc) {
        return facts[pc].fast &&
               (reads_packet(insns[pc]) || (x_is_pointer && (writes(insns[pc]) & state_x) != 0));
    };
    if (x_is_pointer && (facts[0].live & state_x) != 0) return std::nullopt;
    std::size_t first = 0;
    while (first < insns.size() && !uses_pointers(first)) ++first;
    if (first == insns.size()) return std::nullopt;
    std::vector<bool> without(insns.size());  // reached past the first one
    without[0] = first != 0;
    for (std::size_t pc = 0; pc < insns.size(); ++pc) {
        if (!without[pc] || pc == first) continue;
        if (uses_pointers(pc)) return std::nullopt;
        Kind const kind = kind_of(insns[pc]);
        if (kind == Kind::ret) continue;
        auto const [taken, fallen] = cbpf::targets(insns[pc], pc, kind);
        without[taken] = without[fallen] = true;
    }
    return first;
}

// Where a pointer is made anew from the packet's start, the context tells that again, if it is
// still at hand.  But a pointer that has just been loaded is compared with nothing, and loads alone
// are no operands.
bool Plan::wants_data(bool has_start) const {
    return any_emitted([&](Insn const& insn, Facts const& f) {
        if (!f.fast) return false;
        bool const lost = f.before.end == Checked::unknown;
        if (x_is_pointer && (writes(insn) & f.live_out & state_x) != 0 &&
            f.after.end == Checked::unknown)
            return true;
        switch (kind_of(insn)) {
            case Kind::load_len:
                return hook.fields.len < 0 && !length_by_call(hook, shape);
            case Kind::load_ind:
                if (!keeps_pointer(insn, f)) return true;
                return !x_is_pointer && !has_start && lost && f.before.indexed == Checked::unknown;
            case Kind::load_abs:
            case Kind::load_msh: {
                std::uint64_t const end = std::uint64_t{insn.k} + cbpf::find(insn.code)->arg;
                return reads_packet(insn) &&
                       (end > max_reach || (lost && (!has_start || f.before.bytes >= end)));
            }
            case Kind::load_imm:
            case Kind::load_mem:
            case Kind::store:
            case Kind::alu:
            case Kind::neg:
            case Kind::jump:
            case Kind::branch:
            case Kind::ret:
            case Kind::copy:
                break;
        }
        return false;
    });
}

// ---- Where control goes

std::size_t Plan::landing(std::size_t pc, bool slow) const {
    while (facts[pc].needed != Facts::never)
        if (kind_of(insns[pc]) == Kind::jump)
            pc = cbpf::targets(insns[pc], pc, Kind::jump).taken;
        else if (!slow && facts[pc].joined == Joined::second)
            pc = cbpf::targets(insns[pc + 1], pc + 1, Kind::branch).taken;
        else
            break;
    return pc;
}

Plan::Label Plan::target(std::size_t pc, bool slow) const {
    pc = landing(pc, slow);
    if (facts[pc].needed == Facts::never) return reject(slow);
    bool const accepts = kind_of(insns[pc]) == Kind::ret && !returns_a(insns[pc]);
    return accepts && ends.accept ? *ends.accept : at(pc, slow);
}

Plan::Label Plan::failure(std::size_t pc) const {
    return only_pointers(hook, shape) ? ends.reject : at(pc, true);
}

bool Plan::emitted(std::size_t pc, bool slow) const {
    Facts const& f = facts[pc];
    if (!slow && f.joined == Joined::second) return false;
    return (slow ? f.slow : f.fast) && f.needed != Facts::never && target(pc, slow) == at(pc, slow);
}

}  // namespace tamis::translator
