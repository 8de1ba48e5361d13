// The type information of an object: .BTF names functions, maps and their values, .BTF.ext says at
// which instruction each function begins and what line to show there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/line_info.h"
#include "bpf/ebpf.h"
#include "bpf/result.h"

namespace tamis::backend {

// A section of code: where each of its functions begins, in instructions from the section's start.
struct CodeSection {
    std::string_view name;
    std::vector<ebpf::Function> functions;
    std::vector<LineInfo> lines;  // likewise
    bool global;                  // the entries; other functions are static
};

// The C declaration of a function of the object.
std::string declaration(std::string_view function, std::string_view context);

struct TypeSections {
    std::vector<std::byte> btf, ext;  // contents of .BTF and .BTF.ext
};

// Every map is a variable of this many bytes in the section .maps (BTF-defined maps: a struct whose
// members' types say what the map is, see libbpf's documentation); map i is at i times that.
inline constexpr std::uint32_t map_definition_size = 32;

// Types of everything in the object.  `context` is the struct that every function takes a pointer
// to, under its name in linux/bpf.h; `license` the text in the section of that name.  Fails, as the
// system's fault, only when libbpf does.
Result<TypeSections> type_sections(std::span<CodeSection const> code,
                                   std::span<ebpf::MapSpec const> maps, std::string_view context,
                                   std::string_view license);

}  // namespace tamis::backend
