#include "frontend/contradiction.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "frontend/graph.h"
#include "frontend/variables.h"

namespace tamis::frontend {
namespace {

using Kind = Formula::Kind;

// Of a conjunction that are compared with each other, and their nodes.
constexpr std::size_t max_parts = 40, max_nodes = 2000;

class Search {
  public:
    explicit Search(Formula const& formula) : formula_(formula) {}

    // The smallest part of the tree that ends at `node`, which is never true, that is never true.
    std::optional<Diagnostic> run(std::size_t node);

  private:
    std::vector<std::size_t> operands(std::size_t node) const;
    bool asks_each_byte_once(std::size_t node) const;
    bool is_never_true(std::span<std::size_t const> parts);

    Formula const& formula_;
    std::optional<Formula> part_;  // with other nodes each time
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

// Whether the first alternatives of a tree are equalities of bytes that no other one reads: then it
// can be true, and most single protocols need no graph for that.
bool Search::asks_each_byte_once(std::size_t node) const {
    std::vector<Field> asked;
    std::vector<std::size_t> open{node};
    while (!open.empty()) {
        Formula::Node const& next = formula_.nodes[open.back()];
        auto const parts = operands(open.back());
        open.pop_back();
        if (next.kind == Kind::conjunction) {
            open.insert(open.end(), parts.begin(), parts.end());
            continue;
        }
        if (next.kind == Kind::disjunction) {
            open.push_back(parts[0]);
            continue;
        }
        if (next.kind != Kind::test) return false;
        Test const& test = formula_.tests[next.index];
        Field const& field = test.field;
        if (test.cond != cbpf::Cond::eq || field.base != Base::packet ||
            field.at.variable != Offset::constant || is_metadata(field))
            return false;  // a field of another base may have no size
        std::uint32_t const widest = ~std::uint32_t{0} >> (32 - 8 * field.size);
        auto const overlaps = [&](Field const& other) {
            return field.at.value < other.at.value + other.size &&
                   other.at.value < field.at.value + field.size;
        };
        if ((test.value & ~(test.mask & widest)) != 0 ||
            std::any_of(asked.begin(), asked.end(), overlaps))
            return false;
        asked.push_back(field);
    }
    return true;
}

// All these trees together.
bool Search::is_never_true(std::span<std::size_t const> parts) {
    if (parts.size() == 1 && asks_each_byte_once(parts[0])) return false;
    if (!part_) part_ = formula_;
    part_->nodes.clear();
    for (std::size_t const part : parts)
        part_->nodes.insert(part_->nodes.end(),
                            formula_.nodes.begin() +
                                static_cast<std::ptrdiff_t>(part + 1 - formula_.nodes[part].size()),
                            formula_.nodes.begin() + static_cast<std::ptrdiff_t>(part + 1));
    part_->all(0);
    auto const graphs = decide(*part_, false);
    return !graphs.empty() && graphs[0].root == Graph::reject;
}

std::optional<Diagnostic> Search::run(std::size_t node) {
    auto const parts = operands(node);
    if (formula_.nodes[node].kind == Kind::disjunction) return run(parts[0]);
    if (formula_.nodes[node].kind != Kind::conjunction)
        return Diagnostic{
            "this is never true, so the filter matches no packet", formula_.nodes[node].span, {}};
    auto const span_of = [&](std::size_t part) { return formula_.nodes[parts[part]].span; };
    std::size_t compared = 0;
    for (std::size_t i = 0; i < std::min(parts.size(), max_parts); ++i) {
        compared += formula_.nodes[parts[i]].size();
        if (compared > max_nodes) break;
        if (is_never_true(std::span(&parts[i], 1))) return run(parts[i]);
        std::optional<Span> excluded;
        for (std::size_t j = 0; j < i && !excluded; ++j)
            if (parts.size() == 2 || is_never_true(std::array{parts[j], parts[i]}))
                excluded = span_of(j);
        // `host A and host B` is possible, and nothing that asks for a third host as well.
        bool const last = i + 1 == parts.size();
        if (!excluded && i > 1 && (last || is_never_true(std::span(parts).first(i + 1))))
            excluded = Span{span_of(0).begin, span_of(i - 1).end};
        if (!excluded) continue;
        if (*excluded == span_of(i))
            return Diagnostic{
                "this is never true, so the filter matches no packet", span_of(i), {}};
        return Diagnostic{"this excludes what stands before it, so the filter matches no packet",
                          span_of(i),
                          {{"this is what it excludes", *excluded}}};
    }
    return std::nullopt;
}

}  // namespace

Diagnostic find_contradiction(Formula const& formula) {
    Diagnostic const plain{"the filter matches no packet", std::nullopt, {}};
    if (formula.nodes.empty()) return plain;
    std::optional<Formula> versions;
    if (formula.variables > 0) versions = with_versions(formula);
    Formula const& searched = versions ? *versions : formula;
    return Search(searched).run(searched.nodes.size() - 1).value_or(plain);
}

}  // namespace tamis::frontend
