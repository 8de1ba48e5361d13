// What every fallible function returns.  One line to change when std::expected is everywhere.
#pragma once

#include <utility>

#include <tl/expected.hpp>

#include "bpf/diagnostic.h"

namespace tamis {

// A T, or the one Diagnostic that says why there is none.
template <class T>
using Result = tl::expected<T, Diagnostic>;

// `return fail({...});` in a function that returns a Result.
inline tl::unexpected<Diagnostic> fail(Diagnostic diagnostic) {
    return tl::unexpected<Diagnostic>(std::move(diagnostic));
}

}  // namespace tamis
