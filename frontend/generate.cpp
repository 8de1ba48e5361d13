// Three steps:
//   1. from the root on: what A and X hold when a node begins, whatever path led there; and where
//      what is assigned to a variable stays in X, because that is what is counted from next;
//   2. each node as blocks: loads, then a tree of comparisons; nodes that differ in what they load
//      only share the tree;
//   3. from the end: the blocks, so that every jump's distance is known when it is written.
#include "frontend/generate.h"

#include <algorithm>
#include <span>
#include <utility>

#include "frontend/arithmetic.h"
#include "frontend/assembler.h"
#include "frontend/dead_code.h"
#include "frontend/opcodes.h"
#include "frontend/ranges.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using cbpf::Insn;
using Target = Graph::Target;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }
constexpr auto u8(std::size_t n) { return static_cast<std::uint8_t>(n); }

using IndexKind = Registers::Index::Kind;

// What X holds for code that counts from a header, or from a number.
Registers::Index pointed(Field const& field) {
    return index_of(field).value_or(Registers::Index{IndexKind::number, field.at.value});
}

bool hangs_on(std::optional<Registers::Index> const& index, std::uint8_t variable) {
    return index && index->variable == variable;
}

List<Key> without_versions(Graph const& graph, Formula const& formula) {
    if (formula.variables == 0) return {};
    List<Key> keys = graph.keys;
    for (Key& key : keys) key.field.at.version = 0;
    return keys;
}

class Generating {
  public:
    Generating(Graph const& graph, Formula const& formula, std::uint32_t accept, Span whole)
        : graph_(graph),
          formula_(formula),
          whole_(whole),
          current_(without_versions(graph, formula)),
          keys_(current_.empty() ? graph.keys : current_),
          assembler_(accept, whole, 2 * graph.pieces.size()) {}

    cbpf::Program run();

  private:
    // What is known about a node.
    struct Plan {
        bool reached = false;
        bool mixed = false;                 // its group has different masks
        bool into_x = false;                // what it assigns is counted from next
        bool written = false;               // its code is
        std::uint8_t ignored = 0;           // how many of the last bits are masked out first
        std::uint8_t inner = 0;             // inside of the search that leads to it: how deep
        std::uint32_t depth = 0;            // about how many instructions stand before it, at most
        std::uint32_t next = 0;             // of the group that shares its tree, in a ring
        std::uint32_t only_way = all_ones;  // to it, from a node that leads nowhere else
        std::uint32_t cube = all_ones;      // in cubes_: one comparison does
        Registers registers;                // when it begins
    };
    static Label label_of(Target target) {
        return target == Graph::reject   ? Assembler::reject
               : target == Graph::accept ? Assembler::accept
                                         : target + Assembler::first_free;
    }
    Label fresh_label() { return next_label_++; }
    std::span<Graph::Piece const> pieces_of(Graph::Node const& node) const {
        return graph_.pieces_of(node);
    }
    bool tests_bits(Graph::Node const& node) const {
        return is_bit_test(keys_[node.key], pieces_of(node));
    }
    void find_searches();
    Cube const* cube_of(std::uint32_t index) const {
        std::uint32_t const cube = plans_[index].cube;
        return cube == all_ones ? nullptr : &cubes_[cube];
    }
    Assignment const& assignment(Key const& key) const {
        return formula_.assignments[key.relation];
    }
    std::optional<std::uint8_t> counts_from(std::uint32_t index) const;
    void find_counted();
    Registers after(std::uint32_t index, Registers registers);
    void follow_registers();
    void group();
    bool lead_alike(Graph::Node const& a, Graph::Node const& b) const;
    void node(std::uint32_t index);
    void write_node(std::uint32_t index);
    void relation(std::uint32_t index);
    void assign(std::uint32_t index);
    void load(std::uint32_t index);  // its code, unless A has it already
    void tree(std::uint32_t index, Label label, bool masks);
    bool is_masked(std::uint32_t index) const;  // when the node begins
    void search(std::size_t begin, std::size_t end, Label label, Span span);
    void exceptions(Ranges::Run const& run, std::uint32_t begin, std::uint32_t end, Label label,
                    Span span);
    void comparison(Label label, Cond cond, std::uint32_t k, Label yes, Label no, Span span);
    void code(std::uint16_t opcode, std::uint32_t k = 0) { code_.push_back({opcode, 0, 0, k}); }
    void find_inner();
    void flush();

