// Decision graph to classic code.
#pragma once

#include <cstdint>

#include "bpf/cbpf.h"
#include "frontend/formula.h"
#include "frontend/graph.h"

namespace tamis::frontend {

// The program answers `accept` where the graph accepts and 0 elsewhere.  `formula` is the one that
// the graph was made from, with versions; `whole` is the origin of the return instructions.  Sets
// are searched in O(log n) steps.
cbpf::Program generate(Graph const& graph, Formula const& formula, std::uint32_t accept,
                       Span whole);

}  // namespace tamis::frontend
