#include "backend/elf_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/core.h>
#include <gelf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tamis::backend {
namespace {

constexpr std::uint16_t machine_bpf = 247;      // EM_BPF
constexpr std::uint64_t most_alignment = 4096;  // a file is padded to it

using ElfPtr = std::unique_ptr<Elf, decltype(&elf_end)>;

// A file in memory, closed with this value.
struct MemoryFile {
    int fd = memfd_create("tamis object", MFD_CLOEXEC);
    MemoryFile() = default;
    MemoryFile(MemoryFile const&) = delete;
    MemoryFile& operator=(MemoryFile const&) = delete;
    ~MemoryFile() {
        if (fd >= 0) close(fd);
    }
    bool read(Bytes& out) const {
        struct stat status {};
        if (fstat(fd, &status) != 0) return false;
        out.resize(static_cast<std::size_t>(status.st_size));
        return pread(fd, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size());
    }
};

tl::unexpected<Diagnostic> broken(std::string message) {
    return fail({std::move(message), std::nullopt, {}});
}

// What libelf turns into the machine's byte order, and back.
Elf_Type type_of(Elf64_Shdr const& header) {
    if (header.sh_type == SHT_SYMTAB) return ELF_T_SYM;
    return header.sh_type == SHT_REL ? ELF_T_REL : ELF_T_BYTE;
}

bool holds_names(ElfFile const& elf, std::size_t index) {
    return index < elf.sections.size() && elf.sections[index].header.sh_type == SHT_STRTAB;
}

}  // namespace

std::uint32_t ElfFile::add_string(std::uint16_t table, std::string_view text) {
    Bytes& bytes = sections[table].bytes;
    if (bytes.empty()) bytes.push_back({});
    auto const at = static_cast<std::uint32_t>(bytes.size());
    auto const added = std::as_bytes(std::span(text));
    bytes.insert(bytes.end(), added.begin(), added.end());
    bytes.push_back({});
    return at;
}

std::uint16_t ElfFile::add(std::string_view name, SectionHeader const& header, Bytes bytes) {
    auto const index = static_cast<std::uint16_t>(sections.size());
    sections.push_back({std::string(name), {}, std::move(bytes)});
    if (names == 0) names = index;
    Elf64_Shdr& out = sections[index].header;
    out.sh_type = header.type;
    out.sh_flags = header.flags;
    out.sh_link = header.link;
    out.sh_info = header.info;
    out.sh_addralign = header.align;
    out.sh_entsize = header.entry_size;
    out.sh_name = add_string(names, name);
    return index;
}

Result<ElfFile> read_elf(std::span<std::byte const> file) {
    elf_version(EV_CURRENT);
    auto const* chars = reinterpret_cast<char const*>(file.data());
    std::vector<char> copy(chars, chars + file.size());
    ElfPtr const elf(elf_memory(copy.data(), copy.size()), elf_end);
    if (!elf || elf_kind(elf.get()) != ELF_K_ELF) return broken("it is no ELF file");
    Elf64_Ehdr const* header = elf64_getehdr(elf.get());
    if (!header || header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_type != ET_REL ||
        header->e_machine != machine_bpf)
        return broken("it is an ELF file, but no little-endian object for BPF");
    std::size_t count = 0, names = 0;
    if (elf_getshdrnum(elf.get(), &count) != 0 || elf_getshdrstrndx(elf.get(), &names) != 0 ||
        count >= SHN_LORESERVE)
        return broken("its table of sections is broken");
    ElfFile out;
    for (std::size_t i = 1; i < count; ++i) {
        Elf_Scn* scn = elf_getscn(elf.get(), i);
        Elf64_Shdr section{};  // a copy: libelf's own lies where the file says, aligned or not
        bool const found = scn && gelf_getshdr(scn, &section);
        Elf_Data const* data = found ? elf_getdata(scn, nullptr) : nullptr;
        bool const stored = section.sh_type != SHT_NOBITS && section.sh_size != 0;
        if (!data || section.sh_addralign > most_alignment || (stored && !data->d_buf) ||
            section.sh_size > (stored ? file.size() : UINT32_MAX))
            return broken(fmt::format("its section {} is broken", i));
        char const* name = elf_strptr(elf.get(), names, section.sh_name);
        auto const* bytes = static_cast<std::byte const*>(data->d_buf);
        out.sections.push_back(
            {name ? name : "", section, stored ? Bytes(bytes, bytes + data->d_size) : Bytes()});
    }
    out.names = static_cast<std::uint16_t>(names);
    if (!holds_names(out, names)) return broken("its sections have no names");
    for (ElfSection const& s : out.sections)
        if (s.header.sh_type == SHT_SYMTAB && !holds_names(out, s.header.sh_link))
            return broken("its symbols have no names");
    return out;
}

Result<Bytes> write_elf(ElfFile const& file) {
    elf_version(EV_CURRENT);
    MemoryFile const memory;
    auto const error = [&] {
        char const* words = memory.fd < 0 ? std::strerror(errno) : elf_errmsg(-1);
        return fail({.message = fmt::format("cannot build the object: {}", words ? words : "?"),
                     .span = {},
                     .notes = {},
                     .fault = Fault::system});
    };
    ElfPtr const elf(elf_begin(memory.fd, ELF_C_WRITE, nullptr), elf_end);
    Elf64_Ehdr* header = elf ? elf64_newehdr(elf.get()) : nullptr;
    if (!header) return error();
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_type = ET_REL;
    header->e_machine = machine_bpf;
    header->e_version = EV_CURRENT;
    header->e_shstrndx = file.names;
    std::vector<Bytes> contents;  // libelf keeps pointers into it, and may change what it has
    contents.reserve(file.sections.size());
    for (std::size_t i = 1; i < file.sections.size(); ++i) {
        ElfSection const& section = file.sections[i];
        Elf_Scn* scn = elf_newscn(elf.get());
        Elf_Data* data = scn ? elf_newdata(scn) : nullptr;
        Elf64_Shdr* to = data ? elf64_getshdr(scn) : nullptr;
        if (!to) return error();
        Bytes& bytes = contents.emplace_back(section.bytes);
        bool const stored = section.header.sh_type != SHT_NOBITS;
        data->d_buf = stored ? bytes.data() : nullptr;
        data->d_size = stored ? bytes.size() : section.header.sh_size;
        data->d_type = type_of(section.header);
        data->d_align = std::max<std::uint64_t>(section.header.sh_addralign, 1);
        data->d_version = EV_CURRENT;
        *to = section.header;
    }
    Bytes out;
    if (elf_update(elf.get(), ELF_C_WRITE) < 0 || !memory.read(out)) return error();
    return out;
}

}  // namespace tamis::backend
