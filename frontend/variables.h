// What has to be known of variables before a graph can be made of a formula.
#pragma once

#include "frontend/formula.h"

namespace tamis::frontend {

// The formula without assignments that nobody reads.  Offsets and values of variables have as their
// version how many assignments of the variable stand before them in the text: reads of one version
// see the same value, whatever way led to them, since nothing is assigned in between.
Formula with_versions(Formula const& formula);

}  // namespace tamis::frontend
