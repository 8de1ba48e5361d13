// The socket form: the kernel's own translation made loadable.  Packet bytes are read by LD_ABS and
// LD_IND, which end the function with 0 when they fail, exactly as the classic loads do, negative
// offsets included.
#include "translator/filter.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Reg;
using ebpf::Size;

class SocketReader : public Reader {
  public:
    SocketReader(Builder& builder, HookRow const& hook) : b_(builder), hook_(hook) {}

    void prologue() override { b_.mov(context, Reg::r1); }  // LD_ABS wants the context in r6

    void packet(Size size, Reg dst, bool indexed, std::uint32_t k) override {
        auto const offset = static_cast<std::int32_t>(k);
        if (dst == X) b_.mov(X, A);  // keep A where the old X was
        if (indexed)
            b_.load_packet(size, X, offset);
        else
            b_.load_packet(size, offset);
        if (dst == X) b_.mov(Reg::r2, X).mov(X, A).mov(A, Reg::r2);
    }

    bool always_fails(std::uint32_t) const override {
        return false;
    }  // not that the verifier could tell

    void length(Reg dst) override { b_.load(Size::word, dst, context, hook_.fields.len); }

    bool ancillary(Anc number) override {
        Metadata const* field = find_metadata(hook_, number);
        if (field && number == Anc::ifindex) {
            ifindex(field->offset);
            return true;
        }
        if (field) {
            b_.load(Size::word, A, context, field->offset);
            if (field->network_order) b_.to_be(16, A);
            return true;
        }
        switch (number) {
            case Anc::cpu:
                b_.call(Helper::get_smp_processor_id);
                return true;
            case Anc::random:
                b_.call(Helper::get_prandom_u32);
                return true;
            case Anc::alu_xor_x:
                b_.alu32(ebpf::Alu::xor_, A, X);
                return true;
            case Anc::ifindex:
            case Anc::protocol:
            case Anc::pkttype:
            case Anc::mark:
            case Anc::queue:
            case Anc::rxhash:
            case Anc::vlan_tag:
            case Anc::vlan_tag_present:
            case Anc::vlan_tpid:  // fields, above
            case Anc::nlattr:
            case Anc::nlattr_nest:
            case Anc::hatype:
            case Anc::pay_offset:  // nothing in __sk_buff and no helper
                return false;
        }
        return false;
    }

  private:
    // A packet without a device ends the classic program with the A it has at that point
    // (net/core/filter.c).
    void ifindex(std::int32_t offset) {
        Builder::Label const has_device = b_.label();
        b_.load(Size::word, Reg::r2, context, offset);
        b_.jump(Cond::ne, Reg::r2, 0, has_device).exit();
        b_.bind(has_device).mov(A, Reg::r2);
    }

    Builder& b_;
    HookRow const& hook_;
};

}  // namespace

Result<void> emit_socket_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Ends const& ends) {
    SocketReader reader(builder, hook);
    return emit_filter(builder, program, hook, reader, ends);
}

}  // namespace tamis::translator
