// libFuzzer target: any bytes through the lexer and the grammar.  What parses is printed, and what
// was printed parses to the same tree.
#include "frontend/parse.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "frontend/ast.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis::frontend;
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    auto const tokens = lex(text);
    if (!tokens) return 0;
    (void)dump(*tokens, text);
    auto const tree = parse(text, *tokens);
    if (!tree) return 0;
    std::string const printed = ast::print(*tree, *tokens, text);
    auto const tokens_again = lex(printed);
    if (!tokens_again) std::abort();
    auto const again = parse(printed, *tokens_again);
    if (!again) std::abort();
    if (ast::dump(*again, *tokens_again, printed) != ast::dump(*tree, *tokens, text)) std::abort();
    return 0;
}
