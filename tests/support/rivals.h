// The C programs of bench/rivals, as clang compiled them.
#pragma once

#include <string>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/result.h"

namespace tamis::test {

struct Rival {
    std::string name;
    std::size_t at_most = 0;  // instructions of its XDP program in the kernel
    std::string expression;
    ebpf::Program xdp;     // passes a match and drops the others
    ebpf::Program bounds;  // r0 = whether a packet from r1 to r2 matches
};

// The rows of the list, in its order.  An error names what one of the two files lacks.
Result<std::vector<Rival>> rivals(std::string const& object, std::string const& list);

}  // namespace tamis::test
