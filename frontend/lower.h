// Formula to classic code: the same tests in the same order, with short-circuit jumps.
#pragma once

#include <cstdint>

#include "bpf/cbpf.h"
#include "frontend/formula.h"

namespace tamis::frontend {

// The program answers `accept` where the formula is true and 0 elsewhere, in time and space linear
// in the formula.  A load is left out only where the register provably holds the same bytes already
// on every path, so that packets end the program early exactly where they would without that.
// `whole` is the origin of the return instructions.
cbpf::Program lower(Formula const& formula, std::uint32_t accept, Span whole);

}  // namespace tamis::frontend
