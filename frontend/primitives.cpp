#include "frontend/primitives.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <vector>

#include "bpf/link_types.h"
#include "frontend/steps.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;

// The link type field holds a length up to here, and an EtherType above.
constexpr std::uint32_t max_length = 1500;

constexpr std::uint32_t ether_ip = 0x0800, ether_arp = 0x0806, ether_rarp = 0x8035,
                        ether_ip6 = 0x86dd, ether_atalk = 0x809b, ether_aarp = 0x80f3,
                        ether_ipx = 0x8137;
constexpr std::uint32_t sap_iso = 0xfe, sap_ip = 0x06, sap_netbeui = 0xf0, sap_ipx = 0xe0;
constexpr std::int16_t proto_tcp = 6, proto_udp = 17, proto_sctp = 132;
constexpr std::uint32_t proto_fragment = 44, proto_ah = 51;

// Offsets in the IPv4 and IPv6 headers.
constexpr std::uint32_t ip4_fragment = 6, ip4_proto = 9, ip4_dst = 16;
constexpr std::uint32_t ip6_next = 6, ip6_src = 8, ip6_dst = 24, ip6_header = 40;

constexpr std::int16_t osi_isis = 0x83;

template <class... Numbers>
constexpr std::uint32_t bits(Numbers... numbers) {
    return ((1U << numbers) | ...);
}

// clang-format off
constexpr Protocol table[] = {
    {.word = Word::link, .index = Index::link, .hosts = Hosts::mac, .takes_proto = true},
    {.word = Word::radio, .index = Index::packet},
    {.word = Word::ip, .link_type = ether_ip, .index = Index::network,
     .hosts = Hosts::ipv4, .src = 12, .dst = 16, .takes_proto = true},
    {.word = Word::ip6, .link_type = ether_ip6, .index = Index::network,
     .hosts = Hosts::ipv6, .src = 8, .dst = 24, .takes_proto = true},
    {.word = Word::arp, .link_type = ether_arp, .index = Index::network,
     .hosts = Hosts::ipv4, .src = 14, .dst = 24},
    {.word = Word::rarp, .link_type = ether_rarp, .index = Index::network,
     .hosts = Hosts::ipv4, .src = 14, .dst = 24},
    {.word = Word::atalk,   .link_type = ether_atalk, .index = Index::network},
    {.word = Word::aarp,    .link_type = ether_aarp},
    {.word = Word::decnet,  .link_type = 0x6003, .index = Index::network, .hosts = Hosts::decnet},
    {.word = Word::lat,     .link_type = 0x6004, .index = Index::network},
    {.word = Word::sca,     .link_type = 0x6007, .index = Index::network},
    {.word = Word::moprc,   .link_type = 0x6002, .index = Index::network},
    {.word = Word::mopdl,   .link_type = 0x6001, .index = Index::network},
    {.word = Word::iso,     .link_type = sap_iso, .takes_proto = true},
    {.word = Word::clnp,    .osi = 0x81},
    {.word = Word::esis,    .osi = 0x82},
    {.word = Word::isis,    .takes_proto = true, .osi = osi_isis},
    {.word = Word::l1,   .osi = osi_isis, .isis = bits(15, 17, 18, 24, 26)},
    {.word = Word::l2,   .osi = osi_isis, .isis = bits(16, 17, 20, 25, 27)},
    {.word = Word::iih,  .osi = osi_isis, .isis = bits(15, 16, 17)},
    {.word = Word::lsp,  .osi = osi_isis, .isis = bits(18, 20)},
    {.word = Word::snp,  .osi = osi_isis, .isis = bits(24, 25, 26, 27)},
    {.word = Word::csnp, .osi = osi_isis, .isis = bits(24, 25)},
    {.word = Word::psnp, .osi = osi_isis, .isis = bits(26, 27)},
    {.word = Word::stp,     .link_type = 0x42},
    {.word = Word::ipx,     .link_type = sap_ipx},
    {.word = Word::netbeui, .link_type = sap_netbeui},
    {.word = Word::tcp,   .number = proto_tcp,  .ip4 = true, .ip6 = true, .index = Index::transport, .ports = true},
    {.word = Word::udp,   .number = proto_udp,  .ip4 = true, .ip6 = true, .index = Index::transport, .ports = true},
    {.word = Word::sctp,  .number = proto_sctp, .ip4 = true, .ip6 = true, .index = Index::transport, .ports = true},
    {.word = Word::icmp,  .number = 1,   .ip4 = true, .index = Index::transport},
    {.word = Word::igmp,  .number = 2,   .ip4 = true, .index = Index::transport},
    {.word = Word::igrp,  .number = 9,   .ip4 = true, .index = Index::transport},
    {.word = Word::vrrp,  .number = 112, .ip4 = true, .index = Index::transport},  // and carp
    {.word = Word::pim,   .number = 103, .ip4 = true, .ip6 = true, .index = Index::transport},
    {.word = Word::ah,    .number = 51,  .ip4 = true, .ip6 = true},
    {.word = Word::esp,   .number = 50,  .ip4 = true, .ip6 = true},
    {.word = Word::icmp6, .number = 58,  .ip6 = true, .index = Index::icmp6},
};
// clang-format on

