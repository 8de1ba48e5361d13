// libFuzzer target: objects of others that get a filter put into their function `stub`.  Any bytes
// are refused, or become an object whose stub has the new body.
#include "backend/inject.h"

#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis;
    auto const object = std::as_bytes(std::span(data, size));
    if (!backend::find_stub(object, "stub")) return 0;
    ebpf::Program const body{{ebpf::make_insn(0xb7, 0, 0, 0, 1), ebpf::make_insn(0x95)},
                             {{0, {0, 3}}, {1, {4, 7}}},
                             {},
                             {{"stub", 0}}};
    Source const source{"<filter>", "one two"};
    auto const made = backend::inject(object, "stub", body, &source);
    if (!made) return 0;
    auto const again = backend::find_stub(*made, "stub");
    if (!again || again->instructions != 2) std::abort();
    return 0;
}
