// The verbs: each takes the arguments behind its name and gives the exit code.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"

namespace tamis::cli {

Exit compile(std::vector<std::string> const& args);
Exit inject(std::vector<std::string> const& args);
Exit match(std::vector<std::string> const& args);
Exit attach(std::vector<std::string> const& args);
Exit list(std::vector<std::string> const& args);
Exit detach(std::vector<std::string> const& args);
Exit explain(std::vector<std::string> const& args);
Exit check(std::vector<std::string> const& args);
Exit prove(std::vector<std::string> const& args);
Exit load(std::vector<std::string> const& args);
Exit watch(std::vector<std::string> const& args);
Exit features(std::vector<std::string> const& args);

}  // namespace tamis::cli