constexpr Protocol const& row(Word word) {
    return *std::find_if(std::begin(table), std::end(table),
                         [&](Protocol const& p) { return p.word == word; });
}

}  // namespace

Protocol const* find_protocol(Word word) {
    auto const* at = std::find_if(std::begin(table), std::end(table),
                                  [&](Protocol const& p) { return p.word == word; });
    return at == std::end(table) ? nullptr : at;
}

Field Primitives::link(std::uint32_t offset, std::uint8_t size) const {
    return {Base::packet, size, at_.link + offset};
}

Field Primitives::type_field(std::uint32_t offset, std::uint8_t size) const {
    return {Base::packet, size, at_.link_type + offset};
}

Field Primitives::payload(std::uint32_t offset, std::uint8_t size) const {
    return {Base::packet, size, at_.payload + offset};
}

Field Primitives::network(std::uint32_t offset, std::uint8_t size) const {
    return payload(at_.network + offset, size);
}

Field Primitives::field(Protocol const& protocol, std::uint32_t offset, std::uint8_t size) const {
    switch (protocol.index) {
        case Index::link:
            return link(offset, size);
        case Index::packet:
            return {Base::packet, size, {offset}};
        case Index::icmp6:
            return network(ip6_header + offset, size);
        case Index::transport:
            return {Base::transport, size, at_.payload + at_.network + offset,
                    at_.payload.value + at_.network};
        case Index::none:
        case Index::network:
            break;
    }
    return network(offset, size);
}

void Primitives::add(Field const& field, Cond cond, std::uint32_t value, std::uint32_t mask) {
    formula_.add(Test{field, cond, mask, value}, span_);
}

void Primitives::is(Field const& field, std::uint32_t value, std::uint32_t mask) {
    add(field, Cond::eq, value, mask);
}

// ---------------------------------------------------------------------------------- link layer

void Primitives::is_length_field() {
    add(type_field(0, 2), Cond::gt, max_length);
    formula_.negate();
}

// An LLC header that says SNAP, then who assigned the type and the type.
void Primitives::snap(std::uint32_t organisation, std::uint32_t type) {
    std::size_t const mark = formula_.mark();
    is(payload(4, 4), organisation << 16 | type);  // the lower word first, as libpcap does
    is(payload(0, 4), 0xaaaa0300 | organisation >> 16);
    formula_.all(mark);
}

bool Primitives::knows_type(std::uint32_t number) const {
    if (at_.mpls_depth > 0) return number == ether_ip || number == ether_ip6;
    return at_.type->rule != TypeRule::unknown;
}

