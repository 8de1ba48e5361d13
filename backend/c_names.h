// Words for what a filter reads: fields of well-known headers, and their values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tamis::backend {

// What a variable of the C holds, as far as that can be told.
enum class Meaning : std::uint8_t {
    number,
    ether_type,
    protocol,
    address,
    port,
    version,
    flags,
    header_length
};

// What the path so far says of the packet.
enum class Network : std::uint8_t { unknown, ip4, ip6, arp };

struct FieldName {
    std::string_view name;
    Meaning meaning;
};

// The field of that many bytes at a constant offset, or behind an IPv4 header.
FieldName field_name(int link_type, Network network, std::uint32_t offset, unsigned size);
FieldName field_behind_header(int link_type, std::uint32_t offset, unsigned size);
// Where the network header begins; none in a link type that has no names here.
bool begins_network(int link_type, std::uint32_t offset);

// The network header of packets whose variable has that value.
Network network_of(Meaning meaning, std::uint32_t value);
// A constant in words: `ETHERTYPE_IP`, or the number, with a comment where that helps.
std::string constant(Meaning meaning, std::uint32_t value);
// The #define of such a word; empty for a number.
std::string definition(Meaning meaning, std::uint32_t value);

}  // namespace tamis::backend
