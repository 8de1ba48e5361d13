#include "tests/support/packet_spec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include <arpa/inet.h>
#include <fmt/core.h>

namespace tamis::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Word {
    std::string_view text;
    Span span;
};

// A layer's fields by key; what is not given has the default at the place that asks for it.
struct Fields {
    std::map<std::string_view, Word> given;
    std::optional<Diagnostic> problem;  // the first one

    std::string_view text(std::string_view key, std::string_view otherwise) const {
        auto const found = given.find(key);
        return found == given.end() ? otherwise : found->second.text;
    }
    bool has(std::string_view key) const { return given.count(key) > 0; }

    void complain(std::string_view key, std::string message) {
        if (!problem) problem = Diagnostic{std::move(message), given.at(key).span, {}};
    }
    // Decimal, or hexadecimal behind 0x.
    std::uint32_t number(std::string_view key, std::uint32_t otherwise,
                         std::uint32_t max = 0xffff) {
        if (!has(key)) return otherwise;
        std::string_view digits = text(key, "");
        bool const hex = digits.starts_with("0x");
        if (hex) digits.remove_prefix(2);
        std::uint32_t value = 0;
        auto const [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
        if (error != std::errc() || end != digits.data() + digits.size() || value > max)
            complain(key, fmt::format("{} is a number up to {}", key, max));
        return value;
    }
};

void put(Bytes& out, std::uint32_t value, unsigned size) {
    while (size-- > 0) out.push_back(static_cast<std::uint8_t>(value >> (8 * size)));
}

void put_address(Bytes& out, Fields& fields, std::string_view key, int family,
                 std::string_view otherwise) {
    std::array<std::uint8_t, 16> bytes{};
    std::string const text(fields.text(key, otherwise));
    if (inet_pton(family, text.c_str(), bytes.data()) != 1)
        fields.complain(key, fmt::format("{} is no address of this layer", text));
    out.insert(out.end(), bytes.begin(), bytes.begin() + (family == AF_INET ? 4 : 16));
}

// Two hexadecimal digits per byte; colons between them are for the reader.
void put_hex(Bytes& out, Fields& fields, std::string_view key, std::string_view otherwise,
             std::optional<std::size_t> size = std::nullopt) {
    std::string digits(fields.text(key, otherwise));
    std::erase(digits, ':');
    bool const right = digits.size() % 2 == 0 && (!size || digits.size() == 2 * *size) &&
                       digits.find_first_not_of("0123456789abcdef") == digits.npos;
    if (!right) {
        fields.complain(key, fmt::format("{} is hexadecimal digits, two for a byte", key));
        return;
    }
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        unsigned byte = 0;
        std::from_chars(&digits[i], &digits[i] + 2, byte, 16);
        out.push_back(static_cast<std::uint8_t>(byte));
    }
}

// What a layer has to know of the one inside it; 0: nothing.
struct Inner {
    std::uint16_t ethertype = 0;
    std::uint8_t protocol = 0;
    std::size_t size = 0;
};

Bytes ethernet(Fields& f, Inner inner) {
    Bytes out;
    put_hex(out, f, "dst", "02:00:00:00:00:02", 6);
    put_hex(out, f, "src", "02:00:00:00:00:01", 6);
    put(out, f.number("type", inner.ethertype ? inner.ethertype : 0x88b5), 2);
    return out;
}

Bytes vlan(Fields& f, Inner inner) {
    Bytes out;
    put(out, f.number("id", 1, 4095), 2);
    put(out, f.number("type", inner.ethertype ? inner.ethertype : 0x88b5), 2);
    return out;
}

Bytes arp(Fields& f, Inner) {
    Bytes out{0, 1, 8, 0, 6, 4};
    put(out, f.number("op", 1), 2);
    put_hex(out, f, "sha", "02:00:00:00:00:01", 6);
    put_address(out, f, "src", AF_INET, "10.0.0.1");
    put_hex(out, f, "tha", "00:00:00:00:00:00", 6);
    put_address(out, f, "dst", AF_INET, "10.0.0.2");
    return out;
}

