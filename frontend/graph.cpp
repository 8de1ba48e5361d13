// Formula to conditions, then from the whole condition on: read what comes first, split, go on with
// what is left for each value.
#include "frontend/graph.h"

#include <algorithm>
#include <array>
#include <span>

#include "frontend/arithmetic.h"
#include "frontend/conditions.h"
#include "frontend/ranges.h"

namespace tamis::frontend {
namespace {

using cbpf::Cond;
using Ref = Conditions::Ref;
using Kind = Formula::Kind;
using Target = Graph::Target;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr unsigned max_depth = 400;  // of conditions: what is walked by recursion

constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }

// ------------------------------------------------------------------------- formula to conditions

class Reading {
  public:
    Reading(Formula const& formula, Conditions& conditions)
        : formula_(formula), conditions_(conditions) {}

    std::optional<Ref> run();

  private:
    static constexpr Ref unread = all_ones;
    std::optional<Ref> test(Test const& test, bool negated, Span span);
    std::optional<Ref> relation(std::uint32_t index, bool negated, Span span);
    std::optional<Ref> assignment(std::uint32_t index, bool negated, Span span);
    std::optional<Ref> in_set(Field const& field, std::uint32_t mask, Intervals set, bool negated,
                              Span span);
    std::uint32_t known(std::uint32_t index, std::uint32_t begin, std::uint32_t end);

