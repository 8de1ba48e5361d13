// What the direct form decides before it emits an instruction: the order of tests, what is known at
// each instruction, which register holds what, and where control goes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "translator/facts.h"
#include "translator/filter.h"
#include "translator/test_order.h"

namespace tamis::translator {

// Where things are.
struct Registers {
    ebpf::Reg context, a, x;
    ebpf::Reg data, data_end;      // the packet
    ebpf::Reg checked, checked_x;  // data + n and data + X + n, both compared with data_end
    ebpf::Reg scratch;             // not between two instructions
    std::array<std::optional<ebpf::Reg>, cbpf::memory_words> cells;  // the others are on the stack
    std::int32_t stack = 0;  // bytes of it that are not ours
};

// The length of a packet is told by a call.
bool length_by_call(HookRow const& hook, Shape const& shape);

// Metadata that only the driver knows, at XDP.
bool is_offloaded_tag(HookRow const& hook, Shape const& shape, cbpf::Anc number);

// The metadata that a load reads, where it reads some.
cbpf::Ancillary const* ancillary(cbpf::Insn const& insn);

class Plan {
  public:
    using Label = Builder::Label;

    Plan(Builder& builder, cbpf::Program const& program, HookRow const& hook, Shape const& shape,
         Surroundings const& around);
    Plan(Plan const&) = delete;
    Plan& operator=(Plan const&) = delete;

    // Points at the first instruction that reads metadata the hook does not have.
    Result<void> refusal() const;

    std::size_t size() const { return insns.size(); }
    ebpf::Origin origin(std::size_t pc) const;
    // The classic instruction that stands for all ends that accept.
    ebpf::Origin first_accept() const;

    // An instruction of the fast or slow version that fulfils the condition.
    template <class Test>
    bool any_emitted(Test const& test) const {
        for (std::size_t pc = 0; pc < insns.size(); ++pc)
            if ((facts[pc].fast || facts[pc].slow) && test(insns[pc], facts[pc])) return true;
        return false;
    }
    bool reads_length() const;
    // Instructions of the fast version read through pointers.
    bool has_pointers() const;
    // Whether what the caller puts into r0 stays there until the first call.
    bool keeps_r0() const;

    // Where control comes to by arriving at an instruction: past jumps, and past what was compared
    // together with the word before.
    std::size_t landing(std::size_t pc, bool slow) const;
    // Where control goes: to an instruction in one of the versions; to where it comes by arriving
    // there, past jumps, or at an end; to where no match is, and from a check that fails.
    Label at(std::size_t pc, bool slow) const { return labels_[2 * pc + (slow ? 1 : 0)]; }
    Label target(std::size_t pc, bool slow) const;
    Label reject(bool slow) const { return slow ? ends.reject_after_call : ends.reject; }
    Label failure(std::size_t pc) const;
    // The instruction has code of its own in that version.
    bool emitted(std::size_t pc, bool slow) const;

  private:
    Reordered ordered_;
    Knowledge known_;

  public:
    cbpf::Program const& program;
    std::vector<cbpf::Insn> const& insns;
    HookRow const& hook;
    Shape const& shape;
    Surroundings const& around;
    Ends const& ends;
    std::vector<Facts> const& facts;
    bool const x_is_pointer;
    Registers const regs;
    // Where the packet's bounds are loaded, if not at the start.
    std::optional<std::size_t> const first_read;
    // The packet's start has a register of its own, beside `checked`.
    bool const keeps_data;

  private:
    Registers choose_registers() const;
    std::uint32_t used_state() const;
    std::optional<std::size_t> find_first_read() const;
    bool wants_data(bool has_start) const;

    std::vector<Label> labels_;  // of each instruction, fast and slow
};

}  // namespace tamis::translator
