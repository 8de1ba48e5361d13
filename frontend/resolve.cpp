#include "frontend/resolve.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "frontend/names.h"
#include "frontend/primitives.h"

namespace tamis::frontend {
namespace {

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr unsigned max_registers = cbpf::memory_words;

// What stands before an identifier, `tcp dst port`, and is inherited by later ones.
enum class Type : std::uint8_t { host, net, port, portrange, proto };
struct Qualifiers {
    Protocol const* protocol = nullptr;
    std::uint32_t protocol_token = 0;
    Direction direction = Direction::either;
    std::optional<Type> type;      // none: host, but a prefix length is wrong there
    std::uint32_t last_token = 0;  // of them
};

constexpr std::string_view type_names[] = {"host", "net", "port", "portrange", "proto"};

std::optional<Type> type_of(Word word) {
    switch (word) {
        case Word::host:
            return Type::host;
        case Word::net:
            return Type::net;
        case Word::port:
            return Type::port;
        case Word::portrange:
            return Type::portrange;
        case Word::proto:
            return Type::proto;
        default:
            return std::nullopt;
    }
}

// An identifier with what may follow it.
struct Id {
    Token const* word;
    Token const* prefix = nullptr;  // 10.0.0.0/8
    Token const* mask = nullptr;    // 10.0.0.0 mask 255.0.0.0
    Span span;
};

// What must be true of a packet before a field of it means anything.
struct Guard {
    enum class Kind : std::uint8_t { link_type, protocol, next_header, first_fragment };
    Kind kind;
    std::uint32_t number = 0;
    bool operator==(Guard const&) const = default;
};

// An operand of arithmetic: where its guards begin and end in a common list.
struct Operand {
    std::size_t begin, end;
    std::optional<std::uint32_t> constant;
    bool written = false;  // the constant stands in the text as it is
    Span span{};
};

std::uint32_t prefix_mask(std::uint32_t length) {
    return length == 0 ? 0 : all_ones << (32 - length);
}

class Resolver {
  public:
    Resolver(std::string_view text, std::vector<Token> const& tokens, ast::Tree const& tree,
             Options const& options)
        : text_(text), tokens_(tokens), tree_(tree), options_(options) {}

    Result<Resolved> run();

  private:
    // Each adds one tree to the formula, or leaves a diagnostic in error_ and returns false.
    bool node(ast::NodeId id, bool only_ids);
    bool chain(ast::Chain const& chain, bool only_ids);
    bool group(ast::Node const& node, ast::Group const& group, bool only_ids);
    bool primitive(ast::Node const& node, ast::Primitive const& primitive, bool only_ids);
    bool qualified(ast::Node const& node, ast::Primitive const& primitive);
    bool identified(Qualifiers const& q, ast::Range words, std::optional<ast::NodeId> tail);
    bool identifier(Qualifiers const& q, Id const& id);
    bool cast(Protocol const* protocol, Token const& token);
    bool length_test(std::uint32_t at, std::uint32_t end);
    bool byte_test(std::uint32_t at, std::uint32_t end);
    bool ipv4(Qualifiers const& q, Id const& id);
    bool ipv6(Qualifiers const& q, Id const& id);
    bool mac(Qualifiers const& q, Id const& id);
    bool number(Qualifiers const& q, Id const& id);
    bool name(Qualifiers const& q, Id const& id);
    bool port_name(Qualifiers const& q, Id const& id);
    bool port_range(Qualifiers const& q, Id const& id);
    bool proto(Qualifiers const& q, Id const& id, std::uint32_t number);
    bool proto_name(Qualifiers const& q, Id const& id);
    bool address4(Qualifiers const& q, Id const& id, std::uint32_t address, std::uint32_t mask);
    bool relation(ast::Node const& node, ast::Relation const& relation);
    bool arithmetic(ast::Range steps);
    void negate(ast::Step const& step);
    bool binary(ast::Step const& step);
    bool load(ast::Step const& step);

    // Parts of the above.
    bool fits(Qualifiers const& q, Type type);
    bool dotted(Token const& token, std::uint32_t& address, std::uint32_t& mask);
    bool port_number(Token const& token, std::string_view text, std::size_t at, std::uint32_t& port,
                     std::int16_t& protocol);
    void guard(Protocol const& protocol, Operand const& index);
    void add_guards(std::size_t begin, std::size_t end, std::size_t first, Primitives& tests);
    void add_relation(cbpf::Cond cond, std::uint32_t begin, std::uint32_t middle, Span span);

    Primitives tests(Span span) { return {out_.formula, at_, span}; }
    Token const& token(std::uint32_t i) const { return tokens_[i]; }
    std::string_view text(Token const& token) const { return text_of(token, text_); }
    std::string_view text(Span span) const {
        return text_.substr(span.begin, std::min(span.end - span.begin, 60U));
    }
    static Span part(Token const& token, std::size_t begin, std::size_t size) {
        auto const from = token.span.begin + static_cast<std::uint32_t>(begin);
        return {from, from + static_cast<std::uint32_t>(size)};
    }
    bool error(Span span, std::string message, std::vector<Note> notes = {}) {
        error_ = {std::move(message), span, std::move(notes)};
        return false;
    }
    bool error(Span span, std::string message, std::string note) {
        return error(span, std::move(message), {Note{std::move(note), std::nullopt}});
    }
    bool unexpected(Token const& token);
    bool unsupported(Token const& token) {
        return error(token.span, fmt::format("'{}' is not supported yet", text(token)));
    }
    bool misplaced(Token const& token, Token const& after);
    bool not_a_name(Token const& token);

