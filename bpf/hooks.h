// The hooks: where in the kernel a filter can run, one row each.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tamis {

enum class Hook : std::uint8_t { socket, xdp, tc_ingress, tc_egress };

// How a program at the hook reads packet bytes.
enum class Access : std::uint8_t {
    ld_abs,   // LD_ABS / LD_IND: the kernel's own loads, on skbs
    pointer,  // data / data_end from the context, with bounds checks that the verifier follows
};

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

struct HookRow {
    Hook hook;
    std::string_view name;      // "tc-ingress"
    std::uint32_t prog_type;    // BPF_PROG_TYPE_*
    std::uint32_t attach_type;  // BPF_* expected attach type, 0 where the type has none
    std::string_view section;   // ELF section, as libbpf and iproute2 know it
    Access access;
    std::string_view context;  // BTF name of the context struct
    ContextFields fields;
    bool softirq_only;  // never interrupted on its CPU by itself: counters need no atomic add
    std::span<ActionName const> actions;
    std::string_view match, no_match;  // default actions
    Lifetime lifetime;
    std::string_view capabilities;  // what attaching needs, as a message names it
};

std::span<HookRow const> hooks();
HookRow const& row(Hook hook);
HookRow const* find_hook(std::string_view name);  // null when no row has that name
ActionName const* find_action(HookRow const& hook, std::string_view name);

// One of the hook's actions with its argument.
struct Action {
    ActionName const* name = nullptr;
    std::uint32_t argument = 0;  // bytes to keep, or an interface index
    bool operator==(Action const&) const = default;
};

}  // namespace tamis