Bytes ip4(Fields& f, Inner inner) {
    std::uint32_t const options = f.number("options", 0, 40) / 4 * 4;
    Bytes out;
    put(out, 0x45 + options / 4, 1);
    put(out, f.number("tos", 0, 255), 1);
    put(out, static_cast<std::uint32_t>(20 + options + inner.size), 2);
    put(out, f.number("id", 1), 2);
    put(out, f.number("more", 0, 1) << 13 | f.number("frag", 0, 0x1fff), 2);
    put(out, f.number("ttl", 64, 255), 1);
    put(out, f.number("proto", inner.protocol ? inner.protocol : 253, 255), 1);
    put(out, 0, 2);
    put_address(out, f, "src", AF_INET, "10.0.0.1");
    put_address(out, f, "dst", AF_INET, "10.0.0.2");
    out.resize(out.size() + options, 1);
    return out;
}

Bytes ip6(Fields& f, Inner inner) {
    Bytes out;
    put(out, 0x60000000, 4);
    put(out, static_cast<std::uint32_t>(inner.size), 2);
    put(out, f.number("next", inner.protocol ? inner.protocol : 253, 255), 1);
    put(out, f.number("hops", 64, 255), 1);
    put_address(out, f, "src", AF_INET6, "fd00::1");
    put_address(out, f, "dst", AF_INET6, "fd00::2");
    return out;
}

Bytes fragment(Fields& f, Inner inner) {
    Bytes out;
    put(out, f.number("next", inner.protocol ? inner.protocol : 253, 255), 1);
    put(out, 0, 1);
    put(out, f.number("frag", 0, 0x1fff) << 3 | f.number("more", 0, 1), 2);
    put(out, 1, 4);
    return out;
}

Bytes tcp(Fields& f, Inner) {
    Bytes out;
    put(out, f.number("sport", 1024), 2);
    put(out, f.number("dport", 1025), 2);
    put(out, f.number("seq", 1, 0xffffffff), 4);
    put(out, f.number("ack", 0, 0xffffffff), 4);
    put(out, 0x50, 1);
    put(out, f.number("flags", 2, 255), 1);
    put(out, 64240, 2);
    put(out, 0, 4);
    return out;
}

Bytes udp(Fields& f, Inner inner) {
    Bytes out;
    put(out, f.number("sport", 1024), 2);
    put(out, f.number("dport", 1025), 2);
    put(out, static_cast<std::uint32_t>(8 + inner.size), 2);
    put(out, 0, 2);
    return out;
}

Bytes sctp(Fields& f, Inner) {
    Bytes out;
    put(out, f.number("sport", 1024), 2);
    put(out, f.number("dport", 1025), 2);
    put(out, 0, 4);
    put(out, 0, 4);
    return out;
}

Bytes icmp(Fields& f, Inner) {
    Bytes out;
    put(out, f.number("type", 8, 255), 1);
    put(out, f.number("code", 0, 255), 1);
    put(out, 0, 2);
    put(out, 0x00070001, 4);
    return out;
}

Bytes payload(Fields& f, Inner) {
    Bytes out;
    if (f.has("hex")) put_hex(out, f, "hex", "");
    out.resize(std::max<std::size_t>(out.size(), f.number("size", 0)),
               static_cast<std::uint8_t>(f.number("fill", 0, 255)));
    return out;
}

struct LayerRow {
    std::string_view name;
    std::uint16_t ethertype;  // what stands for it in Ethernet; 0: nothing does
    std::uint8_t protocol;    // and in IP
    Bytes (*header)(Fields&, Inner);
    std::string_view keys;
};

