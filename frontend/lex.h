// Filter text to a flat list of tokens.  Knows how words are spelt and where parentheses end, and
// nothing of what the words mean.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/result.h"
#include "frontend/words.h"

namespace tamis::frontend {

struct Token {
    Kind kind = Kind::end;
    Word word = Word::none;   // of keywords
    std::uint32_t value = 0;  // of numbers; of an opening parenthesis or bracket, its partner
    Span span;
};

// Longest match, as libpcap's scanner; the last token is Kind::end at the end of the text.
// Parentheses and brackets are matched, and marked as arithmetic where they stand in arithmetic.
// Fails at a byte that begins no token, a number that does not fit in 32 bits, a word that looks
// like an address and is none, and at the limits of compile.h.
Result<std::vector<Token>> lex(std::string_view text);

// The user's word, without the backslash that made it a name.
std::string_view text_of(Token const& token, std::string_view text);

// The value of a word that lex() called an address, in host order; nothing when it is none.
using Ipv6 = std::array<std::uint32_t, 4>;
std::optional<std::uint64_t> parse_mac(std::string_view word);
std::optional<Ipv6> parse_ipv6(std::string_view word);

// A number as the language writes it: decimal, octal after 0, hexadecimal after 0x.
bool is_number(std::string_view word);

// One token a line: where, what, and the text.
std::string dump(std::vector<Token> const& tokens, std::string_view text);

}  // namespace tamis::frontend
