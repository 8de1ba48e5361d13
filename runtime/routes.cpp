// Routes that carry a program (lightweight tunnels).
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>

#include "runtime/netlink.h"
#include "runtime/sticky.h"

namespace tamis::runtime {
namespace {

struct Prefix {
    int family;
    std::uint8_t length;
    std::vector<std::byte> address;  // network order
};

Result<Prefix> parse_prefix(std::string const& text) {
    Diagnostic const wrong{
        fmt::format("'{}' is no prefix", escape(text)),
        std::nullopt,
        {{"--route takes an IPv4 or IPv6 prefix such as 10.0.0.0/8, or default", std::nullopt}}};
    if (text == "default") return Prefix{AF_INET, 0, std::vector<std::byte>(4)};
    std::size_t const slash = std::min(text.find('/'), text.size());
    std::string const address = text.substr(0, slash);
    Prefix out{address.find(':') == address.npos ? AF_INET : AF_INET6, 0, {}};
    out.address.resize(out.family == AF_INET ? 4 : 16);
    if (inet_pton(out.family, address.c_str(), out.address.data()) != 1) return fail(wrong);
    std::size_t const bits = out.address.size() * 8;
    unsigned length = static_cast<unsigned>(bits);
    if (slash < text.size()) {
        char const* end = text.data() + text.size();
        auto const read = std::from_chars(text.data() + slash + 1, end, length);
        if (read.ec != std::errc{} || read.ptr != end || length > bits) return fail(wrong);
    }
    out.length = static_cast<std::uint8_t>(length);
    return out;
}

struct Route {
    rtmsg header;
    Bytes message;  // owns what `attributes` shows
    std::vector<NetlinkAttribute> all() const {
        return attributes(std::span(message).subspan(sizeof(rtmsg)));
    }
};

// The routes of the main table.
Result<std::vector<Route>> routes(int family) {
    rtmsg wanted{};
    wanted.rtm_family = static_cast<unsigned char>(family);
    auto answers =
        NetlinkRequest(RTM_GETROUTE, NLM_F_DUMP).header(wanted).talk("cannot list routes");
    if (!answers) return fail(answers.error());
    std::vector<Route> out;
    for (Bytes& answer : *answers) {
        if (answer.size() < sizeof(rtmsg)) continue;
        Route route{{}, std::move(answer)};
        std::memcpy(&route.header, route.message.data(), sizeof route.header);
        bool const cached = (route.header.rtm_flags & RTM_F_CLONED) != 0;
        if (number(find(route.all(), RTA_TABLE)) == RT_TABLE_MAIN && !cached)
            out.push_back(std::move(route));
    }
    return out;
}

// Those to exactly this prefix.
Result<std::vector<Route>> routes(Prefix const& prefix) {
    auto out = routes(prefix.family);
    if (!out) return out;
    std::erase_if(*out, [&](Route const& route) {
        auto const to = find(route.all(), RTA_DST);
        return route.header.rtm_dst_len != prefix.length ||
               (prefix.length != 0 &&
                !std::equal(to.begin(), to.end(), prefix.address.begin(), prefix.address.end()));
    });
    return out;
}

std::string prefix_of(Route const& route) {
    char address[INET6_ADDRSTRLEN] = "";
    auto const to = find(route.all(), RTA_DST);
    if (to.empty()) return route.header.rtm_family == AF_INET ? "0.0.0.0/0" : "::/0";
    inet_ntop(route.header.rtm_family, to.data(), address, sizeof address);
    return fmt::format("{}/{}", address, route.header.rtm_dst_len);
}

// The name of the program on a route; nothing where it carries none.
std::optional<std::string> program_on(Route const& route) {
    auto const all = route.all();
    if (find(all, RTA_ENCAP).empty()) return std::nullopt;
    for (NetlinkAttribute const& way : attributes(find(all, RTA_ENCAP))) {
        auto const name = find(attributes(way.value), LWT_BPF_PROG_NAME);
        if (!name.empty()) return text(name);
    }
    return std::string();
}

// A request that puts the route where it is, without what it carries.
NetlinkRequest replacement(Route const& route) {
    NetlinkRequest request(RTM_NEWROUTE, NLM_F_REPLACE);
    rtmsg header = route.header;
    header.rtm_flags &= RTNH_F_ONLINK;  // the others are states
    request.header(header);
    for (NetlinkAttribute const& attribute : route.all()) {
        constexpr std::uint16_t left_out[] = {RTA_ENCAP, RTA_ENCAP_TYPE, RTA_CACHEINFO};
        if (std::find(std::begin(left_out), std::end(left_out), attribute.type) ==
            std::end(left_out))
            request.attribute(attribute.type, attribute.value);
    }
    return request;
}

std::uint16_t way(Hook hook) {
    return hook == Hook::lwt_in ? LWT_BPF_IN : hook == Hook::lwt_out ? LWT_BPF_OUT : LWT_BPF_XMIT;
}

}  // namespace

Result<void> add_to_route(int program, std::string const& to, Hook hook, std::string const& name) {
    auto const prefix = parse_prefix(to);
    if (!prefix) return fail(prefix.error());
    auto const found = routes(*prefix);
    if (!found) return fail(found.error());
    auto const refuse = [&](std::string_view what, std::string_view note) {
        return fail(Diagnostic{fmt::format("{} '{}'", what, escape(to)),
                               std::nullopt,
                               {{std::string(note), std::nullopt}}});
    };
    if (found->empty())
        return refuse("there is no route to exactly", "`ip route show` lists the routes");
    if (found->size() > 1)
        return refuse("there are several routes to",
                      "routes that differ in their metric only are "
                      "not told apart");
    Route const& route = found->front();
    if (!find(route.all(), RTA_MULTIPATH).empty())
        return refuse("several next hops has the route to", "only routes with one are supported");
    if (program_on(route))
        return refuse("there is an encapsulation on the route to",
                      "a route carries one; `ip route show` shows it");
    std::uint16_t const type = LWTUNNEL_ENCAP_BPF;
    auto request = replacement(route);
    request.attribute(RTA_ENCAP_TYPE, std::as_bytes(std::span(&type, 1)))
        .begin(RTA_ENCAP)
        .begin(way(hook))
        .attribute(LWT_BPF_PROG_FD, static_cast<std::uint32_t>(program))
        .attribute(LWT_BPF_PROG_NAME, name);
    auto const done = request.end().end().talk("cannot put the program on the route");
    if (!done) return fail(done.error());
    return {};
}

Result<void> remove_from_route(std::string const& to, std::string const& name) {
    auto const prefix = parse_prefix(to);
    if (!prefix) return fail(prefix.error());
    auto const found = routes(*prefix);
    if (!found) return fail(found.error());
    for (Route const& route : *found) {
        if (program_on(route) != name) continue;
        if (auto const done = replacement(route).talk("cannot take the program off the route");
            !done)
            return fail(done.error());
    }
    return {};
}

Result<std::vector<Sticky>> sticky_routes() {
    std::vector<Sticky> out;
    for (int const family : {AF_INET, AF_INET6}) {
        auto const all = routes(family);
        if (!all) return fail(all.error());
        for (Route const& route : *all) {
            std::string const name = program_on(route).value_or("");
            std::uint32_t program = 0;
            std::size_t const bracket = name.find(":[");
            if (!name.starts_with("tamis_") || bracket == name.npos) continue;
            std::from_chars(name.data() + bracket + 2, name.data() + name.size(), program);
            out.push_back({.name = name,
                           .program = program,
                           .place = "route " + prefix_of(route),
                           .prefix = prefix_of(route)});
        }
    }
    return out;
}

}  // namespace tamis::runtime
