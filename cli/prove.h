// Proofs that other verbs ask for.
#pragma once

#include "bpf/ebpf.h"
#include "cli/input.h"
#include "translator/translate.h"
#include "verify/prove.h"

namespace CLI {
class App;
}

namespace tamis::cli {

// What `compile --prove` wants before it writes anything: that the translation is right (where
// there is a hook) and that the optimiser has kept the meaning (where it has run).  Says what was
// not proved on standard error; the exit code is 1 for refuted and 3 for undecided.  `timeout` is
// for one question, in seconds.
Exit prove_compiled(InputOptions const& options, Input const& input, int link_type,
                    HookRow const* hook, ebpf::Program const* extended,
                    translator::Options const& translation, double timeout);

// --timeout; it says what `timeout` is unless it is given.
void add_timeout(CLI::App& app, double& timeout);
constexpr double default_timeout = verify::default_timeout.count();

}  // namespace tamis::cli
