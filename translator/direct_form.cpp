// The direct form: packet bytes through pointers.
//
//     test_order.cpp       tests of one value, in the order that falls through
//     networks.cpp         ranges that are networks
//     reloads.cpp          loads of what a register holds
//     facts.cpp            what is known at each instruction
//       bounds.cpp, needs.cpp, orders.cpp, checks.cpp, joins.cpp: the passes that find it out
//     direct_plan.cpp      which register holds what, and where control goes
//     layout.cpp           in which order the instructions stand
//     direct_prologue.cpp  what comes first
//     direct_form.cpp      the instructions, one by one, in two versions
//       direct_pointers.cpp, direct_calls.cpp, direct_metadata.cpp: their loads
//
// The fast version reads through data and data_end, with bounds checks that the verifier can
// follow.  The slow one reads each value by a call, which knows every byte of a packet.  Both keep
// A, X and the cells in the same places, so that a bounds check that fails in the fast version goes
// on at the same instruction in the slow one: bytes outside of the linear part (paged socket
// buffers, fragments at XDP) are part of the packet.  Where packets are always linear a failed
// check ends the program, and no slow version exists but for loads that pointers do not reach.
// What is not reached is not emitted: the verifier refuses it.
#include <utility>

#include "translator/direct_parts.h"
#include "translator/layout.h"
#include "translator/operations.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using cbpf::Insn;
using cbpf::Kind;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Reg;
using ebpf::Size;

class DirectForm {
  public:
    DirectForm(Builder& b, Plan const& plan)
        : b_(b),
          plan_(plan),
          insns_(plan.insns),
          facts_(plan.facts),
          regs_(plan.regs),
          ends_(plan.ends) {}

    void run() {
        b_.from({});
        emit_prologue(b_, plan_);
        if (plan_.hook.access == Access::pointer) version(false);
        version(true);
    }

  private:
    void version(bool slow) {
        slow_ = slow;
        bool const first = !slow || plan_.hook.access != Access::pointer;
        CodeLayout const layout = lay_out(plan_, slow);
        // A program that ends at once, or whose first instruction is not its first in this version.
        if (first) {
            next_ =
                layout.straight.empty() ? ends_.accept : std::optional(at(layout.straight.front()));
            go(target(0));
        }
        // Behind the first version come the ends, `accept` before all others.
        part(layout.straight, first ? ends_.accept : std::nullopt);
        ends(!layout.aside.empty());
        part(layout.aside, std::nullopt);
        ends(false);
    }

    void part(std::vector<std::size_t> const& order, std::optional<Builder::Label> behind) {
        for (std::size_t i = 0; i < order.size(); ++i) {
            std::size_t const pc = order[i];
            next_ = i + 1 < order.size() ? std::optional(at(order[i + 1])) : behind;
            b_.from(plan_.origin(pc)).bind(at(pc));
            if (!slow_ && pc == plan_.first_read) load_bounds(b_, plan_, true);
            instruction(pc);
        }
    }

    void ends(bool more) {
        b_.from(plan_.first_accept());
        ends_.place(std::exchange(falls_into_accept_, false), more);
    }

    // ---- Jumps

    Builder::Label at(std::size_t pc) const { return plan_.at(pc, slow_); }
    Builder::Label target(std::size_t pc) const { return plan_.target(pc, slow_); }
    Builder::Label reject() const { return plan_.reject(slow_); }

    void go(Builder::Label to) {
        if (to == next_)
            fall();
        else
            b_.jump(to);
    }

    void fall() { falls_into_accept_ |= next_ == ends_.accept; }

    // 32-bit comparisons take every constant; 64-bit ones would sign-extend it, as two joined words
    // want it.
    void compare(Cond cond, Builder::Operand operand, bool joined, Builder::Label to) {
        joined ? b_.jump(cond, regs_.a, operand, to) : b_.jump32(cond, regs_.a, operand, to);
    }

