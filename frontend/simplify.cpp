// A graph without what it does not need.  From the root on: what is known of fields at each node,
// so that edges can lead past tests that are decided.  Then from the ends on: tests that change
// nothing, and nodes that are equal.
#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "frontend/few.h"
#include "frontend/graph.h"
#include "frontend/intervals.h"
#include "frontend/ranges.h"

namespace tamis::frontend {
namespace {

using Target = Graph::Target;
using Piece = Graph::Piece;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::size_t max_facts = 16, max_ranges = 6;  // that are remembered
constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }

using Values = Few<Interval, 2 * (max_ranges + 1)>;

// The values that a key can have; none where they are too many to remember.
struct Fact {
    std::uint32_t key;
    std::uint32_t begin, end;  // among all that are remembered
};
struct Facts {
    bool reached = false;
    List<Fact> list;
};

void add(Values& values, std::span<Interval const> more) {
    values.insert(values.end(), more.begin(), more.end());
    values.shrink(unite(values));
}

// How many bits of a whole field stand behind a part of it; nothing where it is no part.
std::optional<unsigned> bits_behind(Key const& part, Key const& whole) {
    if (!part.is_field() || !whole.is_field() || whole.mask != all_ones) return std::nullopt;
    Field const &in = part.field, &of = whole.field;
    if (in == of) return 0;
    Offset at = of.at;
    at.value = in.at.value;
    if (in.base != of.base || in.header != of.header || in.at != at) return std::nullopt;
    std::uint32_t const before = in.at.value - of.at.value;
    if (before >= of.size || before + in.size > of.size) return std::nullopt;
    return 8 * (of.size - before - in.size);
}

bool has_parts(List<Key> const& keys) {
    return std::any_of(keys.begin(), keys.end(), [&](Key const& part) {
        return std::any_of(keys.begin(), keys.end(), [&](Key const& whole) {
            return &part != &whole && bits_behind(part, whole);
        });
    });
}

class Simplifying {
  public:
    // Whether some keys are parts of others; whether edges may lead past something.
    Simplifying(Graph& graph, bool parts, bool threads)
        : graph_(graph), parts_(parts), threads_(threads) {}

    // True when edges lead elsewhere now, which can show more of what is known.
    bool run() {
        if (threads_) thread();
        bool const threaded = changed_;
        merge();
        return threaded;
    }

  private:
    std::span<Piece> pieces_of(Graph::Node const& node) {
        return std::span(graph_.pieces).subspan(node.begin, node.end - node.begin);
    }
    void thread();
    void thread_node(std::uint32_t index);
    void look_ahead(std::uint32_t index);
    // What is not remembered as it stands is put into `bits`.
    using Known = std::span<Interval const>;
    Target resolved(Target target, std::uint32_t key, Interval values, Facts const& facts);
    Known derived(std::uint32_t key, std::uint32_t other, Known values, Values& bits) const;
    Known known(std::uint32_t key, Facts const& facts, Values& bits) const;
    Target where(Graph::Node const& node, Known values);
    void learn(Target target, Facts const& before, Fact const& own);
    Known values_of(Fact const& fact) const {
        return std::span(values_).subspan(fact.begin, fact.end - fact.begin);
    }
    Fact remember(std::uint32_t key, Known values) {
        auto const begin = u32(values_.size());
        values_.insert(values_.end(), values.begin(), values.end());
        return {key, begin, u32(values_.size())};
    }
    void merge();
    bool changes_nothing(Graph::Node const& node, Target target) const;
    void rebuild(List<Target> const& places);

