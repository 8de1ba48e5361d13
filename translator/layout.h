// In which order the direct form's instructions stand.
#pragma once

#include <cstddef>
#include <vector>

#include "translator/direct_plan.h"

namespace tamis::translator {

// The classic instructions of one version that have code of their own.  What is aside stands behind
// the ends.
struct CodeLayout {
    std::vector<std::size_t> straight, aside;
};

CodeLayout lay_out(Plan const& plan, bool slow);

}  // namespace tamis::translator
