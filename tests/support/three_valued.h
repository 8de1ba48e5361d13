// What a filter's text says of a packet, in three-valued logic: the slow, obvious judge of what an
// optimised program may accept.
#pragma once

#include <cstdint>

#include "frontend/formula.h"
#include "runtime/cbpf_vm.h"
#include "runtime/packet.h"

namespace tamis::test {

enum class Truth : std::uint8_t {
    no,
    unknown,  // it hangs on bytes behind the packet's end
    yes,
};

// Kleene's logic: tests of bytes that the packet lacks are unknown.  From left to right, up to the
// operand that decides; `divides_by_zero`, if not null, says whether there was a division by zero
// on the way, before anything unknown.  What an operand assigns that may or may not have been
// looked at is unknown.  The formula is walked by recursion.
Truth evaluate(frontend::Formula const& formula, runtime::Packet const& packet,
               runtime::Rules rules, bool* divides_by_zero = nullptr);

}  // namespace tamis::test