    Graph& graph_;
    bool parts_, threads_, changed_ = false;
    List<Facts> facts_;  // of each node
    List<Interval> values_;
    List<std::uint32_t> needs_;  // packets that are shorter are not accepted from here on
    List<std::uint16_t> reads_;  // variables that are read from here on
};

// ------------------------------------------------------------------------------- from the root on

// What is known of a key when another one has these values: nothing where that is not one value
// for each range.
Simplifying::Known Simplifying::derived(std::uint32_t key, std::uint32_t other, Known values,
                                        Values& bits) const {
    if (key == other) return values;
    if (!parts_) return {};
    Key const& part = graph_.keys[key];
    auto const behind = bits_behind(part, graph_.keys[other]);
    if (!behind) return {};
    bits.clear();
    for (Interval const& range : values) {
        std::uint32_t const value = range.low >> *behind;
        if (value != range.high >> *behind) return {};
        add(bits, std::array{Interval{value & part.max, value & part.max}});
    }
    return bits;
}

Simplifying::Known Simplifying::known(std::uint32_t key, Facts const& facts, Values& bits) const {
    for (Fact const& fact : facts.list)
        if (fact.key == key) return values_of(fact);
    if (!parts_) return {};
    for (Fact const& fact : facts.list)
        if (auto const values = derived(key, fact.key, values_of(fact), bits); !values.empty())
            return values;
    return {};
}

// Where all these values lead; a node's own place where they do not agree.
Target Simplifying::where(Graph::Node const& node, Known values) {
    auto const pieces = pieces_of(node);
    auto const own = static_cast<Target>(&node - graph_.nodes.data());
    Target target = own;
    for (Interval const& range : values) {
        auto piece = std::lower_bound(pieces.begin(), pieces.end(), range.low,
                                      [](Piece const& p, std::uint32_t v) { return p.high < v; });
        for (; piece != pieces.end() && piece->low <= range.high; ++piece) {
            if (target != own && target != piece->target) return own;
            target = piece->target;
        }
    }
    return target;
}

Target Simplifying::resolved(Target target, std::uint32_t key, Interval values,
                             Facts const& facts) {
    Values bits;
    while (!Graph::is_end(target)) {
        Graph::Node const& node = graph_.nodes[target];
        Known set = derived(node.key, key, std::span(&values, 1), bits);
        if (set.empty()) set = known(node.key, facts, bits);
        Target const next = set.empty() ? target : where(node, set);
        if (next == target) return target;
        target = next;
    }
    return target;
}

// On one more way to a node: what was known before, and the values of the key that was read.
void Simplifying::learn(Target target, Facts const& before, Fact const& own) {
    Facts& facts = facts_[target];
    if (!facts.reached) {
        facts.reached = true;
        facts.list.reserve(before.list.size() + 1);
        for (Fact const& fact : before.list)
            if (fact.key != own.key) facts.list.push_back(fact);
        if (facts.list.size() < max_facts && own.begin != own.end) facts.list.push_back(own);
        return;
    }
    Values bits, all;
    std::erase_if(facts.list, [&](Fact& fact) {
        Known const more = fact.key == own.key ? values_of(own) : known(fact.key, before, bits);
        if (more.empty()) return true;
        Known const so_far = values_of(fact);
        if (more.data() == so_far.data()) return false;
        all.assign(so_far.begin(), so_far.end());
        add(all, more);
        if (all.size() > max_ranges) return true;
        fact = remember(fact.key, all);
        return false;
    });
}

// Where some of the values of an edge lead to is known behind it, that is decided here unless it
// takes more comparisons.
void Simplifying::look_ahead(std::uint32_t index) {
    constexpr std::size_t few = 16;
    Graph::Node& node = graph_.nodes[index];
    if (node.end - node.begin > few) return;
    auto const again = [&](Target target) {
        return !Graph::is_end(target) && graph_.nodes[target].key == node.key &&
               graph_.nodes[target].end - graph_.nodes[target].begin <= few;
    };
    auto const own = pieces_of(node);
    if (std::none_of(own.begin(), own.end(), [&](Piece const& p) { return again(p.target); }))
        return;
    Few<Piece, 2 * few> decided;
    for (Piece const& piece : own) {
        if (!again(piece.target)) {
            decided.push_back(piece);
            continue;
        }
        for (Piece const& next : pieces_of(graph_.nodes[piece.target]))
            if (next.high >= piece.low && next.low <= piece.high)
                decided.push_back(
                    {std::max(next.low, piece.low), std::min(next.high, piece.high), next.target});
    }
    std::size_t kept = 0;
    for (Piece const& piece : decided) {
        if (kept > 0 && decided[kept - 1].target == piece.target)
            decided[kept - 1].high = piece.high;
        else
            decided[kept++] = piece;
    }
    decided.shrink(kept);
    Key const& key = graph_.keys[node.key];
    if (search_length(key, decided) > search_length(key, own)) return;
    changed_ = true;
    node.begin = u32(graph_.pieces.size());
    graph_.pieces.insert(graph_.pieces.end(), decided.begin(), decided.end());
    node.end = u32(graph_.pieces.size());
}

void Simplifying::thread_node(std::uint32_t index) {
    look_ahead(index);
    Graph::Node const& node = graph_.nodes[index];
    Facts const facts = std::move(facts_[index]);
    // For each target, the values that lead there; how many there are, where that is too much.
    struct Edge {
        Target target;
        std::uint32_t count;
        std::array<Interval, max_ranges> values;
    };
    Few<Edge, 4> edges;
    for (Piece& piece : pieces_of(node)) {
        if (Graph::is_end(piece.target)) continue;
        Target const target = resolved(piece.target, node.key, {piece.low, piece.high}, facts);
        changed_ = changed_ || target != piece.target;
        piece.target = target;
        if (Graph::is_end(target)) continue;
        auto edge = std::find_if(edges.begin(), edges.end(),
                                 [&](Edge const& e) { return e.target == target; });
        if (edge == edges.end()) {
            edges.push_back({target, 0, {}});
            edge = &edges.back();
        }
        if (edge->count < max_ranges) edge->values[edge->count] = {piece.low, piece.high};
        ++edge->count;
    }
    for (Edge const& edge : edges) {
        std::size_t const remembered = edge.count <= max_ranges ? edge.count : 0;
        learn(edge.target, facts,
              remember(node.key, std::span(edge.values).first(remembered)));
    }
}

void Simplifying::thread() {
    facts_.resize(graph_.nodes.size());
    if (!Graph::is_end(graph_.root)) facts_[graph_.root].reached = true;
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i)
        if (facts_[i].reached) thread_node(i);
}

