// What an eBPF object says that libbpf does not tell: its functions and relocations, and maps of
// the old era. The bytes are not trusted: a broken file is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bpf/ebpf.h"
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

// A function of a section with code.
struct Function {
    std::string section, name;
    std::uint64_t begin;  // in the section, in bytes
    std::vector<ebpf::Insn> code;
    // Other functions of the object that it calls, or hands to a helper that will.
    struct Reference {
        std::size_t insn;      // in `code`
        std::size_t function;  // in ElfObject::functions
    };
    std::vector<Reference> references;
};

struct ElfObject {
    std::vector<Relocation> relocations;  // of sections with code, in their order
    std::vector<Function> functions;
    std::vector<LegacyMap> legacy_maps;  // by offset
};

// An error, the input's fault, for what is no 64-bit little-endian relocatable ELF file for BPF.
Result<ElfObject> read_elf(std::span<std::byte const> file);

// The same object with the section `maps` turned into `.maps`, its maps described by BTF, as
// libbpf wants them; without such a section the file as it is.
Result<std::vector<std::byte>> modernised(std::span<std::byte const> file);

}  // namespace tamis::runtime
