// How the operators of arithmetic bind.
#pragma once

#include "frontend/words.h"

namespace tamis::frontend {

// How tightly operators bind; unary minus binds tightest.
inline constexpr int unary_precedence = 6;
constexpr int precedence(Kind op) {
    if (op == Kind::pipe) return 0;
    if (op == Kind::caret) return 1;
    if (op == Kind::ampersand) return 2;
    if (op == Kind::shift_left || op == Kind::shift_right) return 3;
    if (op == Kind::plus || op == Kind::minus) return 4;
    return 5;  // * / %
}

// libpcap's grammar gives % and ^ no precedence, and its parser generator then always reads on:
// their right operand is everything that follows, their left one the nearest complete operand.
// We do the same, because filters mean what libpcap makes of them.
constexpr bool swallows(Kind op) { return op == Kind::percent || op == Kind::caret; }

// As written in a filter: plus .. ne.
std::string_view symbol(Kind op);

}  // namespace tamis::frontend