    Formula const& formula_;
    Conditions& conditions_;
    struct Seen {
        std::uint32_t relation, begin, end;
    };
    List<Seen> seen_;
    List<Ref> of_tests_;  // by their index, twice: as they stand and negated
};

// What metadata there is that two reads in a row may see differently, that depends on registers, or
// that ends the program with what A holds (where a packet has no device).
bool changes(Field const& field) {
    if (field.base == Base::length || field.at.variable != Offset::constant) return false;
    cbpf::Ancillary const* const metadata = cbpf::find_ancillary(field.at.value);
    if (field.base != Base::packet || metadata == nullptr) return false;
    switch (metadata->number) {
        case cbpf::Anc::nlattr:
        case cbpf::Anc::nlattr_nest:
        case cbpf::Anc::alu_xor_x:
        case cbpf::Anc::cpu:
        case cbpf::Anc::random:
        case cbpf::Anc::ifindex:
        case cbpf::Anc::hatype:
            return true;
        case cbpf::Anc::protocol:
        case cbpf::Anc::pkttype:
        case cbpf::Anc::mark:
        case cbpf::Anc::queue:
        case cbpf::Anc::rxhash:
        case cbpf::Anc::vlan_tag:
        case cbpf::Anc::vlan_tag_present:
        case cbpf::Anc::pay_offset:
        case cbpf::Anc::vlan_tpid:
            return false;
    }
    return false;
}

// Tests of equal bits are tests of one key.
std::optional<Ref> Reading::in_set(Field const& field, std::uint32_t mask, Intervals set,
                                   bool negated, Span span) {
    if (changes(field)) return std::nullopt;
    Key key = key_of(field, all_ones);
    std::uint32_t const wide = key.max;
    mask &= wide;
    // Equality of leading bits is a range of the whole field.
    bool const leading = mask != 0 && (mask | (mask - 1)) == wide;
    bool const equality = set.size() == 1 && set[0].low == set[0].high;
    if (equality && (set[0].low & ~mask) != 0) set.clear();
    if (leading && equality) {
        if (!set.empty()) set[0].high |= wide & ~mask;
    } else if (mask != wide) {
        key.mask = key.max = mask;
    }
    while (!set.empty() && set.back().low > key.max) set.pop_back();
    if (!set.empty()) set.back().high = std::min(set.back().high, key.max);
    if (negated) set = complement(set, key.max);
    return conditions_.test(conditions_.key(key), set, span);
}

std::optional<Ref> Reading::test(Test const& test, bool negated, Span span) {
    std::uint32_t const mask = test.cond == Cond::set ? test.mask & test.value : test.mask;
    return in_set(test.field, mask, passing(test.cond, test.value, mask), negated, span);
}

// A relation whose steps from `begin` to `end` are those of this one, and that asks as much: this
// one or one that was written before.
std::uint32_t Reading::known(std::uint32_t index, std::uint32_t begin, std::uint32_t end) {
    constexpr std::size_t remembered = 16;
    auto const& steps = formula_.steps;
    std::size_t const count = std::min(remembered, seen_.size());
    Relation const& one = formula_.relations[index];
    bool const whole = begin == one.begin && end == one.end;
    for (std::size_t i = 0; i < count; ++i) {
        Seen const& seen = seen_[seen_.size() - 1 - i];
        Relation const& other = formula_.relations[seen.relation];
        bool const same = !whole || (seen.begin == other.begin && seen.end == other.end &&
                                     one.cond == other.cond &&
                                     one.middle - one.begin == other.middle - other.begin);
        if (same && std::equal(steps.begin() + begin, steps.begin() + end,
                               steps.begin() + seen.begin, steps.begin() + seen.end))
            return seen.relation;
    }
    seen_.push_back({index, begin, end});
    return index;
}

std::optional<Ref> Reading::relation(std::uint32_t index, bool negated, Span span) {
    Relation const& relation = formula_.relations[index];
    Key key{.relation = 0, .max = 1};
    for (std::uint32_t i = relation.begin; i < relation.end; ++i) {
        Step const& step = formula_.steps[i];
        if (step.kind == Step::Kind::field || step.kind == Step::Kind::load) {
            if (changes(step.field)) return std::nullopt;
            Key read = key_of(step.field, all_ones);
            key.reads |= read.reads;
            if (step.kind == Step::Kind::load) read.reach = all_ones, read.needs = 0;
            key.reach = std::max(key.reach, read.reach);
            key.needs = std::max(key.needs, read.needs);
        }
        bool const divides = step.kind == Step::Kind::binary &&
                             (step.op == cbpf::Alu::div || step.op == cbpf::Alu::mod);
        bool const by_number = i > relation.begin &&
                               formula_.steps[i - 1].kind == Step::Kind::number &&
                               formula_.steps[i - 1].value != 0;
        key.divides = key.divides || (divides && !by_number);
    }
    constexpr std::size_t max_ranges = 2;  // calculating is shorter than searching in more
    if (auto const solution = key.divides ? std::nullopt : solve(formula_, relation)) {
        if (solution->constant)
            return *solution->constant != negated ? Conditions::always : Conditions::never;
        if (solution->set.size() <= max_ranges)
            return in_set(solution->field, solution->mask, solution->set, negated, span);
    }
    auto comparison = compared(formula_, relation);
    key.value = comparison.has_value();
    key.relation = comparison ? known(index, comparison->begin, comparison->end)
                              : known(index, relation.begin, relation.end);
    if (!calculation(formula_, relation, key.value, {})) return std::nullopt;
    if (comparison) {
        key.max = all_ones;
        if (negated) comparison->set = complement(comparison->set, all_ones);
        return conditions_.test(conditions_.key(key), comparison->set, span);
    }
    std::uint32_t const holds = negated ? 0 : 1;
    return conditions_.test(conditions_.key(key), std::array{Interval{holds, holds}}, span);
}

// True, whatever the packet is; where that is negated, nothing is true behind it.
std::optional<Ref> Reading::assignment(std::uint32_t index, bool negated, Span span) {
    Assignment const& assignment = formula_.assignments[index];
    if (!calculation(formula_, assignment, {})) return std::nullopt;
    Key key{.role = Key::Role::assign, .relation = index, .max = 0, .reach = all_ones};
    key.divides = true;
    key.writes = static_cast<std::uint16_t>(1U << assignment.variable);
    for (std::uint32_t i = assignment.begin; i < assignment.end; ++i)
        key.reads |= variables_read(formula_.steps[i].field);
    Ref const done = conditions_.test(conditions_.key(key), std::array{Interval{0, 0}}, span);
    return negated ? conditions_.join(Conditions::Kind::all, std::array{done, Conditions::never})
                   : done;
}

std::optional<Ref> Reading::run() {
    auto const& nodes = formula_.nodes;
    // Whether an odd number of negations stands above: from the end, parents come before operands.
    List<std::uint8_t> negated(nodes.size());
    for (std::size_t i = nodes.size(); i-- > 0;) {
        bool const inner = negated[i] != (nodes[i].kind == Kind::negation);
        for (std::size_t child = i; child > i + 1 - nodes[i].size();) {
            negated[--child] = inner;
            child -= nodes[child].size() - 1;
        }
    }
    of_tests_.assign(2 * formula_.tests.size(), unread);
    // What stands right below the root is joined before everything is read, when it has become
    // much.
    constexpr std::size_t much = 3000;
    std::size_t enough = much;
    std::size_t const root = nodes.size() - 1;
    bool const joins =
        nodes[root].kind == Kind::conjunction || nodes[root].kind == Kind::disjunction;
    auto const kind_of = [&](std::size_t i) {
        bool const all = (nodes[i].kind == Kind::conjunction) != negated[i];
        return all ? Conditions::Kind::all : Conditions::Kind::any;
    };
    List<std::uint8_t> below_root(nodes.size());
    for (std::size_t child = root; joins && child > 0; child -= nodes[child - 1].size())
        below_root[child - 1] = true;
    List<Ref> stack;
    stack.reserve(16);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        Formula::Node const& node = nodes[i];
        std::optional<Ref> ref;
        switch (node.kind) {
            case Kind::test: {
                Ref& known = of_tests_[2 * node.index + negated[i]];
                ref = known;
                if (known == unread) ref = test(formula_.tests[node.index], negated[i], node.span);
                if (ref) known = *ref;
                break;
            }
            case Kind::relation:
                ref = relation(node.index, negated[i], node.span);
                break;
            case Kind::assignment:
                ref = assignment(node.index, negated[i], node.span);
                break;
            case Kind::constant:
                ref = (node.index != 0) != negated[i] ? Conditions::always : Conditions::never;
                break;
            case Kind::negation:
                continue;
            case Kind::conjunction:
            case Kind::disjunction: {
                std::size_t count = 0;
                for (std::size_t child = i; child > i + 1 - node.size(); ++count)
                    child -= nodes[child - 1].size();
                if (i == root) count = stack.size();
                ref = conditions_.join(kind_of(i), std::span(stack).last(count));
                stack.resize(stack.size() - count);
                break;
            }
        }
        if (!ref || conditions_.exhausted() || conditions_.depth(*ref) > max_depth)
            return std::nullopt;
        stack.push_back(*ref);
        if (conditions_.volume() < enough || !below_root[i]) continue;
        stack = {conditions_.join(kind_of(root), stack)};
        conditions_.keep(stack);
        std::fill(of_tests_.begin(), of_tests_.end(), unread);
        enough = 2 * conditions_.volume() + much;
    }
    return stack.back();
}

