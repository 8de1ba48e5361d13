// Links that libbpf 1.1 does not know how to make.  An empty Fd: errno says why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "runtime/kernel.h"

namespace tamis::runtime {

// tcx, from Linux 6.6: a list of programs on each way through an interface.
struct TcxOrder {
    std::uint32_t program = 0;  // the ID of the one to be next to; 0: last of all
    bool before = false;        // before it, or behind it
};
Fd link_tcx(int program, std::uint32_t interface, bool egress, TcxOrder const& order = {});
bool has_tcx();
// The IDs of the programs there, in order; nothing where the kernel has no tcx, or does not say.
std::optional<std::vector<std::uint32_t>> tcx_programs(std::uint32_t interface, bool egress);

// An end of a netkit pair, from Linux 6.7.  `interface` is the pair's first device; the attach
// type, BPF_NETKIT_PRIMARY or BPF_NETKIT_PEER, says which end.
Fd link_netkit(int program, std::uint32_t interface, std::uint32_t attach_type);

// Many of the kernel's functions at once, from Linux 6.10 with BPF_TRACE_KPROBE_SESSION: at their
// entries and returns.
Fd link_kprobes(int program, std::uint32_t attach_type, std::vector<std::string> const& functions);

// Many places of a file at once, from Linux 6.6; offsets in bytes.
struct UserPlaces {
    std::string file;
    std::vector<std::uint64_t> offsets;
    bool on_return;
    pid_t process;  // -1: all
};
Fd link_uprobes(int program, std::uint32_t attach_type, UserPlaces const& places);

// A netfilter hook of this network namespace, from Linux 6.4.
struct NetfilterPlace {
    std::uint32_t family;  // NFPROTO_*
    std::uint32_t hook;    // NF_INET_*: prerouting 0 to postrouting 4
    std::int32_t priority;
};
Fd link_netfilter(int program, NetfilterPlace const& place);
// `ipv4` or `ipv6`, then `:PRIORITY` or nothing; the hook is left 0.
std::optional<NetfilterPlace> parse_netfilter_family(std::string_view text);

}  // namespace tamis::runtime
