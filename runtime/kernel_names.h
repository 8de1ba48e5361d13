// What of the kernel's programs can be attached to by name, and names that are none.
#pragma once

#include <string_view>

#include "bpf/diagnostic.h"
#include "runtime/sections.h"

namespace tamis::runtime {

// For a section whose tail the kernel does not know: says so, with names that are near.  The
// caller takes libbpf's words.
Diagnostic no_such_place(SectionRow const& row, std::string_view tail);

}  // namespace tamis::runtime
