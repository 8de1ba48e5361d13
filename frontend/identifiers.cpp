// Identifiers: what a name, number or address is after `tcp dst port` and the like.
#include <fmt/core.h>

#include "frontend/names.h"
#include "frontend/resolve_parts.h"

namespace tamis::frontend {
namespace {

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::int16_t any_protocol = -1;

std::uint32_t prefix_mask(std::uint32_t length) {
    return length == 0 ? 0 : all_ones << (32 - length);
}

Span part_of(Token const& token, std::size_t begin, std::size_t size) {
    auto const from = token.span.begin + static_cast<std::uint32_t>(begin);
    return {from, from + static_cast<std::uint32_t>(size)};
}

std::string_view addresses(Hosts hosts) {
    switch (hosts) {
        case Hosts::ipv4:
            return "IPv4 addresses";
        case Hosts::ipv6:
            return "IPv6 addresses";
        case Hosts::mac:
            return "addresses of six bytes";
        case Hosts::decnet:
            return "addresses like 10.20";
        case Hosts::none:
            break;
    }
    return "no addresses";
}

class Identifiers : private Part {
  public:
    Identifiers(Resolving& resolving, Qualifiers const& qualifiers, Id const& id)
        : Part(resolving),
          q_(qualifiers),
          id_(id),
          word_(*id.word),
          shown_(text(id.span)),
          type_(qualifiers.type.value_or(Type::host)) {}
    bool run();

  private:
    struct Port {
        std::uint32_t number = 0;
        std::int16_t protocol = any_protocol;  // the only one that the service's name is known for
    };
    bool fits(Type type);
    bool takes_addresses(Hosts kind, std::string_view what);
    bool ipv4();
    bool ipv6();
    bool mac();
    bool number();
    bool name();
    bool host_name(std::string_view name);
    bool net_name(std::string_view name);
    bool ether_name(std::string_view name);
    bool unknown(std::string_view what);
    template <class Built, class Asked>
    auto known(std::string_view name, Built const& built_in, Asked const& asked) const;
    bool net4(std::uint32_t address);
    bool host4(std::uint32_t address, std::uint32_t mask);
    bool decnet();
    bool no_decnet();
    bool dotted(Token const& token, std::uint32_t& address, std::uint32_t& mask);
    bool port_name(std::string_view name);
    bool port_range(std::string_view name);
    bool port_of(std::string_view text, std::size_t at, Port& port);
    bool ports(Port const& low, Port const& high);
    bool proto(std::uint32_t number);
    bool proto_name(std::string_view name);
    bool protochain(std::uint32_t number);
    bool gateway(std::string_view name);
    bool is_ether() const { return q_.protocol != nullptr && q_.protocol->word == Word::link; }

