// What a program of an object asks of the kernel: helpers and functions that it calls, and what it
// reads and writes of its context.  Found in its instructions, before any kernel is asked.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/elf_object.h"
#include "runtime/kernel_features.h"
#include "runtime/release.h"
#include "runtime/sections.h"

namespace tamis::runtime {

struct ContextAccess {
    std::uint32_t offset, size;  // bytes
    bool write;
    auto operator<=>(ContextAccess const&) const = default;
};

// Each once, in order; those of every function that the program reaches.
struct Needs {
    std::vector<std::uint32_t> helpers;
    std::vector<std::string> functions;  // the kernel's, by name
    std::vector<ContextAccess> accesses;
};
// The context is followed through registers, the stack and calls, as a constant distance from its
// beginning; the verifier takes no other.
Needs needs_of(ElfObject const& object, std::string_view section, std::string_view function);

// One of them, held against the kernel.
struct Need {
    enum class What : std::uint8_t { helper, function, read, write };
    What what;
    std::string name;              // `bpf_map_lookup_elem`, `xdp_md->data`
    std::optional<Release> since;  // none: not known, or in no kernel that is
    Support here;                  // in programs of this kind
};
// `row` is null where the section names no kind: nothing can be tried then.
std::vector<Need> hold_against_kernel(Needs const& needs, SectionRow const* row);

}  // namespace tamis::runtime
