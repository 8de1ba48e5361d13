// The direct form: packet bytes through pointers.
//
// It is emitted in two versions.  The fast one reads through data and data_end: the verifier
// accepts a load through a pointer p only where every path to it has compared a pointer with the
// same base with data_end and found enough room.  The slow one reads each value by a call, which
// knows every byte of a packet.  Both keep A, X and the cells in the same places, so that a bounds
// check that fails in the fast version goes on at the same instruction in the slow one: bytes
// outside of the linear part (paged socket buffers, fragments at XDP) are part of the packet. Where
// packets are always linear a failed check ends the program, and no slow version exists but for
// loads that pointers do not reach.  What is not reached is not emitted: the verifier refuses it.
#include <algorithm>
#include <array>

#include "translator/facts.h"
#include "translator/filter.h"
#include "translator/operations.h"
#include "translator/target.h"
#include "translator/test_order.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using cbpf::Insn;
using cbpf::Kind;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Kfunc;
using ebpf::Reg;
using ebpf::Size;

// Where things are.
struct Registers {
    Reg context, a, x;
    Reg data, data_end;      // the packet
    Reg checked, checked_x;  // data + n and data + X + n, both compared with data_end
    Reg scratch;             // not between two instructions
    std::array<std::optional<Reg>, cbpf::memory_words> cells;  // the others are on the stack
    std::int32_t stack = 0;                                    // bytes of it that are not ours
};

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

constexpr std::int32_t nf_ctx_skb = 8;  // struct bpf_nf_ctx

bool length_by_call(HookRow const& hook, Shape const& shape) {
    return hook.access == Access::dynptr ||
           (hook.fields.len < 0 && (!hook.linear || shape.no_perfmon));
}

// r0 = the length, where only a call tells it.
void call_length(Builder& b, HookRow const& hook) {
    if (hook.access == Access::dynptr) {
        b.mov(Reg::r1, frame).alu(Alu::add, Reg::r1, dynptr).call(Kfunc::dynptr_size);
    } else {
        b.mov(Reg::r1, context).call(Helper::xdp_get_buff_len);
    }
}

class DirectForm {
  public:
    DirectForm(Builder& b, cbpf::Program const& program, HookRow const& hook, Shape const& shape,
               Surroundings const& around)
        : b_(b),
          ordered_(rotate_tests(program)),
          program_(ordered_.program),
          insns_(program_.insns),
          hook_(hook),
          shape_(shape),
          around_(around),
          ends_(around.ends),
          known_(find_facts(program_, hook, shape)),
          facts_(known_.facts),
          regs_(around.registers ? given(*around.registers)
                                 : choose_registers(around.needs_context)) {
        if (known_.x_is_pointer) regs_.x = regs_.checked_x;
    }

    Result<void> run() {
        if (auto refused = first_refusal(); !refused) return refused;
        for (std::size_t i = 0; i < 2 * insns_.size(); ++i) labels_.push_back(b_.label());
        b_.from({});
        prologue();
        if (hook_.access == Access::pointer) version(false);
        version(true);
        return {};
    }

  private:
    // ---- What is where

    static Kind kind_of(Insn const& insn) { return cbpf::find(insn.code)->kind; }

    bool any(bool Facts::*fact) const {
        return std::any_of(facts_.begin(), facts_.end(), [&](Facts const& f) { return f.*fact; });
    }

    // An instruction of the fast or slow version that fulfils the condition.
    template <class Test>
    bool any_emitted(Test const& test) const {
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if ((facts_[pc].fast || facts_[pc].slow) && test(insns_[pc], facts_[pc])) return true;
        return false;
    }

    Registers choose_registers(bool needs_context) const {
        auto const reads_context = [&](Insn const& insn, Facts const&) {
            return (kind_of(insn) == Kind::load_abs && cbpf::find_ancillary(insn.k)) ||
                   (kind_of(insn) == Kind::load_len &&
                    (hook_.fields.len >= 0 || length_by_call(hook_, shape_)));
        };
        bool const calls = needs_context || any(&Facts::slow) || any_emitted(reads_context);
        Registers regs = calls ? with_calls : without_calls;
        // Cells live in what is left; which of them are used more does not matter much.
        std::array<Reg, 2> const free = {calls ? Reg::r9 : Reg::r6, Reg::r8};
        std::size_t const count = calls ? 1 : 2;
        std::uint32_t const used = used_state();
        for (std::uint32_t k = 0, taken = 0; k < cbpf::memory_words && taken < count; ++k)
            if ((used & state_cell(k)) != 0) regs.cells[k] = free[taken++];
        return regs;
    }

