// Random classic programs that the kernel takes: for `tamis check --random` and for differential
// tests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "bpf/cbpf.h"

namespace tamis::verify {

// An endless sequence of programs, the same for the same seed and options on every machine.  All
// 49 opcodes occur, jumps of every shape and code that nothing reaches among them; most loads stay
// inside the packet and most divisors are not 0, so that most programs run to a `ret`.
class RandomPrograms {
  public:
    struct Options {
        std::size_t min_length = 1, max_length = 40;  // of next(), in instructions
        std::uint32_t packet_length = 64;             // loads go up to about its end
        bool junk_fields = false;  // fill the fields that an instruction does not use
        std::vector<cbpf::Anc> ancillaries = {};  // absolute loads may read these
        // Absolute and indexed loads may have offsets from 0x80000000 up: relative to a header
        // under the kernel's rule, outside the packet under libpcap's.
        bool header_offsets = false;
    };

    explicit RandomPrograms(std::uint64_t seed);
    RandomPrograms(std::uint64_t seed, Options options);

    cbpf::Program next();
    cbpf::Program program(std::size_t length);  // length >= 1

    // The same stream of random numbers, for packets and mutations that go with the programs.
    std::uint64_t below(std::uint64_t n);  // 0 to n - 1
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    std::uint32_t constant();  // often one at a border: 0, 1, 0x7fffffff, 0xffffffff, ...
    std::vector<std::uint8_t> packet(std::size_t length);

  private:
    class Writer;

    std::mt19937_64 random_;
    Options options_;
};

}  // namespace tamis::verify
