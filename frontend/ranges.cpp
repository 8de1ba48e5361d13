#include "frontend/ranges.h"

#include <algorithm>
#include <bit>

namespace tamis::frontend {
namespace {

using Pieces = std::span<Graph::Piece const>;
constexpr std::uint32_t all_ones = ~std::uint32_t{0};

bool is_single(Graph::Piece const& piece, unsigned ignored) {
    return piece.low >> ignored == piece.high >> ignored;
}

// The first piece behind single values that leads to `target` again; `begin` where there is none.
std::size_t exceptions_end(Pieces pieces, std::size_t begin, Graph::Target target,
                           unsigned ignored) {
    constexpr std::size_t in_a_row = 8;
    std::size_t i = begin;
    for (; i < std::min(pieces.size(), begin + in_a_row); ++i) {
        if (i > begin && pieces[i].target == target) return i;
        if (!is_single(pieces[i], ignored)) return begin;
    }
    return i == pieces.size() ? i : begin;
}

// Single values between neighbours that lead to the same place are exceptions.
template <class Sink>
void walk(Pieces pieces, unsigned ignored, Sink& sink) {
    std::size_t i = 0;
    if (pieces.size() > 1 && is_single(pieces[0], ignored) && !is_single(pieces[1], ignored)) ++i;
    Graph::Target target = pieces[i].target;  // of the run at hand
    sink.run({0, pieces[i].high, target});
    if (i == 1) sink.exception({0, pieces[0].target});
    while (++i < pieces.size()) {
        if (pieces[i].target == target) {
            sink.extend(pieces[i].high);
            continue;
        }
        std::size_t const end = exceptions_end(pieces, i, target, ignored);
        if (end == i) {
            target = pieces[i].target;
            sink.run(pieces[i]);
            continue;
        }
        for (; i < end; ++i) sink.exception({pieces[i].low, pieces[i].target});
        sink.extend(pieces[--i].high);
    }
}

struct Counting {
    std::size_t runs = 0, exceptions = 0;
    void run(Graph::Piece const&) { ++runs; }
    void extend(std::uint32_t) {}
    void exception(Ranges::Exception const&) { ++exceptions; }
};

struct Listing {
    Ranges& ranges;
    void run(Graph::Piece const& piece) {
        auto const begin = static_cast<std::uint32_t>(ranges.exceptions.size());
        ranges.runs.push_back({piece.low, piece.high, piece.target, begin, 0});
    }
    void extend(std::uint32_t high) { ranges.runs.back().high = high; }
    void exception(Ranges::Exception const& exception) {
        ranges.exceptions.push_back(exception);
        ++ranges.runs.back().exceptions;
    }
};

}  // namespace

void Ranges::read(Pieces pieces, unsigned ignored) {
    runs.clear();
    exceptions.clear();
    Listing listing{*this};
    walk(pieces, ignored, listing);
}

std::size_t count_comparisons(Pieces pieces, unsigned ignored) {
    Counting counting;
    walk(pieces, ignored, counting);
    return counting.runs - 1 + counting.exceptions;
}

std::optional<Cube> find_cube(Pieces pieces, std::size_t comparisons) {
    if (comparisons < 2) return std::nullopt;
    std::uint32_t const max = pieces.back().high;
    for (Graph::Target const inside : {pieces[0].target, pieces[1].target}) {
        Cube cube{.inside = inside, .outside = inside};
        std::uint32_t all = all_ones, any = 0;
        std::uint64_t count = 0;
        for (Graph::Piece const& piece : pieces) {
            if (piece.target != inside) {
                if (cube.outside != inside && cube.outside != piece.target) return std::nullopt;
                cube.outside = piece.target;
                continue;
            }
            std::uint32_t const differ = piece.low ^ piece.high;
            std::uint32_t const free = differ == 0 ? 0 : all_ones >> std::countl_zero(differ);
            all &= piece.low & ~free;
            any |= piece.high | free;
            count += std::uint64_t{piece.high} - piece.low + 1;
        }
        std::uint32_t const free = all ^ any;
        if (count != std::uint64_t{1} << std::popcount(free)) continue;
        cube.mask = max & ~free;
        cube.value = all;
        std::size_t const takes = cube.value == 0 ? 1 : 2;  // jset, or a mask and a comparison
        if (takes < comparisons) return cube;
    }
    return std::nullopt;
}

bool is_bit_test(Key const& key, Pieces pieces) {
    return key.mask != all_ones && pieces.size() == 2 && pieces[0].high == 0;
}

unsigned ignorable_bits(Key const& key, Pieces pieces) {
    if (pieces.size() < 4) return 0;
    std::uint32_t bounds = 0;
    for (Graph::Piece const& piece : pieces) bounds |= piece.low;
    if ((bounds & 1) != 0) return 0;
    auto const ignored = static_cast<unsigned>(std::countr_zero(bounds));
    std::size_t const masks = key.mask == all_ones ? 1 : 0;  // that are not there anyway
    bool const shorter = count_comparisons(pieces, ignored) + masks < count_comparisons(pieces);
    return shorter ? ignored : 0;
}

std::size_t search_length(Key const& key, Pieces pieces) {
    if (pieces.size() == 1) return 0;
    if (is_bit_test(key, pieces)) return 1;
    if (pieces.size() == 2) return key.mask != all_ones ? 2 : 1;
    unsigned const ignored = ignorable_bits(key, pieces);
    std::size_t const comparisons = count_comparisons(pieces, ignored);
    std::size_t const masks = key.mask != all_ones || ignored > 0 ? 1 : 0;
    if (auto const cube = find_cube(pieces, comparisons + masks)) return cube->value == 0 ? 1 : 2;
    return comparisons + masks;
}

Estimate estimate(Graph const& graph) {
    constexpr std::size_t few = 8;  // values are compared one after the other
    Estimate all;
    List<std::size_t> path(graph.nodes.size());
    for (std::size_t i = graph.nodes.size(); i-- > 0;) {
        Graph::Node const& node = graph.nodes[i];
        Pieces const pieces = graph.pieces_of(node);
        Key const& key = graph.keys[node.key];
        std::size_t const search = search_length(key, pieces);
        std::size_t const load = key.field.base == Base::transport ? 2 : 1;
        for (Graph::Piece const& piece : pieces)
            if (!Graph::is_end(piece.target)) path[i] = std::max(path[i], path[piece.target]);
        path[i] += load + std::min<std::size_t>(search, few + std::bit_width(search / few));
        all.length += 1 + search;
        all.path = std::max(all.path, path[i]);
    }
    return all;
}

}  // namespace tamis::frontend
