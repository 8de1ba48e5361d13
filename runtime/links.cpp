#include "runtime/links.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tamis::runtime {
namespace {

constexpr std::uint32_t tcx_ingress = 46, tcx_egress = 47, netfilter = 45;  // BPF_*
constexpr std::uint32_t f_before = 1U << 3, f_after = 1U << 4, f_id = 1U << 5;

// The layouts are linux/bpf.h's.
struct LinkCreate {
    std::uint32_t program, target, attach_type, flags;
    std::array<std::uint32_t, 12> rest;  // by attach type
};
Fd create_link(LinkCreate const& request) {
    return Fd(static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &request, sizeof request)));
}

// The same for links that have no target but what `places` says.
template <class Places>
Fd create_link(std::uint32_t program, std::uint32_t attach_type, Places const& places) {
    LinkCreate request{
        .program = program, .target = 0, .attach_type = attach_type, .flags = 0, .rest = {}};
    static_assert(sizeof places <= sizeof request.rest);
    std::memcpy(request.rest.data(), &places, sizeof places);
    return create_link(request);
}

struct ProgramQuery {
    std::uint32_t target, attach_type, query_flags, attach_flags;
    std::uint64_t ids;
    std::uint32_t count, unused;
    std::uint64_t attach_flags_of_each, link_ids, link_attach_flags, revision;
};

}  // namespace

Fd link_tcx(int program, std::uint32_t interface, bool egress, TcxOrder const& order) {
    LinkCreate request{.program = static_cast<std::uint32_t>(program),
                       .target = interface,
                       .attach_type = egress ? tcx_egress : tcx_ingress,
                       .flags = 0,
                       .rest = {}};
    if (order.program != 0) {
        request.flags = f_id | (order.before ? f_before : f_after);
        request.rest[0] = order.program;
    }
    return create_link(request);
}

Fd link_netkit(int program, std::uint32_t interface, std::uint32_t attach_type) {
    return create_link({.program = static_cast<std::uint32_t>(program),
                        .target = interface,
                        .attach_type = attach_type,
                        .flags = 0,
                        .rest = {}});
}

std::optional<std::vector<std::uint32_t>> tcx_programs(std::uint32_t interface, bool egress) {
    std::vector<std::uint32_t> ids(64);  // the kernel takes no more
    ProgramQuery query{};
    query.target = interface;
    query.attach_type = egress ? tcx_egress : tcx_ingress;
    query.ids = reinterpret_cast<std::uintptr_t>(ids.data());
    query.count = static_cast<std::uint32_t>(ids.size());
    if (syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) != 0) {
        if (errno == ENOENT) return std::vector<std::uint32_t>{};
        return std::nullopt;
    }
    ids.resize(query.count);
    return ids;
}

bool has_tcx() { return tcx_programs(1, false) || errno != EINVAL; }

Fd link_netfilter(int program, NetfilterPlace const& place) {
    LinkCreate request{.program = static_cast<std::uint32_t>(program),
                       .target = 0,
                       .attach_type = netfilter,
                       .flags = 0,
                       .rest = {}};
    request.rest[0] = place.family;
    request.rest[1] = place.hook;
    std::memcpy(&request.rest[2], &place.priority, sizeof place.priority);
    return create_link(request);
}

Fd link_kprobes(int program, std::uint32_t attach_type, std::vector<std::string> const& functions) {
    std::vector<char const*> names;
    for (std::string const& function : functions) names.push_back(function.c_str());
    struct {
        std::uint32_t flags, count;
        std::uint64_t names, addresses, cookies;
    } const places{0, static_cast<std::uint32_t>(names.size()),
                   reinterpret_cast<std::uintptr_t>(names.data()), 0, 0};
    return create_link(static_cast<std::uint32_t>(program), attach_type, places);
}

Fd link_uprobes(int program, std::uint32_t attach_type, UserPlaces const& places) {
    struct {
        std::uint64_t path, offsets, reference_counters, cookies;
        std::uint32_t count, flags, process, unused;
    } const request{reinterpret_cast<std::uintptr_t>(places.file.c_str()),
                    reinterpret_cast<std::uintptr_t>(places.offsets.data()),
                    0,
                    0,
                    static_cast<std::uint32_t>(places.offsets.size()),
                    places.on_return ? 1U : 0U,
                    places.process > 0 ? static_cast<std::uint32_t>(places.process) : 0U,
                    0};
    return create_link(static_cast<std::uint32_t>(program), attach_type, request);
}

std::optional<NetfilterPlace> parse_netfilter_family(std::string_view text) {
    constexpr std::uint32_t ipv4 = 2, ipv6 = 10;
    std::size_t const colon = text.find(':');
    std::string_view const family = text.substr(0, colon);
    if (family != "ipv4" && family != "ipv6") return std::nullopt;
    NetfilterPlace out{.family = family == "ipv4" ? ipv4 : ipv6, .hook = 0, .priority = 0};
    if (colon == text.npos) return out;
    char const* end = text.data() + text.size();
    auto const read = std::from_chars(text.data() + colon + 1, end, out.priority);
    if (read.ec != std::errc{} || read.ptr != end) return std::nullopt;
    return out;
}

}  // namespace tamis::runtime
