// The order in which the direct form asks what a value is.
#pragma once

#include <cstdint>
#include <vector>

#include "bpf/cbpf.h"

namespace tamis::translator {

// A program with some of its instructions moved, and where each was before.
struct Reordered {
    cbpf::Program program;
    std::vector<std::uint32_t> number;
};

// The same program, its chains of tests for equality rotated so that the value whose code follows
// comes last.  That code is then fallen into: without the jump around the other tests' code, and
// with a branch that is seldom taken.
Reordered rotate_tests(cbpf::Program const& program);

}  // namespace tamis::translator
