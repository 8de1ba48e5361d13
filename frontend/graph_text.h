// Decision graphs to read and to draw.
#pragma once

#include <string>
#include <string_view>

#include "frontend/graph.h"

namespace tamis::frontend {

// One node after the other: what it reads, the words of the filter that ask for it, and where each
// range of values leads.  `text` is the filter.
std::string listing(Graph const& graph, std::string_view text);

// The same for Graphviz.
std::string dot(Graph const& graph, std::string_view text);

}  // namespace tamis::frontend
