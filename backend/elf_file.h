// An ELF object for BPF as data: sections and what lies in them.  libelf stays behind this door.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <elf.h>

#include "bpf/result.h"

namespace tamis::backend {

using Bytes = std::vector<std::byte>;

struct ElfSection {
    std::string name;
    Elf64_Shdr header{};  // but where the section lies in the file, and how large it is
    Bytes bytes;          // symbols and relocations as the structs of <elf.h>
};

// What a new section says of itself; its name, place and size follow from the rest.
struct SectionHeader {
    std::uint32_t type = SHT_NULL;
    std::uint64_t flags = 0;
    std::uint32_t link = 0, info = 0;
    std::uint64_t align = 1, entry_size = 0;
};

// Section i of the file is sections[i]; 0 is none.
struct ElfFile {
    std::vector<ElfSection> sections;
    std::uint16_t names = 0;  // the section that holds the names of sections

    ElfFile() : sections(1) {}
    // Puts a text into a table of strings and returns its offset.
    std::uint32_t add_string(std::uint16_t table, std::string_view text);
    // Adds a section and returns its index.  The first one holds the names, its own too.
    std::uint16_t add(std::string_view name, SectionHeader const& header, Bytes bytes);
};

// Elements of a section, as structs of their own.
template <class T>
std::vector<T> elements(ElfSection const& section);
template <class T>
Bytes bytes_of(std::span<T const> elements);

// An error, the input's fault, for what is no 64-bit little-endian relocatable ELF file for BPF.
// Only what a symbol or a relocation leads to is not checked.
Result<ElfFile> read_elf(std::span<std::byte const> file);
// The file's bytes: the same ones for the same sections.
Result<Bytes> write_elf(ElfFile const& elf);

// ---- Details

template <class T>
std::vector<T> elements(ElfSection const& section) {
    std::vector<T> out(section.bytes.size() / sizeof(T));
    auto const whole = std::span(section.bytes).first(out.size() * sizeof(T));
    std::copy(whole.begin(), whole.end(), std::as_writable_bytes(std::span(out)).begin());
    return out;
}

template <class T>
Bytes bytes_of(std::span<T const> elements) {
    auto const bytes = std::as_bytes(elements);
    return {bytes.begin(), bytes.end()};
}

}  // namespace tamis::backend
