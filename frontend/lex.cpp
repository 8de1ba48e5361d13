#include "frontend/lex.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include <arpa/inet.h>
#include <fmt/core.h>

#include "bpf/bytes.h"
#include "frontend/compile.h"
#include "frontend/list.h"

namespace tamis::frontend {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
constexpr bool is_alnum(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
constexpr bool is_printable(char c) { return c >= 0x20 && c <= 0x7e; }
constexpr bool is_name_char(char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; }
constexpr unsigned hex_value(char c) {
    return static_cast<unsigned>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
}

// Which characters make which tokens, for the first and the second byte of operators.
struct Operator {
    char spelling[3];
    Kind kind;
};
// clang-format off
constexpr Operator operators[] = {  // longer ones first
    {">=", Kind::ge}, {"<=", Kind::le}, {"!=", Kind::ne}, {"==", Kind::eq},
    {"<<", Kind::shift_left}, {">>", Kind::shift_right}, {"&&", Kind::and_}, {"||", Kind::or_},
    {"+", Kind::plus}, {"-", Kind::minus}, {"*", Kind::star}, {"/", Kind::slash}, {"%", Kind::percent},
    {"&", Kind::ampersand}, {"|", Kind::pipe}, {"^", Kind::caret}, {"=", Kind::eq},
    {"<", Kind::lt}, {">", Kind::gt}, {"!", Kind::not_},
    {"(", Kind::open}, {")", Kind::close}, {"[", Kind::open_bracket}, {"]", Kind::close_bracket},
    {":", Kind::colon},
};
// clang-format on

constexpr bool is_operator(Kind kind) { return kind >= Kind::plus && kind <= Kind::ne; }

// Whether an operand ends here, so that a '-' behind it is a subtraction.
constexpr bool ends_operand(Kind kind) {
    return kind <= Kind::length || kind == Kind::close || kind == Kind::close_bracket;
}

class Lexer {
  public:
    explicit Lexer(std::string_view text) : text_(text) {}
    Result<std::vector<Token>> run();

  private:
    struct Open {
        std::uint32_t token;
        unsigned prefixes;  // the `not`s and minuses right before it
    };

    bool next();
    bool operator_token();
    bool escaped();
    bool dollar();
    bool word();
    bool address(std::string_view word);
    bool number(std::string_view word);
    bool nest(Kind kind);
    bool stray_byte();
    bool too_long(std::size_t size);
    void mark_arithmetic();
    bool push(Kind kind, std::size_t size, Word word = Word::none, std::uint32_t value = 0);
    Span here(std::size_t size) const {
        return {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ + size)};
    }
    bool error(Span span, std::string message, std::vector<Note> notes = {}) {
        error_ = {std::move(message), span, std::move(notes)};
        return false;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::vector<Token> tokens_;
    List<Open> open_;
    unsigned nesting_ = 0;   // open parentheses and brackets, and the prefixes before them
    unsigned prefixes_ = 0;  // `not`s and minuses since the last other token
    Diagnostic error_;
};

bool Lexer::push(Kind kind, std::size_t size, Word word, std::uint32_t value) {
    tokens_.push_back({kind, word, value, here(size)});
    if (!nest(kind)) return false;
    at_ += size;
    return true;
}

// Counts nesting, so that nothing behind the lexer can be made to recurse deeply, and finds the
// partner of each parenthesis.
bool Lexer::nest(Kind kind) {
    Token const& token = tokens_.back();
    bool const negates = kind == Kind::minus &&
                         (tokens_.size() == 1 || !ends_operand(tokens_[tokens_.size() - 2].kind));
    if (kind == Kind::not_ || negates) {
        ++prefixes_;
    } else if (kind == Kind::open || kind == Kind::open_bracket) {
        open_.push_back({static_cast<std::uint32_t>(tokens_.size() - 1), prefixes_});
        nesting_ += prefixes_ + 1;
        prefixes_ = 0;
    } else if (kind == Kind::close || kind == Kind::close_bracket) {
        Kind const opens = kind == Kind::close ? Kind::open : Kind::open_bracket;
        char const* const sign = kind == Kind::close ? "')'" : "']'";
        if (open_.empty())
            return error(token.span, fmt::format("{} closes nothing that is open", sign));
        Token& partner = tokens_[open_.back().token];
        if (partner.kind != opens)
            return error(
                token.span,
                fmt::format("{} where {} is due", sign, partner.kind == Kind::open ? "')'" : "']'"),
                {{"opened here", partner.span}});
        partner.value = static_cast<std::uint32_t>(tokens_.size() - 1);
        nesting_ -= open_.back().prefixes + 1;
        open_.pop_back();
        prefixes_ = 0;
    } else {
        prefixes_ = 0;
    }
    if (nesting_ + prefixes_ > max_nesting)
        return error(token.span, fmt::format("nested too deeply: at most {} levels of parentheses, "
                                             "brackets, 'not' and '-'",
                                             max_nesting));
    return true;
}

bool Lexer::operator_token() {
    for (Operator const& op : operators) {
        std::size_t const size = op.spelling[1] == '\0' ? 1 : 2;
        if (text_[at_] != op.spelling[0]) continue;
        if (size == 2 && (at_ + 1 == text_.size() || text_[at_ + 1] != op.spelling[1])) continue;
        return push(op.kind, size);
    }
    return stray_byte();
}

bool Lexer::stray_byte() {
    char const c = text_[at_];
    if (is_printable(c)) return error(here(1), fmt::format("'{}' begins no word or operator", c));
    return error(
        here(1),
        fmt::format("byte 0x{:02x} is not part of any filter", static_cast<unsigned char>(c)),
        {{"filters are written in printable ASCII", std::nullopt}});
}

bool Lexer::too_long(std::size_t size) {
    return error(here(size),
                 fmt::format("a word of {} bytes: at most {} are taken", size, max_word));
}

// `\tcp`: a word that is a name whatever it spells.  It ends where libpcap ends it, not at & or |.
bool Lexer::escaped() {
    auto const ends = [](char c) {
        return c == ' ' || c == '!' || c == '(' || c == ')' || c == '\n' || c == '\t';
    };
    std::size_t end = at_ + 1;
    while (end < text_.size() && !ends(text_[end])) ++end;
    if (end == at_ + 1) return error(here(1), "a name must follow '\\'");
    if (end - at_ > max_word) return too_long(end - at_);
    for (std::size_t i = at_; i < end; ++i) {
        if (is_printable(text_[i])) continue;
        at_ = i;
        return stray_byte();
    }
    return push(Kind::name, end - at_);
}

bool Lexer::dollar() {
    std::size_t size = 1;
    while (size < 3 && at_ + size < text_.size() && is_hex(text_[at_ + size])) ++size;
    if (size == 1) return error(here(1), "one or two hex digits must follow '$'");
    return push(Kind::mac8, size);
}

bool Lexer::number(std::string_view word) {
    bool const hex = word.size() > 1 && (word[1] | 0x20) == 'x';
    bool const octal = !hex && word.size() > 1 && word[0] == '0';
    unsigned const base = hex ? 16 : octal ? 8 : 10;
    std::uint64_t value = 0;
    for (std::size_t i = hex ? 2 : 0; i < word.size(); ++i) {
        unsigned const digit = hex_value(word[i]);
        if (digit >= base) {
            at_ += i;
            return error(here(1), fmt::format("'{}' is not an octal digit", word[i]),
                         {{"a number that starts with 0 is octal", std::nullopt}});
        }
        value = value * base + digit;
        if (value > ~std::uint32_t{0})
            return error(here(word.size()), fmt::format("'{:.40}' does not fit in 32 bits", word),
                         {{"the largest number is 4294967295", std::nullopt}});
    }
    return push(Kind::number, word.size(), Word::none, static_cast<std::uint32_t>(value));
}

bool Lexer::address(std::string_view word) {
    if (parse_mac(word)) return push(Kind::mac, word.size());
    if (parse_ipv6(word)) return push(Kind::ipv6, word.size());
    return error(here(word.size()),
                 fmt::format("'{:.60}' is neither an IPv6 nor a MAC address", word),
                 {{"an IPv6 address is 2001:db8::1, a MAC address 0:1:2:aa:bb:cc", std::nullopt}});
}

bool is_dotted(std::string_view word) {
    unsigned parts = 0;
    for (std::size_t from = 0; from <= word.size(); ++parts) {
        std::size_t const dot = std::min(word.find('.', from), word.size());
        if (parts == 4 || !is_number(word.substr(from, dot - from))) return false;
        from = dot + 1;
    }
    return parts >= 2;
}

bool Lexer::word() {
    std::string_view const rest = text_.substr(at_);
    std::size_t size = 0;
    while (size < rest.size() && is_name_char(rest[size])) ++size;

    // Two colons behind hex digits make an address; one separates offset and size in brackets.
    if (std::all_of(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size), is_hex) &&
        size < rest.size() && rest[size] == ':') {
        std::size_t run = 0;
        unsigned colons = 0;
        for (; run < rest.size() && (is_alnum(rest[run]) || rest[run] == ':' || rest[run] == '.');
             ++run)
            if (rest[run] == ':') ++colons;
        if (run > max_word) return too_long(run);
        if (colons >= 2) return address(rest.substr(0, run));
    }
    if (size > max_word) return too_long(size);
    while (rest[size - 1] == '-' || rest[size - 1] == '_') --size;  // names do not end in these

    std::string_view const word = rest.substr(0, size);
    if (parse_mac(word)) return push(Kind::mac, size);
    if (is_digit(word[0])) {
        if (is_number(word)) return number(word);
        if (is_dotted(word)) return push(Kind::ipv4, size);
        return push(Kind::name, size);
    }
    if (WordRow const* row = find_word(word)) return push(row->kind, size, row->word, row->value);
    return push(Kind::name, size);
}

bool Lexer::next() {
    char const c = text_[at_];
    if (is_alnum(c)) return word();
    if (c == ':' && at_ + 1 < text_.size() && text_[at_ + 1] == ':') return word();
    if (c == '\\') return escaped();
    if (c == '$') return dollar();
    return operator_token();
}

// A parenthesis belongs to arithmetic when it stands in brackets or in arithmetic parentheses, or
// when an operator stands next to the pair.  Knowing this beforehand, the grammar never guesses.
void Lexer::mark_arithmetic() {
    std::size_t until = 0;  // everything before this token is arithmetic
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
        Token& token = tokens_[i];
        if (token.kind != Kind::open && token.kind != Kind::open_bracket) continue;
        std::size_t const partner = token.value;
        bool const beside =
            is_operator(tokens_[partner + 1].kind) || (i > 0 && is_operator(tokens_[i - 1].kind));
        if (token.kind == Kind::open) {
            if (i >= until && !beside) continue;
            token.kind = Kind::open_arith;
            tokens_[partner].kind = Kind::close_arith;
        }
        until = std::max(until, partner);
    }
}