    Graph const& graph_;
    Formula const& formula_;
    Span whole_;
    List<Key> const current_;  // with variables: keys without versions
    List<Key> const& keys_;
    Assembler assembler_;
    List<Plan> plans_;  // of nodes
    List<Cube> cubes_;  // of few of them
    Label next_label_ = 0;
    List<Insn> code_;
    std::uint32_t pending_ = 0;  // where the code of the next block begins
    List<Block> blocks_;         // of the node at hand, in order
    Ranges ranges_;              // of the node at hand
};

// Where one comparison of some bits does.  Not where members of a group differ in their bits.
void Generating::find_searches() {
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i) {
        Graph::Node const& node = graph_.nodes[i];
        if (plans_[i].mixed || node.end - node.begin < 3) continue;
        unsigned const ignored = ignorable_bits(keys_[node.key], pieces_of(node));
        std::size_t const masks = keys_[node.key].mask != all_ones || ignored > 0 ? 1 : 0;
        std::size_t const otherwise = count_comparisons(pieces_of(node), ignored) + masks;
        if (auto const cube = find_cube(pieces_of(node), otherwise)) {
            plans_[i].cube = u32(cubes_.size());
            cubes_.push_back(*cube);
        } else {
            plans_[i].ignored = u8(ignored);
        }
    }
}

// The variable that a node wants in X before it puts something else there; Offset::constant when it
// does that, nothing when it leaves X alone.
std::optional<std::uint8_t> Generating::counts_from(std::uint32_t index) const {
    Key const& key = keys_[graph_.nodes[index].key];
    auto const first = [](List<Insn> const& code) -> std::optional<std::uint8_t> {
        for (Insn const& insn : code) {
            if ((cbpf::find(insn.code)->writes & cbpf::X) == 0) continue;
            if (insn.code != op::ldx_mem) return Offset::constant;
            return static_cast<std::uint8_t>(op::word_of(static_cast<std::uint8_t>(insn.k)));
        }
        return std::nullopt;
    };
    if (key.role == Key::Role::assign)
        return first(calculation(formula_, assignment(key), {})->code);
    if (key.relation != Key::no_relation)
        return first(calculation(formula_, formula_.relations[key.relation], key.value, {})->code);
    auto const wanted = index_of(key.field);
    return wanted ? std::optional(wanted->variable) : std::nullopt;
}

// From the ends on: what is counted from next, on the first way on which something is.
void Generating::find_counted() {
    if (formula_.variables == 0) return;
    List<std::optional<std::uint8_t>> next(graph_.nodes.size());
    for (std::uint32_t i = u32(graph_.nodes.size()); i-- > 0;) {
        Graph::Node const& node = graph_.nodes[i];
        std::optional<std::uint8_t> behind;
        for (Graph::Piece const& piece : pieces_of(node))
            if (!behind && !Graph::is_end(piece.target)) behind = next[piece.target];
        Key const& key = keys_[node.key];
        if (key.role == Key::Role::assign) plans_[i].into_x = behind == assignment(key).variable;
        next[i] = counts_from(i);
        if (!next[i]) next[i] = behind;
    }
}

