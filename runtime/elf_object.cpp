#include "runtime/elf_object.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include <bpf/btf.h>
#include <fmt/core.h>
#include <gelf.h>
#include <linux/btf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/elf_functions.h"
#include "runtime/elf_sections.h"
#include "runtime/kernel.h"
#include "runtime/libbpf_words.h"

namespace tamis::runtime {
namespace {

using BtfPtr = std::unique_ptr<btf, decltype(&btf__free)>;

constexpr std::uint8_t call = 0x85;  // opcode of a call
constexpr std::size_t most_maps = 1024, number_size = sizeof(std::uint32_t);

// The function of a section that holds the byte at `offset`.
std::string function_at(std::span<ElfSymbol const> symbols, std::size_t section,
                        std::uint64_t offset) {
    for (ElfSymbol const& symbol : symbols)
        if (symbol.entry.st_shndx == section && GELF_ST_TYPE(symbol.entry.st_info) == STT_FUNC &&
            offset >= symbol.entry.st_value &&
            offset - symbol.entry.st_value < symbol.entry.st_size)
            return symbol.name;
    return {};
}

Relocation relocation(ElfSection const& code, GElf_Rel const& entry,
                      std::span<ElfSection const> sections, std::span<ElfSymbol const> symbols) {
    auto const index = static_cast<std::size_t>(&code - sections.data());
    Relocation out{code.name, function_at(symbols, index, entry.r_offset), entry.r_offset, "",
                   Refers::external};
    if (GELF_R_SYM(entry.r_info) >= symbols.size()) return out;
    ElfSymbol const& symbol = symbols[GELF_R_SYM(entry.r_info)];
    out.symbol = symbol.name;
    if (symbol.entry.st_shndx == SHN_UNDEF && entry.r_offset < code.bytes.size() &&
        code.bytes[entry.r_offset] == std::byte{call})
        out.to = Refers::kernel_function;
    if (symbol.entry.st_shndx == SHN_UNDEF || symbol.entry.st_shndx >= sections.size()) return out;
    ElfSection const& target = sections[symbol.entry.st_shndx];
    if (out.symbol.empty()) out.symbol = target.name;
    bool const is_code = (target.header.sh_flags & SHF_EXECINSTR) != 0;
    bool const is_map = target.name == ".maps" || target.name == "maps";
    out.to = is_code ? Refers::function : is_map ? Refers::map : Refers::data;
    return out;
}

std::vector<Relocation> relocations_of(std::span<ElfSection const> sections,
                                       std::span<ElfSymbol const> symbols) {
    std::vector<Relocation> out;
    each_relocation(sections, [&](ElfSection const& code, GElf_Rel const& entry) {
        out.push_back(relocation(code, entry, sections, symbols));
    });
    return out;
}

// struct bpf_map_def of the samples; iproute2's bpf_elf_map begins with the same numbers, and had
// more behind them.
Result<LegacyMap> legacy_map(ElfSymbol const& symbol, std::span<std::byte const> section,
                             std::uint64_t size) {
    constexpr std::size_t known = 5;
    std::uint64_t const at = symbol.entry.st_value;
    if (size < (known - 1) * number_size || size % number_size != 0 || at % number_size != 0 ||
        at > section.size() || size > section.size() - at || size > 1024)
        return fail(broken(
            fmt::format("the definition of map '{}' is no bpf_map_def", escape(symbol.name))));
    std::vector<std::uint32_t> numbers(std::max<std::size_t>(size / number_size, known));
    std::memcpy(numbers.data(), section.data() + at, size);
    if (std::any_of(numbers.begin() + known, numbers.end(), [](auto n) { return n != 0; }))
        return fail({fmt::format("map '{}' is defined in the old way with more than type, sizes, "
                                 "entries and flags",
                                 escape(symbol.name)),
                     std::nullopt,
                     {{"inner maps and iproute2's pinning want a definition in .maps with BTF",
                       std::nullopt}}});
    return LegacyMap{.name = symbol.name,
                     .offset = static_cast<std::uint32_t>(at),
                     .size = static_cast<std::uint32_t>(size),
                     .type = numbers[0],
                     .key_size = numbers[1],
                     .value_size = numbers[2],
                     .max_entries = numbers[3],
                     .flags = numbers[4]};
}

Result<std::vector<LegacyMap>> legacy_maps(std::span<ElfSection const> sections,
                                           std::span<ElfSymbol const> symbols) {
    std::vector<LegacyMap> out;
    ElfSection const* maps = find(sections, "maps");
    if (!maps) return out;
    std::vector<ElfSymbol> defined;
    for (ElfSymbol const& symbol : symbols)
        if (symbol.entry.st_shndx == maps - sections.data() && !symbol.name.empty() &&
            GELF_ST_TYPE(symbol.entry.st_info) != STT_SECTION)
            defined.push_back(symbol);
    if (defined.empty() || defined.size() > most_maps)
        return fail(broken(fmt::format("its section 'maps' defines {} maps, not 1 to {}",
                                       defined.size(), most_maps)));
    std::sort(defined.begin(), defined.end(), [](ElfSymbol const& a, ElfSymbol const& b) {
        return a.entry.st_value < b.entry.st_value;
    });
    // Compilers before clang 3.9 left symbols without a size: the section is an array then.
    std::uint64_t const each = maps->bytes.size() / defined.size();
    for (ElfSymbol const& symbol : defined) {
        auto map =
            legacy_map(symbol, maps->bytes, symbol.entry.st_size ? symbol.entry.st_size : each);
        if (!map) return fail(map.error());
        if (!out.empty() && out.back().offset + out.back().size > map->offset)
            return fail(broken(fmt::format("the definitions of maps '{}' and '{}' overlap",
                                           escape(out.back().name), escape(map->name))));
        out.push_back(std::move(*map));
    }
    return out;
}

// ---- BTF

// How .maps says a number: a pointer to an array of that many elements.
struct NumberTypes {
    btf* types;
    int integer;
    int of(std::uint32_t number) const {
        return btf__add_ptr(types, btf__add_array(types, integer, integer, number));
    }
};

// The struct type of a map's definition.  All members lie at its beginning, since what stands there
// is smaller than the pointers that describe it; libbpf reads names and types only.
int definition_type(NumberTypes const& numbers, LegacyMap const& map) {
    struct {
        char const* name;
        std::uint32_t value;
    } const members[] = {{"type", map.type},
                         {"key_size", map.key_size},
                         {"value_size", map.value_size},
                         {"max_entries", map.max_entries},
                         {"map_flags", map.flags}};
    std::vector<std::pair<char const*, int>> typed;
    for (auto const& member : members)
        if (member.value != 0) typed.emplace_back(member.name, numbers.of(member.value));
    int const id = btf__add_struct(numbers.types, nullptr, map.size);
    for (auto const& [name, type] : typed)
        if (int const error = btf__add_field(numbers.types, name, type, 0, 0); error != 0)
            return error;
    return id;
}

btf_type* editable(btf* types, int id) {
    return const_cast<btf_type*>(btf__type_by_id(types, static_cast<std::uint32_t>(id)));
}

std::string_view name_of(btf const* types, btf_type const* type) {
    char const* name = btf__name_by_offset(types, type->name_off);
    return name ? name : "";
}

int find_datasec(btf const* types, std::string_view name) {
    for (std::uint32_t id = 1; id < btf__type_cnt(types); ++id)
        if (btf_type const* type = btf__type_by_id(types, id);
            btf_is_datasec(type) && name_of(types, type) == name)
            return static_cast<int>(id);
    return 0;
}

// The variable of that name in a section, or 0.
int find_variable(btf const* types, int datasec, std::string_view name) {
    btf_type const* section = btf__type_by_id(types, static_cast<std::uint32_t>(datasec));
    for (int i = 0; i < btf_vlen(section); ++i) {
        std::uint32_t const id = btf_var_secinfos(section)[i].type;
        btf_type const* type = btf__type_by_id(types, id);
        if (type && btf_is_var(type) && name_of(types, type) == name) return static_cast<int>(id);
    }
    return 0;
}

// Makes the types say that `.maps` holds these maps.  clang's own description of `maps`, where
// there is BTF, becomes that of `.maps`, so that nothing speaks of a section that is gone.
bool describe(btf* types, std::span<LegacyMap const> maps, std::uint32_t section_size) {
    NumberTypes const numbers{types, btf__add_int(types, "int", number_size, BTF_INT_SIGNED)};
    int const renamed = btf__add_str(types, ".maps");
    int const old = find_datasec(types, "maps");
    std::vector<btf_var_secinfo> variables;
    for (LegacyMap const& map : maps) {
        int const type = definition_type(numbers, map);
        if (type < 0) return false;
        int variable = old != 0 ? find_variable(types, old, map.name) : 0;
        if (variable == 0)
            variable = btf__add_var(types, map.name.c_str(), BTF_VAR_GLOBAL_ALLOCATED, type);
        if (variable < 0) return false;
        btf_type* edited = editable(types, variable);
        edited->type = static_cast<std::uint32_t>(type);
        btf_var(edited)->linkage = BTF_VAR_GLOBAL_ALLOCATED;
        variables.push_back({static_cast<std::uint32_t>(variable), map.offset, map.size});
    }
    if (old != 0 && btf_vlen(editable(types, old)) == variables.size() && renamed >= 0) {
        btf_type* section = editable(types, old);
        section->name_off = static_cast<std::uint32_t>(renamed);
        section->size = section_size;
        std::copy(variables.begin(), variables.end(), btf_var_secinfos(section));
        return true;
    }
    if (old != 0 || btf__add_datasec(types, ".maps", section_size) < 0) return false;
    return std::all_of(variables.begin(), variables.end(), [&](btf_var_secinfo const& v) {
        return btf__add_datasec_var_info(types, static_cast<int>(v.type), v.offset, v.size) == 0;
    });
}

Result<std::vector<std::byte>> described(ElfSection const* old, std::span<LegacyMap const> maps,
                                         std::uint32_t section_size) {
    LibbpfWords const words;
    BtfPtr const types(
        old ? btf__new(old->bytes.data(), static_cast<std::uint32_t>(old->bytes.size()))
            : btf__new_empty(),
        btf__free);
    if (!types || !describe(types.get(), maps, section_size))
        return fail(broken("its BTF is broken or does not know the maps of the section 'maps'"));
    std::uint32_t size = 0;
    auto const* raw = static_cast<std::byte const*>(btf__raw_data(types.get(), &size));
    if (!raw) return fail(broken("its BTF is broken"));
    return std::vector<std::byte>(raw, raw + size);
}

// ---- Writing

// A file in memory, for libelf writes to file descriptors only.
Result<Fd> memory_file(std::span<std::byte const> bytes) {
    Fd fd(memfd_create("object", MFD_CLOEXEC));
    std::size_t done = 0;
    while (fd && done < bytes.size()) {
        ssize_t const n = write(fd.get(), bytes.data() + done, bytes.size() - done);
        if (n <= 0) return fail(system_error("cannot write to memory", errno));
        done += static_cast<std::size_t>(n);
    }
    if (!fd) return fail(system_error("cannot create a file in memory", errno));
    return fd;
}

Result<std::vector<std::byte>> content(Fd const& fd) {
    off_t const size = lseek(fd.get(), 0, SEEK_END);
    std::vector<std::byte> out(static_cast<std::size_t>(std::max<off_t>(size, 0)));
    std::size_t done = 0;
    while (done < out.size()) {
        ssize_t const n =
            pread(fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(done));
        if (n <= 0) return fail(system_error("cannot read from memory", errno));
        done += static_cast<std::size_t>(n);
    }
    return out;
}

bool replace(Elf_Scn* scn, std::vector<std::byte>& bytes) {
    Elf_Data* data = elf_getdata(scn, nullptr);
    if (!data) data = elf_newdata(scn);
    if (!data) return false;
    data->d_buf = bytes.data();
    data->d_size = bytes.size();
    data->d_type = ELF_T_BYTE;
    data->d_version = EV_CURRENT;
    elf_flagdata(data, ELF_C_SET, ELF_F_DIRTY);
    return true;
}

bool rename(ElfSection const& section, std::size_t name) {
    GElf_Shdr header = section.header;
    header.sh_name = static_cast<GElf_Word>(name);
    return gelf_update_shdr(section.scn, &header) != 0;
}

bool add_section(Elf* elf, std::size_t name, std::vector<std::byte>& bytes) {
    Elf_Scn* scn = elf_newscn(elf);
    GElf_Shdr header{};
    if (!scn || !gelf_getshdr(scn, &header) || !replace(scn, bytes)) return false;
    header.sh_name = static_cast<GElf_Word>(name);
    header.sh_type = SHT_PROGBITS;
    header.sh_addralign = 1;
    return gelf_update_shdr(scn, &header) != 0;
}

}  // namespace

Result<ElfObject> read_elf(std::span<std::byte const> file) {
    auto copy = copy_of(file);
    ElfPtr const elf = open_memory(copy);
    auto const sections = sections_of(elf.get());
    if (!sections) return fail(sections.error());
    auto const symbols = symbols_of(elf.get(), *sections);
    auto maps = legacy_maps(*sections, symbols);
    if (!maps) return fail(maps.error());
    return ElfObject{relocations_of(*sections, symbols), functions_of(*sections, symbols),
                     std::move(*maps)};
}

Result<std::vector<std::byte>> modernised(std::span<std::byte const> file) {
    auto const object = read_elf(file);
    if (!object) return fail(object.error());
    if (object->legacy_maps.empty()) return std::vector(file.begin(), file.end());

    auto const fd = memory_file(file);
    if (!fd) return fail(fd.error());
    ElfPtr const elf(elf_begin(fd->get(), ELF_C_RDWR, nullptr), elf_end);
    auto const sections = sections_of(elf.get());
    if (!sections) return fail(sections.error());
    std::size_t names_index = 0;
    elf_getshdrstrndx(elf.get(), &names_index);
    ElfSection const* maps = find(*sections, "maps");
    ElfSection const* old_types = find(*sections, ".BTF");
    if (find(*sections, ".maps") || names_index >= sections->size() || !maps)
        return fail(broken("it has both sections, 'maps' and '.maps'"));

    ElfSection const& names = (*sections)[names_index];
    std::vector<std::byte> new_names(names.bytes.begin(), names.bytes.end());
    auto const add_name = [&](std::string_view name) {
        std::size_t const at = new_names.size();
        auto const text = std::as_bytes(std::span(name));
        new_names.insert(new_names.end(), text.begin(), text.end());
        new_names.push_back({});
        return at;
    };
    std::size_t const maps_name = add_name(".maps"), types_name = add_name(".BTF");
    auto types =
        described(old_types, object->legacy_maps, static_cast<std::uint32_t>(maps->bytes.size()));
    if (!types) return fail(types.error());
    bool const edited =
        rename(*maps, maps_name) && replace(names.scn, new_names) &&
        (old_types ? replace(old_types->scn, *types) : add_section(elf.get(), types_name, *types));
    if (!edited || elf_update(elf.get(), ELF_C_WRITE) < 0)
        return fail(broken(fmt::format("its maps cannot be rewritten: {}", elf_errmsg(-1))));
    auto out = content(*fd);
    if (!out) return out;
    // A file can be broken so that it is another one when it is written: names that share bytes.
    auto const again = read_elf(*out);
    if (!again || !again->legacy_maps.empty())
        return fail(broken("its maps cannot be rewritten: its tables are broken"));
    return out;
}

}  // namespace tamis::runtime
