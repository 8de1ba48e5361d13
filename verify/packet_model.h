// A packet that is not known: its bytes, its three lengths and what the kernel knows beside it are
// free, and the same for all programs that look at it.
#pragma once

#include <array>
#include <optional>

#include "bpf/cbpf.h"
#include "bpf/hooks.h"
#include "runtime/cbpf_vm.h"
#include "runtime/packet.h"
#include "verify/solver.h"
#include "verify/term.h"

namespace tamis::verify {

// A packet as counterexamples need it: bytes, and how many of them lie in the linear part.
struct ConcretePacket {
    std::vector<std::uint8_t> bytes;  // from `start` bytes before offset 0 on
    std::uint32_t length = 0;         // on the wire, from offset 0 on
    std::uint32_t linear = 0;         // what pointers reach, from offset 0 on
    std::array<std::uint32_t, 16> ancillary{};
    std::uint32_t start = 0;
    std::optional<std::uint32_t> network, link;

    std::uint32_t captured() const { return static_cast<std::uint32_t>(bytes.size()) - start; }
    // As the interpreters take it; valid while this is.
    runtime::Packet view() const;
};

class PacketModel {
  public:
    // Under libpcap's rule a packet may have been cut off; under the kernel's it is whole, and the
    // hook, if one is given, says what is known of it:
    //   direct forms: there are no headers to count from;
    //   XDP: it comes from a device, and nothing reaches an offset above 65,535
    //   (bpf_xdp_load_bytes);
    //   linear ones: pointers reach all of it, but no byte from 65,535 on (MAX_PACKET_OFF).
    PacketModel(Terms& terms, runtime::Rules rules, HookRow const* hook = nullptr);

    // What every packet has in common.
    Term assumptions() const { return assumptions_; }
    runtime::Rules rules() const { return rules_; }

    Term length() const { return length_; }      // 32 bits
    Term captured() const { return captured_; }  // 32 bits
    Term linear() const { return linear_; }      // 32 bits
    // Whether [offset, offset + size) lies inside `limit` (32 bits); offset has 64.
    Term inside(Term offset, std::uint64_t size, Term limit);

    struct Load {
        Term good;   // it is inside the packet
        Term value;  // big endian, 32 bits; anything when it is not
    };
    // A classic load at x + k.
    Load load(Term x, std::uint32_t k, unsigned size);
    // LD_ABS and LD_IND: the kernel's load at a 32-bit offset.
    Load kernel_load(Term offset, unsigned size);
    // One byte; offset has 32 bits and counts from offset 0 of the programs.
    Term byte(Term offset) { return t_.byte(offset); }

    // The value of an ancillary as a classic load gets it, 32 bits.
    Term ancillary(cbpf::Anc number);
    // Whether the packet belongs to a device; without one the kernel has no index and no type.
    Term has_device();
    bool needs_device() const { return xdp_; }

    // The packet that a model of the solver stands for.
    ConcretePacket packet(Model const& model) const;
    // The values that a packet gives the variables; those of other names are 0.
    std::vector<std::uint64_t> variables(ConcretePacket const& packet) const;
    Valuation valuation(ConcretePacket const& packet) const;

  private:
    struct Header {
        Term known, offset;  // whether the kernel has it; from offset 0, signed, 32 bits
    };
    Header header(bool link);
    Term big_endian(Term offset, unsigned size);

    Terms& t_;
    runtime::Rules rules_;
    bool xdp_, direct_, pointers_;
    Term length_, captured_, linear_, assumptions_;
};

}  // namespace tamis::verify
