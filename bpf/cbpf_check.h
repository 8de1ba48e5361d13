// What the kernel takes as a classic socket filter.
#pragma once

#include "bpf/cbpf.h"
#include "bpf/result.h"

namespace tamis::cbpf {

// The rules of the kernel's bpf_check_classic (net/core/filter.c), all of which answer EINVAL
// there; the message names the rule and the instruction.  `max_insns` is the one rule that only
// sockets have (BPF_MAXINSNS).  The diagnostic's span is the faulty instruction's origin, where the
// program has one.
Result<void> check(Program const& program, std::size_t max_insns = max_socket_insns);

// Index of the first instruction that breaks a rule together with the rule's text; what check() is
// made of, for callers that print their own listing.  index == program.insns.size() when the fault
// is about the whole program.
struct Refusal {
    std::size_t index;
    std::string rule;
};
std::optional<Refusal> refusal(std::span<Insn const> insns,
                               std::size_t max_insns = max_socket_insns);

// Instructions on the longest path through a program.  Jumps back, which libpcap makes for
// `protochain` and the kernel refuses, are not followed.
std::size_t longest_path(std::span<Insn const> insns);

}  // namespace tamis::cbpf
