// How filters nest, and nothing else; the only file that includes Boost.
//
//   filter    = expr end
//   expr      = operand (("and" | "or") operand)*                    equal precedence, left to
//   right operand   = "not" operand | relation | "(" expr ")" | primitive relation  = arith relop
//   arith primitive = piece+ ["(" expr ")" | "not" operand] piece     = word ["/" number] |
//   direction [("and" | "or") direction]
//             | compares [number] [compop number]
//   arith     = "-"* atom (binop "-"* atom)*                         folded by TreeBuilder
//   atom      = number | len | word "[" arith [":" number] "]" | "(" arith ")"
//
// It reads tokens, and the lexer has told arithmetic parentheses from others, so one token of
// lookahead decides everywhere and nothing that was built is ever taken back.
#include <boost/spirit/home/x3.hpp>
#include <fmt/core.h>

#include "frontend/parse.h"
#include "frontend/tree_builder.h"

// What an expectation failure calls the parser it wanted: through an action, the rule's own name.
namespace boost::spirit::x3 {
template <class Subject, class Action>
struct get_info<action<Subject, Action>> {
    using result_type = std::string;
    std::string operator()(action<Subject, Action> const& parser) const {
        return what(parser.subject);
    }
};
}  // namespace boost::spirit::x3

namespace tamis::frontend {
namespace {

namespace x3 = boost::spirit::x3;
using It = Token const*;

struct State {
    std::string_view text;
    TreeBuilder builder;
    Diagnostic error;
};
struct state_tag;

constexpr std::uint64_t bit(Kind kind) { return std::uint64_t{1} << static_cast<unsigned>(kind); }
static_assert(static_cast<unsigned>(Kind::end) < 64);

// One token of a set of kinds.
struct token_parser : x3::parser<token_parser> {
    using attribute_type = Token const*;
    static bool const has_attribute = true;
    std::uint64_t kinds;

    constexpr explicit token_parser(std::uint64_t set) : kinds(set) {}