// --------------------------------------------------------------------------- conditions to graph

// The graph grows as conditions are met: targets are conditions until all of them have nodes.
class Deciding {
  public:
    Deciding(Conditions& conditions, bool deep) : conditions_(conditions), deep_(deep) {
        nodes_.resize(conditions.size() + 32, unseen);
        graph_.nodes.reserve(16 + conditions.size());
        graph_.pieces.reserve(48 + 3 * conditions.size());
        finished_.reserve(16 + conditions.size());
    }
    static constexpr std::size_t no_limit = ~std::size_t{0};
    bool run(Ref whole, std::size_t most_nodes = no_limit);
    Graph finish();  // after run(), when the conditions may be gone

  private:
    static constexpr std::uint32_t unseen = all_ones;

    void expand(Ref ref);
    std::uint32_t& node_of(Ref ref) {
        if (nodes_.size() <= ref) nodes_.resize(ref + ref / 2 + 1, unseen);
        return nodes_[ref];
    }

    Conditions& conditions_;
    bool deep_;
    Graph graph_;
    List<Target> nodes_;     // by condition
    List<Target> finished_;  // every one behind those that it leads to
};

void Deciding::expand(Ref ref) {
    std::uint32_t const key = conditions_.first(ref);
    auto const pieces = conditions_.split(ref, key, deep_);
    bool const idle = pieces.size() == 1 && !conditions_.keys()[key].divides &&
                      conditions_.is_idle(ref, key, deep_);
    Graph::Node node{key, u32(graph_.pieces.size()), 0, conditions_.span(ref), idle};
    for (Conditions::Piece const& piece : pieces)
        graph_.pieces.push_back({piece.low, piece.high, piece.rest});
    node.end = u32(graph_.pieces.size());
    node_of(ref) = u32(graph_.nodes.size());
    graph_.nodes.push_back(node);
}

