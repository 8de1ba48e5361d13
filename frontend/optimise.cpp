#include "frontend/optimise.h"

#include <algorithm>
#include <span>

#include "bpf/cbpf_check.h"
#include "frontend/generate.h"
#include "frontend/ranges.h"
#include "frontend/variables.h"

namespace tamis::frontend {
namespace {

// In more than a few ranges.
bool searches(Graph const& graph, Graph::Node const& node) {
    if (node.end - node.begin < 5) return false;
    Ranges ranges;
    ranges.read(graph.pieces_of(node));
    return ranges.runs.size() > 3;
}

// With one leg shared more in each; the first is the graph as it is.
List<Graph> with_legs_shared(Graph graph) {
    List<Graph> graphs;
    graphs.push_back(std::move(graph));
    while (auto shared = share_legs(graphs.back())) graphs.push_back(std::move(*shared));
    return graphs;
}

// The graph's program.  Legs become one as long as no packet has a longer way to go for it, except
// for what neighbours that became one, or searches in halves, have saved.
Optimised program_of(Graph graph, Formula const& formula, std::uint32_t accept, Span whole) {
    auto const program = [&](Graph const& of) { return generate(of, formula, accept, whole); };
    auto const optimised = [&](Graph& of) { return Optimised{program(of), std::move(of)}; };
    constexpr std::size_t long_list = 200;  // pieces; one instruction more is nothing there
    if (graph.pieces.size() > long_list) {
        join_neighbours(graph);
        return optimised(with_legs_shared(std::move(graph)).back());
    }
    bool const halves = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                    [&](Graph::Node const& node) { return searches(graph, node); });
    std::optional<Graph> apart = join_neighbours(graph);
    std::size_t const path_apart = apart ? estimate(*apart).path : 0;
    if (apart && estimate(graph).path > path_apart) {
        graph = std::move(*apart);
        apart.reset();
    }
    List<Graph> shared = with_legs_shared(std::move(graph));
    if (apart && !halves && estimate(shared.back()).path < path_apart)
        return optimised(shared.back());
    Optimised best = optimised(shared[0]);
    std::size_t longest = cbpf::longest_path(best.program.insns) + (halves ? 1 : 0);
    auto const slower = [&](cbpf::Program const& other) {
        std::size_t const path = cbpf::longest_path(other.insns);
        if (path > longest && apart) {
            longest = std::max(longest, cbpf::longest_path(program(*apart).insns));
            apart.reset();
        }
        return path > longest;
    };
    for (std::size_t i = 1; i < shared.size(); ++i) {
        cbpf::Program other = program(shared[i]);
        if (other.insns.size() >= best.program.insns.size() || slower(other)) break;
        best = {std::move(other), std::move(shared[i])};
    }
    return best;
}

}  // namespace

std::optional<Optimised> optimise(Formula& text, std::uint32_t accept, Span whole) {
    constexpr std::size_t many = 10'000;  // nodes
    std::optional<Formula> versions;
    if (text.variables > 0) versions = with_versions(text);
    Formula& formula = versions ? *versions : text;
    if (formula.nodes.size() > many) {
        auto graph = decide_long(formula);
        if (!graph) return std::nullopt;
        return program_of(std::move(*graph), formula, accept, whole);
    }
    List<Graph> graphs = decide(formula);
    if (graphs.empty()) return std::nullopt;
    // What looks longer by more than the estimate may be wrong is not tried.
    std::size_t shortest = ~std::size_t{0};
    List<std::size_t> lengths;
    for (Graph const& graph : graphs) {
        lengths.push_back(graphs.size() > 1 ? estimate(graph).length : 0);
        shortest = std::min(shortest, lengths.back());
    }
    std::optional<Optimised> best;
    for (std::size_t i = 0; i < graphs.size(); ++i) {
        if (lengths[i] > shortest + shortest / 6) continue;
        Optimised made = program_of(std::move(graphs[i]), formula, accept, whole);
        if (!best || made.program.insns.size() < best->program.insns.size()) best = std::move(made);
    }
    return best;
}

}  // namespace tamis::frontend