    template <class Context, class RuleContext, class Attribute>
    bool parse(It& first, It const& last, Context const&, RuleContext&,
               Attribute& attribute) const {
        if (first == last || (kinds & bit(first->kind)) == 0) return false;
        x3::traits::move_to(first, attribute);
        ++first;
        return true;
    }
};

template <class... Kinds>
constexpr token_parser tok(Kinds... kinds) {
    return token_parser((bit(kinds) | ...));
}

// On an expectation failure: what was wanted, and the token that stands there instead.
struct reports {
    template <class Failure, class Context>
    x3::error_handler_result on_error(It&, It const&, Failure const& failure,
                                      Context const& context) {
        State& state = x3::get<state_tag>(context);
        Token const& token = *failure.where();
        state.error = {fmt::format("expected {}", failure.which()), token.span, {}};
        if (token.kind != Kind::end)
            state.error.message +=
                fmt::format(", not '{}'", text_of(token, state.text).substr(0, 60));
        if (token.kind == Kind::ampersand) state.error.notes = {{"did you mean '&&'?", {}}};
        if (token.kind == Kind::pipe) state.error.notes = {{"did you mean '||'?", {}}};
        return x3::error_handler_result::fail;
    }
};

// ------------------------------------------------------------------------------------------ rules

struct filter_id : reports {};
x3::rule<filter_id> const filter = "a filter";
x3::rule<struct expr_id> const expr = "an expression";
x3::rule<struct operand_id> const operand = "a test such as 'tcp' or 'port 80', 'not' or '('";
x3::rule<struct relation_id> const relation = "a comparison";
x3::rule<struct group_id> const group = "'('";
x3::rule<struct negation_id> const negation = "'not'";
x3::rule<struct primitive_id> const primitive = "a test";
x3::rule<struct piece_id> const piece = "a word";
x3::rule<struct arith_id> const arith = "a number, 'len', a packet load such as 'ip[0]' or '('";
x3::rule<struct atom_id> const atom = "a number, 'len', a packet load such as 'ip[0]' or '('";
x3::rule<struct load_id> const load = "a packet load";
x3::rule<struct binop_id, Token const*> const binop = "an operator";
x3::rule<struct relop_id, Token const*> const relop = "a comparison operator";
x3::rule<struct size_id, Token const*> const size = "a size: 1, 2 or 4";
x3::rule<struct prefix_length_id> const prefix_length = "a prefix length";
x3::rule<struct value_id> const value = "a number";
x3::rule<struct close_paren_id> const close_paren = "')'";
x3::rule<struct close_arith_id> const close_arith = "an operator or ')'";
x3::rule<struct close_bracket_id, Token const*> const close_bracket = "an operator, ':' or ']'";
x3::rule<struct end_id> const end = "'and', 'or' or the end of the filter";

// ---------------------------------------------------------------------------------------- actions

auto const set = [](auto& context) { x3::_val(context) = x3::_attr(context); };

// Calls a TreeBuilder method, with the token that was read if the method wants one.
auto call(void (TreeBuilder::*method)()) {
    return [method](auto& context) { (x3::get<state_tag>(context).builder.*method)(); };
}
auto call(void (TreeBuilder::*method)(Token const&)) {
    return [method](auto& context) {
        (x3::get<state_tag>(context).builder.*method)(*x3::_attr(context));
    };
}
using Builder = TreeBuilder;

// ---------------------------------------------------------------------------------------- grammar

constexpr auto word = tok(Kind::number, Kind::name, Kind::ipv4, Kind::ipv6, Kind::mac, Kind::mac8,
                          Kind::keyword, Kind::direction, Kind::compares);
constexpr auto logic = tok(Kind::and_, Kind::or_);
constexpr auto arithmetic =
    tok(Kind::plus, Kind::minus, Kind::star, Kind::slash, Kind::percent, Kind::ampersand,
        Kind::pipe, Kind::caret, Kind::shift_left, Kind::shift_right);
constexpr auto comparison = tok(Kind::lt, Kind::le, Kind::gt, Kind::ge, Kind::eq, Kind::ne);

auto const binop_def = arithmetic[set];
auto const relop_def = comparison[set];
auto const size_def = tok(Kind::number)[set];
auto const value_def = x3::omit[tok(Kind::number)];
auto const prefix_length_def = x3::omit[tok(Kind::number)];
auto const close_paren_def = x3::omit[tok(Kind::close)];
auto const close_arith_def = x3::omit[tok(Kind::close_arith)];
auto const close_bracket_def = tok(Kind::close_bracket)[set];
auto const end_def = x3::omit[tok(Kind::end)];

auto const load_def = word[call(&Builder::open_load)] >> x3::omit[tok(Kind::open_bracket)] > arith >
                      -(x3::omit[tok(Kind::colon)] > size[call(&Builder::load_size)]) >
                      close_bracket[call(&Builder::close_load)];
auto const atom_def = (&(word >> tok(Kind::open_bracket)) >> load) |
                      tok(Kind::number)[call(&Builder::number)] |
                      tok(Kind::length)[call(&Builder::length)] |
                      (x3::omit[tok(Kind::open_arith)] > arith > close_arith);
auto const signs = *tok(Kind::minus)[call(&Builder::minus)];
auto const arith_def =
    x3::eps[call(&Builder::open_arith)] >> signs >> atom >>
    *(binop[call(&Builder::binary)] > (signs > atom)) >> x3::eps[call(&Builder::close_arith)];

auto const starts_relation = tok(Kind::open_arith, Kind::minus, Kind::length) |
                             (word >> tok(Kind::open_bracket)) |
                             (tok(Kind::number) >> (arithmetic | comparison));
auto const relation_def = &starts_relation >> x3::eps[call(&Builder::open_relation)] > arith >
                          relop[call(&Builder::compare)] > arith >
                          x3::eps[call(&Builder::close_relation)];

auto const group_def =
    x3::omit[&tok(Kind::open)] >> x3::raw[tok(Kind::open) > expr > close_paren][([](auto& context) {
        x3::get<state_tag>(context).builder.group(*x3::_attr(context).begin());
    })];
auto const negation_def = x3::raw[tok(Kind::not_) > operand][([](auto& context) {
    x3::get<state_tag>(context).builder.negate(*x3::_attr(context).begin());
})];
auto const piece_def = (tok(Kind::direction) >> -(logic >> tok(Kind::direction))) |
                       (tok(Kind::compares) >> -tok(Kind::number) >>
                        -((comparison | tok(Kind::ampersand, Kind::pipe)) > value)) |
                       (word >> -(tok(Kind::slash) > prefix_length));
auto const primitive_def = x3::raw[+piece][([](auto& context) {
                               auto const& words = x3::_attr(context);
                               x3::get<state_tag>(context).builder.primitive(words.begin(),
                                                                             words.end());
                           })] >>
                           -((group | negation) >> x3::eps[call(&Builder::tail)]);

auto const operand_def = negation | relation | group | primitive;
auto const expr_def = x3::eps[call(&Builder::open_chain)] > operand >
                      *(logic[call(&Builder::link)] >
                        operand) > x3::eps[call(&Builder::close_chain)];
auto const filter_def = x3::eps > expr > end;

BOOST_SPIRIT_DEFINE(filter, expr, operand, relation, group, negation, primitive, piece, arith, atom,
                    load, binop, relop, size, prefix_length, value, close_paren, close_arith,
                    close_bracket, end)

}  // namespace

Result<ast::Tree> parse(std::string_view text, std::vector<Token> const& tokens) {
    State state{text, TreeBuilder(tokens), {}};
    It first = tokens.data();
    It const last = first + tokens.size();
    if (!x3::parse(first, last, x3::with<state_tag>(state)[filter]))
        return fail(std::move(state.error));
    return state.builder.finish();
}

}  // namespace tamis::frontend
