// Ranges that are networks.
#pragma once

#include "bpf/cbpf.h"

namespace tamis::translator {

// Where a value is just loaded, asked for a range of 2^n values that begins at a multiple of 2^n,
// and forgotten, asks for the bits that all of these share: instead of two comparisons, and of the
// swap that comparisons by size want, a mask and a comparison in the packet's order.
void mask_networks(cbpf::Program& program);

}  // namespace tamis::translator
