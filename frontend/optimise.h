// A formula to the shortest classic program that is found for it.
#pragma once

#include <optional>

#include "bpf/cbpf.h"
#include "frontend/formula.h"
#include "frontend/graph.h"

namespace tamis::frontend {

struct Optimised {
    cbpf::Program program;
    Graph graph;  // what the program was made from
};

// The program returns `accept` or 0 and is, for packets of full length, what lower() makes of the
// formula; see decide() for others.  `whole` is the origin of the return instructions.  Nothing for
// formulas of which there are no graphs.  Of long formulas the tree is dropped, see decide_long().
std::optional<Optimised> optimise(Formula& formula, std::uint32_t accept, Span whole);

}  // namespace tamis::frontend