    Qualifiers const& q_;
    Id const& id_;
    Token const& word_;
    std::string_view shown_;  // the whole identifier
    Type type_;
};

bool Identifiers::run() {
    bool const v4 = word_.kind == Kind::ipv4, v6 = word_.kind == Kind::ipv6;
    if (id_.mask != nullptr && !v4)
        return error(id_.mask->span, "'mask' goes with dotted IPv4 addresses only",
                     "a prefix length says the same: 2001:db8::/32");
    if (id_.prefix != nullptr && !v4 && !v6)
        return error(id_.prefix->span, fmt::format("'{}' cannot have a prefix", text(word_)),
                     word_.kind == Kind::number && type_ == Type::net
                         ? fmt::format("write the network with dots: {}.0.0.0", text(word_))
                         : "only addresses have one");
    bool const ether_host = is_ether() && type_ == Type::host && !v4 && !v6;
    if (q_.direction > Direction::both && !ether_host)
        return error(token(q_.direction_token).span,
                     fmt::format("'{0}' is an address of 802.11: write 'wlan {0} 1:2:3:4:5:6'",
                                 text(token(q_.direction_token))));
    if (q_.direction > Direction::both && c_.at.type->rule != TypeRule::wlan)
        return error(token(q_.direction_token).span,
                     fmt::format("there is no '{}' on link type {}",
                                 text(token(q_.direction_token)), link_name()),
                     "it is a field of 802.11");
    if (v4) return ipv4();
    if (v6) return ipv6();
    if (word_.kind == Kind::mac) return mac();
    if (word_.kind == Kind::number) return number();
    if (word_.kind == Kind::mac8)
        return error(id_.span, fmt::format("'{}' is an address of ARCnet or MS/TP", shown_),
                     "Ethernet addresses have six bytes: 0:1:2:aa:bb:cc");
    return name();
}

// Whether the protocol goes with the type, by the table of protocols.
bool Identifiers::fits(Type type) {
    if (q_.protocol == nullptr) return true;
    Protocol const& protocol = *q_.protocol;
    bool good = false;
    std::string_view takes;
    switch (type) {
        case Type::host:
        case Type::net:
            good = protocol.hosts != Hosts::none &&
                   (type == Type::host || protocol.hosts != Hosts::decnet);
            takes = "ip, ip6, arp, rarp or ether";
            break;
        case Type::port:
        case Type::portrange:
            good = protocol.ports;
            takes = "tcp, udp or sctp";
            break;
        case Type::proto:
            good = protocol.takes_proto;
            takes = "ip, ip6, ether, iso or isis";
            break;
        case Type::protochain:
            good = protocol.word == Word::ip || protocol.word == Word::ip6;
            takes = "ip or ip6";
            break;
        case Type::gateway:
            good = protocol.hosts == Hosts::ipv4;
            takes = "ip, arp or rarp";
            break;
    }
    if (good) return true;
    Token const& keyword = token(q_.protocol_token);
    return error(keyword.span,
                 fmt::format("'{}' does not go with '{}'", text(keyword), spelling(type)),
                 fmt::format("before '{}' stands nothing or {}", spelling(type), takes));
}

// ------------------------------------------------------------------------------------- addresses

bool Identifiers::takes_addresses(Hosts kind, std::string_view what) {
    if (type_ != Type::host && type_ != Type::net)
        return error(id_.span, fmt::format("'{}' takes no address", spelling(type_)));
    if (!fits(type_)) return false;
    if (q_.protocol == nullptr || q_.protocol->hosts == kind) return true;
    return error(id_.span,
                 fmt::format("'{}' is {}, '{}' has {}", shown_, what,
                             text(token(q_.protocol_token)), addresses(q_.protocol->hosts)));
}

bool Identifiers::host4(std::uint32_t address, std::uint32_t mask) {
    if (!takes_addresses(Hosts::ipv4, "an IPv4 address")) return false;
    tests(id_.test).host4(q_.protocol, address, mask, q_.direction);
    return true;
}

// Two to four decimal numbers; what is left out is a part of the mask.
bool Identifiers::dotted(Token const& token, std::uint32_t& address, std::uint32_t& mask) {
    std::string_view const word = text_of(token, c_.text);
    address = 0;
    unsigned parts = 0;
    for (std::size_t at = 0; at < word.size(); ++parts) {
        std::size_t const dot = std::min(word.find('.', at), word.size());
        std::string_view const digits = word.substr(at, dot - at);
        Span const span = part_of(token, at, digits.size());
        std::uint32_t value = 0;
        for (char const c : digits) {
            if (c < '0' || c > '9')
                return error(span, fmt::format("'{:.20}' is not a decimal number", digits),
                             "an IPv4 address is four decimal numbers");
            value = std::min(256U, value * 10 + static_cast<std::uint32_t>(c - '0'));
        }
        if (value > 255)
            return error(span, fmt::format("'{:.20}' does not fit in a byte", digits),
                         "an IPv4 address is four numbers from 0 to 255");
        address = address << 8 | value;
        at = dot + 1;
    }
    mask = prefix_mask(8 * parts);
    address <<= 32 - 8 * parts;
    return true;
}

// AREA.NODE
bool Identifiers::decnet() {
    std::string_view const word = text_of(word_, c_.text);
    std::uint32_t parts[] = {0, 0};
    std::size_t at = 0;
    for (char const c : word) {
        bool const digit = c >= '0' && c <= '9';
        if (!digit && (c != '.' || ++at == 2)) return no_decnet();
        if (digit)
            parts[at] = std::min(1024U, parts[at] * 10 + static_cast<std::uint32_t>(c - '0'));
    }
    if (type_ != Type::host || id_.prefix != nullptr || id_.mask != nullptr || parts[0] > 63 ||
        parts[1] > 1023)
        return no_decnet();
    tests(id_.test).decnet(parts[0] << 10 | parts[1], q_.direction);
    return true;
}

bool Identifiers::no_decnet() {
    return error(id_.span, fmt::format("'{}' is not an address of DECnet", shown_),
                 "write AREA.NODE: an area up to 63, a node up to 1023");
}

bool Identifiers::ipv4() {
    if (q_.protocol != nullptr && q_.protocol->hosts == Hosts::decnet && fits(type_))
        return decnet();
    std::uint32_t address = 0, mask = 0;
    if (!dotted(word_, address, mask)) return false;
    if (id_.prefix == nullptr && id_.mask == nullptr) return host4(address, mask);

    std::uint32_t ignored = 0;
    if (id_.mask != nullptr && !dotted(*id_.mask, mask, ignored)) return false;
    if (id_.prefix != nullptr) {
        if (id_.prefix->value > 32)
            return error(id_.prefix->span,
                         fmt::format("'{}' is too long a prefix", text(*id_.prefix)),
                         "an IPv4 prefix has at most 32 bits");
        mask = prefix_mask(id_.prefix->value);
    }
    if (q_.type != Type::net)
        return error(id_.span, fmt::format("'{}' is a network", shown_),
                     fmt::format("write 'net {}'", shown_));
    if ((address & ~mask) != 0) {
        std::uint32_t const network = address & mask;
        return error(id_.span, fmt::format("'{}' has bits outside of its mask", shown_),
                     fmt::format("the network is {}.{}.{}.{}", network >> 24, network >> 16 & 255,
                                 network >> 8 & 255, network & 255));
    }
    return host4(address, mask);
}

bool Identifiers::ipv6() {
    if (!takes_addresses(Hosts::ipv6, "an IPv6 address")) return false;
    std::uint32_t const length = id_.prefix != nullptr ? id_.prefix->value : 128;
    if (length > 128)
        return error(id_.prefix->span, fmt::format("'{}' is too long a prefix", text(*id_.prefix)),
                     "an IPv6 prefix has at most 128 bits");
    if (type_ == Type::host && length != 128)
        return error(id_.span, fmt::format("'{}' is a network", shown_),
                     fmt::format("write 'net {}'", shown_));
    Ipv6 const address = parse_ipv6(text_of(word_, c_.text)).value_or(Ipv6{});
    Ipv6 mask{};
    for (std::uint32_t i = 0; i < 4; ++i) {
        mask[i] = prefix_mask(std::min(32U, length - std::min(length, 32 * i)));
        if ((address[i] & ~mask[i]) != 0)
            return error(id_.span, fmt::format("'{}' has bits outside of its prefix", shown_),
                         "the bits behind the prefix must be 0");
    }
    tests(id_.test).host6(address, mask, q_.direction);
    return true;
}

bool Identifiers::mac() {
    if (!is_ether() || type_ != Type::host)
        return error(id_.span, fmt::format("'{}' is a MAC address", shown_),
                     fmt::format("write 'ether host {0}' or 'ether src {0}'", shown_));
    tests(id_.test).mac(parse_mac(text_of(word_, c_.text)).value_or(0), q_.direction);
    return true;
}

// ------------------------------------------------------------------------------ numbers and names

bool Identifiers::number() {
    std::uint32_t const value = word_.value;
    switch (type_) {
        case Type::host:
            if (q_.protocol == nullptr || q_.protocol->hosts != Hosts::decnet)
                return host4(value, all_ones);
            if (value > 0xffff) return no_decnet();
            tests(id_.test).decnet(value, q_.direction);  // 1024 * AREA + NODE
            return true;
        case Type::net:
            return net4(value);
        case Type::port:
        case Type::portrange:
            if (value > 0xffff)
                return error(id_.span, fmt::format("'{}' is not a port", shown_),
                             "ports are numbers from 0 to 65535");
            return ports({value}, {value});
        case Type::proto:
            return proto(value);
        case Type::protochain:
            return protochain(value);
        case Type::gateway:
            break;
    }
    return error(id_.span, fmt::format("'{}' is no host's name", shown_),
                 "a gateway is looked up by name: its Ethernet address and its IPv4 addresses");
}

// `net 10` is 10.0.0.0/8: the number is moved to the left end.
bool Identifiers::net4(std::uint32_t address) {
    std::uint32_t mask = all_ones;
    for (; address != 0 && address >> 24 == 0; mask <<= 8) address <<= 8;
    return host4(address, mask);
}

// Looks a name up in the built-in table and asks who else may know it.
template <class Built, class Asked>
auto Identifiers::known(std::string_view name, Built const& built_in, Asked const& asked) const {
    Names const* const names = c_.options.names;
    if (names == nullptr) return built_in(name);
    auto first = c_.options.names_first ? (names->*asked)(name) : built_in(name);
    if (first) return first;
    return c_.options.names_first ? built_in(name) : (names->*asked)(name);
}

bool Identifiers::unknown(std::string_view what) {
    return error(id_.span, fmt::format("unknown {} '{}'", what, shown_),
                 c_.options.names == nullptr ? "names are not looked up: write its address"
                                             : "its address will do");
}

// Every address that the name stands for.
bool Identifiers::host_name(std::string_view name) {
    if (c_.options.names == nullptr) return unknown("host");
    Names::Hosts const hosts = c_.options.names->hosts(name);
    if (hosts.ip4.empty() && hosts.ip6.empty()) return unknown("host");
    Hosts const kind = q_.protocol == nullptr ? Hosts::none : q_.protocol->hosts;
    std::size_t const mark = formula().mark();
    if (kind != Hosts::ipv6)
        for (std::uint32_t const address : hosts.ip4)
            tests(id_.test).host4(q_.protocol, address, all_ones, q_.direction);
    if (kind != Hosts::ipv4)
        for (Ipv6 const& address : hosts.ip6)
            tests(id_.test).host6(address, {all_ones, all_ones, all_ones, all_ones}, q_.direction);
    if (formula().mark() == mark)
        return error(id_.span, fmt::format("'{}' has no {}", shown_, addresses(kind)),
                     kind == Hosts::ipv6 ? "it has IPv4 addresses" : "it has IPv6 addresses");
    formula().any(mark);
    return true;
}

bool Identifiers::net_name(std::string_view name) {
    if (!takes_addresses(Hosts::ipv4, "the name of an IPv4 network")) return false;
    Names const* const names = c_.options.names;
    auto const network = names != nullptr ? names->network(name) : std::nullopt;
    return network ? net4(*network) : unknown("network");
}

bool Identifiers::ether_name(std::string_view name) {
    Names const* const names = c_.options.names;
    auto const address = names != nullptr ? names->ether(name) : std::nullopt;
    if (!address) return unknown("Ethernet host");
    tests(id_.test).mac(*address, q_.direction);
    return true;
}

bool Identifiers::name() {
    std::string_view const name = text_of(word_, c_.text);
    if (!fits(type_)) return false;
    switch (type_) {
        case Type::host:
            return is_ether() ? ether_name(name) : host_name(name);
        case Type::net:
            return net_name(name);
        case Type::port:
            return port_name(name);
        case Type::portrange:
            return port_range(name);
        case Type::proto:
        case Type::protochain:
            return proto_name(name);
        case Type::gateway:
            break;
    }
    return gateway(name);
}

// A number or the name of a service; `at` is where it stands in the word.
bool Identifiers::port_of(std::string_view text, std::size_t at, Port& port) {
    Span const span =
        part_of(word_, word_.span.end - word_.span.begin - text_of(word_, c_.text).size() + at,
                text.size());
    if (is_number(text)) {
        auto const tokens = lex(text);
        if (!tokens || tokens->front().kind != Kind::number || tokens->front().value > 0xffff)
            return error(span, fmt::format("'{:.60}' is not a port", text),
                         "ports are numbers from 0 to 65535");
        port = {tokens->front().value};
        return true;
    }
    auto const service = known(text, find_service, &Names::service);
    if (!service) {
        std::string_view near = nearest_service(text);
        if (near.empty()) near = nearest_word(text);
        return error(span, fmt::format("'{:.60}' is not a known service", text),
                     near.empty() ? std::string("the port's number will do")
                                  : fmt::format("did you mean '{}'?", near));
    }
    port = {service->port};
    if (!service->udp) port.protocol = find_protocol(Word::tcp)->number;
    if (!service->tcp) port.protocol = find_protocol(Word::udp)->number;
    return true;
}

bool Identifiers::ports(Port const& low, Port const& high) {
    if (!fits(type_)) return false;
    std::int16_t protocol = low.protocol == high.protocol ? low.protocol : any_protocol;
    if (q_.protocol != nullptr && protocol != any_protocol && protocol != q_.protocol->number)
        return error(id_.span,
                     fmt::format("'{}' is a {} service", shown_,
                                 protocol == find_protocol(Word::tcp)->number ? "tcp" : "udp"),
                     fmt::format("'{} port {}' asks for the number whoever uses it",
                                 text(token(q_.protocol_token)), low.number));
    if (q_.protocol != nullptr) protocol = q_.protocol->number;
    tests(id_.test).ports(protocol, std::min(low.number, high.number),
                          std::max(low.number, high.number), q_.direction);
    return true;
}

bool Identifiers::port_name(std::string_view name) {
    Port port;
    return port_of(name, 0, port) && ports(port, port);
}

// low-high is one word to the lexer.
bool Identifiers::port_range(std::string_view name) {
    std::size_t const hyphen = name.find('-');
    if (hyphen == name.npos || hyphen != name.rfind('-') || hyphen == 0 ||
        hyphen + 1 == name.size())
        return error(id_.span, fmt::format("'{}' is not a range of ports", shown_),
                     "a range is two ports with one hyphen between them and no blank: 80-90");
    Port low, high;
    return port_of(name.substr(0, hyphen), 0, low) &&
           port_of(name.substr(hyphen + 1), hyphen + 1, high) && ports(low, high);
}

bool Identifiers::proto(std::uint32_t number) {
    if (!fits(Type::proto)) return false;
    if (is_ether()) {
        if (number > 0xffff)
            return error(id_.span, fmt::format("'{}' is not an EtherType", shown_),
                         "EtherTypes are numbers up to 65535");
        if (number > 0xff && number <= 1500)
            return error(id_.span, fmt::format("'{}' is not an EtherType", shown_),
                         "up to 255 it is an LLC access point, from 1501 on an EtherType");
        tests(id_.test).link_type(number);
        return true;
    }
    if (q_.protocol != nullptr && q_.protocol->word == Word::isis) {
        if (number > 31)
            return error(id_.span, fmt::format("'{}' is not a message of IS-IS", shown_),
                         "they are numbers from 0 to 31");
        tests(id_.test).isis_messages(1U << number);
        return true;
    }
    bool const osi = q_.protocol != nullptr && q_.protocol->word == Word::iso;
    if (number > 0xff && osi)
        return error(id_.span, fmt::format("'{}' does not fit in a byte", shown_),
                     "protocols of ISO are numbers from 0 to 255");
    if (osi) {
        tests(id_.test).osi_protocol(number);
        return true;
    }
    if (number > 0xff)
        return error(id_.span, fmt::format("'{}' does not fit in a byte", shown_),
                     "IP protocols are numbers from 0 to 255");
    Primitives test = tests(id_.test);
    std::size_t const mark = formula().mark();
    bool const any = q_.protocol == nullptr;
    if (any || q_.protocol->word == Word::ip) test.ip4_protocol(number);
    if (any || q_.protocol->word == Word::ip6) test.ip6_protocol(number);
    formula().any(mark);
    return true;
}

bool Identifiers::protochain(std::uint32_t number) {
    if (!fits(Type::protochain)) return false;
    if (number > 0xff)
        return error(id_.span, fmt::format("'{}' does not fit in a byte", shown_),
                     "IP protocols are numbers from 0 to 255");
    if (c_.at.payload.variable != Offset::constant)
        return error(id_.span, "'protochain' does not go behind headers of variable length",
                     fmt::format("'ip proto {}' does", shown_));
    if (!c_.chain) {
        std::uint8_t first = 0, second = 0;
        if (!variable(id_.span, first) || !variable(id_.span, second)) return false;
        c_.chain = first;
    }
    Primitives::Chain const chain{*c_.chain, static_cast<std::uint8_t>(*c_.chain + 1)};
    Primitives test = tests(id_.test);
    std::size_t const mark = formula().mark();
    bool const any = q_.protocol == nullptr;
    unsigned const headers = c_.options.protochain_max;
    if (any || q_.protocol->word == Word::ip) test.ip4_chain(number, headers, chain);
    if (any || q_.protocol->word == Word::ip6) test.ip6_chain(number, headers, chain);
    formula().any(mark);
    return true;
}

// To or from the host's Ethernet address, but not to or from its IPv4 addresses.
bool Identifiers::gateway(std::string_view name) {
    if (c_.at.mpls_depth > 0 || c_.at.tunnelled)
        return error(id_.span, fmt::format("'gateway' does not go behind {}",
                                           c_.at.tunnelled ? "tunnels" : "MPLS"));
    Names const* const names = c_.options.names;
    if (names == nullptr)
        return error(id_.span, fmt::format("unknown Ethernet host '{}'", shown_),
                     "names are not looked up: write 'ether host ... and not host ...'");
    auto const ether = names->ether(name);
    if (!ether) return unknown("Ethernet host");
    Names::Hosts const hosts = names->hosts(name);
    if (hosts.ip4.empty()) return unknown("host");
    Primitives test = tests(id_.test);
    std::size_t const mark = formula().mark();
    test.mac(*ether, Direction::either);
    if (q_.protocol != nullptr) test.link_type(q_.protocol->link_type);
    std::size_t const addresses = formula().mark();
    for (std::uint32_t const address : hosts.ip4)
        test.host4(q_.protocol, address, all_ones, Direction::either);
    formula().any(addresses);
    formula().negate();
    formula().all(mark);
    return true;
}

bool Identifiers::proto_name(std::string_view name) {
    WordRow const* const row = find_word(name);
    Protocol const* const protocol = row != nullptr ? find_protocol(row->word) : nullptr;
    if (q_.protocol != nullptr && (q_.protocol->word == Word::iso || q_.protocol->osi >= 0)) {
        if (q_.protocol->word == Word::iso && protocol != nullptr && protocol->osi >= 0 &&
            protocol->isis == 0)
            return proto(static_cast<std::uint32_t>(protocol->osi));
        return error(id_.span, fmt::format("'{}' is not a known protocol of ISO", shown_),
                     "they are \\clnp, \\esis and \\isis; its number will do");
    }
    if (is_ether()) {
        std::optional<std::uint16_t> type = find_ether_type(name);
        if (protocol != nullptr && protocol->link_type != 0) type = protocol->link_type;
        if (type) {
            tests(id_.test).link_type(*type);
            return true;
        }
    } else if (auto const number = known(name, find_ip_protocol, &Names::ip_protocol)) {
        return type_ == Type::protochain ? protochain(*number) : proto(*number);
    }
    return error(
        id_.span,
        fmt::format("'{}' is not a known {}", shown_, is_ether() ? "EtherType" : "IP protocol"),
        "its number will do");
}

}  // namespace

std::string_view spelling(Type type) {
    static constexpr std::string_view words[] = {"host",  "net",        "port",   "portrange",
                                                 "proto", "protochain", "gateway"};
    return words[static_cast<std::size_t>(type)];
}

bool resolve_identifier(Resolving& resolving, Qualifiers const& qualifiers, Id const& id) {
    return Identifiers(resolving, qualifiers, id).run();
}

}  // namespace tamis::frontend
