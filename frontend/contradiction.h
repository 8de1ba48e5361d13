// Why a filter matches nothing.
#pragma once

#include "bpf/diagnostic.h"
#include "frontend/formula.h"

namespace tamis::frontend {

// A warning about a formula that no packet makes true: the two parts that exclude each other, or
// the part that is never true by itself.  Without a place in the text where more than two parts are
// to blame.
Diagnostic find_contradiction(Formula const& formula);

}  // namespace tamis::frontend
