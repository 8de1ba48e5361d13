// The program `tamis`: verbs, and what they end with.
#include <algorithm>
#include <iterator>

#include <fmt/core.h>
#include <sys/auxv.h>

#include "cli/verbs.h"

namespace {

using namespace tamis;
using cli::Exit;

struct Verb {
    std::string_view name, summary;
    Exit (*run)(std::vector<std::string> const&);
    bool trusted_only;  // not for a program with more privilege than its user
};
constexpr Verb verbs[] = {
    {"compile", "an expression as classic BPF, eBPF or an ELF object", cli::compile, false},
    {"inject", "a filter in place of a function of an object that clang made", cli::inject, false},
    {"match", "the packets of a capture file that an expression matches", cli::match, false},
    {"attach", "run a filter at a hook of the kernel and count", cli::attach, true},
    {"list", "what stays attached under a name, with its counters", cli::list, true},
    {"detach", "end what was attached under a name", cli::detach, true},
    {"explain", "an expression, its classic BPF and its eBPF side by side", cli::explain, false},
    {"check", "our translation of a filter beside the running kernel's own", cli::check, true},
    {"prove", "a filter or two of them for every packet, or a packet that differs", cli::prove,
     false},
    {"load", "any eBPF object into the kernel, attached by the names of its sections", cli::load,
     true},
    {"watch", "eBPF programs as they come and go", cli::watch, true},
    {"features", "the types of programs and maps, and what this kernel lets us load", cli::features,
     true},
};

std::string usage() {
    std::string text = "usage: tamis VERB [OPTIONS] EXPR\n\n";
    for (Verb const& verb : verbs) text += fmt::format("  {:10} {}\n", verb.name, verb.summary);
    return text +
           "\n`tamis VERB --help` lists a verb's options; `--version` prints the version.\n"
           "Expressions are tcpdump's: tamis compile -d 'tcp port 80'\n"
           "Exit: 0 success or a match, 1 no match or a difference, 2 bad usage or input, 3 "
           "refused\n"
           "by the system or undecided.\n";
}

Exit run(std::vector<std::string> const& args) {
    if (args.empty()) {
        cli::complain(usage());
        return Exit::usage;
    }
    if (args[0] == "--help" || args[0] == "-h") {
        cli::print(usage());
        return Exit::success;
    }
    if (args[0] == "--help-json") {
        for (Verb const& verb : verbs) verb.run({"--help-json"});
        return Exit::success;
    }
    if (args[0] == "--version") {
        cli::print("tamis " TAMIS_VERSION "\n");
        return Exit::success;
    }
    auto const* verb = std::find_if(std::begin(verbs), std::end(verbs),
                                    [&](Verb const& v) { return v.name == args[0]; });
    if (verb == std::end(verbs))
        return cli::report({fmt::format("unknown verb '{}'", escape(args[0])),
                            std::nullopt,
                            {{"`tamis --help` lists the verbs", std::nullopt}}});
    if (verb->trusted_only && getauxval(AT_SECURE) != 0)
        return cli::report(
            {fmt::format("'{}' does not run with more privilege than its user has", verb->name),
             std::nullopt,
             {{"run it through sudo or a systemd unit", std::nullopt}},
             Fault::system});
    return verb->run({args.begin() + 1, args.end()});
}

}  // namespace

int main(int argc, char** argv) {
    Exit const code = run({argv + 1, argv + std::max(argc, 1)});
    if (auto const written = cli::flush(); !written)
        return static_cast<int>(cli::report(written.error()));
    return static_cast<int>(code);
}
