// Legs of a filter that do the same to headers at different places become one, which counts from X:
// what follows the IPv4 header of variable length, and the same 40 bytes behind the start of an
// IPv6 header; addresses of IPv4 and of ARP.
//
// Where two legs only begin with different fields, each reads its own into A before they meet.
//
//     [23:1] -> [4*([14]&0xf) + 16:2] -> ...       X = 4*([14]&0xf), A = [23:1] \.
//                                                                                A? -> [X + 16:2]
//                                                                                -> ...
//     [20:1] -> [56:2] -> ...                      X = 40,           A = [20:1] /
//
// Paths read what they read before, but for X: a header's length is read earlier, where whatever is
// accepted has it.
#include <algorithm>
#include <optional>
#include <span>

#include "frontend/arithmetic.h"
#include "frontend/graph.h"
#include "frontend/ranges.h"

namespace tamis::frontend {
namespace {

using Target = Graph::Target;
using Piece = Graph::Piece;
using Role = Key::Role;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }

// How the fields of one leg become those of another.
struct Offsets {
    std::optional<Field> one{}, other{};  // what X is in each; nothing: it is set already
    std::int64_t difference = 0;          // of constant offsets, the other's less the one's
    std::uint32_t header = 0;
    enum class Kind : std::uint8_t { unknown, header, constant, counted } kind = Kind::unknown;
};

class Sharing {
  public:
    explicit Sharing(Graph const& graph) : graph_(graph) {}
    bool find();
    Graph share() const;  // what was found

  private:
    struct Pair {
        Target one, other;
    };
    std::span<Piece const> pieces_of(Target node) const {
        return graph_.pieces_of(graph_.nodes[node]);
    }
    Key const& key_of(Target node) const { return graph_.keys[graph_.nodes[node].key]; }
    void prepare();
    bool alike(Target one, Target other);
    bool meet(Target one, Target other);
    bool field_alike(Key const& one, Key const& other);
    std::ptrdiff_t gain(Target one, Target other) const;
    bool was_set_before(Target node) const;

