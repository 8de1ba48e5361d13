// What the parts of resolve() share: the text and its tokens, what has been found out so far, and
// the first mistake.  Functions return false once error is set.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "bpf/link_types.h"
#include "frontend/primitives.h"
#include "frontend/resolve.h"

namespace tamis::frontend {

// What stands before an identifier, `tcp dst port`, and is inherited by later ones.
enum class Type : std::uint8_t { host, net, port, portrange, proto, protochain, gateway };
struct Qualifiers {
    Protocol const* protocol = nullptr;
    Direction direction = Direction::either;
    std::optional<Type> type{};        // none: host, but a network is wrong there
    std::uint32_t protocol_token = 0;  // of the protocol, if any
    std::uint32_t direction_token = 0;
    std::uint32_t last_token = 0;  // of all of them
};
std::string_view spelling(Type type);

// An identifier with what may follow it.
struct Id {
    Token const* word;
    Token const* prefix = nullptr;  // 10.0.0.0/8
    Token const* mask = nullptr;    // 10.0.0.0 mask 255.0.0.0
    Span span{};
    Span test{};  // with the qualifiers before it, where it has its own
};

struct Resolving {
    std::string_view text;
    std::vector<Token> const& tokens;
    ast::Tree const& tree;
    Options const& options;
    Layers at;
    unsigned moves = 0;                   // tests so far that change where later ones look
    Span mover{};                         // the last of them
    unsigned deepest = 1;                 // intermediate results that wait in memory at a time
    std::optional<std::uint8_t> chain{};  // the first of two variables that protochain uses
    Resolved out{};
    Diagnostic error{};
};

// The words that parts are written in.
class Part {
  protected:
    explicit Part(Resolving& resolving) : c_(resolving) {}

    Token const& token(std::uint32_t i) const { return c_.tokens[i]; }
    std::string_view text(Token const& token) const {
        return text_of(token, c_.text).substr(0, 60);  // for messages
    }
    std::string_view text(Span span) const {
        return c_.text.substr(span.begin, std::min(span.end - span.begin, 60U));
    }
    Formula& formula() { return c_.out.formula; }
    Primitives tests(Span span) { return {c_.out.formula, c_.at, span}; }

    bool error(Span span, std::string message, std::vector<Note> notes = {}) {
        c_.error = {std::move(message), span, std::move(notes)};
        return false;
    }
    bool error(Span span, std::string message, std::string note) {
        return error(span, std::move(message), {Note{std::move(note), std::nullopt}});
    }
    std::string_view link_name() const {
        LinkType const* const type = find_link_type(c_.at.type->number);
        return type != nullptr ? type->name : "unknown";
    }
    // One more of the 16 words that a program has.
    bool variable(Span span, std::uint8_t& variable) {
        if (formula().variables + c_.deepest + 2 > cbpf::memory_words)
            return error(span, "too many headers of variable length",
                         "where they end is kept in the 16 words that a program has");
        variable = formula().variables++;
        return true;
    }
    // Words of link types that have nothing to do with others, and that are not compiled yet.
    static bool belongs_elsewhere(Token const& token) {
        return token.word == Word::atm || token.word == Word::ss7;
    }
    bool unsupported(Token const& token) {
        std::string const word(text(token));
        bool const atm = token.word == Word::atm;
        int const type = c_.at.type->number;
        bool const here = atm ? type == dlt_sunatm
                              : type == dlt_mtp2 || type == dlt_mtp2_with_phdr || type == dlt_erf;
        if (here) return error(token.span, "'" + word + "' is not supported yet");
        return error(token.span, "'" + word + "' is known of " + (atm ? "ATM" : "SS7") + " only",
                     atm ? "on link type SUNATM" : "on link types MTP2, MTP2_WITH_PHDR and ERF");
    }

    Resolving& c_;
};

// The parts: each adds one tree to the formula.
bool resolve_identifier(Resolving& resolving, Qualifiers const& qualifiers, Id const& id);
// A word that tests headers around the packet, with the number or name behind it if there is one.
bool resolve_headers(Resolving& resolving, Token const& word, Token const* operand);
// `type X`, `type X subtype Y`, `subtype Y`, `dir X`.
bool resolve_frame(Resolving& resolving, Token const& word, Token const& operand,
                   Token const* subtype);
// `on eth0`, `rnr 5`, `reason match`.
bool resolve_pf(Resolving& resolving, Token const& word, Token const& operand);
bool resolve_relation(Resolving& resolving, ast::Node const& node, ast::Relation const& relation);

}  // namespace tamis::frontend