void Primitives::link_type(std::uint32_t number) {
    if (!knows_type(number)) at_.refused = true;
    if (at_.mpls_depth > 0) return mpls_type(number);
    switch (at_.type->rule) {
        case TypeRule::ethernet:
            return ethernet_type(number);
        case TypeRule::ppp:
            return ppp_type(number);
        case TypeRule::hdlc:
            return is(type_field(0, 2), number == sap_iso ? 0xfefe : number);
        case TypeRule::number:
            return is(type_field(0, 2), number);
        case TypeRule::cooked:
            return cooked_type(number);
        case TypeRule::family:
            return family_type(number);
        case TypeRule::version:
            if (number != ether_ip && number != ether_ip6) return formula_.add(false, span_);
            return is(payload(0, 1), number == ether_ip ? 0x40 : 0x60, 0xf0);
        case TypeRule::wlan:
            return wlan_type(number);
        case TypeRule::pflog:
            return pflog_type(number);
        case TypeRule::ip4:
            return formula_.add(number == ether_ip, span_);
        case TypeRule::ip6:
            return formula_.add(number == ether_ip6, span_);
        case TypeRule::unknown:
            return formula_.add(false, span_);
    }
}

// MPLS does not say what it carries: IP is known by its version.
void Primitives::mpls_type(std::uint32_t number) {
    bool const ip4 = number == ether_ip;
    std::size_t const mark = formula_.mark();
    is(network(0U - 2, 1), 1, 1);  // of the last entry: it is the bottom of the stack
    is(network(0, 1), ip4 ? 0x40 : 0x60, 0xf0);
    formula_.all(mark);
}

void Primitives::ppp_type(std::uint32_t number) {
    struct Row {
        std::uint16_t ethernet, ppp;
    };
    static constexpr Row rows[] = {
        {ether_ip, 0x21}, {ether_ip6, 0x57}, {0x6003, 0x27}, {ether_atalk, 0x29},
        {0x0600, 0x25},   {sap_iso, 0x23},   {0x42, 0x31},   {sap_ipx, 0x2b},
    };
    for (Row const& row : rows)
        if (row.ethernet == number) return is(type_field(0, 2), row.ppp);
    is(type_field(0, 2), number);
}

// Linux's header of captures on all interfaces: 802.2 frames are type 4, bare IPX is type 1.
void Primitives::cooked_type(std::uint32_t number) {
    constexpr std::uint32_t llc = 4, bare = 1;
    Field const type = type_field(0, 2);
    if (number > max_length && number != ether_atalk && number != ether_aarp)
        return is(type, number);
    bool const ipx = number == sap_ipx;
    std::size_t const mark = formula_.mark();
    if (ipx || number > max_length) is(type, ipx ? ether_ipx : number);
    if (ipx) is(type, bare);
    std::size_t const in_llc = formula_.mark();
    is(type, llc);
    std::size_t const kinds = formula_.mark();
    if (number == sap_iso || number == sap_ip || number == sap_netbeui)
        is(payload(0, 2), number << 8 | number);
    else if (number <= max_length)
        is(payload(0, 1), number);
    if (ipx || number > max_length)
        snap(number == ether_atalk ? 0x080007 : 0, ipx ? ether_ipx : number);
    formula_.any(kinds);
    formula_.all(in_llc);
    formula_.any(mark);
}

// What may stand for a protocol as an address family.  Systems number IPv6 differently, and files
// travel.
std::vector<std::uint32_t> Primitives::families_of(std::uint32_t number) const {
    constexpr std::uint32_t inet = 2, linux_inet6 = 10;
    if (number == ether_ip) return {inet};
    if (number != ether_ip6) return {};
    if (at_.from_file) return {24, 28, 30};  // BSDs and macOS
    return {linux_inet6};
}

// An LLC header is there for sure.
void Primitives::llc_type(std::uint32_t number) {
    if (number == sap_iso || number == sap_ip || number == sap_netbeui)
        return is(payload(0, 2), number << 8 | number);
    if (number == ether_atalk) return snap(0x080007, number);
    if (number <= max_length) return is(payload(0, 1), number);
    is(payload(6, 2), number);  // SNAP, whoever assigned the type
}