Registers Generating::after(std::uint32_t index, Registers registers) {
    Graph::Node const& node = graph_.nodes[index];
    Key const& key = keys_[node.key];
    if (key.role == Key::Role::point) {
        registers.x = pointed(key.field);
        return registers;
    }
    if (key.role == Key::Role::assign) {
        std::uint8_t const variable = assignment(key).variable;
        registers.x = calculation(formula_, assignment(key), registers)->after.x;
        if (hangs_on(registers.x, variable)) registers.x.reset();
        if (plans_[index].into_x) registers.x = Registers::Index{IndexKind::variable, 0, variable};
        registers.a = {{.base = Base::variable, .at = {0, variable}}, all_ones};
        return registers;
    }
    if (key.role == Key::Role::counted) {
        registers.a.reset();
        return registers;
    }
    if (key.relation != Key::no_relation)
        return calculation(formula_, formula_.relations[key.relation], key.value, registers)->after;
    Cube const* const searched = cube_of(index);
    bool const keeps =
        tests_bits(node) || pieces_of(node).size() == 1 || (searched && searched->value == 0);
    bool const loads = !registers.a || registers.a->field != key.field ||
                       (registers.a->mask != all_ones && registers.a->mask != key.mask);
    std::uint32_t const held = loads ? all_ones : registers.a->mask;
    std::uint32_t const compared = searched ? searched->mask : all_ones << plans_[index].ignored;
    registers.a = {key.field, keeps ? held : key.mask & compared};
    if (auto const index_of_field = index_of(key.field); loads && index_of_field)
        registers.x = index_of_field;
    return registers;
}

// Nodes stand before their targets, so one pass sees all ways into a node before the node itself.
void Generating::follow_registers() {
    if (!Graph::is_end(graph_.root)) {
        plans_[graph_.root].reached = true;
        plans_[graph_.root].registers.x = Registers::Index{};  // 0 where programs begin
    }
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i) {
        Graph::Node const& node = graph_.nodes[i];
        if (!plans_[i].reached) continue;
        Registers const registers = after(i, plans_[i].registers);
        // A chain of exceptions, or a tree of which all parts are as deep.
        auto const pieces = pieces_of(node);
        bool const chain = pieces.size() < 8;
        std::uint32_t depth = plans_[i].depth + 2 + (chain ? 0 : 8);
        for (Graph::Piece const& piece : pieces) {
            bool const single = piece.low == piece.high;
            if (chain && single) ++depth;
            if (Graph::is_end(piece.target)) continue;
            Plan& next = plans_[piece.target];
            next.only_way = next.reached || pieces.size() > 1 ? all_ones : i;
            std::uint32_t const more = chain && !single ? u32(pieces.size() / 2) : 0;
            next.depth = std::max(next.depth, single ? depth : plans_[i].depth + 2 + more);
            if (!next.reached) {
                next.reached = true;
                next.registers = registers;
            } else {
                if (next.registers.a != registers.a) next.registers.a.reset();
                if (next.registers.x != registers.x) next.registers.x.reset();
            }
        }
    }
}

// Nodes that lead to the same places by the same values, where that saves more than the jump to the
// shared code.  Their fields may have more or less bits, if the largest values lead to one place.
void Generating::group() {
    List<std::pair<std::uint32_t, std::uint32_t>> hashed;
    hashed.reserve(graph_.nodes.size());
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i) {
        plans_[i].next = i;
        Graph::Node const& node = graph_.nodes[i];
        if (keys_[node.key].relation != Key::no_relation) continue;
        std::uint32_t hash = 0;
        for (Graph::Piece const& p : pieces_of(node)) hash = (hash * 31 + p.low) * 31 + p.target;
        hashed.push_back({hash, i});
    }
    std::sort(hashed.begin(), hashed.end());
    for (std::size_t i = 1; i < hashed.size(); ++i) {
        std::uint32_t const one = hashed[i - 1].second, other = hashed[i].second;
        Graph::Node const &a = graph_.nodes[one], &b = graph_.nodes[other];
        if (hashed[i - 1].first != hashed[i].first || !lead_alike(a, b)) continue;
        Key const &key = keys_[a.key], &next = keys_[b.key];
        bool const mixed = key.max != next.max || key.mask != next.mask;
        std::size_t const masks = !mixed && key.mask != all_ones ? 1 : 0;
        if (count_comparisons(pieces_of(a)) + masks < 2 || (!mixed && tests_bits(a))) continue;
        plans_[other].next = std::exchange(plans_[one].next, other);
        if (!mixed && !plans_[one].mixed) continue;
        plans_[other].mixed = true;
        for (std::uint32_t m = plans_[other].next; m != other; m = plans_[m].next)
            plans_[m].mixed = true;
    }
}

bool Generating::lead_alike(Graph::Node const& a, Graph::Node const& b) const {
    auto const one = pieces_of(a), other = pieces_of(b);
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [](Graph::Piece const& x, Graph::Piece const& y) {
                          return x.low == y.low && x.target == y.target;
                      });
}

