// The command line: options first, then an expression that is passed on byte for byte.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/output.h"

namespace CLI {
class App;
}

namespace tamis::cli {

struct SplitArgs {
    std::vector<std::string> options;  // what CLI11 is to parse
    std::vector<std::string> words;    // the expression's words, untouched
};

// Options end at the first word that is none, or at `--`.  CLI11 itself would take brackets and
// words with a dash in an expression for its own.  An unknown option is an error.
Result<SplitArgs> split(CLI::App const& app, std::vector<std::string> const& args);

// Parses a verb's arguments into what `app` is bound to, and its expression's words into `words`.
// Runs `body` unless help was asked for or the arguments are wrong.
Exit parse_and_run(CLI::App& app, std::vector<std::string> const& args,
                   std::vector<std::string>& words, std::function<Exit()> const& body);
// For verbs without an expression.
Exit parse_and_run(CLI::App& app, std::vector<std::string> args, std::function<Exit()> const& body);

}  // namespace tamis::cli
