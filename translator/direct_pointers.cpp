// Packet bytes through pointers.
//
// The verifier accepts a load through a pointer p only where every path to it has compared a
// pointer with the same base with data_end and found enough room.  Two of them are kept: `checked`,
// at a constant distance from the packet's start, and `checked_x`, X bytes behind that.  Loads go
// back from where they stand: facts.cpp knows where that is, and what is checked already.
#include "bpf/builder.h"
#include "translator/direct_parts.h"
#include "translator/operations.h"

namespace tamis::translator {
namespace {

using cbpf::Insn;
using cbpf::Kind;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Reg;
using ebpf::Size;

class PointerLoad {
  public:
    PointerLoad(Builder& builder, Plan const& plan, std::size_t pc, Reg dst, bool wanted)
        : b_(builder),
          plan_(plan),
          regs_(plan.regs),
          pc_(pc),
          k_(plan.insns[pc].k),
          size_(cbpf::find(plan.insns[pc].code)->arg),
          dst_(dst),
          wanted_(wanted) {}

    bool run() {
        Insn const& insn = plan_.insns[pc_];
        bool const indexed = cbpf::find(insn.code)->kind == Kind::load_ind;
        if (!indexed && std::uint64_t{k_} + size_ <= max_reach) {
            constant();
        } else if (!indexed && only_pointers(plan_.hook, plan_.shape)) {
            far_constant();
        } else if (!indexed || plan_.shape.no_perfmon) {
            b_.jump(has_context(plan_.hook) ? plan_.at(pc_, true) : plan_.failure(pc_));
            return false;
        } else if (keeps_pointer(insn, plan_.facts[pc_])) {
            by_index();
        } else {
            by_far_index();
        }
        return true;
    }

  private:
    void read(Reg base, std::int32_t offset) {
        if (wanted_ && plan_.facts[pc_].joined == Joined::first)
            b_.load(Size::dword, dst_, base, offset);
        else if (wanted_)
            read_value(b_, plan_, pc_, dst_, base, offset);
    }

    // pointer += bytes, from where it stands; the room up to there is checked.
    void advance(Reg pointer, std::int32_t by) {
        if (by != 0) b_.alu(Alu::add, pointer, by);
        b_.jump(Cond::gt, pointer, regs_.data_end, plan_.failure(pc_));
    }

    void constant() {
        Facts const& f = plan_.facts[pc_];
        std::int32_t end = f.before.end;
        if (k_ + size_ > f.before.bytes) {
            auto const needed = static_cast<std::int32_t>(f.needed);
            if (end == Checked::unknown) load_start(b_, plan_, regs_.checked);
            advance(regs_.checked, end == Checked::unknown ? needed : needed - end);
            end = needed;
        }
        if (end == Checked::unknown)
            read(regs_.data, as_imm(k_));
        else
            read(regs_.checked, as_imm(k_) - end);
    }

    // Beyond what the offset field of a load holds.
    void far_constant() {
        b_.mov(regs_.scratch, regs_.data);
        advance(regs_.scratch, as_imm(k_ + size_));
        read(regs_.scratch, -static_cast<std::int32_t>(size_));
    }

    void by_index() {
        Facts const& f = plan_.facts[pc_];
        std::int32_t end = f.before.indexed;
        if (end == Checked::unknown || f.before.indexed_bytes < k_ + size_) {
            auto const needed = static_cast<std::int32_t>(f.needed_x);
            if (end == Checked::unknown) end = point_behind_x(f.before.end);
            advance(regs_.checked_x, needed - end);
            end = needed;
        }
        read(regs_.checked_x, as_imm(k_) - end);
    }

    // checked_x, from where `checked` is known to stand, or else from the packet's start; how far
    // it is behind X.
    std::int32_t point_behind_x(std::int32_t end) {
        bool const known = end != Checked::unknown;
        known ? static_cast<void>(b_.mov(regs_.checked_x, regs_.checked))
              : load_start(b_, plan_, regs_.checked_x);
        b_.alu(Alu::add, regs_.checked_x, regs_.x);
        return known ? end : 0;
    }

    void by_far_index() {
        auto const width = static_cast<std::int32_t>(size_);
        Reg const p = regs_.scratch;
        // The offset is X + k modulo 2^32.  Adding X to k and not k to a copy of X: the verifier
        // would remember the distance between the two and take it for a pointer offset, which has a
        // limit.
        b_.mov32(p, as_imm(k_)).alu32(Alu::add, p, regs_.x);
        // A range that the verifier can carry through the addition below.
        b_.jump(Cond::gt, p, as_imm(max_pointer_reach) - width, plan_.failure(pc_));
        b_.alu(Alu::add, p, regs_.data);
        advance(p, width);
        read(p, -width);
    }

    Builder& b_;
    Plan const& plan_;
    Registers const& regs_;
    std::size_t pc_;
    std::uint32_t k_, size_;
    Reg dst_;
    bool wanted_;
};

}  // namespace

bool load_by_pointer(Builder& b, Plan const& plan, std::size_t pc, Reg dst, bool wanted) {
    return PointerLoad(b, plan, pc, dst, wanted).run();
}

}  // namespace tamis::translator
