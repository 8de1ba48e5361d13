#include "verify/packet_model.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace tamis::verify {
namespace {

using cbpf::Anc;
using runtime::Rules;

constexpr std::uint32_t max_length = 0x7fffffff;
constexpr std::uint32_t xdp_reach = 0xffff;      // bpf_xdp_load_bytes: no larger offset
constexpr std::uint32_t pointer_reach = 0xffff;  // MAX_PACKET_OFF: no byte behind it
constexpr std::uint64_t max_header = 0xffff;     // skb header offsets have 16 bits

constexpr std::string_view length_name = "len", captured_name = "captured", linear_name = "linear";
constexpr std::string_view network_name = "network", network_known = "has network";
constexpr std::string_view link_name = "link", link_known = "has link";

std::string name_of(Anc number) {
    return fmt::format("ancillary {}", static_cast<unsigned>(number));
}

// Those that are 16 bits wide in the kernel.
unsigned width_of(Anc number) {
    switch (number) {
        case Anc::protocol:
        case Anc::queue:
        case Anc::hatype:
        case Anc::vlan_tag:
        case Anc::vlan_tpid:
            return 16;
        case Anc::pkttype:
        case Anc::ifindex:
        case Anc::nlattr:
        case Anc::nlattr_nest:
        case Anc::mark:
        case Anc::rxhash:
        case Anc::cpu:
        case Anc::alu_xor_x:
        case Anc::vlan_tag_present:
        case Anc::pay_offset:
        case Anc::random:
            return 32;
    }
    return 32;
}

}  // namespace

runtime::Packet ConcretePacket::view() const {
    runtime::Packet packet;
    packet.bytes = bytes;
    packet.length = length;
    packet.linear = start + linear;
    packet.ancillary = ancillary;
    packet.start = start;
    packet.network = network;
    packet.link = link;
    return packet;
}

PacketModel::PacketModel(Terms& terms, Rules rules, HookRow const* hook)
    : t_(terms),
      rules_(rules),
      xdp_(hook && hook->context == "xdp_md"),
      direct_(hook && hook->access != Access::ld_abs),
      pointers_(hook && hook->linear && hook->access == Access::pointer) {
    // 31 bits: an skb's length is an unsigned int that the kernel keeps below 2^31.
    auto const length = [&](std::string_view name) { return t_.zext(t_.variable(name, 31), 32); };
    length_ = length(length_name);
    captured_ = rules == Rules::libpcap ? length(captured_name) : length_;
    bool const linear = rules == Rules::libpcap || (hook && hook->linear);
    linear_ = linear ? captured_ : length(linear_name);
    assumptions_ = t_.and_(t_.ule(captured_, length_), t_.ule(linear_, captured_));
    if (xdp_) {
        assumptions_ = t_.and_(assumptions_, has_device());
        // A tag that the driver took out: there is one or there is none, and then its words are 0.
        auto const is = [&](Anc number, std::uint32_t value) {
            return t_.eq(ancillary(number), t_.constant(value, 32));
        };
        Term const none = t_.and_(is(Anc::vlan_tag_present, 0),
                                  t_.and_(is(Anc::vlan_tag, 0), is(Anc::vlan_tpid, 0)));
        assumptions_ = t_.and_(assumptions_, t_.or_(none, is(Anc::vlan_tag_present, 1)));
    }
    if (rules == Rules::libpcap || direct_) return;
    // Where headers are known they begin in the 64 KiB around offset 0.
    for (std::string_view const name : {network_name, link_name}) {
        Term const distance = t_.add(t_.variable(name, 32), t_.constant(max_header, 32));
        assumptions_ = t_.and_(assumptions_, t_.ule(distance, t_.constant(2 * max_header, 32)));
    }
}

Term PacketModel::inside(Term offset, std::uint64_t size, Term limit) {
    Term const end = t_.add(offset, t_.constant(size, 64));
    Term const good = t_.ule(end, t_.zext(limit, 64));
    // The sum must not have wrapped.
    if (t_.upper(offset) <= std::uint64_t{1} << 40) return good;
    return t_.and_(t_.ule(offset, t_.constant(0xffffffff, 64)), good);
}

Term PacketModel::big_endian(Term offset, unsigned size) {
    Term value = byte(offset);
    for (unsigned i = 1; i < size; ++i)
        value = t_.concat(value, byte(t_.add(offset, t_.constant(i, 32))));
    return t_.zext(value, 32);
}

PacketModel::Load PacketModel::load(Term x, std::uint32_t k, unsigned size) {
    if (rules_ == Rules::kernel) return kernel_load(t_.add(x, t_.constant(k, 32)), size);
    Term const offset = t_.add(t_.zext(x, 64), t_.constant(k, 64));
    return {inside(offset, size, captured_), big_endian(t_.low(offset, 32), size)};
}

PacketModel::Header PacketModel::header(bool link) {
    return {t_.variable(link ? link_known : network_known, 0),
            t_.variable(link ? link_name : network_name, 32)};
}