// ------------------------------------------------------------------------------- from the ends on

// Whether a node that leads to one place only can be left out: nothing is accepted there, or what
// is accepted has the bytes that this node reads.
bool Simplifying::changes_nothing(Graph::Node const& node, Target target) const {
    if (target == Graph::reject || node.idle) return true;
    Key const& key = graph_.keys[node.key];
    if (key.role == Key::Role::assign)
        return Graph::is_end(target) || (reads_[target] & key.writes) == 0;
    if (key.divides) return false;
    if (key.reach == 0) return true;
    return key.reach != all_ones && !Graph::is_end(target) && needs_[target] >= key.reach;
}

void Simplifying::merge() {
    std::size_t const count = graph_.nodes.size();
    List<Target> places(count);
    needs_.assign(count, 0);
    reads_.assign(count, 0);
    std::size_t size = 64;
    while (size < 2 * count) size *= 2;
    List<std::uint32_t> table(size, all_ones);
    auto const place = [&](Target t) { return Graph::is_end(t) ? t : places[t]; };
    for (std::uint32_t i = u32(count); i-- > 0;) {
        Graph::Node& node = graph_.nodes[i];
        std::uint32_t end = node.begin;
        std::uint32_t needs = all_ones;
        std::uint32_t hash = node.key;
        for (std::uint32_t p = node.begin; p < node.end; ++p) {
            Piece piece = graph_.pieces[p];
            piece.target = place(piece.target);
            if (end > node.begin && graph_.pieces[end - 1].target == piece.target)
                graph_.pieces[end - 1].high = piece.high;
            else
                graph_.pieces[end++] = piece;
        }
        node.end = end;
        Key const& key = graph_.keys[node.key];
        for (Piece const& piece : pieces_of(node)) {
            if (!Graph::is_end(piece.target)) reads_[i] |= reads_[piece.target];
            if (piece.target != Graph::reject)
                needs = std::min(needs, Graph::is_end(piece.target) ? 0 : needs_[piece.target]);
            hash = (hash * 0x9e3779b1U ^ piece.low) * 0x85ebca6bU ^ piece.target;
        }
        needs_[i] = std::max(needs, key.needs);
        reads_[i] = static_cast<std::uint16_t>((reads_[i] & ~key.writes) | key.reads);
        places[i] = i;
        if (end - node.begin == 1 && changes_nothing(node, graph_.pieces[node.begin].target)) {
            places[i] = graph_.pieces[node.begin].target;
            changed_ = true;
            continue;
        }
        std::size_t at = (hash ^ hash >> 15) & (size - 1);
        for (; table[at] != all_ones; at = (at + 1) & (size - 1)) {
            Graph::Node const& other = graph_.nodes[table[at]];
            auto const a = pieces_of(node), b = pieces_of(other);
            if (node.key != other.key || !std::equal(a.begin(), a.end(), b.begin(), b.end()))
                continue;
            places[i] = table[at];
            changed_ = true;
            break;
        }
        if (places[i] == i) table[at] = i;
    }
    if (!changed_) return;
    graph_.root = place(graph_.root);
    rebuild(places);
}

