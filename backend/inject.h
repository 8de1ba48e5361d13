// A filter into a function of an object that clang made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/btf_reader.h"
#include "bpf/diagnostic.h"
#include "bpf/ebpf.h"
#include "bpf/result.h"

namespace tamis::backend {

// What a filter has to fit.
struct Stub {
    std::vector<Parameter> parameters;
    std::vector<std::string> sections;  // with code, but .text: they tell who calls it
    std::uint32_t instructions;         // of its body
};

// The function of that name in an object's code, by the object's own type information.  An error
// says what is missing.  The bytes are not trusted.
Result<Stub> find_stub(std::span<std::byte const> object, std::string_view function);

// The object with `program` (one function, no maps) as that function's body.  Everything else means
// what it meant: calls and relocations lead where they led, symbols and the records of .BTF.ext
// move with their code.  The body's records show the filter, `source`; null: none.  What describes
// the old bytes only (DWARF) is left out.
Result<std::vector<std::byte>> inject(std::span<std::byte const> object, std::string_view function,
                                      ebpf::Program const& program, Source const* source);

}  // namespace tamis::backend