// BSD's loopback: the address family in the byte order of the machine that captured (NULL) or of
// the network (LOOP).
void Primitives::family_type(std::uint32_t number) {
    auto const families = families_of(number);
    if (families.empty()) return formula_.add(false, span_);
    bool const host_order = at_.type->number == dlt_null;
    bool const swapped = host_order && std::endian::native == std::endian::little;
    std::size_t const mark = formula_.mark();
    for (std::uint32_t const family : families) {
        if (swapped || (host_order && at_.from_file)) is(type_field(0, 4), family << 24);
        if (!swapped || at_.from_file) is(type_field(0, 4), family);
    }
    formula_.any(mark);
}

void Primitives::pflog_type(std::uint32_t number) {
    constexpr std::uint32_t family = 1;
    auto const families = families_of(number);
    if (families.empty()) return formula_.add(false, span_);
    std::size_t const mark = formula_.mark();
    for (std::uint32_t const value : families) is(link(family, 1), value);
    formula_.any(mark);
}

void Primitives::has_llc() {
    if (wlan()) return wlan_data();
    std::size_t const mark = formula_.mark();
    is_length_field();
    is(payload(0, 2), 0xffff);  // IPX on bare 802.3
    formula_.negate();
    formula_.all(mark);
}

void Primitives::has_link_header() {
    if (!at_.tunnelled || at_.link.variable == at_.payload.variable) return;
    auto const begin = static_cast<std::uint32_t>(formula_.steps.size());
    for (std::uint8_t const variable : {at_.payload.variable, at_.link.variable})
        formula_.steps.push_back(
            {.kind = Step::Kind::field, .field = {.base = Base::variable, .at = {0, variable}}});
    formula_.add(Relation{Cond::eq, begin, begin + 1, begin + 2}, span_);
    formula_.negate();
}

// Whether the link header has addresses.
bool Primitives::addressed() {
    if (at_.type->mac_dst != LinkLayer::absent) return true;
    at_.refused = true;
    formula_.add(false, span_);
    return false;
}

void Primitives::ethernet_type(std::uint32_t number) {
    std::size_t const mark = formula_.mark();
    Field const type = type_field(0, 2);
    if (number == sap_ipx || number == ether_atalk || number == ether_aarp) {
        is(type, number == sap_ipx ? ether_ipx : number);
        std::size_t const in_llc = formula_.mark();
        is_length_field();
        std::size_t const kinds = formula_.mark();
        // AppleTalk's SNAP headers carry Apple's code, AARP's none.
        snap(number == ether_atalk ? 0x080007 : 0, number == sap_ipx ? ether_ipx : number);
        if (number == sap_ipx) {
            is(payload(0, 1), sap_ipx);
            is(payload(0, 2), 0xffff);  // no LLC header at all: IPX on bare 802.3
        }
        formula_.any(kinds);
        formula_.all(in_llc);
        formula_.any(mark);
    } else if (number > max_length) {
        is(type, number);
    } else {
        is_length_field();
        if (number == sap_iso || number == sap_ip || number == sap_netbeui)
            is(payload(0, 2), number << 8 | number);  // both service access points
        else
            is(type_field(2, 1), number);
        formula_.all(mark);
    }
}

void Primitives::mac_at(std::int8_t offset, std::uint64_t address) {
    auto const begin = static_cast<std::uint32_t>(offset);
    std::size_t const mark = formula_.mark();
    is(link(begin + 2, 4), static_cast<std::uint32_t>(address));
    is(link(begin, 2), static_cast<std::uint32_t>(address >> 32));
    formula_.all(mark);
}

