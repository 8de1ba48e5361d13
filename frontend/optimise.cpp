#include "frontend/optimise.h"

#include <algorithm>
#include <span>

#include "bpf/cbpf_check.h"
#include "frontend/generate.h"
#include "frontend/ranges.h"

namespace tamis::frontend {
namespace {

// About how many instructions a graph takes.
std::size_t length(Graph const& graph) {
    std::size_t length = 0;
    for (Graph::Node const& node : graph.nodes)
        length +=
            1 + search_length(graph.keys[node.key],
                              std::span(graph.pieces).subspan(node.begin, node.end - node.begin));
    return length;
}

}  // namespace

// Legs become one as long as no packet has a longer way to go for it.
std::optional<Optimised> optimise(Formula const& formula, std::uint32_t accept, Span whole) {
    std::vector<Graph> graphs = decide(formula);
    if (graphs.empty()) return std::nullopt;
    auto const shortest =
        std::min_element(graphs.begin(), graphs.end(),
                         [](Graph const& a, Graph const& b) { return length(a) < length(b); });
    Graph& graph = *shortest;
    if (join_neighbours(graph)) simplify(graph);
    // One instruction more on the way is nothing in a long list.
    constexpr std::size_t long_list = 200;  // pieces
    if (graph.pieces.size() > long_list) {
        while (share_legs(graph)) continue;
        return Optimised{generate(graph, formula, accept, whole), std::move(graph)};
    }
    Optimised best{generate(graph, formula, accept, whole), std::move(graph)};
    std::size_t const path = cbpf::longest_path(best.program.insns);
    Graph shared = best.graph;
    while (share_legs(shared)) {
        cbpf::Program program = generate(shared, formula, accept, whole);
        bool const slower = cbpf::longest_path(program.insns) > path;
        if (slower || program.insns.size() >= best.program.insns.size()) break;
        best = {std::move(program), shared};
    }
    return best;
}

}  // namespace tamis::frontend