    // Of each node.
    struct About {
        std::uint32_t shape = 0;    // what it does, whatever it reads
        std::uint32_t needs = 0;    // packets that are shorter are not accepted from there on
        std::uint32_t parents = 0;  // how many nodes lead to it
        Target partner = Graph::reject, partner_back = Graph::reject;  // that it has met
    };
    Graph const& graph_;
    List<About> about_;
    List<Pair> pairs_;  // of nodes that differ
    List<Pair> met_;    // these and equal ones
    Target one_ = Graph::reject, other_ = Graph::reject;
    Offsets offsets_;
    bool own_loads_ = false;  // the first two nodes differ in what they read
};

// From the ends on.
void Sharing::prepare() {
    std::size_t const count = graph_.nodes.size();
    about_.resize(count);
    for (std::uint32_t i = u32(count); i-- > 0;) {
        std::uint32_t hash = key_of(i).relation + 1, needs = all_ones;
        for (Piece const& piece : pieces_of(i)) {
            bool const end = Graph::is_end(piece.target);
            if (piece.target != Graph::reject)
                needs = std::min(needs, end ? 0 : about_[piece.target].needs);
            hash = (hash * 0x9e3779b1U ^ piece.low) * 0x85ebca6bU ^
                   (end ? piece.target : about_[piece.target].shape);
        }
        about_[i].shape = hash ^ hash >> 15;
        about_[i].needs = std::max(needs, key_of(i).needs);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        auto const pieces = pieces_of(i);
        for (auto piece = pieces.begin(); piece != pieces.end(); ++piece) {
            if (Graph::is_end(piece->target)) continue;
            auto const same = [&](Piece const& p) { return p.target == piece->target; };
            if (std::none_of(pieces.begin(), piece, same)) ++about_[piece->target].parents;
        }
    }
    if (!Graph::is_end(graph_.root)) ++about_[graph_.root].parents;
}

// Whether the fields are the same but for where X leads.
bool Sharing::field_alike(Key const& one, Key const& other) {
    using enum Offsets::Kind;
    if (one.relation != Key::no_relation || other.relation != Key::no_relation ||
        one.role == Role::point || other.role != Role::test || one.mask != other.mask ||
        one.field.size != other.field.size)
        return false;
    Field const &a = one.field, &b = other.field;
    auto const in_packet = [](Field const& f) {
        return f.base == Base::packet && f.at.variable == Offset::constant && !is_metadata(f);
    };
    if (!in_packet(b)) return false;
    Offsets::Kind kind = constant;
    if (one.role == Role::counted)
        kind = counted;
    else if (a.base == Base::transport && a.at.variable == Offset::constant)
        kind = header;
    else if (!in_packet(a))
        return false;
    std::int64_t const difference = std::int64_t{b.at.value} - a.at.value;
    if (offsets_.kind == unknown) {
        offsets_ = {.difference = difference, .header = a.header, .kind = kind};
        return kind == constant ? difference != 0 : difference >= 0;
    }
    return offsets_.kind == kind && offsets_.difference == difference &&
           (kind != header || offsets_.header == a.header);
}

bool Sharing::meet(Target one, Target other) {
    Target &a = about_[one].partner, &b = about_[other].partner_back;
    if (a != Graph::reject || b != Graph::reject) return a == other && b == one;
    a = other;
    b = one;
    met_.push_back({one, other});
    return true;
}

// Whether the graph behind one node is that behind another, but for where fields are.
bool Sharing::alike(Target one, Target other) {
    constexpr std::size_t most = 4000;
    pairs_.clear();
    for (Pair const& pair : met_)
        about_[pair.one].partner = about_[pair.other].partner_back = Graph::reject;
    met_.clear();
    offsets_ = {};
    meet(one, other);
    for (std::size_t next = 0; next < met_.size(); ++next) {
        Pair const pair = met_[next];
        auto const a = pieces_of(pair.one), b = pieces_of(pair.other);
        if (a.size() != b.size() || met_.size() > most) return false;
        for (std::size_t i = 0; i < a.size(); ++i) {
            if (a[i].low != b[i].low) return false;
            if (Graph::is_end(a[i].target) || Graph::is_end(b[i].target)) {
                if (a[i].target != b[i].target) return false;
            } else if (!meet(a[i].target, b[i].target)) {
                return false;
            }
        }
    }
    // What both legs come to needs no X; the first fields may be anything.
    for (Pair const& pair : met_) {
        if (pair.one != pair.other)
            pairs_.push_back(pair);
        else if (key_of(pair.one).role == Role::counted)
            return false;
    }
    for (std::size_t i = 1; i < pairs_.size(); ++i) {
        Key const &a = key_of(pairs_[i].one), &b = key_of(pairs_[i].other);
        if (!field_alike(a, b)) return false;
    }
    Offsets const without_first = offsets_;
    own_loads_ = !field_alike(key_of(one), key_of(other));
    if (own_loads_) offsets_ = without_first;
    auto const plain = [&](Target node) {
        Key const& key = key_of(node);
        auto const index = index_of(key.field);
        bool const keeps_x =
            !index || (node == one && offsets_.kind == Offsets::Kind::header &&
                       *index == Registers::Index{Registers::Index::Kind::header, offsets_.header});
        return key.is_field() && keeps_x && !is_bit_test(key, pieces_of(node)) &&
               pieces_of(node).size() > 1;
    };
    if (own_loads_ && (!plain(one) || !plain(other))) return false;
    return offsets_.kind != Offsets::Kind::unknown;
}

bool Sharing::was_set_before(Target node) const {
    for (Target i = 0; i < node; ++i)
        if (key_of(i).role == Role::point || key_of(i).relation != Key::no_relation ||
            key_of(i).field.base == Base::transport)
            return true;
    return false;
}

std::ptrdiff_t Sharing::gain(Target one, Target other) const {
    std::ptrdiff_t gain = -2;  // the other leg sets X and jumps
    if (offsets_.kind == Offsets::Kind::constant && was_set_before(std::max(one, other))) --gain;
    for (Pair const& pair : pairs_) {
        bool const first = pair.one == one;
        std::size_t const takes = search_length(key_of(pair.one), pieces_of(pair.one));
        // The other leg's is left out.
        if (first && own_loads_) {
            gain += static_cast<std::ptrdiff_t>(count_comparisons(pieces_of(pair.one)));
        } else {
            gain += static_cast<std::ptrdiff_t>(takes + 1);
        }
        if (first) continue;
        // What is needed elsewhere as well stays.
        for (Target const node : {pair.one, pair.other}) {
            std::uint32_t inside = 0;
            for (Pair const& from : pairs_) {
                auto const pieces = pieces_of(node == pair.one ? from.one : from.other);
                inside += std::any_of(pieces.begin(), pieces.end(),
                                      [&](Piece const& p) { return p.target == node; });
            }
            if (inside != about_[node].parents) return -1;
        }
    }
    return gain;
}

std::uint32_t add_key(Graph& graph, Key const& key) {
    auto const known = std::find(graph.keys.begin(), graph.keys.end(), key);
    if (known != graph.keys.end()) return u32(std::size_t(known - graph.keys.begin()));
    graph.keys.push_back(key);
    return u32(graph.keys.size() - 1);
}

Target add_point(Graph& graph, Field const& place, Target next) {
    Key const pointer{.field = place,
                      .role = Role::point,
                      .max = 0,
                      .reach = place.base == Base::transport ? place.header + 1 : 0};
    Span const span = graph.nodes[next].span;
    std::uint32_t const begin = u32(graph.pieces.size());
    graph.nodes.push_back({add_key(graph, pointer), begin, begin + 1, span});
    graph.pieces.push_back({0, 0, next});
    return u32(graph.nodes.size() - 1);
}

// The nodes of one leg count from X and serve the other as well.
Graph Sharing::share() const {
    Graph graph = graph_;
    Target const one = one_, other = other_;
    bool const constant = offsets_.kind == Offsets::Kind::constant;
    auto const number = [](std::int64_t n) {
        return Field{.base = Base::packet, .at = {static_cast<std::uint32_t>(n)}};
    };
    // The smaller offset stays in the code, X is what is added.
    std::int64_t const back = constant ? std::min<std::int64_t>(offsets_.difference, 0) : 0;
    std::optional<Field> x_one, x_other;
    if (offsets_.kind == Offsets::Kind::header)
        x_one = Field{.base = Base::transport, .header = offsets_.header};
    else if (constant)
        x_one = number(-back);
    x_other = number(offsets_.difference - back);
    for (Pair const& pair : pairs_) {
        if (pair.one == one && own_loads_) continue;
        Key counted = key_of(pair.one);
        counted.role = Role::counted;
        counted.field = Field{.base = Base::packet,
                              .size = counted.field.size,
                              .at = {static_cast<std::uint32_t>(counted.field.at.value + back)}};
        counted.reach = all_ones;
        counted.needs = 0;
        graph.nodes[pair.one].key = add_key(graph, counted);
    }
    Target const count = u32(graph.nodes.size());
    Target first = own_loads_ ? other : one;
    if (own_loads_) {
        // The same ways out; the largest values may differ.
        Graph::Node& node = graph.nodes[other];
        auto const pieces = pieces_of(one);
        node.begin = u32(graph.pieces.size());
        graph.pieces.insert(graph.pieces.end(), pieces.begin(), pieces.end());
        graph.pieces.back().high = key_of(other).max;
        node.end = u32(graph.pieces.size());
    }
    Target const to_other = add_point(graph, *x_other, first);
    Target const to_one = x_one ? add_point(graph, *x_one, one) : one;
    auto const lead = [&](Target& target) {
        if (target == one)
            target = to_one;
        else if (target == other)
            target = to_other;
    };
    for (Target i = 0; i < count; ++i) {
        Graph::Node const& node = graph.nodes[i];
        for (std::uint32_t p = node.begin; p < node.end; ++p) lead(graph.pieces[p].target);
    }
    lead(graph.root);
    put_in_order(graph);
    return graph;
}

bool Sharing::find() {
    constexpr std::size_t most = 400;  // nodes
    if (graph_.nodes.size() < 2 || graph_.nodes.size() > most) return false;
    prepare();
    for (Target one = 0; one < graph_.nodes.size(); ++one) {
        for (Target other = 0; other < graph_.nodes.size(); ++other) {
            if (one == other || about_[one].shape != about_[other].shape ||
                about_[one].parents == 0 || about_[other].parents == 0 || !alike(one, other) ||
                gain(one, other) <= 0)
                continue;
            bool const early = own_loads_ && offsets_.kind == Offsets::Kind::header;
            if (early && about_[one].needs <= offsets_.header) continue;
            one_ = one;
            other_ = other;
            return true;
        }
    }
    return false;
}

}  // namespace

std::optional<Graph> share_legs(Graph const& graph) {
    Sharing sharing(graph);
    if (!sharing.find()) return std::nullopt;
    return sharing.share();
}

}  // namespace tamis::frontend