// ------------------------------------------------------------------------------------- comparisons

void Generating::comparison(Label label, Cond cond, std::uint32_t k, Label yes, Label no,
                            Span span) {
    blocks_.push_back({.label = label,
                       .begin = std::exchange(pending_, u32(code_.size())),
                       .end = u32(code_.size()),
                       .branches = true,
                       .code = op::branch(cond),
                       .k = k,
                       .yes = yes,
                       .no = no,
                       .span = span});
}

// Values that lead elsewhere than the others around them: one after the other, or halves when many.
void Generating::exceptions(Ranges::Run const& run, std::uint32_t begin, std::uint32_t end,
                            Label label, Span span) {
    constexpr std::uint32_t chained = 8;
    if (end - begin > chained) {
        std::uint32_t const middle = begin + (end - begin) / 2;
        Label const upper = fresh_label(), lower = fresh_label();
        comparison(label, Cond::ge, ranges_.exceptions[middle].value, upper, lower, span);
        exceptions(run, begin, middle, lower, span);
        exceptions(run, middle, end, upper, span);
        return;
    }
    // First what has the longest way to go; equal ends of such lists are one.  What stands inside
    // of this search has no height yet and comes last, so that the chain stays together.
    std::sort(ranges_.exceptions.begin() + begin, ranges_.exceptions.begin() + end,
              [&](Ranges::Exception const& a, Ranges::Exception const& b) {
                  auto const height_a = assembler_.height(label_of(a.target)),
                             height_b = assembler_.height(label_of(b.target));
                  if (height_a != height_b) return height_a > height_b;
                  return a.target != b.target ? a.target < b.target : a.value < b.value;
              });
    for (std::uint32_t i = begin; i < end; ++i) {
        Label const next = i + 1 == end ? label_of(run.target) : fresh_label();
        comparison(label, Cond::eq, ranges_.exceptions[i].value,
                   label_of(ranges_.exceptions[i].target), next, span);
        label = next;
    }
}

// ranges_.runs[begin .. end)
void Generating::search(std::size_t begin, std::size_t end, Label label, Span span) {
    if (end - begin == 1) {
        Ranges::Run const& run = ranges_.runs[begin];
        exceptions(run, run.first_exception, run.first_exception + run.exceptions, label, span);
        return;
    }
    std::size_t const middle = begin + (end - begin) / 2;
    auto const entry = [&](std::size_t from, std::size_t to) {
        return to - from == 1 && ranges_.runs[from].exceptions == 0
                   ? label_of(ranges_.runs[from].target)
                   : fresh_label();
    };
    Label const lower = entry(begin, middle), upper = entry(middle, end);
    std::uint32_t const bound = ranges_.runs[middle].low;
    comparison(label, Cond::ge, bound, upper, lower, span);
    if (middle - begin > 1 || ranges_.runs[begin].exceptions > 0)
        search(begin, middle, lower, span);
    if (end - middle > 1 || ranges_.runs[middle].exceptions > 0) search(middle, end, upper, span);
}

// --------------------------------------------------------------------------------------------
// nodes

void Generating::load(std::uint32_t index) {
    Graph::Node const& node = graph_.nodes[index];
    Key const& key = keys_[node.key];
    Field const& field = key.field;
    Registers const& before = plans_[index].registers;
    if (key.role == Key::Role::point) {
        Registers::Index const wanted = pointed(field);
        return put_into_x(wanted, before.x, code_);
    }
    if (key.role == Key::Role::counted) return code(op::ld_ind(field.size), field.at.value);
    if (before.a && before.a->field == field &&
        (before.a->mask == all_ones || before.a->mask == key.mask))
        return;
    if (auto const wanted = index_of(field)) put_into_x(*wanted, before.x, code_);
    frontend::load(field, code_);
}

