// How far apart two spellings are, for "did you mean".
#pragma once

#include <string_view>

namespace tamis {

// Swaps of neighbours, insertions, deletions and replacements that turn `a` into `b`, regardless of
// case (optimal string alignment).  Words of more than 32 bytes are far from everything.
unsigned edit_distance(std::string_view a, std::string_view b);

}  // namespace tamis
