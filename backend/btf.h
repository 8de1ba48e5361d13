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

// Who may call a function: its own object, every program, or every object that the linker joins
// with this one (the verifier then sees a static function).
enum class Scope : std::uint8_t { local, global, hidden };

struct PlacedFunction {
    std::string name;
    std::uint32_t begin;  // in instructions from the section's start
    Scope scope;
};

// A section of code.
struct CodeSection {
    std::string_view name;
    std::vector<PlacedFunction> functions;
    std::vector<LineInfo> lines;  // from the section's start
};

// A variable that is only there for its type: a struct whose members' types are numbers, as
// __uint() in bpf_helpers.h makes them.
struct Settings {
    struct Setting {
        std::string name;
        std::uint32_t number;
    };
    std::string variable;
    std::vector<Setting> settings;
    std::uint32_t size() const { return static_cast<std::uint32_t>(8 * settings.size()); }
};

// The C declaration of a function of the object; `context` as below.
std::string declaration(std::string_view function, std::string_view context);

struct TypeSections {
    std::vector<std::byte> btf, ext;  // contents of .BTF and .BTF.ext
};

// Every map is a variable of this many bytes in the section .maps (BTF-defined maps: a struct whose
// members' types say what the map is, see libbpf's documentation); map i is at i times that.
inline constexpr std::uint32_t map_definition_size = 32;

// What an object has types for.  Every function takes a pointer to `context`, a struct under its
// name in linux/bpf.h; where that is empty, pointers to the packet's bounds.  `run_configs` are
// variables of the section .xdp_run_config; `license` is the text in the section of that name,
// empty when there is none.
struct Typed {
    std::vector<CodeSection> code;
    std::span<ebpf::MapSpec const> maps;
    std::span<ebpf::Kfunc const> kfuncs;
    std::span<Settings const> run_configs;
    std::string_view context, license;
};

// Fails, as the system's fault, only when libbpf does.
Result<TypeSections> type_sections(Typed const& object);

}  // namespace tamis::backend