// The store goes where nothing reads it, see drop_dead_code().
void Generating::assign(std::uint32_t index) {
    Graph::Node const& node = graph_.nodes[index];
    Assignment const& assigned = assignment(keys_[node.key]);
    auto const value = calculation(formula_, assigned, plans_[index].registers);
    code_.insert(code_.end(), value->code.begin(), value->code.end());
    Insn const last = code_.back();
    code(op::st, op::word_of(assigned.variable));
    bool const number = last.code == op::ld_imm;
    if (plans_[index].into_x) code(number ? op::ldx_imm : op::tax, number ? last.k : 0);
    tree(index, label_of(index), false);
}

void Generating::relation(std::uint32_t index) {
    Graph::Node const& node = graph_.nodes[index];
    Key const& key = keys_[node.key];
    auto const pieces = pieces_of(node);
    auto const chosen =
        calculation(formula_, formula_.relations[key.relation], key.value, plans_[index].registers);
    code_.insert(code_.end(), chosen->code.begin(), chosen->code.end());
    if (key.value) {
        Insn const last = code_.back();
        bool const bits =
            pieces.size() == 2 && pieces[0].high == 0 && last.code == op::alu(Alu::and_);
        if (!bits) return tree(index, label_of(index), false);
        code_.pop_back();
        return comparison(label_of(index), Cond::set, last.k, label_of(pieces[1].target),
                          label_of(pieces[0].target), node.span);
    }
    Block block{.label = label_of(index),
                .end = u32(code_.size()),
                .branches = pieces.size() > 1,
                .code = chosen->branch.code,
                .k = chosen->branch.k,
                .span = node.span};
    Label const holds = label_of(pieces.back().target), fails = label_of(pieces.front().target);
    block.yes = chosen->negated ? fails : holds;
    block.no = chosen->negated ? holds : fails;
    blocks_.push_back(block);
}

bool Generating::is_masked(std::uint32_t index) const {
    Key const& key = keys_[graph_.nodes[index].key];
    auto const& a = plans_[index].registers.a;
    return key.mask == all_ones || (a && a->field == key.field && a->mask == key.mask);
}

// Compares what is in A, perhaps under a mask.
void Generating::tree(std::uint32_t index, Label label, bool masks) {
    Graph::Node const& node = graph_.nodes[index];
    auto const pieces = pieces_of(node);
    std::uint32_t const mask = keys_[node.key].mask;
    if (pieces.size() == 1) {
        blocks_.push_back({.label = label,
                           .begin = std::exchange(pending_, u32(code_.size())),
                           .end = u32(code_.size()),
                           .yes = label_of(pieces[0].target),
                           .span = node.span});
        return;
    }
    if (tests_bits(node)) {
        comparison(label, Cond::set, mask, label_of(pieces[1].target), label_of(pieces[0].target),
                   node.span);
        return;
    }
    if (Cube const* const searched = cube_of(index)) {
        Label const inside = label_of(searched->inside), outside = label_of(searched->outside);
        if (searched->value == 0)
            return comparison(label, Cond::set, searched->mask, outside, inside, node.span);
        code(op::alu(Alu::and_), searched->mask);
        return comparison(label, Cond::eq, searched->value, inside, outside, node.span);
    }
    std::uint32_t const compared = mask & all_ones << plans_[index].ignored;
    if (masks || plans_[index].ignored > 0) code(op::alu(Alu::and_), compared);
    ranges_.read(pieces, plans_[index].ignored);
    search(0, ranges_.runs.size(), label, node.span);
}

// What only one end of a long search leads to stands right behind that end, and so does what only
// that leads to: otherwise every end would have a long way to go.
void Generating::find_inner() {
    constexpr std::size_t long_search = 64;  // pieces
    constexpr std::uint8_t deepest = 16;     // what is written by recursion
    if (graph_.pieces.size() <= long_search) return;
    List<std::uint32_t> parents(graph_.nodes.size(), all_ones);
    for (std::uint32_t i = 0; i < graph_.nodes.size(); ++i) {
        auto const pieces = pieces_of(graph_.nodes[i]);
        bool const holds =
            (pieces.size() > long_search || plans_[i].inner > 0) && plans_[i].inner < deepest;
        for (Graph::Piece const& piece : pieces) {
            if (Graph::is_end(piece.target) || parents[piece.target] == i) continue;
            bool const first = parents[piece.target] == all_ones;
            bool const alone = plans_[piece.target].next == piece.target;
            parents[piece.target] = i;
            plans_[piece.target].inner = first && alone && holds ? u8(plans_[i].inner + 1) : 0;
        }
    }
}