// net/core/filter.c, bpf_internal_load_pointer_neg_helper: offsets are signed.
PacketModel::Load PacketModel::kernel_load(Term offset, unsigned size) {
    Term const wide = t_.zext(offset, 64);
    Term good = inside(wide, size, captured_);
    if (direct_) {
        std::uint32_t const reach = pointers_ ? pointer_reach - size
                                    : xdp_    ? xdp_reach
                                              : 0x7fffffff;
        good = t_.and_(good, t_.ule(offset, t_.constant(reach, 32)));
        return {good, big_endian(offset, size)};
    }
    if (t_.upper(offset) <= max_length) return {good, big_endian(offset, size)};
    Term const negative = t_.not_(t_.ule(offset, t_.constant(max_length, 32)));
    Term place = offset;
    Term header_good = t_.truth(false);
    for (bool const link : {true, false}) {
        std::uint32_t const base = link ? cbpf::link_base : cbpf::network_base;
        Term const from_here = t_.ule(t_.constant(base, 32), offset);
        Header const start = header(link);
        Term const at = t_.add(start.offset, t_.sub(offset, t_.constant(base, 32)));
        // Signed, because a header may begin before offset 0.
        Term const end = t_.add(t_.sext(at, 64), t_.constant(size, 64));
        Term const fits = t_.not_(t_.slt(t_.zext(captured_, 64), end));
        header_good = t_.ite(from_here, t_.and_(start.known, fits), header_good);
        place = t_.ite(from_here, at, place);
    }
    return {t_.ite(negative, header_good, good), big_endian(t_.ite(negative, place, offset), size)};
}

Term PacketModel::ancillary(Anc number) {
    return t_.zext(t_.variable(name_of(number), width_of(number)), 32);
}

Term PacketModel::has_device() {
    return t_.not_(t_.eq(ancillary(Anc::ifindex), t_.constant(0, 32)));
}

ConcretePacket PacketModel::packet(Model const& model) const {
    std::map<std::string_view, std::uint64_t> named;
    for (Term const variable : t_.variables()) {
        std::uint64_t const number = t_[variable].value;
        named[t_.name(variable)] = number < model.variables.size() ? model.variables[number] : 0;
    }
    auto const value = [&](std::string_view name) {
        return static_cast<std::uint32_t>(named.contains(name) ? named[name] : 0);
    };
    ConcretePacket packet;
    packet.length = value(length_name);
    std::uint32_t const captured = captured_ == length_ ? packet.length : value(captured_name);
    packet.linear = linear_ == captured_ ? captured : value(linear_name);
    for (cbpf::Ancillary const& row : cbpf::ancillaries())
        packet.ancillary[static_cast<std::size_t>(row.number) / 4] = value(name_of(row.number));
    auto const signed_value = [&](std::string_view name) {
        return static_cast<std::int32_t>(value(name));
    };
    bool const network = value(network_known) != 0, link = value(link_known) != 0;
    std::int32_t before = 0;
    if (network) before = std::min(before, signed_value(network_name));
    if (link) before = std::min(before, signed_value(link_name));
    packet.start = static_cast<std::uint32_t>(-before);
    if (network) packet.network = static_cast<std::uint32_t>(signed_value(network_name) - before);
    if (link) packet.link = static_cast<std::uint32_t>(signed_value(link_name) - before);
    packet.bytes.assign(std::size_t{packet.start} + captured, 0);
    for (auto const& [offset, byte] : model.bytes) {
        std::int64_t const at = std::int64_t{static_cast<std::int32_t>(offset)} + packet.start;
        if (at >= 0 && std::cmp_less(at, packet.bytes.size()))
            packet.bytes[static_cast<std::size_t>(at)] = byte;
    }
    return packet;
}

std::vector<std::uint64_t> PacketModel::variables(ConcretePacket const& packet) const {
    std::vector<std::uint64_t> out(t_.variables().size(), 0);
    auto const set = [&](std::string_view name, std::uint64_t value) {
        for (Term const variable : t_.variables())
            if (t_.name(variable) == name) out[t_[variable].value] = value;
    };
    set(length_name, packet.length);
    set(captured_name, packet.captured());
    set(linear_name, packet.linear);
    set(network_known, packet.network.has_value());
    set(link_known, packet.link.has_value());
    if (packet.network) set(network_name, *packet.network - packet.start);
    if (packet.link) set(link_name, *packet.link - packet.start);
    for (cbpf::Ancillary const& row : cbpf::ancillaries())
        set(name_of(row.number), packet.ancillary[static_cast<std::size_t>(row.number) / 4]);
    return out;
}

Valuation PacketModel::valuation(ConcretePacket const& packet) const {
    return {variables(packet), [&packet](std::uint32_t offset) -> std::uint8_t {
                std::int64_t const at =
                    std::int64_t{static_cast<std::int32_t>(offset)} + packet.start;
                bool const there = at >= 0 && std::cmp_less(at, packet.bytes.size());
                return there ? packet.bytes[static_cast<std::size_t>(at)] : std::uint8_t{0};
            }};
}

}  // namespace tamis::verify
