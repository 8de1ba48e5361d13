// The socket form: the kernel's own translation made loadable.  Packet bytes are read by LD_ABS and
// LD_IND, which end the function with 0 when they fail, exactly as the classic loads do, negative
// offsets included.
#include <algorithm>
#include <iterator>

#include "translator/filter.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Reg;
using ebpf::Size;

// Ancillaries that are fields of __sk_buff (linux/bpf.h), all of them 32-bit reads.
struct Field {
    Anc number;
    std::int32_t offset;
    bool network_order;  // 16 bits, as on the wire
};
constexpr Field fields[] = {
    {Anc::pkttype, 4, false},   {Anc::mark, 8, false},      {Anc::queue, 12, false},
    {Anc::protocol, 16, true},  {Anc::rxhash, 68, false},   {Anc::vlan_tag_present, 20, false},
    {Anc::vlan_tag, 24, false}, {Anc::vlan_tpid, 28, true},
};
constexpr std::int32_t sk_buff_len = 0, sk_buff_ifindex = 40;

class SocketReader : public Reader {
  public:
    explicit SocketReader(Builder& builder) : b_(builder) {}

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

    void length(Reg dst) override { b_.load(Size::word, dst, context, sk_buff_len); }

    bool ancillary(Anc number) override {
        auto const* field = std::find_if(std::begin(fields), std::end(fields),
                                         [&](Field const& f) { return f.number == number; });
        if (field != std::end(fields)) {
            b_.load(Size::word, A, context, field->offset);
            if (field->network_order) b_.to_be(16, A);
            return true;
        }
        switch (number) {
            case Anc::ifindex:
                ifindex();
                return true;
            case Anc::cpu:
                b_.call(Helper::get_smp_processor_id);
                return true;
            case Anc::random:
                b_.call(Helper::get_prandom_u32);
                return true;
            case Anc::alu_xor_x:
                b_.alu32(ebpf::Alu::xor_, A, X);
                return true;
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
    void ifindex() {
        Builder::Label const has_device = b_.label();
        b_.load(Size::word, Reg::r2, context, sk_buff_ifindex);
        b_.jump(Cond::ne, Reg::r2, 0, has_device).exit();
        b_.bind(has_device).mov(A, Reg::r2);
    }

    Builder& b_;
};

}  // namespace

Result<void> emit_socket_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Ends ends) {
    SocketReader reader(builder);
    return emit_filter(builder, program, hook, reader, ends);
}

}  // namespace tamis::translator
