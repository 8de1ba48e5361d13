// Packet bytes by calls, which know every byte of a packet, wherever it lies.
#include "translator/direct_parts.h"
#include "translator/operations.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Insn;
using cbpf::Kind;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Kfunc;
using ebpf::Reg;
using ebpf::Size;

class CalledLoad {
  public:
    CalledLoad(Builder& builder, Plan const& plan, std::size_t pc)
        : b_(builder),
          plan_(plan),
          regs_(plan.regs),
          pc_(pc),
          k_(plan.insns[pc].k),
          width_(static_cast<std::int32_t>(cbpf::find(plan.insns[pc].code)->arg)),
          indexed_(cbpf::find(plan.insns[pc].code)->kind == Kind::load_ind) {}

    // The bytes; where they end up afterwards: a register and an offset.
    void run(Reg dst, bool wanted) {
        switch (plan_.hook.access) {
            case Access::probe:
                probe();
                break;
            case Access::dynptr:
                slice();
                break;
            case Access::pointer:
            case Access::ld_abs:
                copy();
                break;
        }
        if (!wanted) return;
        if (plan_.hook.access == Access::dynptr)
            read_value(b_, plan_, pc_, dst, Reg::r0, 0);
        else
            read_value(b_, plan_, pc_, dst, frame, bounce - regs_.stack);
    }

  private:
    void offset_in_r2() {
        b_.mov32(Reg::r2, as_imm(k_));
        if (!indexed_) return;
        b_.alu32(Alu::add, Reg::r2, regs_.x);
        // XDP's helper takes no larger one: the verifier would want to be told, and the kernel says
        // no.  Where calls stand in for pointers, they reach no further.
        bool const as_pointers = only_pointers(plan_.hook, plan_.shape);
        if (plan_.hook.context != "xdp_md" && !as_pointers) return;
        std::int32_t const last = as_imm(max_pointer_reach) - (as_pointers ? width_ : 0);
        if (std::uint64_t{plan_.facts[pc_].most_x} + k_ > static_cast<std::uint32_t>(last))
            b_.jump(Cond::gt, Reg::r2, last, reject());
    }

    Plan::Label reject() const { return plan_.reject(true); }

    void copy() {
        offset_in_r2();
        b_.mov(Reg::r1, context);
        b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, bounce);
        b_.mov32(Reg::r4, width_);
        b_.call(plan_.hook.context == "xdp_md" ? Helper::xdp_load_bytes : Helper::skb_load_bytes);
        b_.jump(Cond::ne, Reg::r0, 0, reject());
    }

    void slice() {
        offset_in_r2();
        b_.mov(Reg::r1, frame).alu(Alu::add, Reg::r1, dynptr);
        b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, bounce);
        b_.mov32(Reg::r4, width_).call(Kfunc::dynptr_slice);
        b_.jump(Cond::eq, Reg::r0, 0, reject());
    }

    // Memory that is not mapped is missing, too.
    void probe() {
        if (indexed_ || k_ > max_reach) {
            b_.mov32(Reg::r3, as_imm(k_));
            if (indexed_) b_.alu32(Alu::add, Reg::r3, regs_.x);
            b_.mov(Reg::r1, Reg::r3).alu(Alu::add, Reg::r1, width_);
            b_.jump(Cond::gt, Reg::r1, regs_.data_end, reject());
            b_.alu(Alu::add, Reg::r3, regs_.data);
        } else {
            b_.jump(Cond::lt, regs_.data_end, as_imm(k_) + width_, reject());
            b_.mov(Reg::r3, regs_.data);
            if (k_ != 0) b_.alu(Alu::add, Reg::r3, as_imm(k_));
        }
        b_.mov32(Reg::r2, width_);
        b_.mov(Reg::r1, frame).alu(Alu::add, Reg::r1, bounce - regs_.stack);
        b_.call(Helper::probe_read_kernel).jump(Cond::ne, Reg::r0, 0, reject());
    }

    Builder& b_;
    Plan const& plan_;
    Registers const& regs_;
    std::size_t pc_;
    std::uint32_t k_;
    std::int32_t width_;
    bool indexed_;
};

}  // namespace

void load_by_call(Builder& b, Plan const& plan, std::size_t pc, Reg dst, bool wanted) {
    CalledLoad(b, plan, pc).run(dst, wanted);
}

}  // namespace tamis::translator
