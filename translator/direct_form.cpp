// The direct form: packet bytes through data and data_end, one bounds check per load.
//
// The verifier follows a packet pointer only up to 65,535 bytes (MAX_PACKET_OFF), so a load that
// would end beyond that goes through bpf_xdp_load_bytes, which reaches offset 65,535 itself.  No
// means at XDP reaches further: there a load fails.
#include <vector>

#include "translator/filter.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using ebpf::Alu;
using ebpf::Cond;
using ebpf::Helper;
using ebpf::Reg;
using ebpf::Size;

constexpr std::uint32_t max_pointer_reach = 0xffff, max_offset = 0xffff;
constexpr std::int32_t xdp_md_ingress_ifindex = 12;

class DirectReader : public Reader {
  public:
    DirectReader(Builder& builder, HookRow const& hook, Builder::Label reject)
        : b_(builder), hook_(hook), reject_(reject) {}

    void prologue() override {
        b_.mov(context, Reg::r1);
        b_.load(Size::word, data, context, hook_.fields.data);
        b_.load(Size::word, data_end, context, hook_.fields.data_end);
    }

    void packet(Size size, Reg dst, bool indexed, std::uint32_t k) override {
        if (indexed)
            indexed_load(size, dst, k);
        else
            constant_load(size, dst, k);
    }

    // Offsets from 2^31 on are relative to headers that only an skb knows.
    bool always_fails(std::uint32_t k) const override { return k > max_offset; }

    // data_end - data is the packet's length: plain XDP packets are linear.
    void length(Reg dst) override { b_.mov(dst, data_end).alu(Alu::sub, dst, data); }

    bool ancillary(Anc number) override {
        switch (number) {
            case Anc::ifindex:
                b_.load(Size::word, A, context, xdp_md_ingress_ifindex);
                return true;
            case Anc::cpu:
                b_.call(Helper::get_smp_processor_id);
                return true;
            case Anc::random:
                b_.call(Helper::get_prandom_u32);
                return true;
            case Anc::alu_xor_x:
                b_.alu32(Alu::xor_, A, X);
                return true;
            case Anc::protocol:
            case Anc::pkttype:
            case Anc::nlattr:
            case Anc::nlattr_nest:
            case Anc::mark:
            case Anc::queue:  // rx_queue_index is not skb->queue_mapping
            case Anc::hatype:
            case Anc::rxhash:
            case Anc::vlan_tag:
            case Anc::vlan_tag_present:
            case Anc::pay_offset:
            case Anc::vlan_tpid:
                return false;
        }
        return false;
    }

    void epilogue() override {
        for (Far const& far : far_) {
            b_.bind(far.entry).from(far.origin);
            b_.jump(Cond::gt, Reg::r1, static_cast<std::int32_t>(max_offset), reject_);
            load_bytes(far.size, far.dst);
            b_.jump(far.resume);
        }
    }

  private:
    struct Far {
        Builder::Label entry, resume;  // offset in r1
        Size size;
        Reg dst;
        ebpf::Origin origin;
    };

    void constant_load(Size size, Reg dst, std::uint32_t k) {
        if (always_fails(k)) {
            b_.jump(reject_);
        } else if (k + bytes(size) > max_pointer_reach) {
            b_.mov(Reg::r1, static_cast<std::int32_t>(k));
            load_bytes(size, dst);
        } else {
            auto const end = static_cast<std::int32_t>(k + bytes(size));
            b_.mov(Reg::r1, data).alu(Alu::add, Reg::r1, end);
            b_.jump(Cond::gt, Reg::r1, data_end, reject_);
            load_be(size, dst, Reg::r1, -static_cast<std::int32_t>(bytes(size)));
        }
    }

    void indexed_load(Size size, Reg dst, std::uint32_t k) {
        Far const far{b_.label(), b_.label(), size, dst, b_.origin()};
        // The offset is X + k modulo 2^32.  Adding X to k and not k to a copy of X: the verifier would
        // remember the distance between the two and take it for a pointer offset, which has a limit.
        b_.mov32(Reg::r1, static_cast<std::int32_t>(k)).alu32(Alu::add, Reg::r1, X);
        // A range that the verifier can carry through the addition below.
        b_.jump(Cond::gt, Reg::r1, static_cast<std::int32_t>(max_pointer_reach - bytes(size)),
                far.entry);
        b_.alu(Alu::add, Reg::r1, data);
        b_.mov(Reg::r2, Reg::r1).alu(Alu::add, Reg::r2, static_cast<std::int32_t>(bytes(size)));
        b_.jump(Cond::gt, Reg::r2, data_end, reject_);
        load_be(size, dst, Reg::r1, 0);
        b_.bind(far.resume);
        far_.push_back(far);
    }

    void load_be(Size size, Reg dst, Reg base, std::int32_t off) {
        b_.load(size, dst, base, off);
        if (size != Size::byte) b_.to_be(8 * bytes(size), dst);
    }

    // dst = `size` bytes at offset r1, by the helper.
    void load_bytes(Size size, Reg dst) {
        if (dst != A) b_.store(Size::word, frame, saved_a, A);
        b_.mov(Reg::r2, Reg::r1).mov(Reg::r1, context);
        b_.mov(Reg::r3, frame).alu(Alu::add, Reg::r3, bounce);
        b_.mov(Reg::r4, static_cast<std::int32_t>(bytes(size)));
        b_.call(Helper::xdp_load_bytes);
        b_.jump(Cond::ne, Reg::r0, 0, reject_);
        load_be(size, dst, frame, bounce);
        if (dst != A) b_.load(Size::word, A, frame, saved_a);
    }

    Builder& b_;
    HookRow const& hook_;
    Builder::Label reject_;
    std::vector<Far> far_;
};

}  // namespace

Result<void> emit_direct_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Ends ends) {
    DirectReader reader(builder, hook, ends.reject);
    return emit_filter(builder, program, hook, reader, ends);
}

}  // namespace tamis::translator
