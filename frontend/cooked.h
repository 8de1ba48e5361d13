// Filters for the cooked link types on a live socket.
#pragma once

#include "bpf/cbpf.h"
#include "bpf/result.h"

namespace tamis::frontend {

// A program of LINUX_SLL or LINUX_SLL2, for a packet socket of type SOCK_DGRAM: there the packet
// begins with the network header, and what the cooked header would say the kernel knows beside the
// packet.  Fails, with a span, where a load needs a part of the header that the kernel does not
// tell; such a filter must run where the header is.  Programs of other link types are returned as
// they are.
Result<cbpf::Program> for_cooked_socket(cbpf::Program program, int link_type);

}  // namespace tamis::frontend
