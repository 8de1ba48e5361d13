// Packets that are built to pass, and to miss, the tests of a classic program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "bpf/cbpf.h"

namespace tamis::test {

// Walks through the program `count` times.  At each branch it decides at random what shall come
// out and writes the field that is tested accordingly, unless an earlier decision hangs on the same
// bytes.  Some packets are then changed in one field, or cut short.  Backward jumps are not
// expected.  The same random state gives the same packets.
std::vector<std::vector<std::uint8_t>> steer(cbpf::Program const& program, std::mt19937_64& random,
                                             std::size_t count);

}  // namespace tamis::test
