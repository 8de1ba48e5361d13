#include "frontend/contradiction.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <vector>

#include "frontend/graph.h"
#include "frontend/variables.h"

namespace tamis::frontend {
namespace {

using Kind = Formula::Kind;

constexpr std::size_t max_parts = 40;  // of a conjunction that are compared

class Search {
  public:
    explicit Search(Formula const& formula) : formula_(formula), part_(formula) {}

    // The smallest part of the tree that ends at `node`, which is never true, that is never true.
    std::optional<Diagnostic> run(std::size_t node);

  private:
    std::vector<std::size_t> operands(std::size_t node) const;
    bool is_never_true(std::initializer_list<std::size_t> parts);

    Formula const& formula_;
    Formula part_;  // with other nodes each time
};

std::vector<std::size_t> Search::operands(std::size_t node) const {
    std::vector<std::size_t> found;
    for (std::size_t child = node; child > node + 1 - formula_.nodes[node].size();) {
        found.push_back(--child);
        child -= formula_.nodes[child].size() - 1;
    }
    std::reverse(found.begin(), found.end());
    return found;
}

// All these trees together.
bool Search::is_never_true(std::initializer_list<std::size_t> parts) {
    part_.nodes.clear();
    for (std::size_t const part : parts)
        part_.nodes.insert(part_.nodes.end(),
                           formula_.nodes.begin() +
                               static_cast<std::ptrdiff_t>(part + 1 - formula_.nodes[part].size()),
                           formula_.nodes.begin() + static_cast<std::ptrdiff_t>(part + 1));
    part_.all(0);
    auto const graphs = decide(part_, false);
    return !graphs.empty() && graphs[0].root == Graph::reject;
}

std::optional<Diagnostic> Search::run(std::size_t node) {
    auto const parts = operands(node);
    if (formula_.nodes[node].kind == Kind::disjunction) return run(parts[0]);
    if (formula_.nodes[node].kind != Kind::conjunction)
        return Diagnostic{
            "this is never true, so the filter matches no packet", formula_.nodes[node].span, {}};
    for (std::size_t i = 0; i < std::min(parts.size(), max_parts); ++i) {
        if (is_never_true({parts[i]})) return run(parts[i]);
        for (std::size_t j = 0; j < i; ++j) {
            if (parts.size() > 2 && !is_never_true({parts[j], parts[i]})) continue;
            Span const first = formula_.nodes[parts[j]].span;
            Span const second = formula_.nodes[parts[i]].span;
            if (first == second)
                return Diagnostic{
                    "this is never true, so the filter matches no packet", second, {}};
            return Diagnostic{
                "this excludes what stands before it, so the filter matches no packet",
                second,
                {{"this is what it excludes", first}}};
        }
    }
    return std::nullopt;
}

}  // namespace

Diagnostic find_contradiction(Formula const& formula) {
    constexpr std::size_t max_nodes = 2000;  // parts are tried with each other
    Diagnostic const plain{"the filter matches no packet", std::nullopt, {}};
    if (formula.nodes.empty() || formula.nodes.size() > max_nodes) return plain;
    Formula const versions = with_versions(formula);
    return Search(versions).run(versions.nodes.size() - 1).value_or(plain);
}

}  // namespace tamis::frontend
