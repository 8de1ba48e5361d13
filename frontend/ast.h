// The syntax of a filter as written: words and structure, nothing resolved.  Nodes lie in flat
// vectors and name each other by index, so that no tree is too deep to copy or to free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "frontend/lex.h"
#include "frontend/list.h"

namespace tamis::frontend::ast {

using NodeId = std::uint32_t;

// Half-open range of indices.
struct Range {
    std::uint32_t begin = 0, end = 0;
    std::uint32_t size() const { return end - begin; }
};

// first (op operand)*: `and` and `or` have equal precedence and are taken from left to right.
struct Link {
    bool is_and;
    NodeId operand;
};
struct Chain {
    NodeId first;
    Range links;
};
struct Not {
    NodeId operand;
};
struct Group {  // ( ... )
    NodeId inner;
};
// Words one after the other, `tcp dst port 80`; a parenthesised list or `not` may stand for the
// last: `host (a or b)`.
struct Primitive {
    Range tokens;
    std::optional<NodeId> tail;
};
struct Relation {
    Kind op;  // lt .. ne
    Range left, right;
};

struct Node {
    std::variant<Chain, Not, Group, Primitive, Relation> shape;
    Span span;
    // The leftmost word is an identifier, not a keyword: it takes its meaning from what stands
    // before this node.
    bool bare = false;
};

// Arithmetic in postfix order: operands before their operator.
struct Step {
    enum class Kind : std::uint8_t { number, length, load, negate, binary };
    Kind kind;
    frontend::Kind op = frontend::Kind::end;  // of binary: plus .. shift_right
    std::uint32_t value = 0;  // of a number; of a load, the token of its size, 0 when omitted
    std::uint32_t token = 0;  // of a load: the token of its protocol
    Span span;
};

struct Tree {
    List<Node> nodes;
    List<Link> links;
    List<Step> steps;
    NodeId root = 0;
    // Operators % and ^ that swallowed an operand which a reader would give to a tighter operator.
    List<Span> swallowing;
};

// One line per node, indented; relations in postfix.
std::string dump(Tree const& tree, std::vector<Token> const& tokens, std::string_view text);

// The tree as filter text that parses to the same tree: one blank between words, parentheses in
// arithmetic only where they are needed.
std::string print(Tree const& tree, std::vector<Token> const& tokens, std::string_view text);

}  // namespace tamis::frontend::ast
