// Proofs of translations that are too long for one question.
//
// A cut is an eBPF instruction where the translation of a classic instruction begins and several
// ways meet.  There, registers and the stack hold what the classic program holds at its
// instruction: in which of them is A, in which X, how far pointers are checked.  This is found out
// while the program is run from cut to cut, and proved: whatever gets to a cut gets to the classic
// instruction as well and finds it held.  From a cut on, A, X and the cells are anything; each
// stretch of code from a cut to the next is a small question of its own.  Classic programs only
// jump forward, so that cuts in their order are an induction.
#pragma once

#include <optional>

#include "verify/prove.h"

namespace tamis::verify {

// Nothing where the translation is proved, else why it is not: a relation between the programs that
// is not recognised refutes nothing.
std::optional<std::string> prove_by_cuts(cbpf::Program const& classic,
                                         ebpf::Program const& extended, HookRow const& hook,
                                         translator::Options const* translation,
                                         ProveOptions const& options);

}  // namespace tamis::verify
