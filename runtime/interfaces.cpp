// Network interfaces by name.
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <span>

#include <fmt/core.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bpf/link_types.h"
#include "bpf/spelling.h"
#include "runtime/kernel.h"

namespace tamis::runtime {
namespace {

// The interfaces whose names are few keystrokes away, comma-separated.
std::string near_matches(std::string_view name) {
    constexpr unsigned near = 2;
    std::unique_ptr<struct if_nameindex, decltype(&if_freenameindex)> const all(if_nameindex(),
                                                                                if_freenameindex);
    std::string out;
    for (auto const* i = all.get(); i && i->if_name; ++i)
        if (edit_distance(name, i->if_name) <= near)
            out += fmt::format("{}'{}'", out.empty() ? "" : ", ", escape(i->if_name));
    return out;
}

// Packets begin with the IP header.  Devices of tun say that they have no type; PPP takes its own
// header off before anybody sees the packet (drivers/net/ppp/ppp_generic.c).
constexpr int headless[] = {ARPHRD_NONE,    ARPHRD_RAWIP, ARPHRD_TUNNEL,
                            ARPHRD_TUNNEL6, ARPHRD_SIT,   ARPHRD_PPP};
// So they do where a tunnel has one other end; else the device writes the headers around them when
// a packet is sent (ipgre_header, ip6gre_header).
constexpr int gre[] = {ARPHRD_IPGRE, 823};  // ARPHRD_IP6GRE

bool is_one_of(int type, std::span<int const> types) {
    return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

Result<std::uint32_t> interface_index(std::string const& name) {
    if (unsigned const index = if_nametoindex(name.c_str())) return index;
    // The name is cut where the argument could be of any length.
    std::string const shown = escape(std::string_view(name).substr(0, 64));
    Diagnostic diagnostic{.message = fmt::format("there is no network interface '{}'", shown),
                          .span = {},
                          .notes = {},
                          .fault = Fault::input};
    if (std::string const near = near_matches(std::string_view(name).substr(0, 64)); !near.empty())
        diagnostic.notes.push_back({.message = "there is " + near, .span = {}});
    return fail(std::move(diagnostic));
}

Result<int> interface_link_type(std::string const& name) {
    Fd const socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    if (name.size() >= sizeof request.ifr_name) return fail(interface_index(name).error());
    std::copy(name.begin(), name.end(), request.ifr_name);
    if (!socket || ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0)
        return fail(
            system_error(fmt::format("cannot ask for the type of '{}'", escape(name)), errno));
    int const type = request.ifr_hwaddr.sa_family;
    // Loopback frames carry an Ethernet header of zeros (net/if_arp.h, ARPHRD_LOOPBACK).
    if (type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK) return en10mb;
    if (is_one_of(type, headless)) return dlt_raw;
    if (is_one_of(type, gre)) {
        if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0)
            return fail(
                system_error(fmt::format("cannot ask for the flags of '{}'", escape(name)), errno));
        if ((request.ifr_flags & (IFF_POINTOPOINT | IFF_BROADCAST)) == IFF_POINTOPOINT)
            return dlt_raw;
        return fail({.message = fmt::format("'{}' is a GRE tunnel to many ends: its packets begin "
                                            "with the headers around them, which is not supported",
                                            escape(name)),
                     .span = {},
                     .notes = {}});
    }
    return fail({.message = fmt::format("interface '{}' has hardware type {}: only Ethernet, "
                                        "loopback, IP tunnels and PPP are supported yet",
                                        escape(name), type),
                 .span = {},
                 .notes = {}});
}

}  // namespace tamis::runtime
