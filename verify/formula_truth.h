// What a filter's text says of a packet that is not known, in three-valued logic.
#pragma once

#include "frontend/formula.h"
#include "verify/packet_model.h"

namespace tamis::verify {

// A test whose load would be outside the packet is unknown: neither true nor false.  A relation
// that divides by zero, evaluated from left to right with unknown deciding nothing, ends it all.
struct Truth {
    Term yes, no;
    Term divided_by_zero;
};

// The formula as data, and not the program that was made of it: this is what optimised programs
// are held against.  The packet's rules say what loads and shifts mean.
Truth truth_of(frontend::Formula const& formula, Terms& terms, PacketModel& packet);

}  // namespace tamis::verify
