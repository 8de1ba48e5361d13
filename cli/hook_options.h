// The options that choose a hook and what its program answers.
#pragma once

#include <string>

#include "bpf/result.h"
#include "translator/translate.h"

namespace CLI {
class App;
}

namespace tamis::cli {

struct HookOptions {
    std::string name;             // --hook
    std::string match, no_match;  // actions; empty: the row's default
    std::string vlan_offload = "refuse";
    bool no_stats = false, linear = false, no_perfmon = false;

    void add_to(CLI::App& app);
    // The row, actions with their arguments, and counters; an error names what the hook takes.
    Result<translator::Options> resolve() const;
};

}  // namespace tamis::cli
