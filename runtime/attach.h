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

namespace tamis::runtime {

// Where a program is to go, as the user says it.  Empty: not said.
struct Where {
    std::string interface;      // -i
    std::string cgroup;         // --cgroup: path of a control group's folder (version 2)
    std::string netfilter;      // --nf: `ipv4`, `ipv6:-100`
    std::string mode = "auto";  // --mode, by kind
    std::string before, after;  // tcx: the ID or name of a program there, or a name of `tamis list`
    Direction direction = Direction::both;  // of a packet socket
};

// What goes there.
struct Program {
    int fd;
    std::uint32_t id;
    int counters;  // its map; -1: none
};

// What is attached.  Links and sockets go with this value, and with the process however that ends.
class Attached {
  public:
    std::string kind;    // of the table's row: "tcx"
    std::string target;  // "veth0", "/sys/fs/cgroup/web", "ipv4:-100"
    std::string mode;    // "native", "tcx", ...: what was got, where there is a choice
    Lifetime lifetime = Lifetime::link;
    Fd holder;         // the link or the socket
    std::string note;  // what the user should know, or empty
};

// Before anything is compiled: a target that is missing, or one that the hook does not take, is an
// error that names the option.
Result<void> check(HookRow const& hook, Where const& where);
// The name of the program that stays: `tamis_NAME`, as far as 15 characters go.
std::string program_name(std::string const& pin);

// What check() refuses, and what would stay behind (Lifetime::sticky).
Result<Attached> attach(HookRow const& hook, Program const& program, Where const& where);

// The same, to stay under a name (pins.h).  `about` is added to what is known of the place.
Result<Attached> attach_pinned(HookRow const& hook, Program const& program, Where const& where,
                               std::string const& name, Facts about);

// Ends what attach_pinned, or `load`, left there; puts back what it had replaced.
Result<void> detach(Pinned const& pinned);

}  // namespace tamis::runtime
