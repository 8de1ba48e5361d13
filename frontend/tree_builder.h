// Builds the syntax tree while the grammar reads: one method per thing that was read.  What has
// been read and not yet used waits on stacks, so folding needs no recursion.
#pragma once

#include <vector>

#include "frontend/ast.h"

namespace tamis::frontend {

class TreeBuilder {
  public:
    explicit TreeBuilder(std::vector<Token> const& tokens) : tokens_(tokens) {
        tree_.nodes.reserve(tokens.size() / 2 + 1);
    }

    // operand (op operand)*
    void open_chain();
    void link(Token const& op);
    void close_chain();

    void negate(Token const& op);   // the operand read last
    void group(Token const& open);  // the chain read last
    void primitive(Token const* begin, Token const* end);
    void tail();  // the operand read last belongs to the primitive before it

    // prefix* operand (op prefix* operand)*
    void open_arith();
    void minus(Token const& op);
    void binary(Token const& op);
    void close_arith();
    void number(Token const& token);
    void length(Token const& token);

    // protocol [ arithmetic : size ]
    void open_load(Token const& protocol);
    void load_size(Token const& size);
    void close_load(Token const& bracket);

    // arithmetic op arithmetic
    void open_relation();
    void compare(Token const& op);
    void close_relation();

    ast::Tree finish();

  private:
    struct Frame {  // an open chain: where its operands and links begin
        std::size_t values, links;
    };
    struct Operator {
        Kind op;
        bool is_unary;
        Span span;
    };
    struct Load {
        Token const* protocol;
        std::uint32_t size;
    };

    void push(ast::Node node);
    ast::NodeId pop();
    Span pop_operand();
    void push_operand(ast::Step step);
    void reduce();

    std::vector<Token> const& tokens_;
    ast::Tree tree_;
    List<ast::NodeId> values_;
    List<ast::Link> links_;
    List<Frame> frames_;
    List<Span> operands_;  // of arithmetic
    List<Operator> operators_;
    List<std::size_t> ariths_;  // where each open arithmetic begins in operators_
    List<Load> loads_;
    Kind compare_ = Kind::eq;
    std::uint32_t left_ = 0, right_ = 0;  // where the sides of the relation begin
};

}  // namespace tamis::frontend