// clang-format off
constexpr LayerRow layers[] = {
    {"Ethernet", 0x6558,  97, ethernet, " src dst type "},
    {"Vlan",     0x8100,   0, vlan,     " id type "},
    {"Qinq",     0x88a8,   0, vlan,     " id type "},
    {"Arp",      0x0806,   0, arp,      " op sha src tha dst "},
    {"Rarp",     0x8035,   0, arp,      " op sha src tha dst "},
    {"Ipv4",     0x0800,   4, ip4,      " src dst proto tos id ttl options frag more "},
    {"Ipv6",     0x86dd,  41, ip6,      " src dst next hops "},
    {"Fragment", 0,       44, fragment, " next frag more "},
    {"Tcp",      0,        6, tcp,      " sport dport seq ack flags "},
    {"Udp",      0,       17, udp,      " sport dport "},
    {"Sctp",     0,      132, sctp,     " sport dport "},
    {"Icmp",     0,        1, icmp,     " type code "},
    {"Icmp6",    0,       58, icmp,     " type code "},
    {"Payload",  0,        0, payload,  " size fill hex "},
};
// clang-format on

struct Layer {
    LayerRow const* row = nullptr;
    Fields fields;
};

std::vector<Word> words_of(std::string_view text) {
    std::vector<Word> words;
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != text.npos;) {
        std::size_t const end = std::min(text.find_first_of(" \t", at), text.size());
        words.push_back({text.substr(at, end - at),
                         {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(end)}});
        at = end;
    }
    return words;
}

Result<void> add_field(Layer& layer, Word const& word, Fields& whole) {
    std::size_t const equals = word.text.find('=');
    if (equals == word.text.npos)
        return fail({fmt::format("'{}' is no key=value", word.text), word.span, {}});
    std::string_view const key = word.text.substr(0, equals);
    Word const value{word.text.substr(equals + 1),
                     {word.span.begin + static_cast<std::uint32_t>(equals) + 1, word.span.end}};
    if (key == "cut") {
        whole.given[key] = value;
        return {};
    }
    if (layer.row->keys.find(fmt::format(" {} ", key)) == std::string_view::npos)
        return fail(
            {fmt::format("{} has no '{}'", layer.row->name, key),
             word.span,
             {{fmt::format("it has{}and every layer takes cut", layer.row->keys), std::nullopt}}});
    layer.fields.given[key] = value;
    return {};
}

}  // namespace

Result<SpecPacket> packet(std::string_view spec) {
    std::vector<Layer> stack;
    Fields whole;
    bool wants_layer = true;
    for (Word const& word : words_of(spec)) {
        if (word.text == "/") {
            if (wants_layer) return fail({"expected a layer before '/'", word.span, {}});
            wants_layer = true;
        } else if (wants_layer) {
            auto const* row = std::find_if(std::begin(layers), std::end(layers),
                                           [&](LayerRow const& l) { return l.name == word.text; });
            if (row == std::end(layers))
                return fail({fmt::format("unknown layer '{}'", word.text), word.span, {}});
            stack.push_back({row, {}});
            wants_layer = false;
        } else if (auto added = add_field(stack.back(), word, whole); !added) {
            return fail(added.error());
        }
    }
    if (wants_layer) {
        auto const end = static_cast<std::uint32_t>(spec.size());
        return fail({"expected a layer", Span{end, end}, {}});
    }

    SpecPacket out;  // built from the inside out
    Inner inner;
    for (auto layer = stack.rbegin(); layer != stack.rend(); ++layer) {
        inner.size = out.bytes.size();
        Bytes const header = layer->row->header(layer->fields, inner);
        if (layer->fields.problem) return fail(*layer->fields.problem);
        out.bytes.insert(out.bytes.begin(), header.begin(), header.end());
        inner = {layer->row->ethertype, layer->row->protocol, 0};
    }
    out.length = static_cast<std::uint32_t>(out.bytes.size());
    out.bytes.resize(std::min(out.length, whole.number("cut", out.length, 0xffffffff)));
    if (whole.problem) return fail(*whole.problem);
    return out;
}

}  // namespace tamis::test
