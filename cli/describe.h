// The options of a verb as data: what --help, the manual page and completion in a shell say of
// them.
#pragma once

#include <memory>

#include "cli/output.h"

namespace CLI {
class App;
class FormatterBase;
}  // namespace CLI

namespace tamis::cli {

// `--help-json`: prints the verb and all its options.
Exit describe(CLI::App const& app, bool takes_expression);

// Writes --help: no line longer than 80 columns where it can be broken.
std::shared_ptr<CLI::FormatterBase> help_formatter();

}  // namespace tamis::cli
