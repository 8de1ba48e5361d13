// The facts behind the keywords: protocols with what each allows, header offsets, and the tests
// that a primitive stands for.  Facts: pcap-filter(7), RFC 791, 826, 8200, IEEE 802.3.
#pragma once

#include <cstdint>
#include <vector>

#include "frontend/formula.h"
#include "frontend/layers.h"
#include "frontend/lex.h"
#include "frontend/words.h"

namespace tamis::frontend {

enum class Hosts : std::uint8_t { none, ipv4, ipv6, mac, decnet };
enum class Index : std::uint8_t {
    none,
    link,       // from the link header, no questions asked
    packet,     // from the start of the packet, if that is a radio's header
    network,    // from the network header, if that is this protocol
    transport,  // behind the IPv4 header of an unfragmented packet or first fragment
    icmp6,      // behind the fixed IPv6 header
};

struct Protocol {
    Word word;
    std::uint16_t link_type = 0;  // what the link header calls it; 0: it is carried by IP
    std::int16_t number = -1;     // what IP calls it
    bool ip4 = false, ip6 = false;
    Index index = Index::none;
    Hosts hosts = Hosts::none;
    std::uint8_t src = 0, dst = 0;  // where its addresses are, from its header
    bool ports = false;
    bool takes_proto = false;  // `ip proto 6`
    // What ISO's network layer calls it, and the kinds of IS-IS message: bit n is message n.
    std::int16_t osi = -1;
    std::uint32_t isis = 0;
};
Protocol const* find_protocol(Word word);

enum class Direction : std::uint8_t {
    either,
    src,
    dst,
    both,
    // of 802.11, by where they lie or by what they are for
    addr1,
    addr2,
    addr3,
    addr4,
    ra,
    ta,
};

// Adds to a formula the tests that primitives stand for, all with the same span.
class Primitives {
  public:
    Primitives(Formula& formula, Layers& at, Span span) : formula_(formula), at_(at), span_(span) {}

    void abbreviation(Protocol const& protocol);  // `tcp`
    void link_type(std::uint32_t number);         // `ether proto 2048`, Ethernet rules
    // Whether packets tell that they carry this protocol: behind MPLS few do.
    bool knows_type(std::uint32_t number) const;
    void ip4_protocol(std::uint32_t number);    // `ip proto 6`, fragments included
    void ip6_protocol(std::uint32_t number);    // also behind one fragment header
    void is_protocol(std::uint32_t number);     // a test of the IPv4 header's field alone
    void is_next_header(std::uint32_t number);  // and of the IPv6 header's
    void first_fragment();                      // IPv4
    // Without a protocol: IP, ARP and RARP.
    void host4(Protocol const* protocol, std::uint32_t address, std::uint32_t mask, Direction dir);
    void host6(Ipv6 const& address, Ipv6 const& mask, Direction dir);
    void mac(std::uint64_t address, Direction dir);
    // Without a protocol: TCP, UDP and SCTP; number from IP's table.
    void ports(std::int16_t protocol, std::uint32_t low, std::uint32_t high, Direction dir);
    // UDP, TCP or SCTP over one of ip and ip6, to a port.
    void ports_over(std::uint32_t ip, std::int16_t protocol, std::uint32_t port);
    // `protochain 6`: behind at most `headers` headers that name the next one.  The variables are
    // the next header's number and its place behind the network header, whose own is a constant.
    struct Chain {
        std::uint8_t next, place;
    };
    void ip4_chain(std::uint32_t number, unsigned headers, Chain const& chain);
    void ip6_chain(std::uint32_t number, unsigned headers, Chain const& chain);
    void osi_protocol(std::uint32_t number);     // `iso proto`
    void isis_messages(std::uint32_t messages);  // one of these: bit n is message n
    void decnet(std::uint32_t address, Direction dir);
    void wlan_frame(std::uint32_t offset, std::uint32_t value, std::uint32_t mask);
    void has_llc();
    // Not added where it is certain; link fields mean nothing without it.
    void has_link_header();
    void broadcast();
    void multicast();
    void ip_broadcast(std::uint32_t netmask);
    void ip_multicast();
    void ip6_multicast();
    void byte(std::uint32_t index, cbpf::Cond cond, std::uint32_t mask, std::uint32_t value);
    void length(cbpf::Cond cond, std::uint32_t value);

    // A field behind this protocol's header; its index must not be Index::none.
    Field field(Protocol const& protocol, std::uint32_t offset, std::uint8_t size) const;

    // Fields from the start of a header on.
    Field link(std::uint32_t offset, std::uint8_t size) const;
    Field payload(std::uint32_t offset, std::uint8_t size) const;
    Field network(std::uint32_t offset, std::uint8_t size) const;
    void add(Field const& field, cbpf::Cond cond, std::uint32_t value,
             std::uint32_t mask = ~std::uint32_t{0});
    void is(Field const& field, std::uint32_t value, std::uint32_t mask = ~std::uint32_t{0});

  private:
    template <class Advance>
    void walk(Field next, std::uint32_t number, unsigned headers, Chain const& chain,
              Advance const& step);
    void next_header(Chain const& chain, bool authentication);
    Field type_field(std::uint32_t offset, std::uint8_t size) const;
    void ethernet_type(std::uint32_t number);
    void is_length_field();
    void mpls_type(std::uint32_t number);
    void ppp_type(std::uint32_t number);
    void cooked_type(std::uint32_t number);
    std::vector<std::uint32_t> families_of(std::uint32_t number) const;
    void family_type(std::uint32_t number);
    bool addressed();
    void snap(std::uint32_t organisation, std::uint32_t type);
    void pflog_type(std::uint32_t number);
    // wlan.cpp
    void wlan_type(std::uint32_t number);
    void wlan_data();
    bool wlan() const { return at_.type->rule == TypeRule::wlan; }
    template <class Clear, class Set>
    void by_bit(std::uint32_t byte, std::uint32_t bit, Clear const& clear, Set const& set);
    template <class AtOffset>
    void wlan_end(bool src, AtOffset const& test);
    template <class AtOffset>
    void wlan_addr2(AtOffset const& test);
    void wlan_mac(std::uint64_t address, Direction dir);
    void wlan_broadcast();
    void wlan_multicast();
    void llc_type(std::uint32_t number);
    void mac_at(std::int8_t offset, std::uint64_t address);
    void port_in(Field const& field, std::uint32_t low, std::uint32_t high);
    // For an address of the sender, of the receiver, of both or of one of them.
    template <class Where, class AtOffset>
    void directed(Direction dir, Where src, Where dst, AtOffset const& test) {
        std::size_t const mark = formula_.mark();
        if (dir != Direction::dst) test(src);
        if (dir != Direction::src) test(dst);
        if (dir == Direction::both)
            formula_.all(mark);
        else
            formula_.any(mark);
    }
    template <class TestOf>
    void any_protocol(std::int16_t protocol, TestOf const& test);

    Formula& formula_;
    Layers& at_;
    Span span_;
};

}  // namespace tamis::frontend
