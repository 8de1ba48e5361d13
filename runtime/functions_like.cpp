#include "runtime/functions_like.h"

#include <cerrno>
#include <memory>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <fmt/core.h>
#include <fnmatch.h>
#include <gelf.h>

#include "runtime/kernel.h"
#include "runtime/tracefs.h"

namespace tamis::runtime {
namespace {

bool fits(std::string const& pattern, char const* name) {
    return name && fnmatch(pattern.c_str(), name, 0) == 0;
}

Diagnostic none(std::string const& pattern, std::string const& where) {
    return {fmt::format("{} has no function '{}'", where, escape(pattern)), std::nullopt, {}};
}

// Where in the file an address of the running program comes from.
std::optional<std::uint64_t> offset_of(Elf* elf, std::uint64_t address) {
    std::size_t count = 0;
    GElf_Phdr segment;
    elf_getphdrnum(elf, &count);
    for (std::size_t i = 0; i < count; ++i)
        if (gelf_getphdr(elf, static_cast<int>(i), &segment) && segment.p_type == PT_LOAD &&
            address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz)
            return address - segment.p_vaddr + segment.p_offset;
    return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> kernel_functions_like(std::string const& pattern) {
    auto const text = read_tracefs("available_filter_functions");  // `name`, or `name [module]`
    if (!text) return fail(text.error());
    std::istringstream lines(*text);
    std::set<std::string> out;
    for (std::string name, rest; lines >> name && std::getline(lines, rest);)
        if (fits(pattern, name.c_str())) out.insert(name);
    if (out.empty()) return fail(none(pattern, "this kernel"));
    return std::vector<std::string>(out.begin(), out.end());
}

Result<std::vector<std::uint64_t>> user_functions_like(std::string const& file,
                                                       std::string const& pattern) {
    std::string const where = fmt::format("'{}'", escape(file));
    Fd const fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    elf_version(EV_CURRENT);
    std::unique_ptr<Elf, decltype(&elf_end)> const elf(
        fd ? elf_begin(fd.get(), ELF_C_READ_MMAP, nullptr) : nullptr, elf_end);
    if (!fd) {
        auto diagnostic = system_error("cannot open " + where, errno);
        diagnostic.fault = Fault::input;
        return fail(std::move(diagnostic));
    }
    std::set<std::uint64_t> out;
    for (Elf_Scn* scn = nullptr; elf && (scn = elf_nextscn(elf.get(), scn));) {
        GElf_Shdr header;
        bool const is_table = gelf_getshdr(scn, &header) &&
                              (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM);
        Elf_Data* symbols = is_table ? elf_getdata(scn, nullptr) : nullptr;
        GElf_Sym symbol;
        for (int i = 0; symbols && gelf_getsym(symbols, i, &symbol); ++i) {
            if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
                !fits(pattern, elf_strptr(elf.get(), header.sh_link, symbol.st_name)))
                continue;
            if (auto const offset = offset_of(elf.get(), symbol.st_value)) out.insert(*offset);
        }
    }
    if (out.empty()) return fail(none(pattern, where));
    return std::vector<std::uint64_t>(out.begin(), out.end());
}

}  // namespace tamis::runtime