// Only what can be reached, in the same order.
void Simplifying::rebuild(List<Target> const& places) {
    List<bool> reached(graph_.nodes.size());
    if (!Graph::is_end(graph_.root)) reached[graph_.root] = true;
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i) {
        if (!reached[i]) continue;
        for (Piece const& piece : pieces_of(graph_.nodes[i]))
            if (!Graph::is_end(piece.target)) reached[piece.target] = true;
    }
    List<Target> moved(graph_.nodes.size());
    std::uint32_t kept = 0;
    List<Piece> pieces;
    pieces.reserve(graph_.pieces.size());
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i)
        if (reached[i] && places[i] == i) moved[i] = kept++;
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i) {
        if (!reached[i] || places[i] != i) continue;
        Graph::Node node = graph_.nodes[i];
        std::uint32_t const begin = u32(pieces.size());
        for (Piece piece : pieces_of(node)) {
            if (!Graph::is_end(piece.target)) piece.target = moved[piece.target];
            pieces.push_back(piece);
        }
        node.begin = begin;
        node.end = u32(pieces.size());
        graph_.nodes[moved[i]] = node;
    }
    graph_.nodes.resize(kept);
    graph_.pieces = std::move(pieces);
    if (!Graph::is_end(graph_.root)) graph_.root = moved[graph_.root];
}

}  // namespace

bool reads_each_key_once(Graph const& graph) {
    List<bool> seen(graph.keys.size());
    for (Graph::Node const& node : graph.nodes) {
        if (seen[node.key]) return false;
        seen[node.key] = true;
    }
    return true;
}

void simplify(Graph& graph, bool decided) {
    constexpr std::size_t few_keys = 32, many_pieces = 5'000;
    bool const many_keys = graph.keys.size() > few_keys;
    bool const parts = many_keys || has_parts(graph.keys);
    constexpr int rounds = 4;
    for (int i = 0; i < rounds; ++i) {
        bool const all_once = reads_each_key_once(graph);
        bool const tests_only =
            std::none_of(graph.nodes.begin(), graph.nodes.end(),
                         [](Graph::Node const& node) { return node.end - node.begin == 1; });
        // Whether a path may read a key twice, or a part of one.  Parts are looked for in every
        // pair of keys, so among few keys only; among many they are used where a key is read twice
        // anyway.
        bool const twice = many_keys ? !all_once : parts || (!decided && !all_once);
        bool const threads = twice && graph.pieces.size() <= many_pieces;
        if (!threads && tests_only && all_once) return;
        if (!Simplifying(graph, parts, threads).run()) return;
    }
}

}  // namespace tamis::frontend
