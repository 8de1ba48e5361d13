// Programs of ours at their hooks: what the command line says becomes a link, a socket or an entry
// in one of the kernel's tables, and leaves again.  A row of the table in attach.cpp per kind.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "bpf/cbpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "runtime/kernel.h"
#include "runtime/pins.h"
#include "runtime/process_socket.h"

namespace tamis::runtime {

// Where a program is to go, as the user says it.  Empty: not said.
struct Where {
    std::string interface;      // -i
    std::string cgroup;         // --cgroup: path of a control group's folder (version 2)
    std::string netfilter;      // --nf: `ipv4`, `ipv6:-100`
    std::string route;          // --route: `10.0.0.0/8`
    std::string mode = "auto";  // --mode, by kind
    std::string before, after;  // tcx: the ID or name of a program there, or a name of `tamis list`
    std::uint32_t priority = 0;  // clsact; 0: behind all others
    // What may be put aside: the ID of an XDP program; `ebpf`, a filter of a socket, which cannot
    // be put back.
    std::string replace;
    Direction direction = Direction::both;  // of a packet socket
    pid_t process = 0;                      // a socket of another process; 0: one of ours
    int fd = -1;
    SocketUse use = SocketUse::filter;
    bool lock = false;
};

// What goes there: an eBPF program, or on a socket of another process a classic one.
struct Program {
    int fd = -1;
    std::uint32_t id = 0;
    int counters = -1;   // its map; -1: none
    std::string name{};  // for tables that show one
    std::span<cbpf::Insn const> classic{};
};

// What is attached.  Links and sockets go with this value, and with the process however that ends.
struct Attached {
    std::string kind;    // of the table's row: "tcx"
    std::string target;  // "veth0", "/sys/fs/cgroup/web", "ipv4:-100"
    std::string mode;    // "native", "tcx", ...
    Lifetime lifetime = Lifetime::link;
    Fd holder{};         // the link or the socket; none where the kernel's own tables have it
    std::string note{};  // what the user should know, or empty
    std::optional<XdpReplaced> replaced{};  // what comes back at the end

    // Capabilities that end() will need.
    std::string_view needs() const { return replaced ? "CAP_NET_ADMIN" : ""; }
    // Fails when the interface or the control group went away, and the filter with it.
    Result<void> still_there() const;
    // The end in order: what was put aside comes back.
    Result<void> end();
};

// Before anything is compiled: a target that is missing, or one that the hook does not take, is an
// error that names the option.
// So is what would stay behind (Lifetime::sticky) without a name to pin it under, and the other way
// round.
Result<void> check(HookRow const& hook, Where const& where, std::string const& pin);
// The name of the program that stays: `tamis_NAME`, as far as 15 characters go.
std::string program_name(std::string const& pin);

// Refused: what check() refuses.
Result<Attached> attach(HookRow const& hook, Program const& program, Where const& where);

// The same, to stay under a name (pins.h).  `about` is added to what is known of the place.
Result<Attached> attach_pinned(HookRow const& hook, Program const& program, Where const& where,
                               std::string const& name, Facts about);

// Whether a link is pinned whose interface or control group went away.
bool target_is_gone(Pinned const& pinned);

// Ends what attach_pinned, or `load`, left there, in the network namespace where that was; puts
// back what it had replaced.
Result<void> detach(Pinned const& pinned);

// Programs of ours in tables of this network namespace that nothing is pinned for: their BPF file
// system went away.
struct Leftover {
    std::string name;   // of the program, `tamis_NAME`
    std::string place;  // "tc-egress eth0"
};
Result<std::vector<Leftover>> leftovers();
// Takes out those of `program_name(pin)`; how many there were.
Result<std::size_t> remove_leftovers(std::string const& pin);

}  // namespace tamis::runtime
