#include "frontend/tree_builder.h"

#include <cassert>
#include <utility>

#include "frontend/operators.h"

namespace tamis::frontend {
namespace {

constexpr auto u32(std::size_t n) { return static_cast<std::uint32_t>(n); }

}  // namespace

void TreeBuilder::push(ast::Node node) {
    tree_.nodes.push_back(std::move(node));
    values_.push_back(u32(tree_.nodes.size() - 1));
}

ast::NodeId TreeBuilder::pop() {
    ast::NodeId const id = values_.back();
    values_.pop_back();
    return id;
}

void TreeBuilder::open_chain() { frames_.push_back({values_.size(), links_.size()}); }

void TreeBuilder::link(Token const& op) { links_.push_back({op.kind == Kind::and_, 0}); }

void TreeBuilder::close_chain() {
    Frame const frame = frames_.back();
    frames_.pop_back();
    std::size_t const links = links_.size() - frame.links;
    assert(values_.size() - frame.values == links + 1);
    if (links == 0) return;
    ast::NodeId const first = values_[frame.values];
    std::uint32_t const begin = u32(tree_.links.size());
    for (std::size_t i = 0; i < links; ++i)
        tree_.links.push_back({links_[frame.links + i].is_and, values_[frame.values + 1 + i]});
    Span const span = join(tree_.nodes[first].span, tree_.nodes[values_.back()].span);
    bool const bare = tree_.nodes[first].bare;
    values_.resize(frame.values);
    links_.resize(frame.links);
    push({ast::Chain{first, {begin, u32(tree_.links.size())}}, span, bare});
}

void TreeBuilder::negate(Token const& op) {
    ast::NodeId const operand = pop();
    push({ast::Not{operand}, join(op.span, tree_.nodes[operand].span), tree_.nodes[operand].bare});
}

void TreeBuilder::group(Token const& open) {
    ast::NodeId const inner = pop();
    push({ast::Group{inner}, join(open.span, tokens_[open.value].span), tree_.nodes[inner].bare});
}

void TreeBuilder::primitive(Token const* begin, Token const* end) {
    ast::Range const tokens{u32(static_cast<std::size_t>(begin - tokens_.data())),
                            u32(static_cast<std::size_t>(end - tokens_.data()))};
    push({ast::Primitive{tokens, std::nullopt}, join(begin->span, end[-1].span),
          begin->kind <= Kind::mac8});
}

void TreeBuilder::tail() {
    ast::NodeId const tail = pop();
    ast::Node& node = tree_.nodes[values_.back()];
    std::get<ast::Primitive>(node.shape).tail = tail;
    node.span = join(node.span, tree_.nodes[tail].span);
}

void TreeBuilder::open_arith() { ariths_.push_back(operators_.size()); }

void TreeBuilder::minus(Token const& op) { operators_.push_back({op.kind, true, op.span}); }

void TreeBuilder::binary(Token const& op) {
    while (operators_.size() > ariths_.back()) {
        Operator const& top = operators_.back();
        bool const tighter =
            (top.is_unary ? unary_precedence : precedence(top.op)) >= precedence(op.kind);
        if (swallows(op.kind) || (!top.is_unary && swallows(top.op))) {
            if (tighter) tree_.swallowing.push_back(swallows(op.kind) ? op.span : top.span);
            break;
        }
        if (!tighter) break;
        reduce();
    }
    operators_.push_back({op.kind, false, op.span});
}

void TreeBuilder::close_arith() {
    while (operators_.size() > ariths_.back()) reduce();
    ariths_.pop_back();
}

// Applies the operator on top of the stack to the operands before it.
void TreeBuilder::reduce() {
    Operator const top = operators_.back();
    operators_.pop_back();
    Span const right = pop_operand();
    if (top.is_unary)
        push_operand({.kind = ast::Step::Kind::negate, .span = join(top.span, right)});
    else
        push_operand(
            {.kind = ast::Step::Kind::binary, .op = top.op, .span = join(pop_operand(), right)});
}

Span TreeBuilder::pop_operand() {
    Span const span = operands_.back();
    operands_.pop_back();
    return span;
}

void TreeBuilder::push_operand(ast::Step step) {
    tree_.steps.push_back(step);
    operands_.push_back(step.span);
}

void TreeBuilder::number(Token const& token) {
    push_operand({.kind = ast::Step::Kind::number, .value = token.value, .span = token.span});
}

void TreeBuilder::length(Token const& token) {
    push_operand({.kind = ast::Step::Kind::length, .span = token.span});
}

void TreeBuilder::open_load(Token const& protocol) { loads_.push_back({&protocol, 0}); }

void TreeBuilder::load_size(Token const& size) {
    loads_.back().size = u32(static_cast<std::size_t>(&size - tokens_.data()));
}

void TreeBuilder::close_load(Token const& bracket) {
    Load const load = loads_.back();
    loads_.pop_back();
    pop_operand();
    push_operand({.kind = ast::Step::Kind::load,
                  .value = load.size,
                  .token = u32(static_cast<std::size_t>(load.protocol - tokens_.data())),
                  .span = join(load.protocol->span, bracket.span)});
}

void TreeBuilder::open_relation() { left_ = u32(tree_.steps.size()); }

void TreeBuilder::compare(Token const& op) {
    compare_ = op.kind;
    right_ = u32(tree_.steps.size());
}

void TreeBuilder::close_relation() {
    Span const right = pop_operand();
    Span const left = pop_operand();
    push({ast::Relation{compare_, {left_, right_}, {right_, u32(tree_.steps.size())}},
          join(left, right), false});
}

ast::Tree TreeBuilder::finish() {
    assert(values_.size() == 1 && operands_.empty());
    tree_.root = values_.back();
    return std::move(tree_);
}

}  // namespace tamis::frontend
