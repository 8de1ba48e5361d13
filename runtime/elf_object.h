// What an eBPF object says that libbpf does not tell: its relocations, and maps of the old era.
// The bytes are not trusted: a broken file is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bpf/result.h"

namespace tamis::runtime {

// What an instruction refers to by name.
enum class Refers : std::uint8_t { map, function, data, kernel_function, external };
struct Relocation {
    std::string section, function;  // of the instruction
    std::uint64_t offset;           // of the instruction there, in bytes
    std::string symbol;             // a section's name where it is the section that is meant
    Refers to;
    bool operator==(Relocation const&) const = default;
};

// A map as the kernel's samples and iproute2 defined it until libbpf 1.0: a struct of numbers in
// the section `maps`.
struct LegacyMap {
    std::string name;
    std::uint32_t offset, size;  // of its struct, in bytes
    std::uint32_t type, key_size, value_size, max_entries, flags;
    bool operator==(LegacyMap const&) const = default;
};

struct HelperCall {
    std::string section, function;  // where
    std::uint32_t helper;           // its number
};

struct ElfObject {
    std::vector<Relocation> relocations;  // of sections with code, in their order
    std::vector<HelperCall> calls;        // likewise
    std::vector<LegacyMap> legacy_maps;   // by offset
};

// An error, the input's fault, for what is no 64-bit little-endian relocatable ELF file for BPF.
Result<ElfObject> read_elf(std::span<std::byte const> file);

// The same object with the section `maps` turned into `.maps`, its maps described by BTF, as
// libbpf wants them; without such a section the file as it is.
Result<std::vector<std::byte>> modernised(std::span<std::byte const> file);

}  // namespace tamis::runtime