void Generating::flush() {
    List<Block> blocks = std::exchange(blocks_, {});
    List<Insn> code = std::exchange(code_, {});
    pending_ = 0;
    for (std::size_t i = blocks.size(); i-- > 0;) {
        for (Label const label : {blocks[i].no, blocks[i].yes})
            if (Target const to = label - Assembler::first_free;
                label >= Assembler::first_free && to < plans_.size() && plans_[to].inner > 0)
                node(to);
        assembler_.write(blocks[i], code.data());
    }
    // The next node has use for their memory.
    blocks.clear();
    code.clear();
    blocks_ = std::move(blocks);
    code_ = std::move(code);
}

// Labels inside of what has been written are free again: nothing else leads there.
void Generating::node(std::uint32_t index) {
    if (plans_[index].written || !plans_[index].reached) return;
    Label const unused = next_label_;
    write_node(index);
    next_label_ = unused;
}

void Generating::write_node(std::uint32_t index) {
    Key const& key = keys_[graph_.nodes[index].key];
    if (key.relation != Key::no_relation) {
        plans_[index].written = true;
        key.role == Key::Role::assign ? assign(index) : relation(index);
        return flush();
    }
    // The one that is written first stands right before the tree, the others jump.
    if (plans_[index].next == index) {
        plans_[index].written = true;
        load(index);
        tree(index, label_of(index), !is_masked(index));
        return flush();
    }
    List<std::uint32_t> members{index};
    for (std::uint32_t i = plans_[index].next; i != index; i = plans_[i].next)
        if (plans_[i].reached) members.push_back(i);
    std::sort(members.begin(), members.end(), [&](std::uint32_t a, std::uint32_t b) {
        return plans_[a].depth != plans_[b].depth ? plans_[a].depth > plans_[b].depth : a < b;
    });
    // Where they differ in their masks, every one masks for itself.
    bool const apart = plans_[index].mixed;
    bool const masks = !std::all_of(members.begin(), members.end(),
                                    [&](std::uint32_t member) { return is_masked(member); });
    Label const compare = fresh_label();
    tree(index, compare, masks && !apart);
    flush();
    for (std::uint32_t const member : members) {
        plans_[member].written = true;
        Block block{.label = label_of(member), .yes = compare, .span = graph_.nodes[member].span};
        load(member);
        if (apart && !is_masked(member))
            code(op::alu(Alu::and_), keys_[graph_.nodes[member].key].mask);
        block.end = u32(code_.size());
        blocks_.push_back(block);
        flush();
        // What only leads here stands right before.
        if (plans_[member].only_way != all_ones) node(plans_[member].only_way);
    }
}

cbpf::Program Generating::run() {
    for (Target const end : {Graph::reject, Graph::accept})
        if (std::any_of(graph_.pieces.begin(), graph_.pieces.end(),
                        [&](Graph::Piece const& piece) { return piece.target == end; }))
            assembler_.end(label_of(end));
    plans_.resize(graph_.nodes.size());
    group();
    find_searches();
    find_counted();
    follow_registers();
    find_inner();
    next_label_ = u32(graph_.nodes.size()) + Assembler::first_free;
    for (std::uint32_t i = u32(graph_.nodes.size()); i-- > 0;)
        if (plans_[i].inner == 0) node(i);
    if (formula_.variables == 0) return assembler_.finish(label_of(graph_.root));
    Label const begin = fresh_label();
    code(op::ld_imm, 0);
    for (std::uint8_t i = 0; i < formula_.variables; ++i) code(op::st, op::word_of(i));
    blocks_.push_back(
        {.label = begin, .end = u32(code_.size()), .yes = label_of(graph_.root), .span = whole_});
    flush();
    cbpf::Program program = assembler_.finish(begin);
    drop_dead_code(program);
    return program;
}

}  // namespace

cbpf::Program generate(Graph const& graph, Formula const& formula, std::uint32_t accept,
                       Span whole) {
    return Generating(graph, formula, accept, whole).run();
}

}  // namespace tamis::frontend
