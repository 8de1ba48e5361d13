#include "frontend/resolve.h"

#include <fmt/core.h>

#include "frontend/prologue.h"
#include "frontend/resolve_parts.h"

namespace tamis::frontend {
namespace {

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::size_t max_warnings = 8;  // of one filter: nobody reads more

std::optional<Type> type_of(Word word) {
    if (word == Word::host) return Type::host;
    if (word == Word::net) return Type::net;
    if (word == Word::port) return Type::port;
    if (word == Word::portrange) return Type::portrange;
    if (word == Word::proto) return Type::proto;
    if (word == Word::protochain) return Type::protochain;
    if (word == Word::gateway) return Type::gateway;
    return std::nullopt;
}

class Resolver : private Part {
  public:
    explicit Resolver(Resolving& resolving) : Part(resolving) {}
    bool run();

  private:
    // Each adds one tree to the formula.  In a list of identifiers nothing else is allowed.
    bool node(ast::NodeId id, bool only_ids);
    bool chain(ast::Chain const& chain, bool only_ids);
    bool group(ast::Node const& node, ast::Group const& group, bool only_ids);
    bool primitive(ast::Node const& node, ast::Primitive const& primitive, bool only_ids);
    bool qualified(ast::Node const& node, ast::Primitive const& primitive);
    bool by_itself(ast::Primitive const& primitive, Qualifiers const& q, std::uint32_t at);
    bool identified(Qualifiers const& q, ast::Range words, std::uint32_t begin,
                    std::optional<ast::NodeId> tail);
    bool abbreviation(ast::Node const& node, Qualifiers const& q);
    bool headers(ast::Primitive const& primitive, Qualifiers const& q, std::uint32_t at);
    bool frame(ast::Primitive const& primitive, std::uint32_t at);
    bool pf(ast::Primitive const& primitive, Qualifiers const& q, std::uint32_t at);
    void warn_moved(Span span);
    void warn_ip4_only(ast::Chain const& chain);
    bool reads_ip4(ast::Node const& node) const;
    bool fits_layers(ast::Node const& node);
    bool cast(Protocol const* protocol, Token const& token);
    bool length_test(std::uint32_t at, std::uint32_t end);
    bool byte_test(std::uint32_t at, std::uint32_t end);
    bool direction(std::uint32_t& at, std::uint32_t end, Direction& direction);

    // Complaints.
    bool begins_nothing(Token const& token);
    bool misplaced(Token const& token, Token const& after);
    bool not_a_name(Token const& token, Qualifiers const& q);

