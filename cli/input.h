// What a verb works on: an expression or a classic program, and where it came from.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/diagnostic.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "cli/output.h"
#include "frontend/compile.h"
#include "translator/translate.h"

namespace CLI {
class App;
}

namespace tamis::cli {

// The options that say what to filter for; shared by all verbs with an EXPR.
struct InputOptions {
    std::string file;  // -F
    std::string cbpf;  // --cbpf
    std::vector<std::string> words;
    std::uint32_t snaplen = 262144;  // -s
    std::string netmask;             // -m
    std::string context;             // --context
    bool unoptimised = false;        // -O
    bool quiet = false;              // -q
    bool silent = false;             // not even errors: whether it compiles is the question
    bool no_names = false;           // --no-names
    bool system_names = false;       // --system-names
    bool strict = false;             // --werror
    unsigned protochain_max = 8;     // --protochain-max
    bool unchecked = false;          // a classic program may be one that the kernel refuses

    void add_to(CLI::App& app);
};

// A classic program together with the text that its spans point into.
struct Input {
    Source source;
    cbpf::Program program;
    std::vector<Diagnostic> warnings;
    std::optional<frontend::Graph> graph{};  // of an optimised expression
};

// The bytes of a file, `-` is standard input; at most frontend::max_text of them.  # begins a
// comment that is blanked out up to the end of its line, which leaves every column where it was.
Result<Source> read_text(std::string const& path);

// The bytes of an object file, `-` is standard input; the same limit.
Result<std::vector<std::byte>> read_object(std::string const& path);

// The source as line information names it: `<filter>` for words of the command line, else the file.
Source line_source(InputOptions const& options, Source const& source);

// Compiles an expression with the options but not from where they say.  Errors and warnings are
// already reported when this returns; the exit code says what to end with.
tl::expected<Input, Exit> compile_text(InputOptions const& options, Source source, int link_type,
                                       frontend::Context context,
                                       frontend::Tags tags = frontend::Tags::taken_out);

// A warning as -q and --werror want it; what to end with, where it is an error.
std::optional<Exit> warn(InputOptions const& options, Source const& source,
                         Diagnostic const& warning);

// Reads and compiles what the options name.  Errors and warnings are already reported when this
// returns; the exit code says what to end with.
tl::expected<Input, Exit> compile_input(InputOptions const& options, int link_type,
                                        frontend::Context context,
                                        frontend::Tags tags = frontend::Tags::taken_out);
// Where packets at a hook of this kernel have their outer VLAN tag.
frontend::Tags tags_at(HookRow const& hook, translator::VlanOffload offload);

// The formula of a text that compiled with these options.
tl::expected<frontend::Formula, Exit> read_formula(InputOptions const& options,
                                                   Source const& source, int link_type,
                                                   frontend::Context context,
                                                   frontend::Tags tags = frontend::Tags::taken_out);

}  // namespace tamis::cli