// Depth first, without recursion: there may be as many levels as fields.  False: there are too many
// cases, or more nodes than wanted.
bool Deciding::run(Ref whole, std::size_t most_nodes) {
    struct Visit {
        Target node;
        std::uint32_t next;
    };
    List<Visit> path;
    path.reserve(16);
    auto const visit = [&](Ref ref) {
        if (ref <= Conditions::always || node_of(ref) != unseen) return;
        expand(ref);
        path.push_back({node_of(ref), 0});
    };
    graph_.root = whole;
    visit(whole);
    while (!path.empty() && !conditions_.exhausted()) {
        if (graph_.nodes.size() > most_nodes) return false;
        Visit& at = path.back();
        Graph::Node const& node = graph_.nodes[at.node];
        if (at.next == node.end - node.begin) {
            finished_.push_back(at.node);
            path.pop_back();
        } else {
            // The last piece first: what a field's smallest value leads to then comes next.
            visit(graph_.pieces[node.end - ++at.next].target);
        }
    }
    graph_.keys = conditions_.keys();
    return !conditions_.exhausted();
}

Graph Deciding::finish() {
    List<Target> place(graph_.nodes.size());
    List<Graph::Node> ordered;
    ordered.reserve(graph_.nodes.size());
    for (std::size_t i = finished_.size(); i-- > 0;) {
        place[finished_[i]] = u32(ordered.size());
        ordered.push_back(graph_.nodes[finished_[i]]);
    }
    auto const target = [&](Ref ref) {
        return ref == Conditions::always  ? Graph::accept
               : ref == Conditions::never ? Graph::reject
                                          : place[node_of(ref)];
    };
    graph_.root = target(graph_.root);
    for (Graph::Piece& piece : graph_.pieces) piece.target = target(piece.target);
    graph_.nodes = std::move(ordered);
    return std::move(graph_);
}

}  // namespace

void put_in_order(Graph& graph) {
    struct Visit {
        Target node;
        std::uint32_t next;
    };
    List<bool> seen(graph.nodes.size());
    List<Target> finished, place(graph.nodes.size());
    List<Visit> path;
    path.reserve(16);
    finished.reserve(graph.nodes.size());
    auto const visit = [&](Target target) {
        if (Graph::is_end(target) || seen[target]) return;
        seen[target] = true;
        path.push_back({target, graph.nodes[target].end});
    };
    visit(graph.root);
    while (!path.empty()) {
        Visit& at = path.back();
        if (at.next == graph.nodes[at.node].begin) {
            finished.push_back(at.node);
            path.pop_back();
        } else {
            visit(graph.pieces[--at.next].target);
        }
    }
    std::reverse(finished.begin(), finished.end());
    for (std::size_t i = 0; i < finished.size(); ++i) place[finished[i]] = u32(i);
    auto const moved = [&](Target target) {
        return Graph::is_end(target) ? target : place[target];
    };
    Graph ordered{std::move(graph.keys), {}, {}, moved(graph.root)};
    ordered.nodes.reserve(finished.size());
    ordered.pieces.reserve(graph.pieces.size());
    for (Target const node : finished) {
        Graph::Node copy = graph.nodes[node];
        std::uint32_t const begin = u32(ordered.pieces.size());
        for (std::uint32_t p = copy.begin; p < copy.end; ++p)
            ordered.pieces.push_back(
                {graph.pieces[p].low, graph.pieces[p].high, moved(graph.pieces[p].target)});
        copy.begin = begin;
        copy.end = u32(ordered.pieces.size());
        ordered.nodes.push_back(copy);
    }
    graph = std::move(ordered);
}

