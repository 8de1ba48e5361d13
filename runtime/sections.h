// What the name of an ELF section says about the program in it: its type, how it is attached, what
// it is attached to, and what the kernel must have.  One row per name; the names are libbpf's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/release.h"

namespace tamis::runtime {

// How a loaded program gets to where it runs.
enum class AttachBy : std::uint8_t {
    kprobe,          // perf event of the kprobe PMU, or a trace event of kprobe_events
    kprobe_session,  // link to many functions
    uprobes,         // link to many functions of a file
    uprobe,          // perf event of the uprobe PMU
    usdt,            // uprobes at the places that the program's notes name
    libbpf,          // bpf_program__attach: the section says everything
    tracepoint,      // perf event of the trace point's number
    raw_tracepoint,  // BPF_RAW_TRACEPOINT_OPEN
    perf_event,      // perf events of --event, on every CPU
    packet_socket,   // SO_ATTACH_BPF on a packet socket of our own
    xdp,             // link on an interface
    tcx,             // link on an interface, ingress or egress
    netkit,          // link on a pair of interfaces
    cgroup,          // link on a control group
    netns,           // link on a network namespace
    socket_map,      // BPF_PROG_ATTACH to a socket map, which takes the program with it
    netfilter,       // link at a netfilter hook
    iterator,        // link, read once
    nobody,          // not by us: `reason` says who does
};

// What the section's name leaves open, and the option that says it.
enum class Target : std::uint8_t { none, interface, cgroup, map, event, binary, file, netfilter };
struct TargetRow {
    Target target;
    std::string_view what;    // "an interface"
    std::string_view option;  // "-i IF"
};
TargetRow const& row(Target target);

// What follows the name in the section.
enum class Tail : std::uint8_t {
    none,      // nothing
    required,  // `/` and what it is attached to: kprobe/tcp_v4_rcv
    optional,  // the same, or nothing
    any,       // whatever: the kernel's samples numbered theirs, socket1
};

// Parts of the kernel that can be left out when it is built.
enum class Part : std::uint8_t { none, kprobes, fprobes, uprobes, tracepoints, trampolines, lsm };

struct SectionRow {
    std::string_view name;
    Tail tail;
    std::uint32_t prog_type;    // BPF_PROG_TYPE_*
    std::uint32_t attach_type;  // expected attach type, BPF_*; 0 where there is none
    AttachBy by;
    Target target;
    Release since;  // the first kernel in which it can be attached this way
    Part part = Part::none;
    std::string_view reason = {};  // for AttachBy::nobody
};

std::span<SectionRow const> sections();

// The row with the longest name that fits the section, and what follows that name; null when none
// does.  A `?` in front, libbpf's mark of a program that is not loaded by itself, is skipped.
struct Section {
    SectionRow const* row;
    std::string_view tail;
};
Section find_section(std::string_view section);

}  // namespace tamis::runtime
