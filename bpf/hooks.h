// The hooks: where in the kernel a filter can run, one row each.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bpf/cbpf.h"

namespace tamis {

enum class Hook : std::uint8_t {
    socket,
    xdp,
    xdp_frags,
    tc_ingress,
    tc_egress,
    tc_action,
    cgroup_ingress,
    cgroup_egress,
    lwt_in,
    lwt_out,
    lwt_xmit,
    netfilter_prerouting,
    netfilter_input,
    netfilter_forward,
    netfilter_output,
    netfilter_postrouting,
};

// How a program at the hook reads packet bytes.
enum class Access : std::uint8_t {
    ld_abs,   // LD_ABS / LD_IND: the kernel's own loads, on skbs
    pointer,  // data / data_end from the context, with bounds checks that the verifier follows
    dynptr,   // bpf_dynptr_from_skb and slices of it: kernel functions
    probe,    // bpf_probe_read_kernel: the packet's bounds are mere numbers
};

// Where offset 0 of a program is: at the header of the device's link type, or at the IP header.
enum class Start : std::uint8_t { device, network };

// Where the outer VLAN tag of a packet is: in the packet, unless the driver took it out; in the
// socket buffer; nowhere any more.
enum class VlanTag : std::uint8_t { packet, metadata, none };

// What ends an attachment.
enum class Lifetime : std::uint8_t { fd, link, sticky };

// A verdict in the hook's words.
enum class Arg : std::uint8_t { none, bytes, interface };
struct ActionName {
    std::string_view name;
    std::int32_t
        code;  // what the program returns; ignored for `keep`, whose value is the classic program's
    Arg arg = Arg::none;
};

// Offsets of the fields that programs read, in bytes from the start of the context; -1 where the
// context has none.
struct ContextFields {
    std::int16_t len = -1, data = -1, data_end = -1;
};

// A field of the context that holds what a classic program reads as metadata: 32 bits.
struct Metadata {
    cbpf::Anc number;
    std::int16_t offset;         // bytes from the start of the context
    bool network_order = false;  // 16 bits, as on the wire
};

struct HookRow {
    Hook hook;
    std::string_view name;      // "tc-ingress"
    std::uint32_t prog_type;    // BPF_PROG_TYPE_*
    std::uint32_t attach_type;  // BPF_* expected attach type, 0 where the type has none
    std::string_view section;   // ELF section, as libbpf and iproute2 know it
    Access access;
    Start start;
    VlanTag vlan;
    std::string_view context;  // BTF name of the context struct
    ContextFields fields;
    std::span<Metadata const> metadata;  // besides the CPU's number and random ones
    bool linear;                         // every byte of a packet lies between data and data_end
    std::uint32_t flags;                 // BPF_F_* to load with
    bool softirq_only;  // never interrupted on its CPU by itself: counters need no atomic add
    std::span<ActionName const> actions;
    std::string_view match, no_match;  // default actions
    Lifetime lifetime;
    std::string_view capabilities;  // what attaching needs, as a message names it
    std::string_view since;         // the first kernel that has it
};

std::span<HookRow const> hooks();
HookRow const& row(Hook hook);
HookRow const* find_hook(std::string_view name);  // null when no row has that name
ActionName const* find_action(HookRow const& hook, std::string_view name);
Metadata const* find_metadata(HookRow const& hook, cbpf::Anc number);  // null where it has no field

// Of the packets at the hook: Ethernet, unless the device has another type; IP above the device.
int default_link_type(HookRow const& hook);

// The hook as a function sees it that is given where the packet's linear part begins and ends, and
// nothing else: no context, no metadata.  `access` is pointer or probe.
HookRow bounds_only(HookRow const& hook, Access access);
constexpr bool has_context(HookRow const& hook) { return !hook.context.empty(); }

// One of the hook's actions with its argument.
struct Action {
    ActionName const* name = nullptr;
    std::uint32_t argument = 0;  // bytes to keep, or an interface index
    bool operator==(Action const&) const = default;
};

}  // namespace tamis