    std::optional<Qualifiers> inherited_;
};

// -------------------------------------------------------------------------------------- structure

bool Resolver::node(ast::NodeId id, bool only_ids) {
    ast::Node const& node = c_.tree.nodes[id];
    if (auto const* shape = std::get_if<ast::Primitive>(&node.shape))
        return primitive(node, *shape, only_ids) && fits_layers(node);
    if (auto const* shape = std::get_if<ast::Chain>(&node.shape)) return chain(*shape, only_ids);
    if (auto const* shape = std::get_if<ast::Group>(&node.shape))
        return group(node, *shape, only_ids);
    if (auto const* shape = std::get_if<ast::Not>(&node.shape)) {
        if (!this->node(shape->operand, only_ids)) return false;
        formula().negate();
        return true;
    }
    if (only_ids)
        return error(node.span, fmt::format("'{}' is no name, number or address", text(node.span)),
                     "the list continues the words before it");
    inherited_.reset();
    return resolve_relation(c_, node, std::get<ast::Relation>(node.shape)) && fits_layers(node);
}

bool Resolver::fits_layers(ast::Node const& node) {
    if (!c_.at.refused) return true;
    if (c_.at.mpls_depth > 0)
        return error(node.span, fmt::format("'{}' cannot be told behind MPLS", text(node.span)),
                     "MPLS does not name what it carries: only ip and ip6 are known there");
    if (c_.at.type->rule == TypeRule::unknown)
        return error(node.span,
                     fmt::format("what a packet carries is not known on link type {}", link_name()),
                     "there only len, less, greater, byte and ether[...] make sense");
    return error(node.span,
                 fmt::format("there is no '{}' on link type {}", text(node.span), link_name()),
                 c_.at.type->rule == TypeRule::version
                     ? std::vector<Note>{{"packets begin with the IP header there", std::nullopt}}
                     : std::vector<Note>{});
}

bool Resolver::chain(ast::Chain const& chain, bool only_ids) {
    std::size_t const mark = formula().mark();
    unsigned const moves = c_.moves;
    auto const close = [&](ast::Link const& link) {
        if (link.is_and)
            formula().all(mark);
        else
            formula().any(mark);
    };
    if (!node(chain.first, only_ids)) return false;
    warn_ip4_only(chain);
    for (std::uint32_t i = chain.links.begin; i < chain.links.end; ++i) {
        ast::Link const& link = c_.tree.links[i];
        bool const turns = i > chain.links.begin && c_.tree.links[i - 1].is_and != link.is_and;
        if (turns) close(c_.tree.links[i - 1]);  // what was read so far is the left operand
        if (!link.is_and && c_.moves != moves) warn_moved(c_.tree.nodes[link.operand].span);
        if (!node(link.operand, only_ids)) return false;
    }
    close(c_.tree.links[chain.links.end - 1]);
    return true;
}

// Tests behind an `or` look where the headers before it end, also in packets without those.
void Resolver::warn_moved(Span span) {
    if (c_.mover.end == 0 || c_.out.warnings.size() >= max_warnings) return;
    c_.out.warnings.push_back(
        {fmt::format("'{}' looks behind '{}' here, although 'or' stands between them", text(span),
                     text(c_.mover)),
         span,
         {{fmt::format("tests that are not meant so go before '{}'", text(c_.mover)),
           std::nullopt}}});
    c_.mover = {};
}

// Whether it is a comparison of something behind an IPv4 header.
bool Resolver::reads_ip4(ast::Node const& node) const {
    auto const* const relation = std::get_if<ast::Relation>(&node.shape);
    if (relation == nullptr) return false;
    auto const steps = c_.tree.steps.begin();
    return std::any_of(steps + relation->left.begin, steps + relation->right.end,
                       [&](ast::Step const& step) {
                           if (step.kind != ast::Step::Kind::load) return false;
                           Protocol const* const read = find_protocol(token(step.token).word);
                           return read != nullptr && read->index == Index::transport;
                       });
}

// `ip6 and tcp[13] = 2`: what lies behind an IPv4 header is never behind one of IPv6.
void Resolver::warn_ip4_only(ast::Chain const& chain) {
    std::vector<ast::NodeId> operands{chain.first};
    for (std::uint32_t i = chain.links.begin; i < chain.links.end; ++i) {
        if (!c_.tree.links[i].is_and) return;
        operands.push_back(c_.tree.links[i].operand);
    }
    bool const ip6 = std::any_of(operands.begin(), operands.end(), [&](ast::NodeId id) {
        auto const* const shape = std::get_if<ast::Primitive>(&c_.tree.nodes[id].shape);
        return shape != nullptr && token(shape->tokens.begin).word == Word::ip6;
    });
    for (ast::NodeId const id : operands) {
        ast::Node const& node = c_.tree.nodes[id];
        if (!ip6 || !reads_ip4(node) || c_.out.warnings.size() >= max_warnings) continue;
        c_.out.warnings.push_back(
            {fmt::format("'{}' reads IPv4 packets only: with 'ip6' it is never true",
                         text(node.span)),
             node.span,
             {{"'ip6[40]' is the first byte behind an IPv6 header without extensions",
               std::nullopt}}});
    }
}

// Parentheses around identifiers only continue what stands before them; around whole tests they
// keep the qualifiers inside to themselves.
bool Resolver::group(ast::Node const& node, ast::Group const& group, bool only_ids) {
    auto const before = inherited_;
    if (!this->node(group.inner, only_ids || node.bare)) return false;
    inherited_ = before;
    return true;
}

bool Resolver::primitive(ast::Node const& node, ast::Primitive const& primitive, bool only_ids) {
    Token const& first = token(primitive.tokens.begin);
    if (node.bare) {
        if (!inherited_) return begins_nothing(first);
        return identified(Qualifiers(*inherited_), primitive.tokens, primitive.tokens.begin,
                          primitive.tail);
    }
    if (!only_ids) return qualified(node, primitive);
    if (primitive.tokens.size() == 1 && !primitive.tail) return not_a_name(first, *inherited_);
    return error(first.span, fmt::format("'{}' cannot stand in a list of names", text(first)),
                 "a list in parentheses that starts with a name holds nothing but names");
}

// ------------------------------------------------------------------------------------- primitives

// [protocol] [direction] [type] identifier, or one of the keywords that are tests by themselves.
bool Resolver::qualified(ast::Node const& node, ast::Primitive const& primitive) {
    auto [at, end] = primitive.tokens;
    std::uint32_t const begin = at;
    inherited_.reset();
    if (belongs_elsewhere(token(at))) return unsupported(token(at));

    Qualifiers q;
    q.protocol = find_protocol(token(at).word);
    q.protocol_token = at;
    if (q.protocol != nullptr) ++at;
    if (at == end)
        return primitive.tail ? misplaced(token(at), token(at - 1)) : abbreviation(node, q);
    Word const word = token(at).word;
    if (belongs_elsewhere(token(at))) return unsupported(token(at));
    if (word >= Word::broadcast && word <= Word::action) return by_itself(primitive, q, at);

    bool const directed = word >= Word::src && word <= Word::ta;
    q.direction_token = at;
    if (directed && !direction(at, end, q.direction)) return false;
    if (at < end && belongs_elsewhere(token(at))) return unsupported(token(at));
    if (at < end) q.type = type_of(token(at).word);
    if (q.type) ++at;
    if (directed && q.type && *q.type >= Type::proto)
        return misplaced(token(at - 1), token(at - 2));
    if (at == begin) return begins_nothing(token(at));
    if (!directed && !q.type) return misplaced(token(at), token(at - 1));
    q.last_token = at - 1;
    return identified(q, {at, end}, begin, primitive.tail);
}

// `src`, `dst`, or both with `or` or `and` between them; or an address of 802.11.
bool Resolver::direction(std::uint32_t& at, std::uint32_t end, Direction& direction) {
    struct Row {
        Word word;
        Direction direction;
    };
    static constexpr Row rows[] = {
        {Word::src, Direction::src},     {Word::dst, Direction::dst},
        {Word::addr1, Direction::addr1}, {Word::addr2, Direction::addr2},
        {Word::addr3, Direction::addr3}, {Word::addr4, Direction::addr4},
        {Word::ra, Direction::ra},       {Word::ta, Direction::ta},
    };
    Word const first = token(at).word;
    direction = std::find_if(std::begin(rows), std::end(rows), [&](Row const& row) {
                    return row.word == first;
                })->direction;
    ++at;
    if (direction > Direction::dst) return true;
    bool const pair = at + 1 < end && (token(at).kind == Kind::and_ || token(at).kind == Kind::or_);
    if (!pair) return true;
    if (token(at + 1).word == first)
        return error(token(at + 1).span, fmt::format("'{}' twice", text(token(at + 1))),
                     "the pairs are 'src or dst' and 'src and dst'");
    direction = token(at).kind == Kind::and_ ? Direction::both : Direction::either;
    at += 2;
    return true;
}

// An identifier with a prefix or mask, or a list of identifiers in parentheses.  The whole test
// begins at token `begin`.
bool Resolver::identified(Qualifiers const& q, ast::Range words, std::uint32_t begin,
                          std::optional<ast::NodeId> tail) {
    auto [at, end] = words;
    inherited_ = q;
    if (at == end && tail) {
        bool const done = node(*tail, true);
        inherited_ = q;
        return done;
    }
    Token const& word = token(at);
    if (at == end)
        return error(word.span, fmt::format("expected a name, a number or an address after '{}'",
                                            text(token(q.last_token))));
    if (word.kind > Kind::mac8) return not_a_name(word, q);
    Id id{.word = &word};
    ++at;
    if (at + 1 < end && token(at).kind == Kind::slash) {
        id.prefix = &token(at + 1);
        at += 2;
    } else if (at < end && token(at).word == Word::mask) {
        if (at + 1 == end || token(at + 1).kind != Kind::ipv4)
            return error(token(at + 1).span, "expected a netmask such as 255.255.255.0");
        id.mask = &token(at + 1);
        at += 2;
    }
    id.span = join(word.span, token(at - 1).span);
    id.test = join(token(begin).span, id.span);
    if (at < end || tail) return misplaced(token(at), token(at - 1));
    return resolve_identifier(c_, q, id);
}

// ---------------------------------------------------------------------------- tests by themselves

bool Resolver::abbreviation(ast::Node const& node, Qualifiers const& q) {
    Token const& word = token(q.protocol_token);
    if (q.protocol->word == Word::radio)
        return error(word.span, "'radio' alone is not a test", "'radio[0]' is");
    if (q.protocol->word == Word::link)
        return error(word.span, fmt::format("'{}' alone is not a test", text(word)),
                     "'ether host', 'ether proto' and 'ether[0]' are");
    tests(node.span).abbreviation(*q.protocol);
    return true;
}

bool Resolver::by_itself(ast::Primitive const& primitive, Qualifiers const& q, std::uint32_t at) {
    std::uint32_t const end = primitive.tokens.end;
    Token const& word = token(at);
    if (word.word >= Word::type && word.word <= Word::dir) return frame(primitive, at);
    if (word.word >= Word::ifname) return pf(primitive, q, at);
    if (word.word >= Word::vlan) return headers(primitive, q, at);
    if (primitive.tail) return misplaced(token(end), token(end - 1));
    if (word.word == Word::broadcast || word.word == Word::multicast) {
        if (at + 1 < end) return misplaced(token(at + 1), word);
        return cast(q.protocol, word);
    }
    if (q.protocol != nullptr) return misplaced(word, token(at - 1));
    return word.word == Word::byte ? byte_test(at, end) : length_test(at, end);
}

// A number in parentheses, as in `vlan (100)`; null if that is not what it is.
Token const* number_in(ast::Tree const& tree, std::vector<Token> const& tokens, ast::NodeId id) {
    while (auto const* group = std::get_if<ast::Group>(&tree.nodes[id].shape)) id = group->inner;
    auto const* const primitive = std::get_if<ast::Primitive>(&tree.nodes[id].shape);
    if (primitive == nullptr || primitive->tail || primitive->tokens.size() != 1) return nullptr;
    Token const& token = tokens[primitive->tokens.begin];
    return token.kind == Kind::number ? &token : nullptr;
}

bool Resolver::headers(ast::Primitive const& primitive, Qualifiers const& q, std::uint32_t at) {
    std::uint32_t const end = primitive.tokens.end;
    Token const& word = token(at);
    if (q.protocol != nullptr) return misplaced(word, token(at - 1));
    Token const* operand = at + 1 < end ? &token(at + 1) : nullptr;
    if (at + 2 < end) return misplaced(token(at + 2), token(at + 1));
    if (primitive.tail) {
        Token const* const number = number_in(c_.tree, c_.tokens, *primitive.tail);
        bool const takes = word.word != Word::llc && word.word != Word::ifindex;
        if (operand != nullptr || number == nullptr || !takes)
            return misplaced(token(end), token(end - 1));
        operand = number;
    }
    return resolve_headers(c_, word, operand);
}

bool Resolver::frame(ast::Primitive const& primitive, std::uint32_t at) {
    std::uint32_t const end = primitive.tokens.end;
    Token const& word = token(at);
    if (++at == end)
        return error(token(end).span,
                     fmt::format("expected a name or a number after '{}'", text(word)));
    Token const& operand = token(at++);
    Token const* subtype = nullptr;
    if (word.word == Word::type && at < end && token(at).word == Word::subtype) {
        if (++at == end)
            return error(token(end).span, "expected a name or a number after 'subtype'");
        subtype = &token(at++);
    }
    if (at < end || primitive.tail) return misplaced(token(at), token(at - 1));
    return resolve_frame(c_, word, operand, subtype);
}

bool Resolver::pf(ast::Primitive const& primitive, Qualifiers const& q, std::uint32_t at) {
    std::uint32_t const end = primitive.tokens.end;
    Token const& word = token(at);
    if (q.protocol != nullptr) return misplaced(word, token(at - 1));
    if (at + 1 == end && !primitive.tail)
        return error(token(end).span,
                     fmt::format("expected a name or a number after '{}'", text(word)));
    if (at + 1 == end || at + 2 < end || primitive.tail)
        return misplaced(token(at + 2 < end ? at + 2 : end), token(at));
    return resolve_pf(c_, word, token(at + 1));
}

bool Resolver::cast(Protocol const* protocol, Token const& token) {
    bool const broadcast = token.word == Word::broadcast;
    Word const word = protocol == nullptr ? Word::link : protocol->word;
    Primitives test = tests(token.span);
    if (word == Word::link && broadcast) {
        test.broadcast();
    } else if (word == Word::link) {
        test.multicast();
    } else if (word == Word::ip && broadcast) {
        if (!c_.options.netmask)
            return error(token.span, "'ip broadcast' needs the netmask, which is not known",
                         "give it with -m");
        test.ip_broadcast(*c_.options.netmask);
    } else if (word == Word::ip) {
        test.ip_multicast();
    } else if (word == Word::ip6 && !broadcast) {
        test.ip6_multicast();
    } else {
        return error(token.span,
                     fmt::format("'{}' does not go with '{}'", spelling(word), text(token)),
                     broadcast ? "before 'broadcast' stands nothing, ether or ip"
                               : "before 'multicast' stands nothing, ether, ip or ip6");
    }
    return true;
}

bool Resolver::length_test(std::uint32_t at, std::uint32_t end) {
    Token const& word = token(at);
    if (at + 1 == end || token(at + 1).kind != Kind::number)
        return error(token(at + 1).span, fmt::format("expected a number after '{}'", text(word)));
    if (at + 2 < end) return misplaced(token(at + 2), token(at + 1));
    Primitives test = tests(join(word.span, token(at + 1).span));
    bool const less = word.word == Word::less;
    test.length(less ? cbpf::Cond::gt : cbpf::Cond::ge, token(at + 1).value);
    if (less) formula().negate();
    return true;
}

// byte INDEX op VALUE
bool Resolver::byte_test(std::uint32_t at, std::uint32_t end) {
    for (std::uint32_t const i : {at + 1, at + 3})
        if (i >= end || token(i).kind != Kind::number)
            return error(token(std::min(i, end)).span, "expected a number: 'byte INDEX = VALUE'");
    if (at + 4 < end) return misplaced(token(at + 4), token(at + 3));
    std::uint32_t const index = token(at + 1).value, value = token(at + 3).value;
    Token const& op = token(at + 2);
    if (value > 255)
        return error(token(at + 3).span,
                     fmt::format("'{}' does not fit in a byte", text(token(at + 3))));
    Primitives test = tests(join(token(at).span, token(at + 3).span));
    if (op.kind == Kind::eq) {
        test.byte(index, cbpf::Cond::eq, all_ones, value);
    } else if (op.kind == Kind::gt) {
        test.byte(index, cbpf::Cond::gt, all_ones, value);
    } else if (op.kind == Kind::lt) {
        test.byte(index, cbpf::Cond::ge, all_ones, value);
        formula().negate();
    } else if (op.kind == Kind::ampersand) {
        test.byte(index, cbpf::Cond::set, all_ones, value);
    } else if (op.kind == Kind::pipe) {
        // byte | value is 0 only where both are
        test.byte(index, cbpf::Cond::ge, all_ones, value == 0 ? 1 : 0);
    } else {
        return error(op.span, fmt::format("'{}' does not go with 'byte'", text(op)),
                     "it takes =, <, >, & or |");
    }
    return true;
}

// ------------------------------------------------------------------------------------- complaints

bool Resolver::begins_nothing(Token const& token) {
    std::string_view const word = text(token);
    std::string const alone = fmt::format("'{}' alone is not a test", word);
    if (token.kind == Kind::ipv4 || token.kind == Kind::ipv6)
        return error(token.span, alone,
                     fmt::format("say what it is: 'host {0}', 'src {0}', 'net {0}'", word));
    if (token.kind == Kind::number)
        return error(token.span, alone,
                     fmt::format("say what it is: 'port {0}', 'proto {0}'", word));
    if (token.kind == Kind::mac || token.kind == Kind::mac8)
        return error(token.span, alone, fmt::format("say what it is: 'ether host {}'", word));
    if (token.kind != Kind::name)
        return error(token.span, fmt::format("'{}' begins no test", word));
    std::string_view const near = nearest_word(word);
    return error(token.span, fmt::format("'{}' is not a keyword", word),
                 near.empty()
                     ? fmt::format("if it is a name say of what: 'host {0}', 'port {0}'", word)
                     : fmt::format("did you mean '{}'?", near));
}

bool Resolver::misplaced(Token const& token, Token const& after) {
    if (token.kind == Kind::end)
        return error(token.span, fmt::format("expected something after '{}'", text(after)));
    if (belongs_elsewhere(token)) return unsupported(token);
    std::string_view const word = text(token);
    std::string_view const near = token.kind == Kind::name ? nearest_word(word) : "";
    // What was taken for a name may be a misspelt word: `dst prot 80`.
    std::string_view const taken = after.kind == Kind::name ? nearest_word(text(after)) : "";
    if (near.empty() && !taken.empty())
        return error(after.span, fmt::format("'{}' is not a keyword", text(after)),
                     fmt::format("did you mean '{}'?", taken));
    std::string note = "two tests need 'and' or 'or' between them";
    if (!near.empty())
        note = fmt::format("did you mean '{}'?", near);
    else if (token.kind >= Kind::ipv4 && token.kind <= Kind::mac && after.kind == Kind::keyword)
        note = fmt::format("say what it is: '{} host {}'", text(after), word);
    else if (token.kind == Kind::number && after.kind == Kind::keyword)
        note = fmt::format("say what it is: '{} port {}'", text(after), word);
    return error(token.span, fmt::format("'{}' cannot follow '{}'", word, text(after)),
                 std::move(note));
}

bool Resolver::not_a_name(Token const& token, Qualifiers const& q) {
    bool const qualifies = token.kind == Kind::direction || find_protocol(token.word) != nullptr ||
                           type_of(token.word).has_value();
    std::vector<Note> notes{{fmt::format("write '\\{}' if it is a name", text(token)), {}}};
    if (qualifies && !q.type)
        notes.push_back({"the order is protocol, direction, type: 'ip src host'", {}});
    return error(token.span, fmt::format("'{}' is a keyword", text(token)), std::move(notes));
}

bool Resolver::run() {
    for (Span const span : c_.tree.swallowing) {
        if (c_.out.warnings.size() == max_warnings) break;
        c_.out.warnings.push_back(
            {fmt::format("'{}' takes everything to its right as its operand", text(span)),
             span,
             {{"write parentheses to say what is meant", std::nullopt}}});
    }
    return node(c_.tree.root, false);
}

}  // namespace

Result<Resolved> resolve(std::string_view text, std::vector<Token> const& tokens,
                         ast::Tree const& tree, Options const& options) {
    Resolving resolving{text, tokens, tree, options, Layers(*find_link_layer(options.link_type))};
    resolving.at.from_file = options.context == Context::savefile;
    LinkLayer const& type = *resolving.at.type;
    Formula& formula = resolving.out.formula;
    formula.variables = type.variables();
    // About as many as lists have: growing step by step takes half as much again.
    formula.nodes.reserve(8 * tokens.size());
    formula.tests.reserve(2 * tokens.size());
    if (!Resolver(resolving).run()) return fail(std::move(resolving.error));
    add_prologue(resolving.out.formula, type, {0, static_cast<std::uint32_t>(text.size())});
    return std::move(resolving.out);
}

}  // namespace tamis::frontend
