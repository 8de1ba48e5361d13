#include "frontend/primitives.h"

#include <algorithm>
#include <iterator>

namespace tamis::frontend {
namespace {

using cbpf::Cond;

// The link type field holds a length up to here, and an EtherType above.
constexpr std::uint32_t max_length = 1500;

constexpr std::uint32_t ether_ip = 0x0800, ether_arp = 0x0806, ether_rarp = 0x8035,
                        ether_ip6 = 0x86dd, ether_atalk = 0x809b, ether_aarp = 0x80f3,
                        ether_ipx = 0x8137;
constexpr std::uint32_t sap_iso = 0xfe, sap_ip = 0x06, sap_netbeui = 0xf0, sap_ipx = 0xe0;
constexpr std::int16_t proto_tcp = 6, proto_udp = 17, proto_sctp = 132;
constexpr std::uint32_t proto_fragment = 44;

// Offsets in the IPv4 and IPv6 headers.
constexpr std::uint32_t ip4_fragment = 6, ip4_proto = 9, ip4_dst = 16;
constexpr std::uint32_t ip6_next = 6, ip6_src = 8, ip6_dst = 24, ip6_header = 40;

// clang-format off
constexpr Protocol table[] = {
    {.word = Word::link, .index = Index::link, .hosts = Hosts::mac, .takes_proto = true},
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
    {.word = Word::decnet,  .link_type = 0x6003, .index = Index::network},
    {.word = Word::lat,     .link_type = 0x6004, .index = Index::network},
    {.word = Word::sca,     .link_type = 0x6007, .index = Index::network},
    {.word = Word::moprc,   .link_type = 0x6002, .index = Index::network},
    {.word = Word::mopdl,   .link_type = 0x6001, .index = Index::network},
    {.word = Word::iso,     .link_type = sap_iso},
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

template <class Where, class AtOffset>
void Primitives::directed(Direction dir, Where src, Where dst, AtOffset const& test) {
    std::size_t const mark = formula_.mark();
    if (dir != Direction::dst) test(src);
    if (dir != Direction::src) test(dst);
    if (dir == Direction::both)
        formula_.all(mark);
    else
        formula_.any(mark);
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

void Primitives::link_type(std::uint32_t number) {
    switch (at_.type->rule) {
        case TypeRule::ethernet:
            return ethernet_type(number);
    }
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
    directed(dir, at_.type->mac_src, at_.type->mac_dst,
             [&](std::int8_t offset) { mac_at(offset, address); });
}

void Primitives::broadcast() { mac_at(at_.type->mac_dst, 0xffffffffffff); }

void Primitives::multicast() {
    add(link(static_cast<std::uint32_t>(at_.type->mac_dst), 1), Cond::set, 1);
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
        for (Word const word : {Word::ip, Word::arp, Word::rarp})
            host4(&row(word), address, mask, dir);
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

// ---------------------------------------------------------------------------------------- ports

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
