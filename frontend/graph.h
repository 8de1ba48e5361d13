// The decision graph of a filter: each node reads one field and says where each of its values
// leads. No field is read twice on a path, and equal nodes exist once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "bpf/diagnostic.h"
#include "frontend/formula.h"
#include "frontend/key.h"
#include "frontend/list.h"

namespace tamis::frontend {

struct Graph {
    using Target = std::uint32_t;  // a node, or one of
    static constexpr Target reject = ~std::uint32_t{0} - 1, accept = ~std::uint32_t{0};
    static constexpr bool is_end(Target target) { return target >= reject; }

    struct Piece {
        std::uint32_t low, high;
        Target target;
        bool operator==(Piece const&) const = default;
    };
    struct Node {
        std::uint32_t key;
        std::uint32_t begin, end;  // pieces: in order, neighbours differ, all values are covered
        Span span;                 // the text that asks for it
        bool idle = false;         // it leads to one place, whether packets have the field or not
    };

    List<Key> keys;
    List<Node> nodes;  // every one before its targets
    List<Piece> pieces;
    Target root = reject;

    std::span<Piece const> pieces_of(Node const& node) const {
        return std::span(pieces).subspan(node.begin, node.end - node.begin);
    }
};

// Graphs of the formula to choose from, or one of them.  They accept no packet on which the
// formula is not true in three-valued logic, where tests of bytes behind the packet's end are
// unknown; and all that the formula, evaluated from left to right, accepts.  None when the formula
// is one that graphs are not made of (it reads what changes by itself), or when there are too many
// cases: the time is bounded by a multiple of n log n.  Variables have versions, see
// with_versions().
List<Graph> decide(Formula const& formula, bool several = true);
// For long formulas, of which other graphs are never much shorter: one, or none.  The formula's
// tree is gone then, since it takes as much memory as the graph.
std::optional<Graph> decide_long(Formula& formula);

// Whether no two nodes read the same key: nothing that is decided elsewhere can be found in it.
bool reads_each_key_once(Graph const& graph);

// Takes tests out that are decided on every path that leads to them or change nothing, and makes
// equal nodes one.  `decided`: no path reads a key twice anyway.
void simplify(Graph& graph, bool decided);

// Makes one field of two that lie side by side, where that saves instructions.  Returns the graph
// as it was; nothing where nothing did.
std::optional<Graph> join_neighbours(Graph& graph);

// One leg made of two that do the same at other offsets, where that saves instructions; what X is
// then for is in the keys.  Nothing above may follow.  Nothing where nothing did.
std::optional<Graph> share_legs(Graph const& graph);

// Only the nodes that can be reached, every one before its targets.
void put_in_order(Graph& graph);

}  // namespace tamis::frontend
