// Loads of what a register holds already.
#pragma once

#include "bpf/cbpf.h"

namespace tamis::translator {

// Makes a jump to the next instruction of each load of X from the cell whose value X is known to
// have: what was checked behind X stays checked.  Where headers begin at an offset that is kept in
// a cell (behind VLAN tags, MPLS labels), classic code loads it anew for each field.
void drop_reloads(cbpf::Program& program);

}  // namespace tamis::translator