void Primitives::mac(std::uint64_t address, Direction dir) {
    if (wlan()) return wlan_mac(address, dir);
    if (!addressed()) return;
    std::size_t const mark = formula_.mark();
    has_link_header();
    directed(dir, at_.type->mac_src, at_.type->mac_dst,
             [&](std::int8_t offset) { mac_at(offset, address); });
    formula_.all(mark);
}

void Primitives::broadcast() {
    if (wlan()) return wlan_broadcast();
    if (!addressed()) return;
    std::size_t const mark = formula_.mark();
    has_link_header();
    mac_at(at_.type->mac_dst, 0xffffffffffff);
    formula_.all(mark);
}

void Primitives::multicast() {
    if (wlan()) return wlan_multicast();
    if (!addressed()) return;
    std::size_t const mark = formula_.mark();
    has_link_header();
    add(link(static_cast<std::uint32_t>(at_.type->mac_dst), 1), Cond::set, 1);
    formula_.all(mark);
}

void Primitives::byte(std::uint32_t index, Cond cond, std::uint32_t mask, std::uint32_t value) {
    add(link(index, 1), cond, value, mask);
}

void Primitives::length(Cond cond, std::uint32_t value) {
    add({.base = Base::length}, cond, value);
}

// ------------------------------------------------------------------------------------------- IP

void Primitives::is_protocol(std::uint32_t number) { is(network(ip4_proto, 1), number); }

void Primitives::is_next_header(std::uint32_t number) { is(network(ip6_next, 1), number); }

void Primitives::first_fragment() { is(network(ip4_fragment, 2), 0, 0x1fff); }

void Primitives::ip4_protocol(std::uint32_t number) {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip);
    is_protocol(number);
    formula_.all(mark);
}

void Primitives::ip6_protocol(std::uint32_t number) {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip6);
    std::size_t const either = formula_.mark();
    is_next_header(number);
    std::size_t const fragment = formula_.mark();
    is_next_header(proto_fragment);
    is(network(ip6_header, 1), number);
    formula_.all(fragment);
    formula_.any(either);
    formula_.all(mark);
}

void Primitives::abbreviation(Protocol const& protocol) {
    if (protocol.isis != 0) return isis_messages(protocol.isis);
    if (protocol.osi >= 0) return osi_protocol(static_cast<std::uint32_t>(protocol.osi));
    if (protocol.number < 0) return link_type(protocol.link_type);
    std::size_t const mark = formula_.mark();
    auto const number = static_cast<std::uint32_t>(protocol.number);
    if (protocol.ip4) ip4_protocol(number);
    if (protocol.ip6) ip6_protocol(number);
    formula_.any(mark);
}

void Primitives::host4(Protocol const* protocol, std::uint32_t address, std::uint32_t mask,
                       Direction dir) {
    if (protocol == nullptr) {
        std::size_t const mark = formula_.mark();
        host4(&row(Word::ip), address, mask, dir);
        if (at_.mpls_depth == 0)
            for (Word const word : {Word::arp, Word::rarp}) host4(&row(word), address, mask, dir);
        return formula_.any(mark);
    }
    std::size_t const mark = formula_.mark();
    link_type(protocol->link_type);
    if (mask != 0)  // any address will do: no address is read
        directed(dir, protocol->src, protocol->dst,
                 [&](std::uint32_t offset) { is(network(offset, 4), address, mask); });
    formula_.all(mark);
}

void Primitives::host6(Ipv6 const& address, Ipv6 const& mask, Direction dir) {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip6);
    if (mask[0] != 0)
        directed(dir, ip6_src, ip6_dst, [&](std::uint32_t offset) {
            std::size_t const words = formula_.mark();
            for (std::uint32_t i = 0; i < 4 && mask[i] != 0; ++i)
                is(network(offset + 4 * i, 4), address[i], mask[i]);
            formula_.all(words);
        });
    formula_.all(mark);
}

void Primitives::ip_broadcast(std::uint32_t netmask) {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip);
    std::size_t const either = formula_.mark();
    is(network(ip4_dst, 4), 0, ~netmask);
    is(network(ip4_dst, 4), ~netmask, ~netmask);
    formula_.any(either);
    formula_.all(mark);
}

