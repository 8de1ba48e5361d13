// The ways in which filters are translated to be proved.
#pragma once

#include <string>
#include <vector>

#include "bpf/hooks.h"
#include "translator/translate.h"

namespace tamis::test {

struct Translation {
    std::string name;
    translator::Options options;
};

// What each hook does by default, and at XDP a program that only decides: without counters the ends
// are others, and the order of instructions.
inline std::vector<Translation> translations() {
    std::vector<Translation> out;
    auto const add = [&](HookRow const& hook, std::string name, std::string_view match,
                         std::string_view no_match, bool stats) {
        out.push_back({std::move(name),
                       {.hook = hook.hook,
                        .match = {find_action(hook, match), 0},
                        .no_match = {find_action(hook, no_match), 0},
                        .shape = {.vlan_offload = translator::VlanOffload::metadata},
                        .stats = stats}});
    };
    for (HookRow const& hook : hooks())
        add(hook, std::string(hook.name), hook.match, hook.no_match, true);
    add(row(Hook::xdp), "xdp, deciding", "pass", "drop", false);
    return out;
}

}  // namespace tamis::test
