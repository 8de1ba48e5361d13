// Fields that lie side by side, one read right behind the other, become one field: `proto = 6` and
// `fragment offset = 0` of IPv4 are `[20:4] & 0x1fff00ff = 6`.
//
// That reads bytes earlier than the text does.  It is done only where all that is accepted has
// those bytes, so that nothing is lost; and what is accepted has been read in full, so that nothing
// is gained.
#include <algorithm>
#include <bit>
#include <optional>
#include <span>

#include "frontend/few.h"
#include "frontend/graph.h"
#include "frontend/ranges.h"

namespace tamis::frontend {
namespace {

using Target = Graph::Target;
using Piece = Graph::Piece;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }

// Two fields as bits of one: where those of each begin, and which stand on the left.
struct Window {
    Key key;
    unsigned upper_shift, lower_shift;
    bool first_is_upper;
};

std::optional<Window> window(Key const& first, Key const& second) {
    Field const &a = first.field, &b = second.field;
    if (!first.is_field() || !second.is_field() || a.base != b.base || a.header != b.header ||
        (a.base != Base::packet && a.base != Base::transport) || first.reach == 0 ||
        a.at.variable != b.at.variable || a.at.version != b.at.version ||
        std::max(a.at.value, b.at.value) > largest_offset)
        return std::nullopt;
    std::uint32_t begin = std::min(a.at.value, b.at.value);
    std::uint32_t const end = std::max(a.at.value + a.size, b.at.value + b.size);
    if (end - begin > 4) return std::nullopt;
    if (end - begin == 3 && begin-- == 0) return std::nullopt;  // never further than it has to
    auto const shift = [&](Field const& f) { return 8 * (end - f.at.value - f.size); };
    std::uint64_t const one = std::uint64_t{first.max} << shift(a),
                        other = std::uint64_t{second.max} << shift(b);
    bool const first_is_upper = one > other;
    std::uint64_t const lower = std::min(one, other);
    // Values of the upper field that its mask rules out must not stand for bits of the lower one.
    unsigned const upper_shift = first_is_upper ? shift(a) : shift(b);
    if (lower == 0 || (lower >> upper_shift) != 0) return std::nullopt;
    Field both = a;
    both.size = static_cast<std::uint8_t>(end - begin);
    both.at.value = begin;
    return Window{key_of(both, static_cast<std::uint32_t>(one | other)), upper_shift,
                  first_is_upper ? shift(b) : shift(a), first_is_upper};
}

class Joining {
  public:
    explicit Joining(Graph& graph) : graph_(graph) {}
    std::optional<Graph> run();

  private:
    std::span<Piece const> pieces_of(Target node) const {
        return graph_.pieces_of(graph_.nodes[node]);
    }
    bool join(std::uint32_t node, std::uint32_t second);
    bool may_read(std::uint32_t node, std::uint32_t second, Key const& key) const;
    // A target of the first field that reads the second one, and that nothing else leads to.
    bool is_second(Target target, std::uint32_t key) const {
        return !Graph::is_end(target) && graph_.nodes[target].key == key && parents_[target] == 1;
    }
    bool rows(std::uint32_t node, std::uint32_t second, Window const& window);
    void row(std::span<Piece const> pieces, std::uint32_t upper, Window const& window);
    void add(std::uint32_t low, std::uint32_t high, Target target) {
        if (!joined_.empty() && joined_.back().target == target)
            joined_.back().high = high;
        else
            joined_.push_back({low, high, target});
    }
    Target at(Target node, std::uint32_t value) const {
        auto const pieces = pieces_of(node);
        return std::find_if(pieces.begin(), pieces.end(),
                            [&](Piece const& p) { return value <= p.high; })
            ->target;
    }

