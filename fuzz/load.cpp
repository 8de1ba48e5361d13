// libFuzzer target: what reads objects for `tamis load` before libbpf does.  Any bytes are read or
// refused; what is rewritten has no maps of the old era any more; what every function needs is found.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "runtime/elf_object.h"
#include "runtime/object_needs.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis::runtime;
    auto const modern = modernised(std::as_bytes(std::span(data, size)));
    if (!modern) return 0;
    auto const again = read_elf(*modern);
    if (!again || !again->legacy_maps.empty()) std::abort();
    for (Function const& function : again->functions)
        needs_of(*again, function.section, function.name);
    return 0;
}
