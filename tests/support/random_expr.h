// Random filters that are right, for differential tests.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace tamis::test {

// An endless sequence of filters for Ethernet, the same for the same seed on every machine: tests
// of all kinds joined by and, or, not and parentheses, identifiers that inherit their qualifiers,
// comparisons of arithmetic.  libpcap 1.10.3 compiles them all.
class RandomExpressions {
  public:
    explicit RandomExpressions(std::uint64_t seed) : random_(seed) {}

    std::string next();

  private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    template <std::size_t n>
    std::string pick(char const* const (&words)[n]) {
        return words[below(n)];
    }
    std::string chain(unsigned depth);
    std::string operand(unsigned depth);
    std::string test();
    std::string with_more(std::string const& qualifiers, std::string (RandomExpressions::*id)());
    std::string port();
    std::string range();
    std::string host4();
    std::string net4();
    std::string host6();
    std::string net6();
    std::string mac();
    std::string number();
    std::string relation();
    std::string arith(unsigned depth);
    std::string accessor(unsigned depth);

    std::mt19937_64 random_;
};

}  // namespace tamis::test
