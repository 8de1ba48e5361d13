// Where the headers of a packet lie.  One value of this goes along with the walk through the
// filter from left to right: primitives read their offsets from it, and `vlan` and the like change
// it for what follows them in the text.
#pragma once

#include <cstdint>

namespace tamis::frontend {

// A place in the packet: a constant, or the number that a word of the program's memory holds at run
// time plus a constant.
struct Offset {
    static constexpr std::uint8_t constant = 0xff;

    std::uint32_t value = 0;
    std::uint8_t variable = constant;  // of the formula
    std::uint16_t version = 0;         // of the variable's value, see with_versions()
    bool operator==(Offset const&) const = default;
};
constexpr Offset operator+(Offset offset, std::uint32_t more) {
    offset.value += more;
    return offset;
}

// How a packet tells which protocol its payload is.
enum class TypeRule : std::uint8_t {
    ethernet,  // an EtherType, or a length and an LLC header
    ppp,       // PPP's number of the protocol
    hdlc,      // an EtherType; ISO protocols are 0xfefe
    number,    // whatever number was asked for
    cooked,    // an EtherType, or Linux's numbers of what has none
    family,    // BSD's address family
    version,   // the first four bits of an IP header
    wlan,      // of data frames, LLC
    pflog,     // an address family of the machine that captured
    ip4,       // it is always IPv4
    ip6,
    unknown,  // it cannot be told
};

// What lies before the link header and says how long it is.
enum class Before : std::uint8_t { nothing, radiotap, avs, prism, ppi };

// What is known of a link type.  Offsets are in bytes from the start of the packet, those of the
// network header from the payload.
struct LinkLayer {
    static constexpr std::int8_t absent = -1;

    int number;  // DLT_
    TypeRule rule;
    std::uint16_t link = 0;       // the link header
    std::uint16_t link_type = 0;  // the field that names the protocol
    std::uint16_t payload = 0;
    std::uint8_t network = 0;          // the network header
    std::uint8_t network_no_snap = 0;  // of protocols that come without SNAP
    // Addresses, from the link header.
    std::int8_t mac_dst = absent, mac_src = absent;
    Before before = Before::nothing;

    // Headers whose place only the packet tells; the formula's first variables hold it.
    bool link_varies() const { return before != Before::nothing; }
    bool payload_varies() const { return rule == TypeRule::wlan || rule == TypeRule::pflog; }
    std::uint8_t variables() const {
        return static_cast<std::uint8_t>((link_varies() ? 1 : 0) + (payload_varies() ? 1 : 0));
    }
};

// The row of a link type; null for numbers that are none.
LinkLayer const* find_link_layer(int number);

// The headers in force.
struct Layers {
    LinkLayer const* type;  // says how the fields are read; the offsets are the ones below
    Offset link, link_type, payload;
    std::uint32_t network, network_no_snap;
    bool from_file = false;                   // of another system, perhaps
    unsigned vlan_depth = 0, mpls_depth = 0;  // headers that were tested for
    bool tunnelled = false;                   // behind geneve or vxlan
    // A test was wanted that makes no sense of these headers: of addresses that they do not have.
    bool refused = false;

    explicit Layers(LinkLayer const& layer)
        : type(&layer),
          link{layer.link},
          link_type{layer.link_type},
          payload{layer.payload},
          network(layer.network),
          network_no_snap(layer.network_no_snap) {
        if (layer.link_varies()) link.variable = 0;
        if (layer.payload_varies()) payload.variable = layer.link_varies() ? 1 : 0;
    }
};

}  // namespace tamis::frontend
