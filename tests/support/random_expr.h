// Random filters, for differential tests: every primitive of the language where it exists.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>

#include "bpf/link_types.h"

namespace tamis::test {

// The link types whose filters are drawn.
std::span<int const> drawn_link_types();

// An endless sequence of filters for a link type, the same for the same seed.
// What is drawn can match as a rule: tests that `and` joins are of one kind of packet, and numbers
// are ones that the compared value can have.  A few ask for what their link type does not have, or
// miss a word.
class RandomExpressions {
  public:
    explicit RandomExpressions(std::uint64_t seed, int link_type = en10mb)
        : random_(seed), link_type_(link_type) {}

    std::string next();

  private:
    std::mt19937_64 random_;
    int link_type_;
};

}  // namespace tamis::test
