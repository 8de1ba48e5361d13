// The parts of the direct form, each with what the verifier or the hook wants in a file of its own.
#pragma once

#include "translator/direct_plan.h"

namespace tamis::translator {

// direct_prologue.cpp: what comes before the first classic instruction.
void emit_prologue(Builder& builder, Plan const& plan);
// The packet's bounds, into registers; `reads`: a pointer to compare with the end as well.
void load_bounds(Builder& builder, Plan const& plan, bool reads);
// dst = the packet's start, which checks have moved on from.
void load_start(Builder& builder, Plan const& plan, ebpf::Reg dst);

// direct_pointers.cpp: dst = the value that a load reads, through a pointer.  False where that has
// no code behind it: the fast version goes on in the slow one.
bool load_by_pointer(Builder& builder, Plan const& plan, std::size_t pc, ebpf::Reg dst,
                     bool wanted);

// direct_calls.cpp: the same by a call.
void load_by_call(Builder& builder, Plan const& plan, std::size_t pc, ebpf::Reg dst, bool wanted);

// direct_metadata.cpp: A = metadata; false as above.
bool load_metadata(Builder& builder, Plan const& plan, std::size_t pc, bool slow);
// dst = the length of the packet.
void load_length(Builder& builder, Plan const& plan, ebpf::Reg dst, bool slow);
// r0 = the length, where only a call tells it.
void call_length(Builder& builder, HookRow const& hook);

// direct_form.cpp: ends the program with A as its value.
void return_a(Builder& builder, Plan const& plan, bool slow, std::optional<Builder::Label> next);

// dst = `size` bytes at base + offset as the instruction wants them, swapped or not.
void read_value(Builder& builder, Plan const& plan, std::size_t pc, ebpf::Reg dst, ebpf::Reg base,
                std::int32_t offset);

inline constexpr std::int32_t nf_ctx_skb = 8;  // struct bpf_nf_ctx

}  // namespace tamis::translator
