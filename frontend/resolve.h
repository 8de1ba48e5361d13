// Syntax tree to formula: what words mean, which of them go together, and what is wrong with them.
#pragma once

#include <string_view>
#include <vector>

#include "bpf/result.h"
#include "frontend/ast.h"
#include "frontend/compile.h"
#include "frontend/formula.h"

namespace tamis::frontend {

struct Resolved {
    Formula formula;
    std::vector<Diagnostic> warnings;
};

// Goes through the tree from left to right, because an identifier without qualifiers means what
// the one before it meant, and some primitives change where later ones look.  The link type is one
// that find_link_layer() knows.
Result<Resolved> resolve(std::string_view text, std::vector<Token> const& tokens,
                         ast::Tree const& tree, Options const& options);

}  // namespace tamis::frontend
