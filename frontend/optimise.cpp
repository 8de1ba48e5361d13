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

// In more than a few ranges.
bool searches(Graph const& graph, Graph::Node const& node) {
    if (node.end - node.begin < 5) return false;
    Ranges ranges;
    ranges.read(std::span(graph.pieces).subspan(node.begin, node.end - node.begin));
    return ranges.runs.size() > 3;
}

}  // namespace

// Legs become one as long as no packet has a longer way to go for it.
std::optional<Optimised> optimise(Formula const& formula, std::uint32_t accept, Span whole) {
    List<Graph> graphs = decide(formula);
    if (graphs.empty()) return std::nullopt;
    auto const shortest =
        std::min_element(graphs.begin(), graphs.end(),
                         [](Graph const& a, Graph const& b) { return length(a) < length(b); });
    Graph& graph = *shortest;
    bool const joined = join_neighbours(graph);
    if (joined) put_in_order(graph);
    // What a search in halves saves on the way, or a field that is not read by itself, may be
    // spent.
    bool const halves = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                    [&](Graph::Node const& node) { return searches(graph, node); });
    // One instruction more on the way is nothing in a long list.
    constexpr std::size_t long_list = 200;  // pieces
    if ((joined && !halves) || graph.pieces.size() > long_list) {
        while (share_legs(graph)) continue;
        return Optimised{generate(graph, formula, accept, whole), std::move(graph)};
    }
    Optimised best{generate(graph, formula, accept, whole), std::move(graph)};
    std::size_t const path = cbpf::longest_path(best.program.insns) + (halves ? 1 : 0);
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
