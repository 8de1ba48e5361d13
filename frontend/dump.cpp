// The stages' results as text, for tests and for people who want to see them.
#include <vector>

#include <fmt/core.h>

#include "frontend/ast.h"
#include "frontend/formula.h"
#include "frontend/operators.h"

namespace tamis::frontend {
namespace {

// ------------------------------------------------------------------------------------ syntax tree

struct TreeDump {
    ast::Tree const& tree;
    std::vector<Token> const& tokens;
    std::string_view text;
    std::string out{};

    void node(ast::NodeId id, unsigned depth) {
        ast::Node const& node = tree.nodes[id];
        out += std::string(2 * std::size_t{depth}, ' ');
        std::visit([&](auto const& shape) { show(shape, depth); }, node.shape);
    }
    void show(ast::Chain const& chain, unsigned depth) {
        out += "chain\n";
        node(chain.first, depth + 1);
        for (std::uint32_t i = chain.links.begin; i < chain.links.end; ++i) {
            out += std::string(2 * std::size_t{depth}, ' ');
            out += tree.links[i].is_and ? "and\n" : "or\n";
            node(tree.links[i].operand, depth + 1);
        }
    }
    void show(ast::Not const& shape, unsigned depth) {
        out += "not\n";
        node(shape.operand, depth + 1);
    }
    void show(ast::Group const& group, unsigned depth) {
        out += "group\n";
        node(group.inner, depth + 1);
    }
    void show(ast::Primitive const& primitive, unsigned depth) {
        out += "primitive";
        for (std::uint32_t i = primitive.tokens.begin; i < primitive.tokens.end; ++i)
            out += fmt::format(" {}", text_of(tokens[i], text));
        out += "\n";
        if (primitive.tail) node(*primitive.tail, depth + 1);
    }
    void show(ast::Relation const& relation, unsigned /*depth*/) {
        out += fmt::format("relation{} ;{} {}\n", steps(relation.left), steps(relation.right),
                           symbol(relation.op));
    }
    std::string steps(ast::Range range) const {
        std::string line;
        for (std::uint32_t i = range.begin; i < range.end; ++i) {
            ast::Step const& step = tree.steps[i];
            switch (step.kind) {
                case ast::Step::Kind::number:
                    line += fmt::format(" {}", step.value);
                    break;
                case ast::Step::Kind::length:
                    line += " len";
                    break;
                case ast::Step::Kind::negate:
                    line += " neg";
                    break;
                case ast::Step::Kind::binary:
                    line += fmt::format(" {}", symbol(step.op));
                    break;
                case ast::Step::Kind::load:
                    line += fmt::format(" {}[]", text_of(tokens[step.token], text));
                    if (step.value != 0)
                        line += fmt::format(":{}", text_of(tokens[step.value], text));
                    break;
            }
        }
        return line;
    }
};

// ---------------------------------------------------------------------------------------- formula

std::string variable(Offset const& offset) {
    return offset.variable == Offset::constant ? "" : fmt::format("v{}+", offset.variable);
}

std::string show(Field const& field) {
    switch (field.base) {
        case Base::packet:
            return fmt::format("[{}{}:{}]", variable(field.at), field.at.value, field.size);
        case Base::transport:
            return fmt::format("[{}{}+ihl+{}:{}]", variable(field.at), field.header,
                               field.at.value - field.header, field.size);
        case Base::variable:
            return fmt::format("v{}", field.at.variable);
        case Base::length:
            break;
    }
    return "len";
}

std::string_view show(cbpf::Cond cond) {
    static constexpr std::string_view symbols[] = {"=", ">", ">=", "has"};
    return symbols[static_cast<std::size_t>(cond)];
}

std::string show(Test const& test) {
    std::string const mask =
        test.mask == ~std::uint32_t{0} ? "" : fmt::format(" & {:#x}", test.mask);
    return fmt::format("{}{} {} {:#x}", show(test.field), mask, show(test.cond), test.value);
}

std::string show(Formula const& formula, std::uint32_t begin, std::uint32_t end) {
    static constexpr std::string_view names[] = {"+", "-",  "*",  "/", "|",
                                                 "&", "<<", ">>", "%", "^"};
    std::string line;
    for (std::uint32_t i = begin; i < end; ++i) {
        Step const& step = formula.steps[i];
        switch (step.kind) {
            case Step::Kind::number:
                line += fmt::format(" {}", step.value);
                break;
            case Step::Kind::field:
                line += " " + show(step.field);
                break;
            case Step::Kind::load:
                line += " @" + show(step.field);
                break;
            case Step::Kind::negate:
                line += " neg";
                break;
            case Step::Kind::binary:
                line += fmt::format(" {}", names[static_cast<std::size_t>(step.op)]);
                break;
        }
    }
    return line;
}

std::string show(Formula const& formula, Formula::Node const& node) {
    switch (node.kind) {
        case Formula::Kind::test:
            return show(formula.tests[node.index]);
        case Formula::Kind::relation: {
            Relation const& r = formula.relations[node.index];
            return fmt::format("relation{} ;{} {}", show(formula, r.begin, r.middle),
                               show(formula, r.middle, r.end), show(r.cond));
        }
        case Formula::Kind::assignment: {
            Assignment const& a = formula.assignments[node.index];
            return fmt::format("v{} ={}", a.variable, show(formula, a.begin, a.end));
        }
        case Formula::Kind::constant:
            return node.index != 0 ? "true" : "false";
        case Formula::Kind::negation:
            return "not";
        case Formula::Kind::conjunction:
            return "and";
        case Formula::Kind::disjunction:
            break;
    }
    return "or";
}

}  // namespace

namespace ast {

std::string dump(Tree const& tree, std::vector<Token> const& tokens, std::string_view text) {
    TreeDump dump{tree, tokens, text};
    dump.node(tree.root, 0);
    return std::move(dump.out);
}

}  // namespace ast

std::string dump(Formula const& formula) {
    struct Entry {
        std::uint32_t node;
        std::size_t depth;
    };
    if (formula.nodes.empty()) return {};
    std::vector<Entry> rest{{static_cast<std::uint32_t>(formula.nodes.size() - 1), 0}};
    std::string out;
    while (!rest.empty()) {
        auto const [i, depth] = rest.back();
        rest.pop_back();
        Formula::Node const& node = formula.nodes[i];
        out += std::string(2 * depth, ' ') + show(formula, node) + "\n";
        for (std::uint32_t child = i; child + node.size() > i + 1;) {  // the first ends up on top
            rest.push_back({--child, depth + 1});
            child -= formula.nodes[child].size() - 1;
        }
    }
    return out;
}

}  // namespace tamis::frontend
