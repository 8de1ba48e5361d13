// Several filters for one object, each under a name of its own.
#pragma once

#include <string>
#include <vector>

#include "bpf/diagnostic.h"
#include "bpf/result.h"

namespace tamis::cli {

struct NamedFilter {
    std::string name;  // of its program
    Source source;
    bool from_file = false;
};

// A name that a program can have: a C identifier of at most 15 characters (the kernel's limit) that
// is no keyword of C, in which skeletons are written.
Result<void> check_name(std::string const& name);

// `definitions` are NAME=EXPR; a file has one on each line that is not empty, with # before
// comments (empty path: no file).  An error names the definition that cannot be, or the names that
// collide.
Result<std::vector<NamedFilter>> named_filters(std::vector<std::string> const& definitions,
                                               std::string const& file);

// What the map with the counters of such a filter is called.
std::string counters_name(std::string const& filter);

}  // namespace tamis::cli