    Graph& graph_;
    std::optional<Graph> before_;  // the first change
    List<std::uint32_t> parents_;  // how many nodes lead to each
    List<std::uint32_t> needs_;    // packets that are shorter are not accepted from there on
    List<Piece> joined_;
};

// What is accepted without a look at the second field has its bytes all the same.
bool Joining::may_read(std::uint32_t node, std::uint32_t second, Key const& key) const {
    Key const& first = graph_.keys[graph_.nodes[node].key];
    if (first.field.at.value + first.field.size == key.field.at.value + key.field.size) return true;
    for (Piece const& piece : pieces_of(node)) {
        if (piece.target == Graph::reject || is_second(piece.target, second)) continue;
        if (key.reach == all_ones || Graph::is_end(piece.target)) return false;
        if (needs_[piece.target] < key.reach) return false;
    }
    return true;
}

// The lower field's pieces where the upper one has this value.
void Joining::row(std::span<Piece const> pieces, std::uint32_t upper, Window const& window) {
    for (Piece const& piece : pieces)
        add(upper << window.upper_shift | piece.low << window.lower_shift,
            upper << window.upper_shift | piece.high << window.lower_shift, piece.target);
}

bool Joining::rows(std::uint32_t node, std::uint32_t second, Window const& window) {
    constexpr std::size_t most = 24;
    joined_.clear();
    auto const own = pieces_of(node);
    auto const whole = [&](std::uint32_t low, std::uint32_t high, Target target) {
        std::uint32_t const rest = (1U << window.upper_shift) - 1;
        add(low << window.upper_shift, high << window.upper_shift | rest, target);
    };
    if (window.first_is_upper) {
        for (Piece const& piece : own) {
            if (!is_second(piece.target, second))
                whole(piece.low, piece.high, piece.target);
            else if (piece.low == piece.high)
                row(pieces_of(piece.target), piece.low, window);
            else
                return false;
        }
        return joined_.size() <= most;
    }
    // The second field is the upper one: where it changes the way for some value of the first.
    Few<std::uint32_t, 16> bounds;
    for (Piece const& piece : own)
        if (is_second(piece.target, second))
            for (Piece const& next : pieces_of(piece.target)) bounds.push_back(next.high);
    std::sort(bounds.begin(), bounds.end());
    bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
    std::uint32_t low = 0;
    Few<Piece, 16> decided;
    for (std::uint32_t const high : bounds) {
        decided.assign(own.begin(), own.end());
        for (Piece& piece : decided)
            if (is_second(piece.target, second)) piece.target = at(piece.target, low);
        bool const same = std::all_of(decided.begin(), decided.end(), [&](Piece const& piece) {
            return piece.target == decided[0].target;
        });
        if (same)
            whole(low, high, decided[0].target);
        else if (low == high)
            row(decided, low, window);
        else
            return false;
        low = high + 1;
    }
    return joined_.size() <= most;
}

bool Joining::join(std::uint32_t index, std::uint32_t second) {
    Graph::Node& node = graph_.nodes[index];
    auto const both = window(graph_.keys[node.key], graph_.keys[second]);
    if (!both || !may_read(index, second, both->key) || !rows(index, second, *both)) return false;
    for (std::size_t i = 1; i < joined_.size(); ++i) joined_[i - 1].high = joined_[i].low - 1;
    joined_.back().high = both->key.max;
    std::size_t before = 1 + search_length(graph_.keys[node.key], pieces_of(index));
    Span span = node.span;
    Few<Target, 8> gone;
    for (Piece const& piece : pieces_of(index))
        if (is_second(piece.target, second) &&
            std::find(gone.begin(), gone.end(), piece.target) == gone.end()) {
            before += 1 + search_length(graph_.keys[second], pieces_of(piece.target));
            span = tamis::join(span, graph_.nodes[piece.target].span);
            gone.push_back(piece.target);
        }
    if (1 + search_length(both->key, joined_) >= before) return false;
    if (!before_) before_ = graph_;
    node.span = span;
    node.key = u32(graph_.keys.size());
    graph_.keys.push_back(both->key);
    node.begin = u32(graph_.pieces.size());
    graph_.pieces.insert(graph_.pieces.end(), joined_.begin(), joined_.end());
    node.end = u32(graph_.pieces.size());
    return true;
}

std::optional<Graph> Joining::run() {
    std::size_t const count = graph_.nodes.size();
    parents_.assign(count, 0);
    needs_.assign(count, 0);
    List<Target> last(count, Graph::reject);  // that was counted as a parent
    for (std::uint32_t i = u32(count); i-- > 0;) {
        std::uint32_t needs = all_ones;
        for (Piece const& piece : pieces_of(i)) {
            if (piece.target == Graph::reject) continue;
            needs = std::min(needs, Graph::is_end(piece.target) ? 0 : needs_[piece.target]);
            if (Graph::is_end(piece.target) || last[piece.target] == i) continue;
            last[piece.target] = i;
            ++parents_[piece.target];
        }
        needs_[i] = std::max(needs, graph_.keys[graph_.nodes[i].key].needs);
    }
    if (!Graph::is_end(graph_.root)) ++parents_[graph_.root];
    constexpr std::size_t few = 16;
    for (std::uint32_t i = u32(count); i-- > 0;) {
        if (parents_[i] == 0 || graph_.nodes[i].end - graph_.nodes[i].begin > few) continue;
        for (std::uint32_t p = graph_.nodes[i].begin; p < graph_.nodes[i].end; ++p) {
            Target const target = graph_.pieces[p].target;
            if (Graph::is_end(target) || parents_[target] != 1 ||
                graph_.nodes[target].end - graph_.nodes[target].begin > few)
                continue;
            if (join(i, graph_.nodes[target].key)) break;
        }
    }
    if (before_) put_in_order(graph_);
    return std::move(before_);
}

}  // namespace

std::optional<Graph> join_neighbours(Graph& graph) { return Joining(graph).run(); }

}  // namespace tamis::frontend
