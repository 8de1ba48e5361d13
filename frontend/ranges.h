// The values of a field and where they lead, seen as few long ranges with exceptions: what a search
// among them takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "frontend/graph.h"

namespace tamis::frontend {

struct Ranges {
    // Values up to `high` lead to `target`, except for some.
    struct Run {
        std::uint32_t low, high;
        Graph::Target target;
        std::uint32_t first_exception, exceptions;
    };
    struct Exception {
        std::uint32_t value;
        Graph::Target target;
    };
    List<Run> runs;              // in order
    List<Exception> exceptions;  // of all runs, in order

    // Values that differ in their last bits only, `ignored` of them, count as one.
    void read(std::span<Graph::Piece const> pieces, unsigned ignored = 0);
};
// How many comparisons that is.
std::size_t count_comparisons(std::span<Graph::Piece const> pieces, unsigned ignored = 0);

// Two targets, and the values that lead to one of them are those with `value` under `mask`: one
// comparison, where other ways take more.
struct Cube {
    std::uint32_t mask = 0, value = 0;
    Graph::Target inside{}, outside{};
};
// Nothing as well where a search is as short.
std::optional<Cube> find_cube(std::span<Graph::Piece const> pieces, std::size_t comparisons);

// How many of the last bits a search had better mask out first: those of networks of one length, or
// of many.  No piece begins at a value that has one of them.
unsigned ignorable_bits(Key const& key, std::span<Graph::Piece const> pieces);

// How many instructions it takes to find out where the value of a field leads, the load not
// counted.
std::size_t search_length(Key const& key, std::span<Graph::Piece const> pieces);

// About how many instructions a graph takes, and the longest path through it.
struct Estimate {
    std::size_t length = 0, path = 0;
};
Estimate estimate(Graph const& graph);

// The whole question is whether any bit under the mask is set.
bool is_bit_test(Key const& key, std::span<Graph::Piece const> pieces);

}  // namespace tamis::frontend
