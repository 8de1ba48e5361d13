// The programs of `tamis check --random`: all that the kernel's translation can do, and some of
// what it refuses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/cbpf.h"
#include "verify/random_cbpf.h"

namespace tamis::verify {

// An endless sequence, the same for the same seed on every machine: 1 to 4,096 instructions, 80 in
// the mean, every opcode, ancillary value and unused field.  One in eight is spoilt in one
// instruction; some of those, and the longest translations, are refused.
class MirrorPrograms {
  public:
    explicit MirrorPrograms(std::uint64_t seed);
    cbpf::Program next();

  private:
    std::size_t length();
    cbpf::Program over_loads();
    void spoil(cbpf::Program& program);

    RandomPrograms random_;
};

}  // namespace tamis::verify
