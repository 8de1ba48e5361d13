// Code without instructions whose results nobody reads.
#pragma once

#include "bpf/cbpf.h"

namespace tamis::frontend {

// Takes out what only writes registers or memory that no path reads afterwards.  What can end the
// program, loads of the packet and divisions, stays.  The program jumps forward only.
void drop_dead_code(cbpf::Program& program);

}  // namespace tamis::frontend
