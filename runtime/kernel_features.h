// What the running kernel lets us load, found out by trying.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tamis::runtime {

// `unknown`: it cannot be tried alone, as programs at functions need one to be at.
enum class Support : std::uint8_t { yes, no, unknown };

// Each loads one tiny program or creates one small map, and needs the privilege for that: without
// it the answer is no.
Support has_program_type(std::uint32_t type);
Support has_map_type(std::uint32_t type);
Support has_helper(std::uint32_t program_type, std::uint32_t helper);
// Whether the kernel has a function of that name in its BTF, as programs can call some (kfuncs).
Support has_kernel_function(std::string const& name);

// The name of a helper, `bpf_map_lookup_elem`; empty for a number that linux/bpf.h does not know.
std::string_view helper_name(std::uint32_t helper);
// One more than the last number that has a name.
std::uint32_t helper_count();

}  // namespace tamis::runtime
