// The ways in which filters are translated to be proved.
#pragma once

#include <string>
#include <vector>

#include "bpf/hooks.h"
#include "translator/translate.h"

namespace tamis::test {

// As `tamis compile --hook` translates.
inline translator::Options options_for(HookRow const& hook) {
    return {.hook = hook.hook,
            .match = {find_action(hook, hook.match)},
            .no_match = {find_action(hook, hook.no_match)},
            .stats = true};
}

struct Translation {
    std::string name;
    translator::Options options;
};

// What each hook does by default, and at XDP a program that only decides: without counters the ends
// are others, and the order of instructions.
inline std::vector<Translation> translations() {
    std::vector<Translation> out;
    for (HookRow const& hook : hooks()) out.push_back({std::string(hook.name), options_for(hook)});
    HookRow const& xdp = row(Hook::xdp);
    out.push_back({"xdp, deciding", options_for(xdp)});
    out.back().options.no_match = {find_action(xdp, "drop")};
    out.back().options.stats = false;
    for (Translation& translation : out)
        translation.options.shape.vlan_offload = translator::VlanOffload::metadata;
    return out;
}

}  // namespace tamis::test
