// libFuzzer target: any bytes through the lexer and the grammar.
#include "frontend/parse.h"

#include <cstdint>
#include <string_view>

#include "frontend/ast.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis::frontend;
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    auto const tokens = lex(text);
    if (!tokens) return 0;
    (void)dump(*tokens, text);
    if (auto const tree = parse(text, *tokens)) (void)ast::dump(*tree, *tokens, text);
    return 0;
}