Result<std::vector<Token>> Lexer::run() {
    if (text_.size() > max_text)
        return fail(
            {fmt::format("a filter of {} bytes: at most {} are taken", text_.size(), max_text),
             std::nullopt,
             {}});
    tokens_.reserve(text_.size() / 3 + 2);
    for (;;) {
        while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
        if (at_ == text_.size()) break;
        if (!next()) return fail(std::move(error_));
    }
    if (!open_.empty()) {
        Token const& token = tokens_[open_.back().token];
        return fail({fmt::format("{} is never closed", token.kind == Kind::open ? "'('" : "'['"),
                     token.span,
                     {}});
    }
    tokens_.push_back({Kind::end, Word::none, 0, here(0)});
    mark_arithmetic();
    return std::move(tokens_);
}

std::string_view name_of(Kind kind) {
    static constexpr std::string_view names[] = {"number",
                                                 "name",
                                                 "ipv4",
                                                 "ipv6",
                                                 "mac",
                                                 "mac8",
                                                 "keyword",
                                                 "direction",
                                                 "compares",
                                                 "length",
                                                 "and",
                                                 "or",
                                                 "not",
                                                 "open",
                                                 "close",
                                                 "open_arith",
                                                 "close_arith",
                                                 "open_bracket",
                                                 "close_bracket",
                                                 "colon",
                                                 "plus",
                                                 "minus",
                                                 "star",
                                                 "slash",
                                                 "percent",
                                                 "ampersand",
                                                 "pipe",
                                                 "caret",
                                                 "shift_left",
                                                 "shift_right",
                                                 "lt",
                                                 "le",
                                                 "gt",
                                                 "ge",
                                                 "eq",
                                                 "ne",
                                                 "end"};
    static_assert(std::size(names) == static_cast<std::size_t>(Kind::end) + 1);
    return names[static_cast<std::size_t>(kind)];
}

}  // namespace

