#include "runtime/elf_sections.h"

#include <algorithm>

#include <fmt/core.h>

namespace tamis::runtime {
namespace {

constexpr std::uint16_t machine_bpf = 247;        // EM_BPF
constexpr std::size_t largest_alignment = 65536;  // what is rewritten is padded to it

std::span<std::byte const> bytes_of(Elf_Scn* scn) {
    Elf_Data const* data = elf_getdata(scn, nullptr);
    if (!data || !data->d_buf) return {};
    return {static_cast<std::byte const*>(data->d_buf), data->d_size};
}

}  // namespace

Diagnostic broken(std::string message) {
    return {.message = std::move(message), .span = {}, .notes = {}, .fault = Fault::input};
}

ElfPtr open_memory(std::vector<char>& copy) {
    elf_version(EV_CURRENT);
    return {elf_memory(copy.data(), copy.size()), elf_end};
}

std::vector<char> copy_of(std::span<std::byte const> file) {
    auto const* chars = reinterpret_cast<char const*>(file.data());
    return {chars, chars + file.size()};
}

Result<std::vector<ElfSection>> sections_of(Elf* elf) {
    GElf_Ehdr header;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return fail(broken("it is no ELF file"));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_type != ET_REL || header.e_machine != machine_bpf)
        return fail(broken("it is an ELF file, but no little-endian object for BPF"));
    std::size_t count = 0, names = 0;
    if (elf_getshdrnum(elf, &count) != 0 || elf_getshdrstrndx(elf, &names) != 0)
        return fail(broken("its table of sections is broken"));
    std::vector<ElfSection> out(count);
    for (std::size_t i = 0; i < count; ++i) {
        ElfSection& section = out[i];
        section.scn = elf_getscn(elf, i);
        if (!section.scn || !gelf_getshdr(section.scn, &section.header) ||
            section.header.sh_addralign > largest_alignment)
            return fail(broken(fmt::format("its section {} is broken", i)));
        char const* name = elf_strptr(elf, names, section.header.sh_name);
        section.name = name ? name : "";
        if (section.header.sh_type != SHT_NOBITS) section.bytes = bytes_of(section.scn);
    }
    return out;
}

std::vector<ElfSymbol> symbols_of(Elf* elf, std::span<ElfSection const> sections) {
    std::vector<ElfSymbol> out;
    for (ElfSection const& section : sections) {
        if (section.header.sh_type != SHT_SYMTAB) continue;
        Elf_Data* data = elf_getdata(section.scn, nullptr);
        if (!data) continue;
        ElfSymbol symbol;
        for (int i = 0; gelf_getsym(data, i, &symbol.entry); ++i) {
            char const* name = elf_strptr(elf, section.header.sh_link, symbol.entry.st_name);
            symbol.name = name ? name : "";
            out.push_back(symbol);
        }
    }
    return out;
}

void each_relocation(std::span<ElfSection const> sections,
                     std::function<void(ElfSection const&, GElf_Rel const&)> const& sink) {
    for (ElfSection const& section : sections) {
        if (section.header.sh_type != SHT_REL || section.header.sh_info >= sections.size())
            continue;
        ElfSection const& code = sections[section.header.sh_info];
        Elf_Data* data = elf_getdata(section.scn, nullptr);
        if ((code.header.sh_flags & SHF_EXECINSTR) == 0 || !data) continue;
        GElf_Rel entry;
        for (int i = 0; gelf_getrel(data, i, &entry); ++i) sink(code, entry);
    }
}

ElfSection const* find(std::span<ElfSection const> sections, std::string_view name) {
    auto const found = std::find_if(sections.begin(), sections.end(),
                                    [&](ElfSection const& s) { return s.name == name; });
    return found == sections.end() ? nullptr : &*found;
}

}  // namespace tamis::runtime
