#include "backend/c_names.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include <fmt/format.h>

#include "bpf/link_types.h"

namespace tamis::backend {
namespace {

struct Field {
    Network network;
    std::uint32_t offset;  // from the network header
    unsigned size;
    FieldName name;
};
// clang-format off
constexpr Field fields[] = {
    {Network::ip4, 0, 1, {"version_and_length", Meaning::version}}, {Network::ip4, 1, 1, {"type_of_service", Meaning::number}},
    {Network::ip4, 2, 2, {"total_length", Meaning::number}}, {Network::ip4, 6, 2, {"fragment", Meaning::flags}},
    {Network::ip4, 6, 4, {"fragment_to_protocol", Meaning::flags}},
    {Network::ip4, 8, 1, {"time_to_live", Meaning::number}}, {Network::ip4, 9, 1, {"protocol", Meaning::protocol}},
    {Network::ip4, 12, 4, {"source", Meaning::address}}, {Network::ip4, 16, 4, {"destination", Meaning::address}},
    {Network::ip6, 4, 2, {"payload_length", Meaning::number}},
    {Network::ip6, 6, 1, {"next_header", Meaning::protocol}}, {Network::ip6, 7, 1, {"hop_limit", Meaning::number}},
    {Network::ip6, 8, 4, {"source_0", Meaning::number}}, {Network::ip6, 12, 4, {"source_1", Meaning::number}},
    {Network::ip6, 16, 4, {"source_2", Meaning::number}}, {Network::ip6, 20, 4, {"source_3", Meaning::number}},
    {Network::ip6, 24, 4, {"destination_0", Meaning::number}}, {Network::ip6, 28, 4, {"destination_1", Meaning::number}},
    {Network::ip6, 32, 4, {"destination_2", Meaning::number}}, {Network::ip6, 36, 4, {"destination_3", Meaning::number}},
    {Network::ip6, 40, 1, {"first_fragment_header", Meaning::protocol}},
    {Network::ip6, 40, 2, {"source_port", Meaning::port}}, {Network::ip6, 42, 2, {"destination_port", Meaning::port}},
    {Network::arp, 6, 2, {"operation", Meaning::number}},
    {Network::arp, 14, 4, {"sender", Meaning::address}}, {Network::arp, 24, 4, {"target", Meaning::address}},
};
constexpr Field behind[] = {
    {Network::ip4, 0, 2, {"source_port", Meaning::port}}, {Network::ip4, 2, 2, {"destination_port", Meaning::port}},
    {Network::ip4, 0, 1, {"type", Meaning::number}}, {Network::ip4, 1, 1, {"code", Meaning::number}},
    {Network::ip4, 12, 1, {"data_offset", Meaning::flags}}, {Network::ip4, 13, 1, {"tcp_flags", Meaning::flags}},
};

struct Word {
    Meaning meaning;
    std::uint32_t value;
    std::string_view name;
    Network network = Network::unknown;
};
constexpr Word words[] = {
    {Meaning::ether_type, 0x0800, "ETHERTYPE_IP", Network::ip4}, {Meaning::ether_type, 0x86dd, "ETHERTYPE_IPV6", Network::ip6},
    {Meaning::ether_type, 0x0806, "ETHERTYPE_ARP", Network::arp}, {Meaning::ether_type, 0x8035, "ETHERTYPE_RARP", Network::arp},
    {Meaning::ether_type, 0x8100, "ETHERTYPE_VLAN"}, {Meaning::ether_type, 0x88a8, "ETHERTYPE_VLAN_SERVICE"},
    {Meaning::ether_type, 0x9100, "ETHERTYPE_VLAN_9100"}, {Meaning::ether_type, 0x8847, "ETHERTYPE_MPLS"},
    {Meaning::ether_type, 0x8864, "ETHERTYPE_PPPOE_SESSION"},
    {Meaning::protocol, 0, "PROTOCOL_HOP_BY_HOP"}, {Meaning::protocol, 1, "PROTOCOL_ICMP"}, {Meaning::protocol, 2, "PROTOCOL_IGMP"},
    {Meaning::protocol, 6, "PROTOCOL_TCP"}, {Meaning::protocol, 17, "PROTOCOL_UDP"}, {Meaning::protocol, 44, "PROTOCOL_FRAGMENT"},
    {Meaning::protocol, 47, "PROTOCOL_GRE"}, {Meaning::protocol, 50, "PROTOCOL_ESP"}, {Meaning::protocol, 51, "PROTOCOL_AH"},
    {Meaning::protocol, 58, "PROTOCOL_ICMPV6"}, {Meaning::protocol, 132, "PROTOCOL_SCTP"},
};
// clang-format on

std::optional<std::uint32_t> network_header(int link_type) {
    if (link_type == en10mb) return 14;
    if (link_type == dlt_raw || link_type == dlt_ipv4 || link_type == dlt_ipv6) return 0;
    return std::nullopt;
}

Word const* find_word(Meaning meaning, std::uint32_t value) {
    auto const* at = std::find_if(std::begin(words), std::end(words), [&](Word const& w) {
        return w.meaning == meaning && w.value == value;
    });
    return at == std::end(words) ? nullptr : at;
}

FieldName unnamed(unsigned size) {
    return {size == 1 ? "octet" : size == 2 ? "half" : "word", Meaning::number};
}

}  // namespace

bool begins_network(int link_type, std::uint32_t offset) {
    return network_header(link_type) == offset;
}

FieldName field_name(int link_type, Network network, std::uint32_t offset, unsigned size) {
    auto const base = network_header(link_type);
    if (!base) return unnamed(size);
    if (link_type == en10mb) {
        if (offset == 12 && size == 2) return {"ether_type", Meaning::ether_type};
        if (offset < 12 && size == 2)
            return {offset == 0   ? "mac_destination_0"
                    : offset == 6 ? "mac_source_0"
                                  : "mac_part",
                    Meaning::number};
        if (offset < 12) return {offset < 6 ? "mac_destination" : "mac_source", Meaning::number};
    } else if (network == Network::unknown && offset == 0 && size == 1) {
        return {"version", Meaning::version};
    }
    for (Field const& f : fields)
        if (f.network == network && f.offset + *base == offset && f.size == size) return f.name;
    return unnamed(size);
}

FieldName field_behind_header(int link_type, std::uint32_t offset, unsigned size) {
    auto const base = network_header(link_type);
    for (Field const& f : behind)
        if (base && f.offset + *base == offset && f.size == size) return f.name;
    return unnamed(size);
}

Network network_of(Meaning meaning, std::uint32_t value) {
    if (meaning == Meaning::version)
        return value == 0x40 ? Network::ip4 : value == 0x60 ? Network::ip6 : Network::unknown;
    Word const* word = find_word(meaning, value);
    return word ? word->network : Network::unknown;
}

std::string constant(Meaning meaning, std::uint32_t value) {
    if (Word const* word = find_word(meaning, value)) return std::string(word->name);
    switch (meaning) {
        case Meaning::address:
            return fmt::format("{:#010x} /* {}.{}.{}.{} */", value, value >> 24, value >> 16 & 255,
                               value >> 8 & 255, value & 255);
        case Meaning::port:
            return std::to_string(value);
        case Meaning::ether_type:
            return fmt::format("{:#06x}", value);
        case Meaning::version:
        case Meaning::flags:
            return fmt::format("{:#x}", value);
        case Meaning::number:
        case Meaning::protocol:
        case Meaning::header_length:
            break;
    }
    return value < 1024 ? std::to_string(value) : fmt::format("{:#x}", value);
}

std::string definition(Meaning meaning, std::uint32_t value) {
    Word const* word = find_word(meaning, value);
    if (!word) return {};
    return meaning == Meaning::ether_type ? fmt::format("#define {} {:#06x}", word->name, value)
                                          : fmt::format("#define {} {}", word->name, value);
}

}  // namespace tamis::backend
