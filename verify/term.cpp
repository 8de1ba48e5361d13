#include "verify/term.h"

#include <algorithm>
#include <cassert>

#include "verify/term_values.h"

namespace tamis::verify {
namespace {

using u64 = std::uint64_t;

}  // namespace

std::size_t Terms::Hash::operator()(Node const& node) const {
    u64 hash = static_cast<u64>(node.op) << 8 | node.width;
    for (u64 const part : {u64{node.a.id}, u64{node.b.id}, u64{node.c.id}, node.value})
        hash = (hash ^ part) * 0x9e3779b97f4a7c15 ^ hash >> 29;
    return hash;
}

Terms::Terms(bool simplify) : simplify_(simplify) {
    no_ = make({Op::constant, 0, {}, {}, {}, 0});
    yes_ = make({Op::constant, 0, {}, {}, {}, 1});
}

Term Terms::make(Node const& node) {
    auto const [at, fresh] = known_.try_emplace(node, static_cast<std::uint32_t>(nodes_.size()));
    if (fresh) {
        nodes_.push_back(node);
        upper_.push_back(bound(node));
    }
    return {at->second};
}

Term Terms::make(Op op, unsigned width, Term a, Term b, Term c, u64 value) {
    unsigned const n = operands(op);
    bool const known =
        is_constant(a) && (n < 2 || is_constant(b)) && (n < 3 || is_constant(c)) && op != Op::byte;
    Node const node{op, static_cast<std::uint8_t>(width), a, b, c, value};
    if (!known) return make(node);
    u64 const result = compute(node, std::max(1U, this->width(a)), nodes_[a.id].value,
                               nodes_[b.id].value, nodes_[c.id].value, this->width(b));
    return width == 0 ? truth(result != 0) : constant(result, width);
}

// An upper bound of a value from those of its operands.
u64 Terms::bound(Node const& node) const {
    u64 const all = ones(node.width == 0 ? 1 : node.width);
    u64 const a = upper_.size() > node.a.id ? upper_[node.a.id] : 0;
    u64 const b = upper_.size() > node.b.id ? upper_[node.b.id] : 0;
    switch (node.op) {
        case Op::constant:
            return node.value;
        case Op::zext:
            return a;
        case Op::and_:
            return std::min(a, b);
        case Op::or_:
        case Op::xor_:
            return ones(bit_length(a | b));
        case Op::ite:
            return std::max(b, upper_[node.c.id]);
        case Op::add:
            return a <= all - std::min(b, all) ? a + b : all;
        case Op::mul:
            return b == 0 || a <= all / b ? a * b : all;
        case Op::udiv:
            // A divisor of 0 gives all ones.
            return is_constant(node.b) && b != 0 ? a / b : all;
        case Op::urem:
            return is_constant(node.b) && b != 0 ? std::min(a, b - 1) : a;
        case Op::shl:
            if (is_constant(node.b) && b < 64 && a <= all >> b) return a << b;
            return all;
        case Op::lshr:
            return is_constant(node.b) ? (b < 64 ? a >> b : 0) : a;
        case Op::extract:
            return std::min(node.value < 64 ? a >> node.value : 0, all);
        case Op::concat:
            return std::min(all, (a << width(node.b)) | ones(width(node.b)));
        case Op::variable:
        case Op::byte:
        case Op::not_:
        case Op::eq:
        case Op::ult:
        case Op::slt:
        case Op::sub:
        case Op::sdiv:
        case Op::srem:
        case Op::ashr:
        case Op::sext:
            return all;
    }
    return all;
}

Term Terms::constant(u64 value, unsigned width) {
    assert(width > 0);
    return make({Op::constant, static_cast<std::uint8_t>(width), {}, {}, {}, value & ones(width)});
}

Term Terms::variable(std::string_view name, unsigned width) {
    auto const [at, fresh] = numbers_.try_emplace(std::string(name), names_.size());
    Term const term =
        make({Op::variable, static_cast<std::uint8_t>(width), {}, {}, {}, at->second});
    if (fresh) {
        names_.emplace_back(name);
        variables_.push_back(term);
    }
    return term;
}

Term Terms::byte(Term offset) {
    assert(width(offset) == 32);
    return make(Op::byte, 8, offset);
}

std::vector<Term> Terms::parts(std::span<Term const> roots) const {
    std::uint32_t last = 0;
    for (Term const root : roots) last = std::max(last, root.id);
    std::vector<bool> wanted(last + 1, false);
    for (Term const root : roots) wanted[root.id] = true;
    std::size_t count = 0;
    for (std::uint32_t id = last + 1; id-- > 0;) {
        if (!wanted[id]) continue;
        ++count;
        Node const& node = nodes_[id];
        unsigned const n = operands(node.op);
        if (n > 0) wanted[node.a.id] = true;
        if (n > 1) wanted[node.b.id] = true;
        if (n > 2) wanted[node.c.id] = true;
    }
    std::vector<Term> out;
    out.reserve(count);
    for (std::uint32_t id = 0; id <= last; ++id)
        if (wanted[id]) out.push_back({id});
    return out;
}

}  // namespace tamis::verify
