// Numbers, bytes and relations of random filters.  Values are drawn with their text, so that a
// relation can be one that a packet fulfils.
#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "tests/support/random_drawer.h"

namespace tamis::test::drawing {

std::string Drawer::number(std::uint32_t value) {
    switch (below(10)) {
        case 0:
            return fmt::format("0x{:x}", value);
        case 1:
            return fmt::format("{:#o}", value);
        default:
            return std::to_string(value);
    }
}

// Reads bytes; narrows the kinds of packets, so that the others of the relation are of the same.
Value Drawer::access(unsigned depth) {
    static constexpr char const* sizes[] = {"", "", ":1", ":2", ":4"};
    Accessor const* accessor = &pick(accessors);
    for (int tries = 0; tries < 60 && ((accessor->kinds & allowed_) == 0 ||
                                       (accessor->needs != any && (accessor->needs & has_) == 0));
         ++tries)
        accessor = &pick(accessors);
    if (!one_in(8)) allowed_ &= accessor->kinds;
    std::string const size = pick(sizes);
    std::uint32_t const mask = size == ":4" ? ~0U : size == ":2" ? 0xffff : 0xff;
    std::string index = number(static_cast<std::uint32_t>(below(accessor->bytes)));
    if (depth > 0 && one_in(6)) index = arithmetic(depth - 1).text;
    if (one_in(300)) index = "-" + index;
    auto const value = [&] { return static_cast<std::uint32_t>(random_()) & mask; };
    return {fmt::format("{}[{}{}]", accessor->text, index, size), {value(), value()}};
}

Value Drawer::leaf(unsigned depth) {
    static constexpr std::uint32_t constants[] = {0,  1,  2,   4,    5,    6,          0xf,
                                                  31, 64, 255, 0x7f, 0x0f, 0xfffffffe, 16};
    auto const length = [&] { return 40 + static_cast<std::uint32_t>(below(80)); };
    if (one_in(6)) return {one_in(3) ? "length" : "len", {length(), length()}};
    if (!one_in(4)) return access(depth);
    if (one_in(8)) return {"tcp-ack", {16, 16}};
    std::uint32_t const value = pick(constants);
    return {number(value), {value, value}};
}

// Operators from the loosest to the tightest.  `%` and `^` have no place among them: their left
// operand is what stands right before them, their right one all that follows.
struct Operator {
    char const* text;
    unsigned binds;
    std::uint32_t (*apply)(std::uint32_t, std::uint32_t);
};
constexpr unsigned grabs = 0;
constexpr Operator operators[] = {
    {"|", 1, [](std::uint32_t a, std::uint32_t b) { return a | b; }},
    {"&", 2, [](std::uint32_t a, std::uint32_t b) { return a & b; }},
    {"<<", 3, [](std::uint32_t a, std::uint32_t b) { return b > 31 ? 0 : a << b; }},
    {">>", 3, [](std::uint32_t a, std::uint32_t b) { return b > 31 ? 0 : a >> b; }},
    {"+", 4, [](std::uint32_t a, std::uint32_t b) { return a + b; }},
    {"-", 4, [](std::uint32_t a, std::uint32_t b) { return a - b; }},
    {"*", 5, [](std::uint32_t a, std::uint32_t b) { return a * b; }},
    {"/", 5, [](std::uint32_t a, std::uint32_t b) { return b == 0 ? 0 : a / b; }},
    {"%", grabs, [](std::uint32_t a, std::uint32_t b) { return b == 0 ? 0 : a % b; }},
    {"^", grabs, [](std::uint32_t a, std::uint32_t b) { return a ^ b; }},
};

Value Drawer::arithmetic(unsigned depth) {
    if (depth == 0 || one_in(4)) return leaf(depth);
    auto const parenthesised = [](Value const& value) {
        return Value{"(" + value.text + ")", {value.values[0], value.values[1]}};
    };
    if (one_in(10)) {
        Value inner = arithmetic(depth - 1);
        if (inner.binds < Value::whole) inner = parenthesised(inner);
        std::string const minus = inner.text[0] == '-' || one_in(4) ? "- " : "-";
        return {minus + inner.text, {0 - inner.values[0], 0 - inner.values[1]}, 6, false};
    }
    Operator const& op = pick(operators);
    bool const shifts = op.binds == 3, divides = op.text[0] == '/' || op.text[0] == '%';
    Value left = arithmetic(depth - 1), right = arithmetic(depth - 1);
    // A divisor or a shift that is written as a number must make sense.
    if ((shifts && !one_in(6)) || (divides && !one_in(3))) {
        auto const by = static_cast<std::uint32_t>(1 + below(shifts ? 8 : 31));
        right = {std::to_string(by), {by, by}};
    }
    bool const swallows = op.binds == grabs;
    bool const splits = left.open || left.binds < (swallows ? unsigned{Value::whole} : op.binds);
    if (splits || one_in(6)) left = parenthesised(left);
    if ((!swallows && right.binds != grabs && right.binds <= op.binds) || one_in(6))
        right = parenthesised(right);
    // `len-1` is one word.
    bool const tight = one_in(4) && (op.text[0] != '-' || left.text.ends_with(']'));
    std::string const blank = tight && right.text[0] != '-' ? "" : " ";
    return {left.text + blank + op.text + blank + right.text,
            {op.apply(left.values[0], right.values[0]), op.apply(left.values[1], right.values[1])},
            op.binds,
            swallows || right.open};
}

// A value that two packets can have differently is compared so that one of them matches.
Term Drawer::relation() {
    Kinds const before = allowed_;
    Value left;
    for (int tries = 0; left.values[0] == left.values[1]; ++tries) {
        allowed_ = before;
        left = arithmetic(tries < 20 ? 2 : 0);
    }
    if (one_in(10)) left = {"(" + left.text + ")", {left.values[0], left.values[1]}};
    auto const [low, high] = std::minmax(left.values[0], left.values[1]);
    std::string const op = pick(relations), blank = one_in(6) ? "" : " ";
    bool const fewer = op == ">" || op == "<=";
    std::string right = number(op == "<" || op == ">=" ? high : fewer ? low : left.values[0]);
    Value const other = arithmetic(1);
    bool const reads = left.text.find('[') != left.text.npos;
    if (one_in(8) && reads && other.text.find('[') != other.text.npos) right = other.text;
    Kinds const kinds = std::exchange(allowed_, before);
    if (one_in(10)) {
        std::string const equal = one_in(2) ? " = " : " != ";
        return {number(left.values[0]) + equal + left.text, kinds};
    }
    return {left.text + blank + op + blank + right, kinds};
}

}  // namespace tamis::test::drawing
