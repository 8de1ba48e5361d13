// Code that no packet reaches: a fallback that can never run, a check that cannot fail.
#pragma once

#include "verify/question.h"
#include "verify/symbolic_cbpf.h"
#include "verify/symbolic_ebpf.h"

namespace tamis::verify {

struct Unreached {
    std::vector<DeadBlock> dead;  // though a packet reaches what the code stands for
    std::vector<DeadBlock> idle;  // as in the classic program
};

// Looks for a packet for every block of a translation.  `packets` are tried first; those that are
// found are added.  `by_calls`: computed offsets are read by calls, and nothing but the ways that
// led there tells what is known behind them.  An error: what was not decided in time.
Result<Unreached> find_unreached(Question& question, cbpf::Program const& classic,
                                 ebpf::Program const& extended, ClassicRun const& one,
                                 ExtendedRun const& other, bool by_calls,
                                 std::vector<ConcretePacket>& packets);

}  // namespace tamis::verify
