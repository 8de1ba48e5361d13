#include "runtime/summary.h"

#include <array>

#include <arpa/inet.h>
#include <fmt/core.h>

#include "bpf/bytes.h"
#include "bpf/link_types.h"

namespace tamis::runtime {
namespace {

using Bytes = std::span<std::uint8_t const>;

struct Named {
    std::uint32_t number;
    std::string_view name;
};
constexpr Named protocols[] = {{1, "icmp"}, {2, "igmp"}, {6, "tcp"},    {17, "udp"},
                               {50, "esp"}, {51, "ah"},  {58, "icmp6"}, {132, "sctp"}};
constexpr std::uint32_t ip4 = 0x0800, arp = 0x0806, ip6 = 0x86dd, vlan = 0x8100;

std::string protocol_name(std::uint32_t number) {
    for (Named const& p : protocols)
        if (p.number == number) return std::string(p.name);
    return fmt::format("protocol {}", number);
}

std::string mac(Bytes b) {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4],
                       b[5]);
}

std::string address(int family, Bytes b) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    return inet_ntop(family, b.data(), text.data(), text.size()) ? text.data() : "?";
}

bool has_ports(std::uint32_t protocol) {
    return protocol == 6 || protocol == 17 || protocol == 132;
}

// `source` and `destination` as texts; ports come from the first bytes of `payload`.
std::string flow(std::string_view kind, std::string source, std::string destination,
                 std::uint32_t protocol, Bytes payload, bool first_fragment) {
    if (first_fragment && has_ports(protocol) && payload.size() >= 4) {
        source += fmt::format(".{}", load_be(payload, 0, 2));
        destination += fmt::format(".{}", load_be(payload, 2, 2));
    }
    return fmt::format("{} {} > {}: {}{}", kind, source, destination, protocol_name(protocol),
                       first_fragment ? "" : " fragment");
}

std::string ip4_summary(Bytes b) {
    if (b.size() < 20) return "IP truncated";
    std::size_t const header = 4 * (b[0] & std::size_t{15});
    bool const first = (load_be(b, 6, 2) & 0x1fff) == 0;
    return flow("IP", address(AF_INET, b.subspan(12)), address(AF_INET, b.subspan(16)), b[9],
                b.size() > header ? b.subspan(header) : Bytes{}, first);
}

std::string ip6_summary(Bytes b) {
    if (b.size() < 40) return "IP6 truncated";
    return flow("IP6", address(AF_INET6, b.subspan(8)), address(AF_INET6, b.subspan(24)), b[6],
                b.subspan(40), true);
}

std::string arp_summary(Bytes b) {
    if (b.size() < 28) return "ARP truncated";
    std::string const sender = address(AF_INET, b.subspan(14)),
                      target = address(AF_INET, b.subspan(24));
    return load_be(b, 6, 2) == 1 ? fmt::format("ARP who-has {} tell {}", target, sender)
                                 : fmt::format("ARP {} is-at {}", sender, mac(b.subspan(8)));
}

std::string payload_summary(Bytes frame, std::uint32_t type, Bytes payload) {
    if (type == ip4) return ip4_summary(payload);
    if (type == ip6) return ip6_summary(payload);
    if (type == arp) return arp_summary(payload);
    if (type == vlan && payload.size() >= 4)
        return fmt::format("vlan {} ", load_be(payload, 0, 2) & 0xfff) +
               payload_summary(frame, load_be(payload, 2, 2), payload.subspan(4));
    return fmt::format("{} > {} {} 0x{:04x}", mac(frame.subspan(6)), mac(frame),
                       type <= 1500 ? "length" : "type", type);
}

}  // namespace

std::string summary(Bytes bytes, int link_type) {
    if (link_type == dlt_raw) {
        if (bytes.empty()) return "IP truncated";
        return bytes[0] >> 4 == 6 ? ip6_summary(bytes) : ip4_summary(bytes);
    }
    if (link_type == dlt_sll) {
        if (bytes.size() < 16) return "cooked header truncated";
        std::uint32_t const type = load_be(bytes, 14, 2);
        if (type == ip4) return ip4_summary(bytes.subspan(16));
        if (type == ip6) return ip6_summary(bytes.subspan(16));
        if (type == arp) return arp_summary(bytes.subspan(16));
        return fmt::format("cooked type 0x{:04x}", type);
    }
    if (link_type != en10mb) return fmt::format("link type {}", link_type);
    if (bytes.size() < 14) return "Ethernet truncated";
    return payload_summary(bytes, load_be(bytes, 12, 2), bytes.subspan(14));
}

}  // namespace tamis::runtime
