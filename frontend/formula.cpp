#include "frontend/formula.h"

#include <algorithm>

namespace tamis::frontend {
namespace {
constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }
}  // namespace

void Formula::add(Test const& test, Span span) {
    // The primitives of a list ask much the same; what variables hold may differ, though.  So far
    // back the last primitive's tests are found, and its neighbour's.
    constexpr std::size_t last = 24;
    bool const fixed = test.field.at.variable == Offset::constant;
    std::size_t index = tests.size() - (fixed ? std::min(tests.size(), last) : 0);
    while (index < tests.size() && tests[index] != test) ++index;
    if (index == tests.size()) tests.push_back(test);
    nodes.push_back({Kind::test, u32(index), span});
}

void Formula::add(Relation const& relation, Span span) {
    nodes.push_back({Kind::relation, u32(relations.size()), span});
    relations.push_back(relation);
}

void Formula::add(Assignment const& assignment, Span span) {
    nodes.push_back({Kind::assignment, u32(assignments.size()), span});
    assignments.push_back(assignment);
}

void Formula::add(bool constant, Span span) {
    nodes.push_back({Kind::constant, constant ? 1U : 0U, span});
}

void Formula::negate() {
    Node const& operand = nodes.back();
    nodes.push_back({Kind::negation, operand.size() + 1, operand.span});
}

void Formula::drop_tree() {
    nodes = List<Node>();
    tests = List<Test>();
}

void Formula::put_first(std::size_t mark) {
    std::rotate(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(mark), nodes.end());
    all(0);
}

void Formula::join(Kind kind, std::size_t mark) {
    std::size_t const size = nodes.size() - mark;
    if (nodes.back().size() == size) return;  // a single operand
    nodes.push_back({kind, u32(size + 1), tamis::join(nodes[mark].span, nodes.back().span)});
}

}  // namespace tamis::frontend
