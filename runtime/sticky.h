// Programs in tables of the kernel's own, where no link holds them: tc's filters before Linux 6.6,
// tc's actions, and routes.  They stay until somebody takes them out; ours are found again by their
// program, whatever else was changed there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::runtime {

// A filter (cls_bpf, direct action) at one side of an interface's clsact, which is made where it is
// missing.  Priority 0: the kernel chooses, behind all others.
Result<void> add_tc_filter(int program, std::uint32_t interface, bool egress,
                           std::uint32_t priority);
// Takes out the filter with this program, and the clsact when nothing is left in it.
Result<void> remove_tc_filter(std::uint32_t program, std::uint32_t interface, bool egress);

// An action (act_bpf) of its own, which filters of tc refer to: `action bpf index N`.
Result<void> add_tc_action(int program, std::uint32_t index, std::string const& name);
Result<void> remove_tc_action(std::uint32_t index);

// The program on the route to exactly this prefix in the main table: `10.0.0.0/8`, `default`.  A
// route that has an encapsulation or several next hops is refused.
Result<void> add_to_route(int program, std::string const& prefix, Hook hook,
                          std::string const& name);
// The route as it is now, without the program of that name; nothing where it is gone already.
Result<void> remove_from_route(std::string const& prefix, std::string const& name);

// What is there in this network namespace under a name that begins with `tamis_`: `tamis_web:[17]`,
// the program's ID in brackets.
struct Sticky {
    std::string name;
    std::uint32_t program;
    std::string place;            // "tc-egress eth0", "route 10.0.0.0/8"
    std::uint32_t interface = 0;  // 0: it is on a route
    bool egress = false;
    std::string prefix{};
};
Result<std::vector<Sticky>> sticky_tc_filters();
Result<std::vector<Sticky>> sticky_routes();
Result<void> remove(Sticky const& sticky);

}  // namespace tamis::runtime
