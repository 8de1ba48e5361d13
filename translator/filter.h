// A classic program as one eBPF function: what both loadable forms share, and the seam where they
// differ.
#pragma once

#include <functional>
#include <optional>

#include "bpf/builder.h"
#include "bpf/cbpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "translator/body.h"
#include "translator/translate.h"

namespace tamis::translator {

using ebpf::Builder;

// Where a filter goes when it ends.  Without `accept` it is a function that returns the classic
// value in r0; with it, code that jumps to `accept` for a value other than 0 and to `reject` for 0.
struct Ends {
    Builder::Label reject;
    // The same where a call may have clobbered r0-r5.
    Builder::Label reject_after_call;
    std::optional<Builder::Label> accept;
    // Emits the code of the ends that are wanted so far, `accept` first; called behind the straight
    // path, which may fall into it, and again behind what was kept out of that path.  With
    // `more_to_come` there is code behind them that may jump to them.
    std::function<void(bool falls_into_accept, bool more_to_come)> place;
};

// How a form reads what lies outside the registers.  A load that fails goes to `reject` or ends the
// function with 0.
class Reader {
  public:
    virtual ~Reader() = default;
    // Sets up the registers that loads need; A and X are zeroed by the caller.
    virtual void prologue() = 0;
    // dst = `size` bytes at k, or at X + k; big endian.  dst is A, or X with A preserved.
    virtual void packet(ebpf::Size size, ebpf::Reg dst, bool indexed, std::uint32_t k) = 0;
    // True when a load from this constant offset can never succeed: what follows it is dead code,
    // which the verifier refuses
    // ("unreachable insn").
    virtual bool always_fails(std::uint32_t k) const = 0;
    virtual void length(ebpf::Reg dst) = 0;
    // A = the ancillary value; false when the hook does not have it.
    virtual bool ancillary(cbpf::Anc number) = 0;
};

// Emits the filter with everything reachable in it.  Fails for an ancillary that the reader lacks.
Result<void> emit_filter(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                         Reader& reader, Ends const& ends);

// The refusal of metadata that a hook's programs cannot read.
tl::unexpected<Diagnostic> no_such_metadata(cbpf::Program const& program, std::size_t pc,
                                            HookRow const& hook, cbpf::Ancillary const& anc);

// The forms.
Result<void> emit_socket_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Ends const& ends);
// What the caller emits behind a filter and how that uses registers.
struct Surroundings {
    Ends ends;
    // Emits what comes first, behind any call; told whether r0 is left alone up to the first call.
    std::function<void(bool keeps_r0)> begin = [](bool) {};
    // In `context`, to the end: for calls, beside which a jump is nothing (layout.cpp).
    bool needs_context = false;
    // Without a context: where the packet's bounds are, and what else may be used.
    std::optional<BodyRegisters> registers{};
};
Result<void> emit_direct_form(Builder& builder, cbpf::Program const& program, HookRow const& hook,
                              Shape const& shape, Surroundings const& around);
// dst = length of the whole packet at a direct form's hook, anywhere behind it; clobbers r0-r5.
void emit_length(Builder& builder, HookRow const& hook, Shape const& shape, ebpf::Reg dst);

}  // namespace tamis::translator
