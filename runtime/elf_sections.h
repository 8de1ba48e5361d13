// An ELF file for BPF in memory: its sections and symbols, as libelf reads them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gelf.h>

#include "bpf/result.h"

namespace tamis::runtime {

using ElfPtr = std::unique_ptr<Elf, decltype(&elf_end)>;

struct ElfSection {
    Elf_Scn* scn = nullptr;
    GElf_Shdr header{};
    std::string name;
    std::span<std::byte const> bytes;
};

struct ElfSymbol {
    GElf_Sym entry{};
    std::string name;
};

// An error of the file.
Diagnostic broken(std::string message);

// Valid while `copy` is: libelf wants bytes that it may write to.
ElfPtr open_memory(std::vector<char>& copy);
std::vector<char> copy_of(std::span<std::byte const> file);

// All sections; section i is element i.  An error, the input's fault, for what is no 64-bit
// little-endian relocatable ELF file for BPF.
Result<std::vector<ElfSection>> sections_of(Elf* elf);
std::vector<ElfSymbol> symbols_of(Elf* elf, std::span<ElfSection const> sections);
// Calls the sink for every relocation of a section with code, in the file's order.
void each_relocation(std::span<ElfSection const> sections,
                     std::function<void(ElfSection const& code, GElf_Rel const&)> const& sink);
ElfSection const* find(std::span<ElfSection const> sections, std::string_view name);  // null: none

}  // namespace tamis::runtime
