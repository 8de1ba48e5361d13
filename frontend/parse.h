// Tokens to syntax tree: the only door to the grammar.  Includes no parser header.
#pragma once

#include <string_view>
#include <vector>

#include "bpf/result.h"
#include "frontend/ast.h"
#include "frontend/lex.h"

namespace tamis::frontend {

// `tokens` as lex() made them, with something before Kind::end.
Result<ast::Tree> parse(std::string_view text, std::vector<Token> const& tokens);

}  // namespace tamis::frontend
