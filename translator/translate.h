// Classic to extended: a checked classic program becomes an eBPF program for a hook.
#pragma once

#include <string>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::translator {

// Where the outer VLAN tag of a packet at XDP may be, when the driver has taken it out.
enum class VlanOffload : std::uint8_t {
    refuse,    // nowhere: a filter that asks for it would be wrong without saying so
    ignore,    // the same, and the user knows that the driver leaves tags in the packet
    metadata,  // the driver tells it (bpf_xdp_metadata_rx_vlan_tag, Linux 6.8); such a program is
               // loaded for one device
};

// What a direct form may rely on.
struct Shape {
    // Bytes outside of the linear part of a packet are out of bounds: no falling back to a call.
    bool linear = false;
    // Loads without CAP_PERFMON: computed offsets are read by a call, and no pointers are
    // subtracted.
    bool no_perfmon = false;
    VlanOffload vlan_offload = VlanOffload::refuse;
};

struct Options {
    Hook hook = Hook::socket;
    Action match, no_match;  // of the hook's row
    Shape shape{};
    bool stats = true;  // count packets and bytes in the map `counters`: index 0 passed, 1 matched
    std::string name =
        "tamis_filter";  // of the entry function: a C identifier, at most 15 characters
};

// The whole program for a hook: filter, counters, action.  Fails, pointing at the instruction's
// origin, when the program reads something that the hook does not have.  `program` must have passed
// cbpf::check (of any length).
Result<ebpf::Program> translate(cbpf::Program const& program, Options const& options);

// The filter alone, as one function that returns the classic program's value in r0 under the
// kernel's rules: the socket form (Access::ld_abs) or the direct form, as the hook's row says.
Result<ebpf::Program> translate_filter(cbpf::Program const& program, HookRow const& hook,
                                       Shape const& shape = {});

// Where a function's arguments are that say where the packet is: the context in `first`, or the
// packet's bounds.
struct Parameters {
    ebpf::Reg first = ebpf::Reg::r1, second = ebpf::Reg::r2;
};

// The filter as a function of that name for other programs to call; it returns 1 for a match and 0
// for none.  `hook` is where those programs run, or what bounds_only() made of it.
Result<ebpf::Program> translate_predicate(cbpf::Program const& program, HookRow const& hook,
                                          Shape const& shape, std::string name,
                                          Parameters const& parameters = {});

// Index of the counters map's entries.
inline constexpr std::uint32_t counter_passed = 0, counter_matched = 1;

}  // namespace tamis::translator