void Primitives::ip_multicast() {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip);
    is(network(ip4_dst, 1), 0xe0, 0xf0);
    formula_.all(mark);
}

void Primitives::ip6_multicast() {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip6);
    is(network(ip6_dst, 1), 0xff);
    formula_.all(mark);
}

// ----------------------------------------------------------------------------------- protochain

// Goes on to the next header.  An authentication header counts in units of four bytes, less two;
// where it stands is not added, as in libpcap, so what is chained behind it is looked for in the
// wrong place.
void Primitives::next_header(Chain const& chain, bool authentication) {
    Field const here = {Base::packet, 1, {network(0, 1).at.value, chain.place}};
    Field const length = {Base::packet, 1, here.at + 1};
    assign(formula_, chain.next, {read(here)}, span_);
    if (authentication)
        assign(formula_, chain.place,
               {read(length), number(2), apply(Alu::add), number(4), apply(Alu::mul)}, span_);
    else
        assign(formula_, chain.place,
               {read(length), number(1), apply(Alu::add), number(8), apply(Alu::mul),
                value_of(chain.place), apply(Alu::add)},
               span_);
}

// next = number, or step and (next = number, or step and (...
template <class Advance>
void Primitives::walk(Field next, std::uint32_t number, unsigned headers, Chain const& chain,
                      Advance const& step) {
    std::vector<std::size_t> levels;
    for (unsigned i = 0; i < headers; ++i) {
        levels.push_back(formula_.mark());
        is(next, number);
        levels.push_back(formula_.mark());
        step(next, i == 0);
        next = {.base = Base::variable, .at = {0, chain.next}};
    }
    is(next, number);
    for (; !levels.empty(); levels.pop_back()) {
        if (levels.size() % 2 == 0)
            formula_.all(levels.back());
        else
            formula_.any(levels.back());
    }
}

void Primitives::ip4_chain(std::uint32_t protocol, unsigned headers, Chain const& chain) {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip);
    walk(network(ip4_proto, 1), protocol, headers, chain, [&](Field const& next, bool first) {
        is(next, proto_ah);
        if (first)
            assign(formula_, chain.place,
                   {read(network(0, 1)), number(0xf), apply(Alu::and_), number(2), apply(Alu::lsh)},
                   span_);
        next_header(chain, true);
    });
    formula_.all(mark);
}

void Primitives::ip6_chain(std::uint32_t protocol, unsigned headers, Chain const& chain) {
    std::size_t const mark = formula_.mark();
    link_type(ether_ip6);
    walk(network(ip6_next, 1), protocol, headers, chain, [&](Field const& next, bool first) {
        if (first) assign(formula_, chain.place, {number(ip6_header)}, span_);
        std::size_t const either = formula_.mark();
        std::size_t const options = formula_.mark();
        std::size_t const kinds = formula_.mark();
        for (std::uint32_t const kind : {0U, 60U, 43U, proto_fragment}) is(next, kind);
        formula_.any(kinds);
        next_header(chain, false);
        formula_.all(options);
        std::size_t const authentication = formula_.mark();
        is(next, proto_ah);
        next_header(chain, true);
        formula_.all(authentication);
        formula_.any(either);
    });
    formula_.all(mark);
}

// ------------------------------------------------------------------------------- other networks

void Primitives::osi_protocol(std::uint32_t number) {
    std::size_t const mark = formula_.mark();
    link_type(sap_iso);
    is(payload(at_.network_no_snap, 1), number);
    formula_.all(mark);
}

void Primitives::isis_messages(std::uint32_t messages) {
    constexpr std::uint32_t message = 4;
    std::size_t const mark = formula_.mark();
    osi_protocol(osi_isis);
    std::size_t const any = formula_.mark();
    for (std::uint32_t i = 0; i < 32; ++i)
        if ((messages >> i & 1) != 0) is(payload(at_.network_no_snap + message, 1), i, 0x1f);
    formula_.any(any);
    formula_.all(mark);
}

