// What a translation has to do, as clauses of a question.
#pragma once

#include "verify/question.h"
#include "verify/symbolic_cbpf.h"
#include "verify/symbolic_ebpf.h"

namespace tamis::verify {

// On every packet for which the extended program `ends` as `run` says, it answers and counts as
// these options ask for the classic program's verdict; null for a filter alone, whose r0 is the
// verdict.  No access of the run is out of bounds.
void translation_clauses(Question& q, ClassicRun const& classic, ExtendedRun const& run, Term ends,
                         translator::Options const* translation);

}  // namespace tamis::verify