    void branch(std::size_t pc, cbpf::Cond cond, bool with_x, std::uint32_t k) {
        bool const joined = !slow_ && facts_[pc].joined == Joined::first;
        Builder::Operand const operand = with_x   ? Builder::Operand(regs_.x)
                                         : joined ? Builder::Operand(facts_[pc].joined_constant)
                                                  : Builder::Operand(as_imm(k));
        auto const [to, past] = cbpf::targets(insns_[pc], pc, Kind::branch);
        Builder::Label const taken = target(to), fallen = target(past);
        std::optional<Cond> const inverted = inverse(cond);
        if (taken == fallen) return go(taken);
        if (slow_ && facts_[pc].slow_way) return go(*facts_[pc].slow_way ? taken : fallen);
        if (taken == next_ && inverted) {
            compare(*inverted, operand, joined, fallen);
            fall();
        } else {
            compare(cond_of(cond), operand, joined, taken);
            go(fallen);
        }
    }

    void ret(bool with_a, std::uint32_t k) {
        if (with_a) {
            return_a(b_, plan_, slow_, next_);
            if (ends_.accept && *ends_.accept == next_) fall();
        } else if (ends_.accept) {
            go(*ends_.accept);
        } else {
            b_.mov32(Reg::r0, as_imm(k)).exit();
        }
    }

    // ---- Instructions

    void instruction(std::size_t pc) {
        Insn const& insn = insns_[pc];
        Facts const& f = facts_[pc];
        cbpf::Op const& op = *cbpf::find(insn.code);
        bool const with_x = (op.reads & cbpf::X) != 0;
        Reg const dst = (op.writes & cbpf::X) != 0 ? regs_.x : regs_.a;
        // Reading for nobody is no reading, but it may fail.
        bool const wanted = (writes(insn) & f.live_out) != 0;
        switch (op.kind) {
            case Kind::load_imm:
                if (wanted) b_.mov32(dst, as_imm(insn.k));
                break;
            case Kind::load_abs:
            case Kind::load_ind:
            case Kind::load_msh:
                if (!load(pc, dst, wanted)) return;
                if (op.kind == Kind::load_msh && wanted)
                    b_.alu32(Alu::and_, dst, 15).alu32(Alu::lsh, dst, 2);
                break;
            case Kind::load_mem:
                if (wanted) load_cell(dst, insn.k);
                break;
            case Kind::load_len:
                if (wanted) load_length(b_, plan_, dst, slow_);
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
                return ret(op.reads == cbpf::A, insn.k);
        }
        if (plan_.x_is_pointer && wanted && (writes(insn) & state_x) != 0)
            b_.alu(Alu::add, regs_.checked_x,
                   f.after.end == Checked::unknown ? regs_.data : regs_.checked);
        go(target(pc + 1));
    }

    // False where the fast version goes on in the slow one.
    bool load(std::size_t pc, Reg dst, bool wanted) {
        if (cbpf::Ancillary const* anc = ancillary(insns_[pc])) {
            bool const idle = anc->number == Anc::alu_xor_x && !wanted;
            return idle || load_metadata(b_, plan_, pc, slow_);
        }
        if (!slow_) return load_by_pointer(b_, plan_, pc, dst, wanted);
        load_by_call(b_, plan_, pc, dst, wanted);
        return true;
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

    Builder& b_;
    Plan const& plan_;
    std::vector<Insn> const& insns_;
    std::vector<Facts> const& facts_;
    Registers const& regs_;
    Ends const& ends_;
    bool slow_ = false;                   // the version that is being emitted
    std::optional<Builder::Label> next_;  // what will be emitted next
    bool falls_into_accept_ = false;
};

}  // namespace

void return_a(Builder& b, Plan const& plan, bool slow, std::optional<Builder::Label> next) {
    Ends const& ends = plan.ends;
    if (!ends.accept) {
        b.mov32(Reg::r0, plan.regs.a).exit();
        return;
    }
    b.jump32(Cond::eq, plan.regs.a, 0, plan.reject(slow));
    if (*ends.accept != next) b.jump(*ends.accept);
}

void read_value(Builder& b, Plan const& plan, std::size_t pc, Reg dst, Reg base,
                std::int32_t offset) {
    std::uint32_t const size = cbpf::find(plan.insns[pc].code)->arg;
    b.load(ebpf::size_of(size), dst, base, offset);
    if (size > 1 && !plan.facts[pc].raw) b.to_be(8 * size, dst);
}

Result<void> emit_direct_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Shape const& shape, Surroundings const& around) {
    Plan const plan(builder, program, hook, shape, around);
    if (auto refused = plan.refusal(); !refused) return refused;
    DirectForm(builder, plan).run();
    return {};
}

}  // namespace tamis::translator