// Two bytes of length, then perhaps one of padding, then a long or a short header; addresses have
// their lower byte first.
void Primitives::decnet(std::uint32_t address, Direction dir) {
    constexpr std::uint32_t flags = 2;
    std::uint32_t const swapped = (address & 0xff) << 8 | address >> 8;
    struct Shape {
        bool padded;
        std::uint32_t value, mask, src, dst;
    };
    static constexpr Shape shapes[] = {
        {true, 0x8106, 0xff07, 15, 7},
        {false, 0x06, 0x07, 15, 7},
        {true, 0x8102, 0xff07, 3, 1},
        {false, 0x02, 0x07, 3, 1},
    };
    auto const one_way = [&](std::uint32_t Shape::*where) {
        std::size_t const any = formula_.mark();
        for (Shape const& shape : shapes) {
            std::size_t const all = formula_.mark();
            std::uint32_t const pad = shape.padded ? 1 : 0;
            is(network(flags, shape.padded ? 2 : 1), shape.value, shape.mask);
            is(network(flags + pad + shape.*where, 2), swapped);
            formula_.all(all);
        }
        formula_.any(any);
    };
    std::size_t const mark = formula_.mark();
    link_type(row(Word::decnet).link_type);
    directed(dir, &Shape::src, &Shape::dst, one_way);
    formula_.all(mark);
}

// ---------------------------------------------------------------------------------------- ports

void Primitives::ports_over(std::uint32_t ip, std::int16_t protocol, std::uint32_t port) {
    constexpr std::uint32_t dst = 2;
    auto const number = static_cast<std::uint32_t>(protocol);
    std::size_t const mark = formula_.mark();
    link_type(ip);
    if (ip == ether_ip) {
        is_protocol(number);
        first_fragment();
        is(field(row(Word::tcp), dst, 2), port);
    } else {
        is_next_header(number);
        is(network(ip6_header + dst, 2), port);
    }
    formula_.all(mark);
}

template <class TestOf>
void Primitives::any_protocol(std::int16_t protocol, TestOf const& test) {
    if (protocol >= 0) return test(protocol);
    std::size_t const mark = formula_.mark();
    for (std::int16_t const number : {proto_tcp, proto_udp, proto_sctp}) test(number);
    formula_.any(mark);
}

void Primitives::port_in(Field const& field, std::uint32_t low, std::uint32_t high) {
    if (low == high) return is(field, low);
    std::size_t const mark = formula_.mark();
    add(field, Cond::ge, low);
    add(field, Cond::gt, high);
    formula_.negate();
    formula_.all(mark);
}

// IPv6 first, as libpcap does; no extension header is looked through there, and no fragment.
void Primitives::ports(std::int16_t protocol, std::uint32_t low, std::uint32_t high,
                       Direction dir) {
    constexpr std::uint32_t src = 0, dst = 2;
    std::size_t const mark = formula_.mark();

    std::size_t const over_ip6 = formula_.mark();
    link_type(ether_ip6);
    any_protocol(protocol,
                 [&](std::int16_t number) { is_next_header(static_cast<std::uint32_t>(number)); });
    directed(dir, src, dst,
             [&](std::uint32_t offset) { port_in(network(ip6_header + offset, 2), low, high); });
    formula_.all(over_ip6);

    std::size_t const over_ip4 = formula_.mark();
    link_type(ether_ip);
    any_protocol(protocol,
                 [&](std::int16_t number) { is_protocol(static_cast<std::uint32_t>(number)); });
    first_fragment();
    directed(dir, src, dst,
             [&](std::uint32_t offset) { port_in(field(row(Word::tcp), offset, 2), low, high); });
    formula_.all(over_ip4);

    formula_.any(mark);
}

}  // namespace tamis::frontend
