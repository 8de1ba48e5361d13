// What differs between the C of one hook and another: how packets are read, and what the program
// around the filter does.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "backend/c_source.h"

namespace tamis::backend {

class CPrelude {
  public:
    explicit CPrelude(COptions const& options) : options_(options), hook_(options.hook) {}

    std::string begin(std::string const& filter) const;  // comment and includes
    std::string readers(std::set<unsigned> const& sizes) const;
    std::string entry() const;

    std::string parameter() const;  // the packet, as functions take it
    std::string_view argument() const { return hook_ ? "ctx" : "packet"; }
    std::string linkage(std::string_view function) const;
    std::string_view length() const;
    std::string metadata(cbpf::Anc number) const;  // empty where it cannot be read
    // X + k as an offset, and a shift by what may be more than 31: as the kernel's rule has them,
    // or libpcap's.
    std::string sum(std::string const& x, std::uint32_t k) const;
    std::string shift(std::string const& a, std::string const& symbol, std::string const& by) const;
    // Whether the caller wants the classic program's value, and not 1 or 0.
    bool returns_values() const;
    std::string verdict(std::uint32_t k) const;

  private:
    std::string reader(unsigned size) const;
    std::string action(Action const& action) const;

    COptions const& options_;
    HookRow const* hook_;
};

}  // namespace tamis::backend
