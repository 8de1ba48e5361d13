// Network interfaces by name.
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>

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
    // Tunnels whose packets begin with the IP header; tun devices say that they have no type.
    constexpr int headless[] = {ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_TUNNEL, ARPHRD_TUNNEL6,
                                ARPHRD_SIT};
    if (std::find(std::begin(headless), std::end(headless), type) != std::end(headless))
        return dlt_raw;
    return fail({.message = fmt::format("interface '{}' has hardware type {}: only Ethernet, "
                                        "loopback and IP tunnels are supported yet",
                                        escape(name), type),
                 .span = {},
                 .notes = {}});
}

}  // namespace tamis::runtime