    std::uint32_t used_state() const {
        std::uint32_t used = 0;
        for (Facts const& f : facts_)
            if (f.fast || f.slow) used |= f.live;
        return used;
    }

    // Whether what the caller puts into r0 stays there until the first call.
    bool keeps_r0() const {
        return around_.registers || regs_.x != Reg::r0 || (used_state() & state_x) == 0;
    }

    // Metadata that the hook does not have.
    Result<void> first_refusal() const {
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            cbpf::Ancillary const* anc = ancillary(insns_[pc]);
            if (facts_[pc].reached && anc && !has(anc->number))
                return no_such_metadata(program_, pc, hook_, *anc);
        }
        return {};
    }

    static cbpf::Ancillary const* ancillary(Insn const& insn) {
        return kind_of(insn) == Kind::load_abs ? cbpf::find_ancillary(insn.k) : nullptr;
    }

    bool has(Anc number) const {
        bool const called = number == Anc::cpu || number == Anc::random;
        return number == Anc::alu_xor_x || (called && has_context(hook_)) ||
               find_metadata(hook_, number) || is_offloaded_tag(number);
    }

    // What only the driver knows, at XDP.
    bool is_offloaded_tag(Anc number) const {
        return has_context(hook_) && hook_.vlan == VlanTag::packet &&
               shape_.vlan_offload == VlanOffload::metadata &&
               (number == Anc::vlan_tag || number == Anc::vlan_tag_present ||
                number == Anc::vlan_tpid);
    }

    ebpf::Origin origin(std::size_t pc) const {
        return {ordered_.number[pc], program_.origin.empty() ? Span{} : program_.origin[pc]};
    }

    // The classic instruction that stands for all ends that accept.
    ebpf::Origin first_accept() const {
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if (facts_[pc].reached && kind_of(insns_[pc]) == Kind::ret && facts_[pc].needed == 0)
                return origin(pc);
        return {};
    }

    // ---- Jumps

    Builder::Label at(std::size_t pc, bool slow) const { return labels_[2 * pc + (slow ? 1 : 0)]; }

    Builder::Label reject() const { return slow_ ? ends_.reject_after_call : ends_.reject; }

    // Where control goes that arrives at an instruction: past jumps, to an end where it ends.
    Builder::Label target(std::size_t pc) const {
        while (facts_[pc].needed != Facts::never && kind_of(insns_[pc]) == Kind::jump)
            pc = cbpf::targets(insns_[pc], pc, Kind::jump).taken;
        if (facts_[pc].needed == Facts::never) return reject();
        bool const accepts = kind_of(insns_[pc]) == Kind::ret && !returns_a(insns_[pc]);
        return accepts && ends_.accept ? *ends_.accept : at(pc, slow_);
    }

    static bool returns_a(Insn const& insn) { return cbpf::find(insn.code)->reads == cbpf::A; }

    void go(Builder::Label to) {
        if (to == next_)
            fall();
        else
            b_.jump(to);
    }

    void fall() { falls_into_accept_ |= next_ == ends_.accept; }

    // ---- Both versions

    bool emitted(std::size_t pc) const {
        Facts const& f = facts_[pc];
        return (slow_ ? f.slow : f.fast) && f.needed != Facts::never && target(pc) == at(pc, slow_);
    }

    void version(bool slow) {
        slow_ = slow;
        bool const first = !slow || hook_.access != Access::pointer;
        falls_into_accept_ = false;
        std::vector<std::size_t> order;
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if (emitted(pc)) order.push_back(pc);
        // A program that ends at once, or whose first instruction is not its first in this version.
        if (first) {
            next_ = order.empty() ? ends_.accept : std::optional(at(order.front(), slow));
            go(target(0));
        }
        for (std::size_t i = 0; i < order.size(); ++i) {
            std::size_t const pc = order[i];
            // Behind the first version come the ends, `accept` before all others.
            next_ = i + 1 < order.size() ? std::optional(at(order[i + 1], slow))
                    : first              ? ends_.accept
                                         : std::nullopt;
            b_.from(origin(pc)).bind(at(pc, slow));
            if (!slow && pc == first_read_) load_bounds(true);
            instruction(pc);
        }
        b_.from(first_accept());
        ends_.place(falls_into_accept_);
    }

    void prologue() {
        if (!has_context(hook_)) return prologue_of_bounds();
        bool const keeps = regs_.context == context;
        if (keeps) b_.mov(context, Reg::r1);
        if (hook_.access == Access::dynptr) {
            b_.load(Size::dword, Reg::r1, context, nf_ctx_skb).mov32(Reg::r2, 0);
            b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, dynptr).call(Kfunc::dynptr_from_skb);
            // A slice may read its buffer, and only with CAP_PERFMON may that be memory that was
            // never written.
            if (shape_.no_perfmon) b_.store(Size::word, frame, bounce, 0);
        }
        bool const length = any_emitted(
            [](Insn const& insn, Facts const&) { return kind_of(insn) == Kind::load_len; });
        // Its length may be asked for where a call would clobber what is in use.
        if (length && hook_.access == Access::pointer && length_by_call(hook_, shape_)) {
            call_length(b_, hook_);
            b_.store(Size::word, frame, saved_length, Reg::r0);
        }
        if (any_emitted([&](Insn const& insn, Facts const&) {
                cbpf::Ancillary const* anc = ancillary(insn);
                return anc && is_offloaded_tag(anc->number);
            }))
            ask_for_tag();
        around_.begin(keeps_r0());
        bool const subtracts = length && hook_.fields.len < 0 && !length_by_call(hook_, shape_);
        bool const reads =
            hook_.access == Access::pointer && any_emitted([&](Insn const& insn, Facts const& f) {
                return f.fast && reads_pointer(insn);
            });
        first_read_ = subtracts || regs_.context == regs_.a ? std::nullopt : find_first_read();
        if ((reads || subtracts) && !first_read_) load_bounds(reads);
        clear();
    }

    void load_bounds(bool reads) {
        bool const from_start = uses_data();
        b_.load(Size::word, from_start ? regs_.data : regs_.checked, regs_.context,
                hook_.fields.data);
        b_.load(Size::word, regs_.data_end, regs_.context, hook_.fields.data_end);
        if (from_start && reads) b_.mov(regs_.checked, regs_.data);
    }

    // The first instruction of the fast version that reads the packet, if all others that do so, or
    // use pointers, come behind it on every path: what ends before it needs no bounds.
    std::optional<std::size_t> find_first_read() const {
        auto const uses_pointers = [&](std::size_t pc) {
            return facts_[pc].fast &&
                   (reads_pointer(insns_[pc]) ||
                    (known_.x_is_pointer && (writes(insns_[pc]) & state_x) != 0));
        };
        if (known_.x_is_pointer && (facts_[0].live & state_x) != 0) return std::nullopt;
        std::size_t first = 0;
        while (first < insns_.size() && !uses_pointers(first)) ++first;
        if (first == insns_.size()) return std::nullopt;
        std::vector<bool> without(insns_.size());  // reached past the first one
        without[0] = first != 0;
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            if (!without[pc] || pc == first) continue;
            if (uses_pointers(pc)) return std::nullopt;
            Kind const kind = kind_of(insns_[pc]);
            if (kind == Kind::ret) continue;
            bool const jumps = kind == Kind::jump || kind == Kind::branch;
            auto const [taken, fallen] =
                jumps ? cbpf::targets(insns_[pc], pc, kind) : cbpf::Targets{pc + 1, pc + 1};
            without[taken] = without[fallen] = true;
        }
        return first;
    }

    void clear() {
        if (facts_[0].needed == Facts::never) return;
        if ((facts_[0].live & state_a) != 0) b_.mov32(regs_.a, 0);
        if ((facts_[0].live & state_x) == 0) return;
        b_.mov32(regs_.x, 0);
        if (known_.x_is_pointer) b_.alu(Alu::add, regs_.x, regs_.checked);
    }

    // Pointers are where they are.  Numbers may be nonsense, and one of them becomes the length.
    void prologue_of_bounds() {
        if (hook_.access == Access::probe) {
            b_.jump(Cond::gt, regs_.data, regs_.data_end, reject());
            b_.alu(Alu::sub, regs_.data_end, regs_.data);
        } else if (any_emitted([&](Insn const& i, Facts const&) { return reads_pointer(i); })) {
            b_.mov(regs_.checked, regs_.data);
        }
        clear();
    }

    // Without a tag, and without a driver that could tell it, its words stay 0.
    void ask_for_tag() {
        b_.store(Size::half, frame, tag_protocol, 0).store(Size::half, frame, tag_control, 0);
        b_.mov(Reg::r1, context);
        b_.mov(Reg::r2, frame).alu(Alu::add, Reg::r2, tag_protocol);
        b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, tag_control);
        b_.call(Kfunc::xdp_vlan_tag);
        Builder::Label const absent = b_.label();
        b_.mov32(Reg::r1, 0).jump32(Cond::ne, Reg::r0, 0, absent).mov32(Reg::r1, 1).bind(absent);
        b_.store(Size::word, frame, tag_present, Reg::r1);
    }

    static bool reads_pointer(Insn const& insn) {
        Kind const kind = kind_of(insn);
        return kind == Kind::load_ind || kind == Kind::load_msh ||
               (kind == Kind::load_abs && !cbpf::find_ancillary(insn.k));
    }

    // Whether the packet's start is wanted again once a check has moved on from it.
    bool uses_data() const {
        return any_emitted([&](Insn const& insn, Facts const& f) {
            if (!f.fast) return false;
            Kind const kind = kind_of(insn);
            if (known_.x_is_pointer && (writes(insn) & f.live_out & state_x) != 0 &&
                f.after.end == Checked::unknown)
                return true;
            if (kind == Kind::load_ind) return !known_.x_is_pointer;
            if (kind == Kind::load_len)
                return hook_.fields.len < 0 && !length_by_call(hook_, shape_);
            return reads_pointer(insn) && f.before.end == Checked::unknown;
        });
    }

    void instruction(std::size_t pc) {
        Insn const& insn = insns_[pc];
        Facts const& f = facts_[pc];
        cbpf::Op const& op = *cbpf::find(insn.code);
        bool const with_x = (op.reads & cbpf::X) != 0;
        Reg const dst = (op.writes & cbpf::X) != 0 ? regs_.x : regs_.a;
        bool const wanted = (writes(insn) & f.live_out) != 0;
        switch (op.kind) {
            case Kind::load_imm:
                if (wanted) b_.mov32(dst, as_imm(insn.k));
                break;
            case Kind::load_abs:
            case Kind::load_ind:
            case Kind::load_msh:
                if (cbpf::Ancillary const* anc = ancillary(insn)) {
                    bool const idle = anc->number == Anc::alu_xor_x && !wanted;
                    if (!idle && !metadata(pc, anc->number)) return;
                } else if (!packet(pc, dst, wanted)) {
                    return;
                }
                if (op.kind == Kind::load_msh && wanted)
                    b_.alu32(Alu::and_, dst, 15).alu32(Alu::lsh, dst, 2);
                break;
            case Kind::load_mem:
                if (wanted) load_cell(dst, insn.k);
                break;
            case Kind::load_len:
                if (wanted) length(dst);
                break;
            case Kind::store:
                if (wanted) store_cell(insn.k, copied(insn, f));
                break;
            case Kind::alu:
                alu(op.alu(), with_x, in_order(f.order, insn.k), wanted);
                break;
            case Kind::neg:
                if (wanted) b_.neg32(regs_.a);
                break;
            case Kind::copy:
                if (wanted) b_.mov32(dst, copied(insn, f));
                break;
            case Kind::jump:
                break;
            case Kind::branch:
                return branch(pc, op.cond(), with_x, in_order(f.order, insn.k));
            case Kind::ret:
                return ret(returns_a(insn), insn.k);
        }
        if (known_.x_is_pointer && wanted && (writes(insn) & state_x) != 0)
            b_.alu(Alu::add, regs_.checked_x,
                   f.after.end == Checked::unknown ? regs_.data : regs_.checked);
        go(target(pc + 1));
    }

    Builder::Operand copied(Insn const& insn, Facts const& f) const {
        if (!copies_a(insn)) return regs_.x;
        return f.constant ? Builder::Operand(as_imm(*f.constant)) : Builder::Operand(regs_.a);
    }

    void load_cell(Reg dst, std::uint32_t k) {
        if (regs_.cells[k])
            b_.mov32(dst, *regs_.cells[k]);
        else
            b_.load(Size::word, dst, frame, cell(k) - regs_.stack);
    }

    void store_cell(std::uint32_t k, Builder::Operand src) {
        if (regs_.cells[k])
            b_.mov32(*regs_.cells[k], src);
        else
            b_.store(Size::word, frame, cell(k) - regs_.stack, src);
    }

    void length(Reg dst) {
        if (hook_.fields.len >= 0) {
            b_.load(Size::word, dst, regs_.context, hook_.fields.len);
        } else if (hook_.access == Access::probe) {
            b_.mov32(dst, regs_.data_end);
        } else if (hook_.access == Access::dynptr) {
            call_length(b_, hook_);
            b_.mov32(dst, Reg::r0);
        } else if (length_by_call(hook_, shape_)) {
            b_.load(Size::word, dst, frame, saved_length);
        } else if (slow_) {  // calls have clobbered the pointers
            b_.load(Size::word, regs_.data, context, hook_.fields.data);
            b_.load(Size::word, dst, context, hook_.fields.data_end);
            b_.alu(Alu::sub, dst, regs_.data);
        } else {
            b_.mov(dst, regs_.data_end).alu(Alu::sub, dst, regs_.data);
        }
    }

    void alu(cbpf::Alu op, bool with_x, std::uint32_t k, bool wanted) {
        // Division by a zero X ends a classic program with 0; eBPF's own division would go on.
        if (with_x && (op == cbpf::Alu::div || op == cbpf::Alu::mod))
            b_.jump32(Cond::eq, regs_.x, 0, reject());
        if (!wanted) return;
        if (with_x)
            b_.alu32(alu_of(op), regs_.a, regs_.x);
        else
            b_.alu32(alu_of(op), regs_.a, as_imm(k));
    }

    // 32-bit comparisons take every constant; 64-bit ones would sign-extend it.
    void branch(std::size_t pc, cbpf::Cond cond, bool with_x, std::uint32_t k) {
        Builder::Operand const operand =
            with_x ? Builder::Operand(regs_.x) : Builder::Operand(as_imm(k));
        auto const [to, past] = cbpf::targets(insns_[pc], pc, Kind::branch);
        Builder::Label const taken = target(to), fallen = target(past);
        std::optional<Cond> const inverted = inverse(cond);
        if (taken == fallen) return go(taken);
        if (taken == next_ && inverted) {
            b_.jump32(*inverted, regs_.a, operand, fallen);
            fall();
        } else {
            b_.jump32(cond_of(cond), regs_.a, operand, taken);
            go(fallen);
        }
    }

    void ret(bool with_a, std::uint32_t k) {
        if (!ends_.accept) {
            if (with_a)
                b_.mov32(Reg::r0, regs_.a);
            else
                b_.mov32(Reg::r0, as_imm(k));
            b_.exit();
        } else if (with_a) {
            b_.jump32(Cond::eq, regs_.a, 0, reject());
            go(*ends_.accept);
        } else {
            go(*ends_.accept);
        }
    }

    // ---- Metadata; false where the fast version goes on in the slow one

    bool metadata(std::size_t pc, Anc number) {
        bool const calls = number == Anc::cpu || number == Anc::random;
        if (calls && !slow_) {
            b_.jump(at(pc, true));
            return false;
        }
        if (calls) {
            b_.call(number == Anc::cpu ? Helper::get_smp_processor_id : Helper::get_prandom_u32);
            b_.mov32(regs_.a, Reg::r0);
        } else if (number == Anc::alu_xor_x) {
            b_.alu32(Alu::xor_, regs_.a, regs_.x);
        } else if (is_offloaded_tag(number)) {
            bool const present = number == Anc::vlan_tag_present;
            bool const protocol = number == Anc::vlan_tpid;
            b_.load(present ? Size::word : Size::half, regs_.a, frame,
                    present    ? tag_present
                    : protocol ? tag_protocol
                               : tag_control);
            if (protocol) b_.to_be(16, regs_.a);
        } else {
            Metadata const& field = *find_metadata(hook_, number);
            if (number == Anc::ifindex && hook_.context == "__sk_buff")
                return ifindex(field.offset);
            b_.load(Size::word, regs_.a, context, field.offset);
            if (field.network_order) b_.to_be(16, regs_.a);
        }
        return true;
    }

    // A packet without a device ends the classic program with the A it has at that point
    // (net/core/filter.c).
    bool ifindex(std::int32_t offset) {
        Builder::Label const has_device = b_.label();
        b_.load(Size::word, regs_.scratch, context, offset);
        b_.jump32(Cond::ne, regs_.scratch, 0, has_device);
        next_ = std::nullopt;
        ret(true, 0);
        b_.bind(has_device).mov32(regs_.a, regs_.scratch);
        return true;
    }

    // ---- Packet bytes

    // dst = the value; false where the fast version goes on in the slow one.
    bool packet(std::size_t pc, Reg dst, bool wanted) {
        Insn const& insn = insns_[pc];
        bool const indexed = kind_of(insn) == Kind::load_ind;
        Size const size = ebpf::size_of(cbpf::find(insn.code)->arg);
        if (slow_) {
            slow_load(pc, size, indexed);
            if (wanted) take(pc, size, dst);
            return true;
        }
        std::uint64_t const end = std::uint64_t{insn.k} + bytes(size);
        if (!indexed && end <= max_reach) {
            constant_load(pc, size, dst, wanted);
        } else if (!indexed && reaches_far(insn, hook_)) {
            b_.mov(regs_.scratch, regs_.data);
            advance(regs_.scratch, static_cast<std::int32_t>(end), pc);
            read(pc, size, dst, regs_.scratch, -static_cast<std::int32_t>(bytes(size)), wanted);
        } else if (!indexed || shape_.no_perfmon) {
            b_.jump(beyond_pointers(pc));
            return false;
        } else if (keeps_pointer(insn, facts_[pc])) {
            indexed_load(pc, size, dst, wanted);
        } else {
            far_indexed_load(pc, size, dst, wanted);
        }
        return true;
    }

    // Where only a call can read, or nothing.
    Builder::Label beyond_pointers(std::size_t pc) const {
        return has_context(hook_) ? at(pc, true) : ends_.reject;
    }

    // Where a failed bounds check leads.
    Builder::Label failure(std::size_t pc) const {
        return hook_.linear || shape_.linear ? ends_.reject : at(pc, true);
    }

    void read(std::size_t pc, Size size, Reg dst, Reg base, std::int32_t offset, bool wanted) {
        if (!wanted) return;
        b_.load(size, dst, base, offset);
        if (size != Size::byte && !facts_[pc].raw) b_.to_be(8 * bytes(size), dst);
    }

    // pointer += bytes, from where it stands; the room up to there is checked.
    void advance(Reg pointer, std::int32_t by, std::size_t pc) {
        b_.alu(Alu::add, pointer, by).jump(Cond::gt, pointer, regs_.data_end, failure(pc));
    }

    void constant_load(std::size_t pc, Size size, Reg dst, bool wanted) {
        Facts const& f = facts_[pc];
        auto const k = static_cast<std::int32_t>(insns_[pc].k);
        std::int32_t end = f.before.end;
        if (static_cast<std::uint32_t>(k) + bytes(size) > f.before.bytes) {
            auto const needed = static_cast<std::int32_t>(f.needed);
            if (end == Checked::unknown) b_.mov(regs_.checked, regs_.data);
            advance(regs_.checked, end == Checked::unknown ? needed : needed - end, pc);
            end = needed;
        }
        if (end == Checked::unknown)
            read(pc, size, dst, regs_.data, k, wanted);
        else
            read(pc, size, dst, regs_.checked, k - end, wanted);
    }

    void indexed_load(std::size_t pc, Size size, Reg dst, bool wanted) {
        Facts const& f = facts_[pc];
        auto const k = static_cast<std::int32_t>(insns_[pc].k);
        std::int32_t end = f.before.indexed;
        if (end == Checked::unknown ||
            f.before.indexed_bytes < static_cast<std::uint32_t>(k) + bytes(size)) {
            auto const needed = static_cast<std::int32_t>(f.needed_x);
            if (end == Checked::unknown)
                b_.mov(regs_.checked_x, regs_.data).alu(Alu::add, regs_.checked_x, regs_.x);
            advance(regs_.checked_x, end == Checked::unknown ? needed : needed - end, pc);
            end = needed;
        }
        read(pc, size, dst, regs_.checked_x, k - end, wanted);
    }

    void far_indexed_load(std::size_t pc, Size size, Reg dst, bool wanted) {
        auto const width = static_cast<std::int32_t>(bytes(size));
        Reg const p = regs_.scratch;
        // The offset is X + k modulo 2^32.  Adding X to k and not k to a copy of X: the verifier
        // would remember the distance between the two and take it for a pointer offset, which has a
        // limit.
        b_.mov32(p, as_imm(insns_[pc].k)).alu32(Alu::add, p, regs_.x);
        // A range that the verifier can carry through the addition below.
        b_.jump(Cond::gt, p, static_cast<std::int32_t>(max_pointer_reach) - width,
                beyond_pointers(pc));
        b_.alu(Alu::add, p, regs_.data);
        advance(p, width, pc);
        read(pc, size, dst, p, -width, wanted);
    }

    // ---- By a call.  Offset in r2; the bytes end up where take() finds them.

    void slow_load(std::size_t pc, Size size, bool indexed) {
        std::uint32_t const k = insns_[pc].k;
        if (hook_.access == Access::probe) return probe(size, indexed, k);
        b_.mov32(Reg::r2, as_imm(k));
        if (indexed) {
            b_.alu32(Alu::add, Reg::r2, regs_.x);
            if (hook_.context == "xdp_md" && std::uint64_t{facts_[pc].most_x} + k > 0xffff)
                b_.jump(Cond::gt, Reg::r2, 0xffff, reject());
        }
        if (hook_.access == Access::dynptr) return slice(size);
        b_.mov(Reg::r1, context);
        b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, bounce);
        b_.mov32(Reg::r4, static_cast<std::int32_t>(bytes(size)));
        b_.call(hook_.context == "xdp_md" ? Helper::xdp_load_bytes : Helper::skb_load_bytes);
        b_.jump(Cond::ne, Reg::r0, 0, reject());
    }

    void slice(Size size) {
        b_.mov(Reg::r1, frame).alu(Alu::add, Reg::r1, dynptr);
        b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, bounce);
        b_.mov32(Reg::r4, static_cast<std::int32_t>(bytes(size))).call(Kfunc::dynptr_slice);
        b_.jump(Cond::eq, Reg::r0, 0, reject());
    }

    // Memory that is not mapped is missing, too.
    void probe(Size size, bool indexed, std::uint32_t k) {
        auto const width = static_cast<std::int32_t>(bytes(size));
        if (indexed || k > max_reach) {
            b_.mov32(Reg::r3, as_imm(k));
            if (indexed) b_.alu32(Alu::add, Reg::r3, regs_.x);
            b_.mov(Reg::r1, Reg::r3).alu(Alu::add, Reg::r1, width);
            b_.jump(Cond::gt, Reg::r1, regs_.data_end, reject());
            b_.alu(Alu::add, Reg::r3, regs_.data);
        } else {
            b_.jump(Cond::lt, regs_.data_end, as_imm(k) + width, reject());
            b_.mov(Reg::r3, regs_.data);
            if (k != 0) b_.alu(Alu::add, Reg::r3, as_imm(k));
        }
        b_.mov32(Reg::r2, width);
        b_.mov(Reg::r1, frame).alu(Alu::add, Reg::r1, bounce - regs_.stack);
        b_.call(Helper::probe_read_kernel).jump(Cond::ne, Reg::r0, 0, reject());
    }

    void take(std::size_t pc, Size size, Reg dst) {
        if (hook_.access == Access::dynptr)
            read(pc, size, dst, Reg::r0, 0, true);
        else
            read(pc, size, dst, frame, bounce - regs_.stack, true);
    }

    Builder& b_;
    Reordered ordered_;
    cbpf::Program const& program_;
    std::vector<Insn> const& insns_;
    HookRow const& hook_;
    Shape const& shape_;
    Surroundings const& around_;
    Ends const& ends_;
    Knowledge known_;
    std::vector<Facts> const& facts_;
    Registers regs_;
    std::vector<Builder::Label> labels_;     // of each instruction, fast and slow
    std::optional<std::size_t> first_read_;  // where the bounds are loaded, if not at the start
    bool slow_ = false;                      // the version that is being emitted
    std::optional<Builder::Label> next_;     // what will be emitted next
    bool falls_into_accept_ = false;
};

}  // namespace

Result<void> emit_direct_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Shape const& shape, Surroundings const& around) {
    return DirectForm(builder, program, hook, shape, around).run();
}

void emit_length(Builder& b, HookRow const& hook, Shape const& shape, Reg dst) {
    if (hook.fields.len >= 0) {
        b.load(Size::word, dst, context, hook.fields.len);
    } else if (length_by_call(hook, shape)) {
        call_length(b, hook);
        b.mov32(dst, Reg::r0);
    } else {
        b.load(Size::word, Reg::r2, context, hook.fields.data);
        b.load(Size::word, dst, context, hook.fields.data_end);
        b.alu(Alu::sub, dst, Reg::r2);
    }
}

}  // namespace tamis::translator
