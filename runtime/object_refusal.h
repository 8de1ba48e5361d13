// Why the kernel, or libbpf before it, did not take an object.
#pragma once

#include <string>
#include <string_view>

#include "runtime/object_file.h"

namespace tamis::runtime {

// `log` is the verifier's, empty when the kernel did not get that far; `words` are libbpf's, which
// say what of the object it was about.
Diagnostic load_refusal(Plan const& plan, std::string const& object, int error,
                        std::string_view log, std::string_view words);

}  // namespace tamis::runtime