namespace {

bool same(Graph const& one, Graph const& other) {
    auto const same_node = [](Graph::Node const& a, Graph::Node const& b) {
        return a.key == b.key && a.begin == b.begin && a.end == b.end && a.idle == b.idle;
    };
    return one.root == other.root && one.pieces == other.pieces &&
           std::equal(one.nodes.begin(), one.nodes.end(), other.nodes.begin(), other.nodes.end(),
                      same_node);
}

// What could be saved at most by reading each key in one place: in instructions, about.
std::size_t length_again(Graph const& graph) {
    List<bool> seen(graph.keys.size());
    std::size_t length = 0;
    for (Graph::Node const& node : graph.nodes) {
        if (seen[node.key])
            length += 1 + search_length(graph.keys[node.key], graph.pieces_of(node));
        seen[node.key] = true;
    }
    return length;
}

std::size_t work_of(Formula const& formula) {
    constexpr std::size_t least = 100'000, per_node = 200;
    return least + per_node * formula.nodes.size();
}

// How many operands that stand before it one may join.
constexpr std::size_t few_before = 32, none_before = 0;
Conditions conditions_for(Formula const& formula, std::size_t before) {
    return {formula.nodes.size(), work_of(formula), before};
}

std::optional<Graph> decided(Conditions& conditions, Ref whole, bool deep,
                             std::size_t most_nodes = Deciding::no_limit) {
    Deciding deciding(conditions, deep);
    if (!deciding.run(whole, most_nodes)) return std::nullopt;
    return deciding.finish();
}

}  // namespace

// There are fewer cases where later tests of a field are left to where they stand.  What is not
// needed any more is freed at once.
std::optional<Graph> decide_long(Formula& formula) {
    constexpr std::size_t enough = 20;  // steps for a node, where there is a graph
    std::optional<Conditions> conditions = conditions_for(formula, few_before);
    auto whole = Reading(formula, *conditions).run();
    if (!whole) return std::nullopt;
    std::size_t const work = enough * formula.nodes.size();
    formula.drop_tree();
    for (bool const deep : {true, false}) {
        conditions->keep(std::span(&*whole, 1));
        conditions->allow(work);
        Deciding deciding(*conditions, deep);
        if (!deciding.run(*whole)) continue;
        conditions.reset();
        Graph graph = deciding.finish();
        simplify(graph, deep);
        return graph;
    }
    return std::nullopt;
}

// The graph in which later tests of a field are decided where it is read has the shortest paths;
// but what follows may come several times in it.  The others are closer to the text.
List<Graph> decide(Formula const& formula, bool several) {
    constexpr std::size_t enough = 2000, little = 3;
    List<Graph> graphs;
    graphs.reserve(3);
    Conditions conditions = conditions_for(formula, few_before);
    auto whole = Reading(formula, conditions).run();
    if (!whole) return graphs;
    auto deep = decided(conditions, *whole, true);
    if (deep) {
        bool const last = !several || deep->nodes.size() > enough || reads_each_key_once(*deep);
        graphs.push_back(last ? std::move(*deep) : *deep);
        simplify(graphs[0], true);
        if (last || reads_each_key_once(graphs[0])) return graphs;
    }

    auto const add = [&](Graph graph) {
        simplify(graph, false);
        graphs.push_back(std::move(graph));
    };
    conditions.keep(std::span(&*whole, 1));
    conditions.allow(work_of(formula));
    auto closer = decided(conditions, *whole, false);
    if (!closer) return graphs;
    if (!deep || !same(*closer, *deep)) add(std::move(*closer));
    if (!several) return graphs;

    if (length_again(graphs[0]) <= little) return graphs;
    std::size_t fewest = Deciding::no_limit;
    for (Graph const& graph : graphs) fewest = std::min(fewest, graph.nodes.size());
    // With many more nodes it hardly ever gets shorter than those.
    std::size_t const most = 2 * fewest + 8;
    Conditions apart = conditions_for(formula, none_before);
    auto const as_written = Reading(formula, apart).run();
    auto closest = as_written ? decided(apart, *as_written, false, most) : std::nullopt;
    if (closest) add(std::move(*closest));
    return graphs;
}

}  // namespace tamis::frontend
