// What the direct form does before its first classic instruction.
#include "translator/direct_parts.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Insn;
using cbpf::Kind;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Kfunc;
using ebpf::Reg;
using ebpf::Size;

// The kernel begins classic programs with A and X at 0.
void clear(Builder& b, Plan const& plan) {
    Facts const& first = plan.facts[0];
    if (first.needed == Facts::never) return;
    if ((first.live & state_a) != 0) b.mov32(plan.regs.a, 0);
    if ((first.live & state_x) == 0) return;
    b.mov32(plan.regs.x, 0);
    if (plan.x_is_pointer) b.alu(Alu::add, plan.regs.x, plan.regs.checked);
}

// Netfilter programs see no packet but through a dynptr.
void make_dynptr(Builder& b, Plan const& plan) {
    b.load(Size::dword, Reg::r1, context, nf_ctx_skb).mov32(Reg::r2, 0);
    b.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, dynptr).call(Kfunc::dynptr_from_skb);
    // A slice may read its buffer, and only with CAP_PERFMON may that be memory that was never
    // written.
    if (plan.shape.no_perfmon) b.store(Size::word, frame, bounce, 0);
}

// Without a tag, and without a driver that could tell it, its words stay 0.
void ask_for_tag(Builder& b) {
    b.store(Size::half, frame, tag_protocol, 0).store(Size::half, frame, tag_control, 0);
    b.mov(Reg::r1, context);
    b.mov(Reg::r2, frame).alu(Alu::add, Reg::r2, tag_protocol);
    b.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, tag_control);
    b.call(Kfunc::xdp_vlan_tag);
    Builder::Label const absent = b.label();
    b.mov32(Reg::r1, 0).jump32(Cond::ne, Reg::r0, 0, absent).mov32(Reg::r1, 1).bind(absent);
    b.store(Size::word, frame, tag_present, Reg::r1);
}

// Pointers are where they are.  Numbers may be nonsense, and one of them becomes the length.
void prologue_of_bounds(Builder& b, Plan const& plan) {
    Registers const& regs = plan.regs;
    if (plan.hook.access == Access::probe) {
        b.jump(Cond::gt, regs.data, regs.data_end, plan.ends.reject);
        b.alu(Alu::sub, regs.data_end, regs.data);
    } else if (plan.any_emitted([](Insn const& i, Facts const&) { return reads_packet(i); })) {
        b.mov(regs.checked, regs.data);
    }
    clear(b, plan);
}

}  // namespace

void emit_prologue(Builder& b, Plan const& plan) {
    HookRow const& hook = plan.hook;
    if (!has_context(hook)) return prologue_of_bounds(b, plan);
    if (plan.regs.context == context) b.mov(context, Reg::r1);
    if (hook.access == Access::dynptr) make_dynptr(b, plan);
    // Its length may be asked for where a call would clobber what is in use.
    bool const length = plan.reads_length();
    if (length && hook.access == Access::pointer && length_by_call(hook, plan.shape)) {
        call_length(b, hook);
        b.store(Size::word, frame, saved_length, Reg::r0);
    }
    if (plan.any_emitted([&](Insn const& insn, Facts const&) {
            cbpf::Ancillary const* anc = ancillary(insn);
            return anc && is_offloaded_tag(hook, plan.shape, anc->number);
        }))
        ask_for_tag(b);
    plan.around.begin(plan.keeps_r0());
    bool const subtracts = length && hook.fields.len < 0 && !length_by_call(hook, plan.shape);
    bool const reads = plan.has_pointers();
    if ((reads || subtracts) && !plan.first_read) load_bounds(b, plan, reads);
    clear(b, plan);
}

void load_bounds(Builder& b, Plan const& plan, bool reads) {
    Registers const& regs = plan.regs;
    b.load(Size::word, plan.keeps_data ? regs.data : regs.checked, regs.context,
           plan.hook.fields.data);
    b.load(Size::word, regs.data_end, regs.context, plan.hook.fields.data_end);
    if (plan.keeps_data && reads) b.mov(regs.checked, regs.data);
}

void load_start(Builder& b, Plan const& plan, Reg dst) {
    if (plan.keeps_data)
        b.mov(dst, plan.regs.data);
    else
        b.load(Size::word, dst, plan.regs.context, plan.hook.fields.data);
}

}  // namespace tamis::translator