    std::string_view text_;
    std::vector<Token> const& tokens_;
    ast::Tree const& tree_;
    Options const& options_;
    Encapsulation at_;
    std::optional<Qualifiers> inherited_;
    std::vector<Operand> operands_;
    std::vector<Guard> guards_;
    Resolved out_;
    Diagnostic error_;
};

// -------------------------------------------------------------------------------------- structure

bool Resolver::node(ast::NodeId id, bool only_ids) {
    ast::Node const& node = tree_.nodes[id];
    if (auto const* shape = std::get_if<ast::Primitive>(&node.shape))
        return primitive(node, *shape, only_ids);
    if (auto const* shape = std::get_if<ast::Chain>(&node.shape)) return chain(*shape, only_ids);
    if (auto const* shape = std::get_if<ast::Group>(&node.shape))
        return group(node, *shape, only_ids);
    if (auto const* shape = std::get_if<ast::Not>(&node.shape)) {
        if (!this->node(shape->operand, only_ids)) return false;
        out_.formula.negate();
        return true;
    }
    if (only_ids)
        return error(node.span, fmt::format("'{}' is no name, number or address", text(node.span)),
                     "this list continues the words before it");
    return relation(node, std::get<ast::Relation>(node.shape));
}

bool Resolver::chain(ast::Chain const& chain, bool only_ids) {
    Formula& formula = out_.formula;
    std::size_t const mark = formula.mark();
    if (!node(chain.first, only_ids)) return false;
    for (std::uint32_t i = chain.links.begin; i < chain.links.end; ++i) {
        ast::Link const& link = tree_.links[i];
        bool const turns = i > chain.links.begin && tree_.links[i - 1].is_and != link.is_and;
        if (turns && link.is_and) formula.any(mark);
        if (turns && !link.is_and) formula.all(mark);
        if (!node(link.operand, only_ids)) return false;
    }
    if (tree_.links[chain.links.end - 1].is_and)
        formula.all(mark);
    else
        formula.any(mark);
    return true;
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
        if (!inherited_) return unexpected(first);
        return identified(*inherited_, primitive.tokens, primitive.tail);
    }
    if (only_ids) {
        if (first.kind == Kind::keyword && primitive.tokens.size() == 1 && !primitive.tail)
            return not_a_name(first);
        return error(first.span, fmt::format("'{}' cannot stand in a list of names", text(first)),
                     "a list in parentheses that starts with a name holds nothing but names");
    }
    return qualified(node, primitive);
}

// [protocol] [direction] [type] identifier, or one of the keywords that are tests by themselves.
bool Resolver::qualified(ast::Node const& node, ast::Primitive const& primitive) {
    auto [at, end] = primitive.tokens;
    inherited_.reset();
    if (token(at).word == Word::later) return unsupported(token(at));

    Qualifiers q;
    q.protocol = find_protocol(token(at).word);
    q.protocol_token = at;
    if (q.protocol != nullptr) ++at;
    bool const finished = at == end && !primitive.tail;
    if (finished && q.protocol != nullptr) {
        if (q.protocol->word == Word::link)
            return error(node.span,
                         fmt::format("'{}' alone is not a test", text(token(q.protocol_token))),
                         "'ether host', 'ether proto' and 'ether[0]' are");
        tests(node.span).abbreviation(*q.protocol);
        return true;
    }
    if (at == end) return unexpected(token(at));

    Token const& next = token(at);
    switch (next.word) {
        case Word::broadcast:
        case Word::multicast:
            if (at + 1 < end || primitive.tail) return misplaced(token(at + 1), next);
            return cast(q.protocol, next);
        case Word::less:
        case Word::greater:
        case Word::byte:
            if (q.protocol != nullptr) return misplaced(next, token(at - 1));
            if (primitive.tail) return misplaced(token(end), token(end - 1));
            return next.word == Word::byte ? byte_test(at, end) : length_test(at, end);
        case Word::later:
            return unsupported(next);
        case Word::src:
        case Word::dst: {
            bool const src = next.word == Word::src;
            q.direction = src ? Direction::src : Direction::dst;
            if (at + 2 < end && token(at + 1).kind != Kind::direction &&
                token(at + 2).kind == Kind::direction) {
                // `src or dst`; the grammar has seen to it that the middle is `and` or `or`
                bool const other = token(at + 2).word != next.word;
                if ((token(at + 1).kind == Kind::and_ || token(at + 1).kind == Kind::or_)) {
                    if (!other)
                        return error(token(at + 2).span,
                                     fmt::format("'{}' twice", text(token(at + 2))),
                                     "the pairs are 'src or dst' and 'src and dst'");
                    q.direction =
                        token(at + 1).kind == Kind::and_ ? Direction::both : Direction::either;
                    at += 2;
                }
            }
            ++at;
            break;
        }
        default:
            break;
    }
    if (at < end && token(at).word == Word::later) return unsupported(token(at));
    if (at < end) {
        q.type = type_of(token(at).word);
        bool const directed = at > primitive.tokens.begin && token(at - 1).kind == Kind::direction;
        if (q.type == Type::proto && directed) return misplaced(token(at), token(at - 1));
        if (q.type) ++at;
    }
    if (at == primitive.tokens.begin) return unexpected(token(at));
    q.last_token = at - 1;
    bool const only_protocol = at == primitive.tokens.begin + 1 && q.protocol != nullptr;
    if (only_protocol) return misplaced(token(at), token(at - 1));
    return identified(q, {at, end}, primitive.tail);
}

// A word, with a prefix length or mask, or a list of them in parentheses.
bool Resolver::identified(Qualifiers const& q, ast::Range words, std::optional<ast::NodeId> tail) {
    auto [at, end] = words;
    inherited_ = q;
    if (at == end && tail) {
        bool const done = node(*tail, true);
        inherited_ = q;
        return done;
    }
    Token const& word = token(at);
    if (at == end || word.kind > Kind::mac8) {
        if (at < end && word.word == Word::later && q.last_token + 1 != at)
            return unsupported(word);
        if (at < end) return not_a_name(word);
        return error(word.span, fmt::format("expected a name, a number or an address after '{}'",
                                            text(token(q.last_token))));
    }
    Id id{&word, nullptr, nullptr, word.span};
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
    if (at < end || tail) return misplaced(token(at), token(at - 1));
    return identifier(q, id);
}

bool Resolver::identifier(Qualifiers const& q, Id const& id) {
    bool const has_mask = id.prefix != nullptr || id.mask != nullptr;
    bool const address = id.word->kind == Kind::ipv4 || id.word->kind == Kind::ipv6;
    Token const& suffix = id.prefix != nullptr ? *id.prefix : *id.word;
    if (has_mask && (!address || id.word->kind == Kind::ipv6) && id.mask != nullptr)
        return error(id.mask->span, "'mask' goes with IPv4 networks only",
                     "write a prefix length instead: 2001:db8::/32");
    if (has_mask && !address)
        return error(
            suffix.span, fmt::format("'{}' cannot have a prefix length", text(*id.word)),
            id.word->kind == Kind::number
                ? fmt::format("write it with dots: '{}.0.0.0/{}'", text(*id.word), text(suffix))
                : "only addresses can");
    switch (id.word->kind) {
        case Kind::ipv4:
            return ipv4(q, id);
        case Kind::ipv6:
            return ipv6(q, id);
        case Kind::mac:
            return mac(q, id);
        case Kind::number:
            return number(q, id);
        case Kind::mac8:
            return error(id.span,
                         fmt::format("'{}' is an address of ARCnet or MS/TP", text(id.span)),
                         "Ethernet addresses have six bytes: 0:1:2:aa:bb:cc");
        default:
            return name(q, id);
    }
}

// ------------------------------------------------------------------------------ complaints

bool Resolver::unexpected(Token const& token) {
    std::string_view const word = text(token).substr(0, 60);
    switch (token.kind) {
        case Kind::ipv4:
        case Kind::ipv6:
            return error(token.span, fmt::format("'{}' alone is not a test", word),
                         fmt::format("say what it is: 'host {0}', 'src {0}', 'net {0}'", word));
        case Kind::number:
            return error(token.span, fmt::format("'{}' alone is not a test", word),
                         fmt::format("say what it is: 'port {0}', 'proto {0}'", word));
        case Kind::mac:
            return error(token.span, fmt::format("'{}' alone is not a test", word),
                         fmt::format("say what it is: 'ether host {}'", word));
        default:
            break;
    }
    if (token.kind != Kind::name)
        return error(token.span, fmt::format("'{}' begins no test", word));
    std::string_view const near = nearest_word(word);
    if (near.empty())
        return error(token.span, fmt::format("'{}' is not a keyword", word),
                     fmt::format("if it names something say what: 'host {0}', 'port {0}'", word));
    return error(token.span, fmt::format("'{}' is not a keyword", word),
                 fmt::format("did you mean '{}'?", near));
}

bool Resolver::misplaced(Token const& token, Token const& after) {
    if (token.kind == Kind::end)
        return error(token.span,
                     fmt::format("expected something after '{}'", text(after).substr(0, 60)));
    if (token.word == Word::later) return unsupported(token);
    std::string message = fmt::format("'{}' cannot follow '{}'", text(token).substr(0, 60),
                                      text(after).substr(0, 60));
    std::string_view const near =
        token.kind == Kind::name ? nearest_word(text(token)) : std::string_view{};
    if (!near.empty())
        return error(token.span, std::move(message), fmt::format("did you mean '{}'?", near));
    bool const address = token.kind == Kind::ipv4 || token.kind == Kind::ipv6;
    if (address && after.kind == Kind::keyword)
        return error(token.span, std::move(message),
                     fmt::format("say what it is: '{} host {}'", text(after), text(token)));
    return error(token.span, std::move(message), "two tests need 'and' or 'or' between them");
}

bool Resolver::not_a_name(Token const& token) {
    return error(token.span, fmt::format("'{}' is a keyword here", text(token)),
                 fmt::format("write '\\{}' if it is a name", text(token)));
}

// Whether the protocol goes with the type, by the table of protocols.
bool Resolver::fits(Qualifiers const& q, Type type) {
    if (q.protocol == nullptr) return true;
    bool good = false;
    std::string_view takes;
    switch (type) {
        case Type::host:
        case Type::net:
            good = q.protocol->hosts != Hosts::none;
            takes = "ip, ip6, arp, rarp or ether";
            break;
        case Type::port:
        case Type::portrange:
            good = q.protocol->ports;
            takes = "tcp, udp or sctp";
            break;
        case Type::proto:
            good = q.protocol->takes_proto;
            takes = "ip, ip6 or ether";
            break;
    }
    if (good) return true;
    Token const& protocol = token(q.protocol_token);
    if ((q.protocol->word == Word::decnet && type == Type::host) ||
        (q.protocol->word == Word::iso && type == Type::proto))
        return unsupported(protocol);
    return error(protocol.span,
                 fmt::format("'{}' does not go with '{}'", text(protocol),
                             type_names[static_cast<std::size_t>(type)]),
                 fmt::format("before '{}' stands nothing or {}",
                             type_names[static_cast<std::size_t>(type)], takes));
}

// ---------------------------------------------------------------------------- tests by themselves

bool Resolver::cast(Protocol const* protocol, Token const& token) {
    bool const broadcast = token.word == Word::broadcast;
    Word const word = protocol == nullptr ? Word::link : protocol->word;
    Primitives test = tests(token.span);
    if (word == Word::link) {
        if (broadcast)
            test.broadcast();
        else
            test.multicast();
        return true;
    }
    if (word == Word::ip && broadcast) {
        if (!options_.netmask)
            return error(token.span, "the netmask is not known, so 'ip broadcast' cannot be told",
                         "give it with -m");
        test.ip_broadcast(*options_.netmask);
        return true;
    }
    if (word == Word::ip) return test.ip_multicast(), true;
    if (word == Word::ip6 && !broadcast) return test.ip6_multicast(), true;
    return error(token.span, fmt::format("'{}' does not go with '{}'", spelling(word), text(token)),
                 broadcast ? "before 'broadcast' stands nothing, ether or ip"
                           : "before 'multicast' stands nothing, ether, ip or ip6");
}

bool Resolver::length_test(std::uint32_t at, std::uint32_t end) {
    Token const& word = token(at);
    if (at + 1 == end || token(at + 1).kind != Kind::number)
        return error(token(at + 1).span, fmt::format("expected a number after '{}'", text(word)));
    if (at + 2 < end) return misplaced(token(at + 2), token(at + 1));
    Primitives test = tests(join(word.span, token(at + 1).span));
    bool const less = word.word == Word::less;
    test.length(less ? cbpf::Cond::gt : cbpf::Cond::ge, token(at + 1).value);
    if (less) out_.formula.negate();
    return true;
}

// byte INDEX op VALUE
bool Resolver::byte_test(std::uint32_t at, std::uint32_t end) {
    for (std::uint32_t i = 1; i <= 3; i += 2)
        if (at + i >= end || token(at + i).kind != Kind::number)
            return error(token(std::min(at + i, end)).span,
                         "expected a number: 'byte INDEX = VALUE'");
    if (at + 4 < end) return misplaced(token(at + 4), token(at + 3));
    Token const& index = token(at + 1);
    Token const& op = token(at + 2);
    Token const& value = token(at + 3);
    if (value.value > 255)
        return error(value.span, fmt::format("'{}' does not fit in a byte", text(value)));
    Primitives test = tests(join(token(at).span, value.span));
    switch (op.kind) {
        case Kind::eq:
            test.byte(index.value, cbpf::Cond::eq, all_ones, value.value);
            return true;
        case Kind::gt:
            test.byte(index.value, cbpf::Cond::gt, all_ones, value.value);
            return true;
        case Kind::lt:
            test.byte(index.value, cbpf::Cond::ge, all_ones, value.value);
            out_.formula.negate();
            return true;
        case Kind::ampersand:
            test.byte(index.value, cbpf::Cond::set, all_ones, value.value);
            return true;
        case Kind::pipe:
            // byte | value is 0 only if both are
            if (value.value == 0)
                test.byte(index.value, cbpf::Cond::gt, all_ones, 0);
            else
                test.byte(index.value, cbpf::Cond::ge, all_ones, 0);
            return true;
        default:
            return error(op.span, fmt::format("'{}' does not go with 'byte'", text(op)),
                         "it takes =, <, >, & or |");
    }
}

// ------------------------------------------------------------------------------------ identifiers

bool Resolver::address4(Qualifiers const& q, Id const& id, std::uint32_t address,
                        std::uint32_t mask) {
    Type const type = q.type.value_or(Type::host);
    if (type != Type::host && type != Type::net)
        return error(id.span, fmt::format("'{}' takes no address",
                                          type_names[static_cast<std::size_t>(type)]));
    if (!fits(q, type)) return false;
    if (q.protocol != nullptr && q.protocol->hosts != Hosts::ipv4)
        return error(id.span,
                     fmt::format("'{}' is an IPv4 address, '{}' has {}", text(id.span),
                                 text(token(q.protocol_token)),
                                 q.protocol->hosts == Hosts::ipv6 ? "IPv6 addresses"
                                                                  : "addresses of six bytes"));
    tests(id.span).host4(q.protocol, address, mask, q.direction);
    return true;
}

// Two to four decimal numbers; what is left out is a part of the mask.
bool Resolver::dotted(Token const& token, std::uint32_t& address, std::uint32_t& mask) {
    std::string_view const word = text(token);
    address = 0;
    unsigned parts = 0;
    for (std::size_t at = 0; at < word.size(); ++parts) {
        std::size_t const dot = std::min(word.find('.', at), word.size());
        std::string_view const digits = word.substr(at, dot - at);
        std::uint32_t value = 0;
        for (char const c : digits) {
            if (c < '0' || c > '9')
                return error(part(token, at, digits.size()),
                             fmt::format("'{:.20}' is not a decimal number", digits),
                             "an IPv4 address is four decimal numbers");
            value = std::min(256U, value * 10 + static_cast<std::uint32_t>(c - '0'));
        }
        if (value > 255)
            return error(part(token, at, digits.size()),
                         fmt::format("'{:.20}' does not fit in a byte", digits),
                         "an IPv4 address is four numbers from 0 to 255");
        address = address << 8 | value;
        at = dot + 1;
    }
    mask = prefix_mask(8 * parts);
    address = parts == 4 ? address : address << (32 - 8 * parts);
    return true;
}

bool Resolver::ipv4(Qualifiers const& q, Id const& id) {
    std::uint32_t address = 0, mask = 0;
    if (!dotted(*id.word, address, mask)) return false;
    if (id.prefix == nullptr && id.mask == nullptr) return address4(q, id, address, mask);

    if (id.prefix != nullptr) {
        if (id.prefix->value > 32)
            return error(id.prefix->span,
                         fmt::format("'{}' is too long a prefix", text(*id.prefix)),
                         "an IPv4 prefix has at most 32 bits");
        mask = prefix_mask(id.prefix->value);
    } else {
        std::uint32_t ignored = 0;
        if (!dotted(*id.mask, mask, ignored)) return false;
    }
    if (q.type != Type::net)
        return error(id.span, fmt::format("'{}' is a network", text(id.span)),
                     fmt::format("write 'net {}'", text(id.span)));
    if ((address & ~mask) != 0) {
        std::uint32_t const network = address & mask;
        return error(id.span, fmt::format("'{}' has bits outside of its mask", text(id.span)),
                     fmt::format("the network is {}.{}.{}.{}", network >> 24, network >> 16 & 255,
                                 network >> 8 & 255, network & 255));
    }
    return address4(q, id, address, mask);
}

bool Resolver::ipv6(Qualifiers const& q, Id const& id) {
    Type const type = q.type.value_or(Type::host);
    if (type != Type::host && type != Type::net)
        return error(id.span, fmt::format("'{}' takes no address",
                                          type_names[static_cast<std::size_t>(type)]));
    std::uint32_t const length = id.prefix != nullptr ? id.prefix->value : 128;
    if (length > 128)
        return error(id.prefix->span, fmt::format("'{}' is too long a prefix", text(*id.prefix)),
                     "an IPv6 prefix has at most 128 bits");
    if (type == Type::host && length != 128)
        return error(id.span, fmt::format("'{}' is a network", text(id.span)),
                     fmt::format("write 'net {}'", text(id.span)));
    if (!fits(q, type)) return false;
    if (q.protocol != nullptr && q.protocol->hosts != Hosts::ipv6)
        return error(id.span,
                     fmt::format("'{}' is an IPv6 address, '{}' has {}", text(id.span),
                                 text(token(q.protocol_token)),
                                 q.protocol->hosts == Hosts::ipv4 ? "IPv4 addresses"
                                                                  : "addresses of six bytes"));
    Ipv6 const address = parse_ipv6(text(*id.word)).value_or(Ipv6{});
    Ipv6 mask{};
    for (std::uint32_t i = 0; i < 4; ++i)
        mask[i] = prefix_mask(std::min(32U, length - std::min(length, 32 * i)));
    for (std::size_t i = 0; i < 4; ++i)
        if ((address[i] & ~mask[i]) != 0)
            return error(id.span, fmt::format("'{}' has bits outside of its prefix", text(id.span)),
                         "bits behind the prefix must be 0");
    tests(id.span).host6(address, mask, q.direction);
    return true;
}

bool Resolver::mac(Qualifiers const& q, Id const& id) {
    bool const ether = q.protocol != nullptr && q.protocol->word == Word::link;
    if (!ether || q.type.value_or(Type::host) != Type::host)
        return error(id.span, fmt::format("'{}' is a MAC address", text(id.span)),
                     fmt::format("write 'ether host {0}', 'ether src {0}'", text(id.span)));
    tests(id.span).mac(parse_mac(text(*id.word)).value_or(0), q.direction);
    return true;
}

bool Resolver::number(Qualifiers const& q, Id const& id) {
    std::uint32_t const value = id.word->value;
    std::int16_t const protocol = q.protocol != nullptr ? q.protocol->number : std::int16_t{-1};
    switch (q.type.value_or(Type::host)) {
        case Type::host:
            return address4(q, id, value, all_ones);
        case Type::net: {
            // `net 10` is 10.0.0.0/8: the number is moved to the left end
            std::uint32_t address = value, mask = all_ones;
            for (; address != 0 && address >> 24 == 0; mask <<= 8) address <<= 8;
            return address4(q, id, address, mask);
        }
        case Type::port:
        case Type::portrange:
            if (!fits(q, *q.type)) return false;
            if (value > 0xffff)
                return error(id.span, fmt::format("'{}' does not fit in a port", text(id.span)),
                             "ports are numbers from 0 to 65535");
            tests(id.span).ports(protocol, value, value, q.direction);
            return true;
        case Type::proto:
            return proto(q, id, value);
    }
    return false;
}

bool Resolver::proto(Qualifiers const& q, Id const& id, std::uint32_t number) {
    if (!fits(q, Type::proto)) return false;
    Word const word = q.protocol != nullptr ? q.protocol->word : Word::none;
    if (word == Word::link) {
        if (number > 0xffff)
            return error(id.span, fmt::format("'{}' does not fit in an EtherType", text(id.span)),
                         "EtherTypes are numbers up to 65535");
        if (number > 0xff && number <= 1500)
            return error(id.span, fmt::format("'{}' is no EtherType", text(id.span)),
                         "up to 255 it is an LLC access point, from 1501 an EtherType");
        tests(id.span).link_type(number);
        return true;
    }
    if (number > 0xff)
        return error(id.span, fmt::format("'{}' does not fit in a byte", text(id.span)),
                     "IP protocols are numbers from 0 to 255");
    Primitives test = tests(id.span);
    std::size_t const mark = out_.formula.mark();
    if (word != Word::ip6) test.ip4_protocol(number);
    if (word != Word::ip) test.ip6_protocol(number);
    out_.formula.any(mark);
    return true;
}

bool Resolver::name(Qualifiers const& q, Id const& id) {
    switch (q.type.value_or(Type::host)) {
        case Type::host:
        case Type::net:
            return fits(q, q.type.value_or(Type::host)) &&
                   error(id.span,
                         fmt::format("names of {} are not supported yet: '{}'",
                                     q.type == Type::net ? "networks" : "hosts", text(id.span)));
        case Type::port:
            return fits(q, Type::port) && port_name(q, id);
        case Type::portrange:
            return fits(q, Type::portrange) && port_range(q, id);
        case Type::proto:
            return fits(q, Type::proto) && proto_name(q, id);
    }
    return false;
}

bool Resolver::proto_name(Qualifiers const& q, Id const& id) {
    std::string_view const name = text(*id.word);
    bool const link = q.protocol != nullptr && q.protocol->word == Word::link;
    if (!link) {
        if (auto const number = find_ip_protocol(name)) return proto(q, id, *number);
    } else {
        WordRow const* row = find_word(name);
        Protocol const* protocol = row != nullptr ? find_protocol(row->word) : nullptr;
        if (protocol != nullptr && protocol->link_type != 0)
            return tests(id.span).link_type(protocol->link_type), true;
        if (auto const type = find_ether_type(name)) return tests(id.span).link_type(*type), true;
    }
    return error(id.span,
                 fmt::format("'{}' is not a known {}", name.substr(0, 60),
                             link ? "EtherType" : "IP protocol"),
                 "a number does as well");
}

// A port by number or name; protocol becomes -1 when the name stands for several.
bool Resolver::port_number(Token const& token, std::string_view text, std::size_t at,
                           std::uint32_t& port, std::int16_t& protocol) {
    Span const span = part(token, at, text.size());
    protocol = -1;
    if (is_number(text)) {
        auto const tokens = lex(text);
        if (!tokens || tokens->front().kind != Kind::number || tokens->front().value > 0xffff)
            return error(span, fmt::format("'{:.60}' is not a port", text),
                         "ports are numbers from 0 to 65535");
        port = tokens->front().value;
        return true;
    }
    Service const* service = find_service(text);
    if (service == nullptr) {
        std::string_view near = nearest_service(text);
        if (near.empty()) near = nearest_word(text);
        return error(span, fmt::format("'{:.60}' is not a known service", text),
                     near.empty() ? std::string("a port number does as well")
                                  : fmt::format("did you mean '{}'?", near));
    }
    port = service->port;
    if (!service->udp) protocol = find_protocol(Word::tcp)->number;
    if (!service->tcp) protocol = find_protocol(Word::udp)->number;
    return true;
}

bool Resolver::port_name(Qualifiers const& q, Id const& id) {
    std::uint32_t port = 0;
    std::int16_t protocol = -1;
    std::string_view const name = text(*id.word);
    std::size_t const escape = id.word->span.end - id.word->span.begin - name.size();
    if (!port_number(*id.word, name, escape, port, protocol)) return false;
    if (q.protocol != nullptr && protocol >= 0 && protocol != q.protocol->number)
        return error(id.span,
                     fmt::format("'{}' is a {} service", name,
                                 protocol == find_protocol(Word::tcp)->number ? "tcp" : "udp"),
                     fmt::format("'{} port {}' asks for the number whoever uses it",
                                 text(token(q.protocol_token)), port));
    if (q.protocol != nullptr) protocol = q.protocol->number;
    tests(id.span).ports(protocol, port, port, q.direction);
    return true;
}

// low-high is one word to the lexer.
bool Resolver::port_range(Qualifiers const& q, Id const& id) {
    std::string_view const name = text(*id.word);
    std::size_t const escape = id.word->span.end - id.word->span.begin - name.size();
    std::size_t const hyphen = name.find('-');
    if (hyphen == name.npos || hyphen != name.rfind('-'))
        return error(id.span, fmt::format("'{:.60}' is not a range of ports", name),
                     "a range is two ports with one hyphen between them and no blank: 80-90");
    if (hyphen == 0 || hyphen + 1 == name.size())
        return error(id.span, fmt::format("'{:.60}' lacks one end", name));
    std::uint32_t low = 0, high = 0;
    std::int16_t low_protocol = -1, protocol = -1;
    if (!port_number(*id.word, name.substr(0, hyphen), escape, low, low_protocol) ||
        !port_number(*id.word, name.substr(hyphen + 1), escape + hyphen + 1, high, protocol))
        return false;
    if (low_protocol != protocol) protocol = -1;
    if (q.protocol != nullptr && protocol >= 0 && protocol != q.protocol->number)
        return error(id.span,
                     fmt::format("'{}' are {} services", name,
                                 protocol == find_protocol(Word::tcp)->number ? "tcp" : "udp"));
    if (q.protocol != nullptr) protocol = q.protocol->number;
    tests(id.span).ports(protocol, std::min(low, high), std::max(low, high), q.direction);
    return true;
}

// ------------------------------------------------------------------------------------- arithmetic

constexpr cbpf::Alu alu(Kind op) {
    switch (op) {
        case Kind::plus:
            return cbpf::Alu::add;
        case Kind::minus:
            return cbpf::Alu::sub;
        case Kind::star:
            return cbpf::Alu::mul;
        case Kind::slash:
            return cbpf::Alu::div;
        case Kind::percent:
            return cbpf::Alu::mod;
        case Kind::ampersand:
            return cbpf::Alu::and_;
        case Kind::pipe:
            return cbpf::Alu::or_;
        case Kind::caret:
            return cbpf::Alu::xor_;
        case Kind::shift_left:
            return cbpf::Alu::lsh;
        default:
            return cbpf::Alu::rsh;
    }
}

// A comparison in terms of what branches can do: one of three conditions, perhaps negated.
struct Comparison {
    cbpf::Cond cond;
    bool negated;
};
constexpr Comparison comparison(Kind op) {
    switch (op) {
        case Kind::eq:
            return {cbpf::Cond::eq, false};
        case Kind::ne:
            return {cbpf::Cond::eq, true};
        case Kind::gt:
            return {cbpf::Cond::gt, false};
        case Kind::le:
            return {cbpf::Cond::gt, true};
        case Kind::ge:
            return {cbpf::Cond::ge, false};
        default:
            return {cbpf::Cond::ge, true};
    }
}
// The same with the sides exchanged.
constexpr Kind mirrored(Kind op) {
    switch (op) {
        case Kind::gt:
            return Kind::lt;
        case Kind::lt:
            return Kind::gt;
        case Kind::ge:
            return Kind::le;
        case Kind::le:
            return Kind::ge;
        default:
            return op;
    }
}

bool Resolver::arithmetic(ast::Range steps) {
    for (std::uint32_t i = steps.begin; i < steps.end; ++i) {
        ast::Step const& step = tree_.steps[i];
        switch (step.kind) {
            case ast::Step::Kind::number:
                out_.formula.steps.push_back({.kind = Step::Kind::number, .value = step.value});
                operands_.push_back({guards_.size(), guards_.size(), step.value, true, step.span});
                break;
            case ast::Step::Kind::length:
                out_.formula.steps.push_back(
                    {.kind = Step::Kind::field, .field = {.base = Base::length}});
                operands_.push_back(
                    {guards_.size(), guards_.size(), std::nullopt, false, step.span});
                break;
            case ast::Step::Kind::negate:
                negate(step);
                break;
            case ast::Step::Kind::load:
                if (!load(step)) return false;
                break;
            case ast::Step::Kind::binary:
                if (!binary(step)) return false;
                break;
        }
        // One value is in the accumulator, the others wait in memory.
        if (operands_.size() > max_registers + 1)
            return error(step.span, "too many intermediate results",
                         fmt::format("at most {} can wait at a time: take operators from the left",
                                     max_registers));
    }
    return true;
}

// What an operation makes of constants; nothing where the two run-time rules disagree.
std::optional<std::uint32_t> fold(cbpf::Alu op, std::uint32_t a, std::uint32_t b) {
    switch (op) {
        case cbpf::Alu::add:
            return a + b;
        case cbpf::Alu::sub:
            return a - b;
        case cbpf::Alu::mul:
            return a * b;
        case cbpf::Alu::and_:
            return a & b;
        case cbpf::Alu::or_:
            return a | b;
        case cbpf::Alu::xor_:
            return a ^ b;
        case cbpf::Alu::div:
            return b == 0 ? std::nullopt : std::optional(a / b);
        case cbpf::Alu::mod:
            return b == 0 ? std::nullopt : std::optional(a % b);
        case cbpf::Alu::lsh:
            return b > 31 ? std::nullopt : std::optional(a << b);
        case cbpf::Alu::rsh:
            return b > 31 ? std::nullopt : std::optional(a >> b);
    }
    return std::nullopt;
}

void Resolver::negate(ast::Step const& step) {
    Operand& operand = operands_.back();
    operand.written = false;
    operand.span = step.span;
    if (operand.constant) {
        operand.constant = 0 - *operand.constant;
        out_.formula.steps.back().value = *operand.constant;
    } else {
        out_.formula.steps.push_back({.kind = Step::Kind::negate});
    }
}

bool Resolver::binary(ast::Step const& step) {
    Operand const right = operands_.back();
    operands_.pop_back();
    Operand& left = operands_.back();
    cbpf::Alu const op = alu(step.op);
    if (right.written && right.constant == 0U && (op == cbpf::Alu::div || op == cbpf::Alu::mod))
        return error(right.span,
                     op == cbpf::Alu::div ? "division by zero" : "remainder of a division by zero");
    if (right.written && right.constant > 31U && (op == cbpf::Alu::lsh || op == cbpf::Alu::rsh))
        return error(right.span, fmt::format("shift by '{}' bits", text(right.span)),
                     "at most 31 make sense");
    // As libpcap: the result keeps what its left operand asks for and forgets about the right one.
    bool const known = std::all_of(
        guards_.begin() + static_cast<std::ptrdiff_t>(right.begin),
        guards_.begin() + static_cast<std::ptrdiff_t>(right.end), [&](Guard const& guard) {
            auto const first = guards_.begin() + static_cast<std::ptrdiff_t>(left.begin);
            auto const last = guards_.begin() + static_cast<std::ptrdiff_t>(left.end);
            return std::find(first, last, guard) != last;
        });
    if (!known)
        out_.warnings.push_back(
            {fmt::format("'{}' is read without a check that the packet has it", text(right.span)),
             right.span,
             {{"only the leftmost operand is checked: put it there, or add the test with 'and'",
               std::nullopt}}});
    std::vector<Step>& steps = out_.formula.steps;
    auto const both =
        left.constant && right.constant ? fold(op, *left.constant, *right.constant) : std::nullopt;
    if (both) {
        steps.pop_back();
        steps.back().value = *both;
    } else {
        steps.push_back({.kind = Step::Kind::binary, .op = op});
    }
    left.constant = both;
    left.written = false;
    left.span = step.span;
    return true;
}

// The guards of a load: what its header asks for, around what its index asks for.
void Resolver::guard(Protocol const& protocol, Operand const& index) {
    auto const number = static_cast<std::uint32_t>(protocol.number);
    auto const ip4 = Guard{Guard::Kind::link_type, find_protocol(Word::ip)->link_type};
    auto const ip6 = Guard{Guard::Kind::link_type, find_protocol(Word::ip6)->link_type};
    if (protocol.index == Index::transport) guards_.push_back(ip4);
    for (std::size_t i = index.begin; i < index.end; ++i) {
        Guard const copied = guards_[i];
        guards_.push_back(copied);
    }
    switch (protocol.index) {
        case Index::none:
        case Index::link:
            break;
        case Index::network:
            guards_.push_back({Guard::Kind::link_type, protocol.link_type});
            break;
        case Index::transport:
            guards_.push_back({Guard::Kind::protocol, number});
            guards_.push_back({Guard::Kind::first_fragment});
            break;
        case Index::icmp6:
            guards_.push_back(ip6);
            guards_.push_back({Guard::Kind::next_header, number});
            break;
    }
}

bool Resolver::load(ast::Step const& step) {
    Token const& word = token(step.token);
    Protocol const* protocol = find_protocol(word.word);
    if (word.word == Word::later) return unsupported(word);
    if (protocol == nullptr) {
        std::string_view const near = word.kind == Kind::name ? nearest_word(text(word)) : "";
        return error(
            word.span, fmt::format("'{:.60}' is not a protocol", text(word)),
            near.empty()
                ? std::string("packet bytes are read by 'ip[0]', 'tcp[2:2]', 'ether[12:2]'")
                : fmt::format("did you mean '{}'?", near));
    }
    if (protocol->index == Index::none)
        return error(word.span, fmt::format("'{}' has no bytes to read", text(word)),
                     "'ether[14]' reads packets from the link header on");
    std::uint32_t size = 1;
    if (step.value != 0) {
        size = token(step.value).value;
        if (size != 1 && size != 2 && size != 4)
            return error(token(step.value).span,
                         fmt::format("'{}' is not a size", text(token(step.value))),
                         "1, 2 or 4 bytes can be read");
    }
    Operand const index = operands_.back();
    operands_.pop_back();
    std::size_t const begin = guards_.size();
    guard(*protocol, index);
    operands_.push_back({begin, guards_.size(), std::nullopt, false, step.span});

    // A constant index becomes a part of the offset unless their sum wraps: libpcap's run-time rule
    // tells these apart.
    std::vector<Step>& steps = out_.formula.steps;
    Field field = tests(step.span).field(*protocol, 0, static_cast<std::uint8_t>(size));
    if (index.constant && field.offset <= all_ones - *index.constant) {
        field.offset += *index.constant;
        steps.back() = {.kind = Step::Kind::field, .field = field};
    } else {
        steps.push_back({.kind = Step::Kind::load, .field = field});
    }
    return true;
}

void Resolver::add_guards(std::size_t begin, std::size_t end, std::size_t first,
                          Primitives& tests) {
    for (std::size_t i = begin; i < end; ++i) {
        Guard const& guard = guards_[i];
        // Asked before in this relation, from `first` on.
        auto const from = guards_.begin() + static_cast<std::ptrdiff_t>(first);
        auto const upto = guards_.begin() + static_cast<std::ptrdiff_t>(i);
        if (std::find(from, upto, guard) != upto) continue;
        switch (guard.kind) {
            case Guard::Kind::link_type:
                tests.link_type(guard.number);
                break;
            case Guard::Kind::protocol:
                tests.is_protocol(guard.number);
                break;
            case Guard::Kind::next_header:
                tests.is_next_header(guard.number);
                break;
            case Guard::Kind::first_fragment:
                tests.first_fragment();
                break;
        }
    }
}

// A relation between a field, perhaps masked, and a number is an ordinary test.
void Resolver::add_relation(cbpf::Cond cond, std::uint32_t begin, std::uint32_t middle, Span span) {
    Formula& formula = out_.formula;
    std::vector<Step>& steps = formula.steps;
    auto const end = static_cast<std::uint32_t>(steps.size());
    Step const* const left = steps.data() + begin;
    bool const field = left[0].kind == Step::Kind::field;
    bool const alone = field && middle - begin == 1;
    bool const masked = field && middle - begin == 3 && left[1].kind == Step::Kind::number &&
                        left[2].op == cbpf::Alu::and_ && left[2].kind == Step::Kind::binary;
    if (end - middle == 1 && left[middle - begin].kind == Step::Kind::number && (alone || masked)) {
        Test const test{left[0].field, cond, masked ? left[1].value : all_ones,
                        left[middle - begin].value};
        steps.resize(begin);
        return formula.add(test, span);
    }
    formula.add(Relation{cond, begin, middle, end}, span);
}

bool Resolver::relation(ast::Node const& node, ast::Relation const& relation) {
    inherited_.reset();
    guards_.clear();
    operands_.clear();
    std::vector<Step>& steps = out_.formula.steps;
    auto const begin = static_cast<std::uint32_t>(steps.size());
    if (!arithmetic(relation.left)) return false;
    auto middle = static_cast<std::uint32_t>(steps.size());
    if (!arithmetic(relation.right)) return false;
    Operand const left = operands_[0], right = operands_[1];

    Formula& formula = out_.formula;
    std::size_t const mark = formula.mark();
    Primitives test = tests(node.span);
    // Guards of one side first, in the order in which libpcap asks; then the other's, if new.
    std::vector<Guard> asked(guards_.begin() + static_cast<std::ptrdiff_t>(left.begin),
                             guards_.begin() + static_cast<std::ptrdiff_t>(left.end));
    asked.insert(asked.end(), guards_.begin() + static_cast<std::ptrdiff_t>(right.begin),
                 guards_.begin() + static_cast<std::ptrdiff_t>(right.end));
    guards_ = std::move(asked);
    add_guards(0, guards_.size(), 0, test);

    Kind op = relation.op;
    if (left.constant && !right.constant) {  // 1 = ip[0] is ip[0] = 1
        std::rotate(steps.begin() + begin, steps.begin() + middle, steps.end());
        middle = static_cast<std::uint32_t>(steps.size() - (middle - begin));
        op = mirrored(op);
    }
    Comparison const compare = comparison(op);
    add_relation(compare.cond, begin, middle, node.span);
    if (compare.negated) formula.negate();
    formula.all(mark);
    return true;
}

Result<Resolved> Resolver::run() {
    for (Span const span : tree_.swallowing)
        out_.warnings.push_back(
            {fmt::format("'{0}' takes everything to its right as its operand", text(span)),
             span,
             {{"write parentheses to say what is meant", std::nullopt}}});
    if (!node(tree_.root, false)) return fail(std::move(error_));
    return std::move(out_);
}

}  // namespace

Result<Resolved> resolve(std::string_view text, std::vector<Token> const& tokens,
                         ast::Tree const& tree, Options const& options) {
    return Resolver(text, tokens, tree, options).run();
}

}  // namespace tamis::frontend
