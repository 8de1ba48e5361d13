// libFuzzer target: what reads objects for `tamis load` before libbpf does, and for `tamis prove`
// instead of it.  Any bytes are read or refused; what is rewritten has no maps of the old era any
// more, and a program that was read is one.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "runtime/elf_object.h"
#include "runtime/object_program.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis::runtime;
    auto const bytes = std::as_bytes(std::span(data, size));
    for (char const* const name : {"", "pass"}) {
        auto const object = read_program(bytes, name);
        if (object && !tamis::ebpf::decode(tamis::ebpf::encode(object->program.insns)))
            std::abort();
    }
    auto const modern = modernised(bytes);
    if (!modern) return 0;
    auto const again = read_elf(*modern);
    if (!again || !again->legacy_maps.empty()) std::abort();
    return 0;
}