Result<std::vector<Token>> lex(std::string_view text) { return Lexer(text).run(); }

std::string_view text_of(Token const& token, std::string_view text) {
    auto word = text.substr(token.span.begin, token.span.end - token.span.begin);
    if (token.kind == Kind::name && word.starts_with('\\')) word.remove_prefix(1);
    return word;
}

bool is_number(std::string_view word) {
    if (word.size() > 2 && word[0] == '0' && (word[1] | 0x20) == 'x')
        return std::all_of(word.begin() + 2, word.end(), is_hex);
    return !word.empty() && std::all_of(word.begin(), word.end(), is_digit);
}

// Six groups of one or two hex digits with one kind of separator, three groups of four with dots,
// or twelve digits.
std::optional<std::uint64_t> parse_mac(std::string_view word) {
    if (word.size() < 11 || word.size() > 17) return std::nullopt;
    std::array<std::uint64_t, 6> groups{};
    std::array<unsigned, 6> digits{};
    std::size_t last = 0;
    char separator = '\0';
    for (char const c : word) {
        if (is_hex(c)) {
            groups[last] = groups[last] << 4 | hex_value(c);
            ++digits[last];
            continue;
        }
        bool const separates = c == ':' || c == '-' || c == '.';
        if (!separates || (last > 0 && c != separator) || ++last == groups.size())
            return std::nullopt;
        separator = c;
    }
    auto const [fewest, most] = std::minmax_element(digits.begin(), digits.begin() + last + 1);
    unsigned bits = 0;  // of a group
    if (last == 5 && *fewest >= 1 && *most <= 2) bits = 8;
    if (last == 2 && separator == '.' && *fewest == 4 && *most == 4) bits = 16;
    if (last == 0 && *most == 12) bits = 48;
    if (bits == 0) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i <= last; ++i) value = value << bits | groups[i];
    return value;
}

std::optional<Ipv6> parse_ipv6(std::string_view word) {
    char terminated[INET6_ADDRSTRLEN];
    if (word.size() >= sizeof terminated) return std::nullopt;
    *std::copy(word.begin(), word.end(), terminated) = '\0';
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(AF_INET6, terminated, bytes.data()) != 1) return std::nullopt;
    Ipv6 address{};
    for (std::size_t i = 0; i < address.size(); ++i) address[i] = load_be(bytes, 4 * i, 4);
    return address;
}

std::string dump(std::vector<Token> const& tokens, std::string_view text) {
    std::string out;
    for (Token const& token : tokens)
        out +=
            fmt::format("{:<5} {:<13} {}\n", fmt::format("{}-{}", token.span.begin, token.span.end),
                        name_of(token.kind), text_of(token, text));
    return out;
}

}  // namespace tamis::frontend
