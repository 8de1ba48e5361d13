// The syntax tree as filter text again.
#include <iterator>
#include <utility>

#include <fmt/core.h>

#include "frontend/ast.h"
#include "frontend/operators.h"

namespace tamis::frontend {

std::string_view symbol(Kind op) {
    static constexpr std::string_view symbols[] = {"+",  "-",  "*", "/",  "%", "&",  "|", "^",
                                                   "<<", ">>", "<", "<=", ">", ">=", "=", "!="};
    static_assert(std::size(symbols) ==
                  static_cast<std::size_t>(Kind::ne) - static_cast<std::size_t>(Kind::plus) + 1);
    return symbols[static_cast<std::size_t>(op) - static_cast<std::size_t>(Kind::plus)];
}

namespace {

using ast::Step;

struct Printer {
    ast::Tree const& tree;
    std::vector<Token> const& tokens;
    std::string_view text;
    std::string out{};

    // As the user wrote it, a backslash included.
    std::string_view word(std::uint32_t token) const {
        Span const span = tokens[token].span;
        return text.substr(span.begin, span.end - span.begin);
    }

    void node(ast::NodeId id) {
        std::visit([&](auto const& shape) { show(shape); }, tree.nodes[id].shape);
    }
    void show(ast::Chain const& chain) {
        node(chain.first);
        for (std::uint32_t i = chain.links.begin; i < chain.links.end; ++i) {
            out += tree.links[i].is_and ? " and " : " or ";
            node(tree.links[i].operand);
        }
    }
    void show(ast::Not const& shape) {
        out += "not ";
        node(shape.operand);
    }
    void show(ast::Group const& group) {
        out += "(";
        node(group.inner);
        out += ")";
    }
    void show(ast::Primitive const& primitive) {
        for (std::uint32_t i = primitive.tokens.begin; i < primitive.tokens.end; ++i) {
            if (i != primitive.tokens.begin) out += " ";
            out += word(i);
        }
        if (!primitive.tail) return;
        out += " ";
        node(*primitive.tail);
    }
    void show(ast::Relation const& relation) {
        out += arithmetic(relation.left);
        out += fmt::format(" {} ", symbol(relation.op));
        out += arithmetic(relation.right);
    }

    std::string arithmetic(ast::Range range) const;
    std::vector<bool> parenthesised(ast::Range range) const;
};

bool is_operator(Step const& step) {
    return step.kind == Step::Kind::binary || step.kind == Step::Kind::negate;
}

// Which steps need parentheses, found from the root down: an operator knows what its operands stand
// between.  That is read off TreeBuilder::binary, which this has to undo.
std::vector<bool> Printer::parenthesised(ast::Range range) const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> children(range.size());  // left, right
    std::vector<std::uint32_t> values;
    for (std::uint32_t i = 0; i < range.size(); ++i) {
        Step const& step = tree.steps[range.begin + i];
        if (step.kind == Step::Kind::binary) {
            children[i].second = values.back();
            values.pop_back();
        }
        if (is_operator(step) || step.kind == Step::Kind::load) {
            children[i].first = values.back();
            values.pop_back();
        }
        values.push_back(i);
    }
    std::vector<bool> parentheses(range.size()), followed(range.size());
    for (std::uint32_t i = range.size(); i-- > 0;) {
        Step const& step = tree.steps[range.begin + i];
        if (!is_operator(step)) continue;  // a load's index begins anew
        if (step.kind == Step::Kind::binary && swallows(step.op) && followed[i])
            parentheses[i] = true;
        bool const more = followed[i] && !parentheses[i];
        auto const at = [&](std::uint32_t child) -> Step const& {
            return tree.steps[range.begin + child];
        };
        auto const [left, right] = children[i];
        if (step.kind == Step::Kind::negate) {
            Step const& operand = at(left);
            followed[left] = more;
            parentheses[left] = operand.kind == Step::Kind::binary && !swallows(operand.op);
            continue;
        }
        followed[left] = true;
        parentheses[left] = (at(left).kind == Step::Kind::negate && swallows(step.op)) ||
                            (at(left).kind == Step::Kind::binary &&
                             (swallows(step.op) || swallows(at(left).op) ||
                              precedence(at(left).op) < precedence(step.op)));
        followed[right] = more;
        parentheses[right] = at(right).kind == Step::Kind::binary && !swallows(step.op) &&
                             !swallows(at(right).op) &&
                             precedence(at(right).op) <= precedence(step.op);
    }
    return parentheses;
}

std::string Printer::arithmetic(ast::Range range) const {
    std::vector<bool> const parentheses = parenthesised(range);
    std::vector<std::string> values;
    for (std::uint32_t i = 0; i < range.size(); ++i) {
        Step const& step = tree.steps[range.begin + i];
        std::string value;
        if (step.kind == Step::Kind::number) value = fmt::format("{}", step.value);
        if (step.kind == Step::Kind::length) value = "len";
        if (step.kind == Step::Kind::binary) {
            std::string const right = std::move(values.back());
            values.pop_back();
            value = std::move(values.back());
            values.pop_back();
            value += fmt::format(" {} ", symbol(step.op));
            value += right;
        }
        if (step.kind == Step::Kind::negate) {
            value = "-" + values.back();
            values.pop_back();
        }
        if (step.kind == Step::Kind::load) {
            value = fmt::format("{}[{}", word(step.token), values.back());
            if (step.value != 0) value += fmt::format(" : {}", word(step.value));
            value += "]";
            values.pop_back();
        }
        values.push_back(parentheses[i] ? "(" + value + ")" : std::move(value));
    }
    return std::move(values.back());
}

}  // namespace

namespace ast {

std::string print(Tree const& tree, std::vector<Token> const& tokens, std::string_view text) {
    Printer printer{tree, tokens, text};
    printer.node(tree.root);
    return std::move(printer.out);
}

}  // namespace ast

}  // namespace tamis::frontend
