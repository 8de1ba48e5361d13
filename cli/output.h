// Standard output that notices when it fails, diagnostics on standard error, and exit codes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "bpf/result.h"

namespace tamis::cli {

// Exit codes: the whole contract of the program with scripts.
enum class Exit : int {
    success = 0,  // done; something matched
    nothing = 1,  // nothing matched, or a difference was found
    usage = 2,    // bad usage or input
    refused = 3,  // the system refused: permission, kernel, a write that was lost
};

// Ordered keys: the same input prints the same bytes.
using Json = nlohmann::ordered_json;
// An object with the two keys that all of ours begin with.
Json object_of(std::string_view kind);

// Buffers `text` for standard output.
void print(std::string_view text);
void print_json(Json const& object);  // on one line
// Writes out what is buffered; an error when any of it was lost.
Result<void> flush();

// Text on standard error, at once.
void complain(std::string_view text);
// The rendered diagnostic on standard error; its fault decides the exit code.
Exit report(Diagnostic const& diagnostic, Source const& source);
// For mistakes on the command line and refusals that are about no text.
Exit report(Diagnostic const& diagnostic);

}  // namespace tamis::cli
