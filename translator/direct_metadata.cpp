// What the hook's context tells about a packet, its length included.
#include "translator/direct_parts.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Kfunc;
using ebpf::Reg;
using ebpf::Size;

// What ask_for_tag() put on the stack.
void load_tag(Builder& b, Reg a, Anc number) {
    if (number == Anc::vlan_tag_present)
        b.load(Size::word, a, frame, tag_present);
    else if (number == Anc::vlan_tpid)
        b.load(Size::half, a, frame, tag_protocol).to_be(16, a);
    else
        b.load(Size::half, a, frame, tag_control);
}

// A packet without a device ends the classic program with the A it has at that point
// (net/core/filter.c).
void load_ifindex(Builder& b, Plan const& plan, std::int32_t offset, bool slow) {
    Registers const& regs = plan.regs;
    Builder::Label const has_device = b.label();
    b.load(Size::word, regs.scratch, context, offset);
    b.jump32(Cond::ne, regs.scratch, 0, has_device);
    return_a(b, plan, slow, std::nullopt);
    b.bind(has_device).mov32(regs.a, regs.scratch);
}

}  // namespace

bool load_metadata(Builder& b, Plan const& plan, std::size_t pc, bool slow) {
    Anc const number = ancillary(plan.insns[pc])->number;
    Reg const a = plan.regs.a;
    bool const calls = number == Anc::cpu || number == Anc::random;
    if (calls && !slow) {
        b.jump(plan.at(pc, true));
        return false;
    }
    if (calls) {
        b.call(number == Anc::cpu ? Helper::get_smp_processor_id : Helper::get_prandom_u32);
        b.mov32(a, Reg::r0);
    } else if (number == Anc::alu_xor_x) {
        b.alu32(Alu::xor_, a, plan.regs.x);
    } else if (is_offloaded_tag(plan.hook, plan.shape, number)) {
        load_tag(b, a, number);
    } else {
        Metadata const& field = *find_metadata(plan.hook, number);
        if (number == Anc::ifindex && plan.hook.context == "__sk_buff") {
            load_ifindex(b, plan, field.offset, slow);
            return true;
        }
        b.load(Size::word, a, context, field.offset);
        if (field.network_order) b.to_be(16, a);
    }
    return true;
}

void call_length(Builder& b, HookRow const& hook) {
    if (hook.access == Access::dynptr) {
        b.mov(Reg::r1, frame).alu(Alu::add, Reg::r1, dynptr).call(Kfunc::dynptr_size);
    } else {
        b.mov(Reg::r1, context).call(Helper::xdp_get_buff_len);
    }
}

void load_length(Builder& b, Plan const& plan, Reg dst, bool slow) {
    HookRow const& hook = plan.hook;
    Registers const& regs = plan.regs;
    if (hook.fields.len >= 0) {
        b.load(Size::word, dst, regs.context, hook.fields.len);
    } else if (hook.access == Access::probe) {
        b.mov32(dst, regs.data_end);
    } else if (hook.access == Access::dynptr) {
        call_length(b, hook);
        b.mov32(dst, Reg::r0);
    } else if (length_by_call(hook, plan.shape)) {
        b.load(Size::word, dst, frame, saved_length);
    } else if (slow) {  // calls have clobbered the pointers
        b.load(Size::word, regs.data, context, hook.fields.data);
        b.load(Size::word, dst, context, hook.fields.data_end);
        b.alu(Alu::sub, dst, regs.data);
    } else {
        b.mov(dst, regs.data_end).alu(Alu::sub, dst, regs.data);
    }
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
