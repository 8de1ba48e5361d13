#include "runtime/object_program.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include <bpf/btf.h>
#include <fmt/format.h>

#include "runtime/elf_object.h"
#include "runtime/elf_sections.h"
#include "runtime/libbpf_words.h"

namespace tamis::runtime {
namespace {

using BtfPtr = std::unique_ptr<btf, decltype(&btf__free)>;

constexpr std::size_t insn_size = sizeof(ebpf::Insn);
constexpr std::size_t most_insns = 1'000'000, most_data = std::size_t{1} << 20;
constexpr std::uint8_t call = 0x85;  // opcode of a call

// ---- What maps are, by BTF: members of an anonymous struct

std::string_view text_of(btf const* types, std::uint32_t offset) {
    char const* const text = btf__name_by_offset(types, offset);
    return text ? text : "";
}

// The type behind typedefs, const and the like; null for a broken chain.
btf_type const* bare(btf const* types, std::uint32_t id) {
    for (unsigned steps = 0; steps < 32; ++steps) {
        btf_type const* const type = btf__type_by_id(types, id);
        if (!type || !(btf_is_mod(type) || btf_is_typedef(type))) return type;
        id = type->type;
    }
    return nullptr;
}

// `__uint(name, N)` is a pointer to an array of N; `__type(name, T)` a pointer to T.
std::optional<std::uint32_t> pointed_to(btf const* types, btf_member const& member) {
    btf_type const* const pointer = bare(types, member.type);
    if (!pointer || !btf_is_ptr(pointer)) return std::nullopt;
    return pointer->type;
}

std::uint32_t number_of(btf const* types, btf_member const& member) {
    auto const id = pointed_to(types, member);
    btf_type const* const array = id ? bare(types, *id) : nullptr;
    return array && btf_is_array(array) ? btf_array(array)->nelems : 0;
}

std::uint32_t size_of(btf const* types, btf_member const& member) {
    auto const id = pointed_to(types, member);
    auto const size = id ? btf__resolve_size(types, *id) : 0;
    return size > 0 ? static_cast<std::uint32_t>(size) : 0;
}

ebpf::MapSpec map_of(btf const* types, btf_type const* definition, std::string_view name) {
    ebpf::MapSpec map{.name = std::string(name), .key_size = 0, .max_entries = 0};
    map.type = ebpf::MapType{0};
    btf_member const* const members = btf_members(definition);
    for (int i = 0; i < btf_vlen(definition); ++i) {
        std::string_view const member = text_of(types, members[i].name_off);
        std::uint32_t const number = number_of(types, members[i]);
        if (member == "type") map.type = ebpf::MapType{number};
        if (member == "key_size") map.key_size = number;
        if (member == "value_size") map.plain_size = number;
        if (member == "max_entries") map.max_entries = number;
        if (member == "map_flags") map.flags = number;
        if (member == "key") map.key_size = size_of(types, members[i]);
        if (member == "value") map.plain_size = size_of(types, members[i]);
    }
    return map;
}

std::optional<ebpf::MapSpec> btf_map(btf const* types, std::string_view name) {
    for (std::uint32_t id = 1; types && id < btf__type_cnt(types); ++id) {
        btf_type const* const type = btf__type_by_id(types, id);
        if (!btf_is_var(type) || text_of(types, type->name_off) != name) continue;
        btf_type const* const definition = bare(types, type->type);
        if (definition && btf_is_struct(definition)) return map_of(types, definition, name);
    }
    return std::nullopt;
}

// ---- Linking

struct FunctionPlace {
    std::size_t section;
    std::size_t begin, end;  // in instructions
    std::string name;
};

class Linker {
  public:
    Linker(std::span<ElfSection const> sections, std::span<ElfSymbol const> symbols,
           std::span<LegacyMap const> legacy)
        : sections_(sections), symbols_(symbols), legacy_(legacy), types_(nullptr, btf__free) {
        LibbpfWords const words;
        if (ElfSection const* const section = find(sections, ".BTF"))
            types_.reset(
                btf__new(section->bytes.data(), static_cast<std::uint32_t>(section->bytes.size())));
        read_relocations();
    }

    std::vector<ElfSymbol const*> entries() const {
        std::vector<ElfSymbol const*> out;
        for (ElfSymbol const& symbol : symbols_) {
            bool const function = GELF_ST_TYPE(symbol.entry.st_info) == STT_FUNC &&
                                  GELF_ST_BIND(symbol.entry.st_info) != STB_LOCAL;
            if (function && is_code(symbol.entry.st_shndx) &&
                sections_[symbol.entry.st_shndx].name != ".text")
                out.push_back(&symbol);
        }
        return out;
    }

    Result<ebpf::Program> link(ElfSymbol const& entry) {
        auto first = function_at(entry.entry.st_shndx, entry.entry.st_value / insn_size);
        if (!first) return fail(first.error());
        functions_.push_back(*first);
        for (std::size_t i = 0; i < functions_.size(); ++i) {
            FunctionPlace const function = functions_[i];  // the vector grows
            out_.functions.push_back(
                {function.name, static_cast<std::uint32_t>(out_.insns.size())});
            if (auto done = copy(function); !done) return fail(done.error());
        }
        for (auto const& [at, function] : calls_)
            out_.insns[at].imm = static_cast<std::int32_t>(out_.functions[function].begin) -
                                 static_cast<std::int32_t>(at) - 1;
        out_.origin.resize(out_.insns.size());
        return std::move(out_);
    }

  private:
    bool is_code(std::size_t section) const {
        return section < sections_.size() &&
               (sections_[section].header.sh_flags & SHF_EXECINSTR) != 0;
    }

    void read_relocations() {
        for (ElfSection const& section : sections_) {
            if (section.header.sh_type != SHT_REL || !is_code(section.header.sh_info)) continue;
            Elf_Data* const data = elf_getdata(section.scn, nullptr);
            GElf_Rel entry;
            for (int i = 0; data && gelf_getrel(data, i, &entry); ++i)
                if (GELF_R_SYM(entry.r_info) < symbols_.size())
                    relocations_[{section.header.sh_info, entry.r_offset}] =
                        &symbols_[GELF_R_SYM(entry.r_info)];
        }
    }

    Result<FunctionPlace> function_at(std::size_t section, std::uint64_t begin) const {
        for (ElfSymbol const& symbol : symbols_) {
            GElf_Sym const& s = symbol.entry;
            if (GELF_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx != section ||
                s.st_value != begin * insn_size)
                continue;
            std::size_t const bytes = sections_[section].bytes.size();
            if (s.st_size == 0 || s.st_size % insn_size != 0 || s.st_value > bytes ||
                s.st_size > bytes - s.st_value)
                break;
            return FunctionPlace{section, begin, begin + s.st_size / insn_size, symbol.name};
        }
        return fail(
            broken(fmt::format("a call leads to instruction {} of section '{}', where no "
                               "function begins",
                               begin, escape(sections_[section].name))));
    }

    Diagnostic at(FunctionPlace const& function, std::size_t pc, std::string_view what) const {
        return broken(fmt::format("instruction {} of function '{}': {}", pc - function.begin,
                                  escape(function.name), what));
    }

    Result<void> copy(FunctionPlace const& function) {
        if (out_.insns.size() + (function.end - function.begin) > most_insns)
            return fail(broken("it has more than 1,000,000 instructions"));
        ElfSection const& code = sections_[function.section];
        std::vector<ebpf::Insn> insns(function.end - function.begin);
        std::memcpy(insns.data(), code.bytes.data() + function.begin * insn_size,
                    insns.size() * insn_size);
        for (std::size_t i = 0; i < insns.size(); ++i) {
            std::size_t const pc = function.begin + i;
            bool const wide = ebpf::is_ld_imm64(insns[i]);
            auto const reference = relocations_.find({function.section, pc * insn_size});
            ElfSymbol const* const symbol =
                reference == relocations_.end() ? nullptr : reference->second;
            Result<void> done;
            if (insns[i].code == call)
                done = resolve_call(function, pc, insns[i], symbol);
            else if (wide && i + 1 < insns.size() && symbol)
                done = resolve_load(function, pc, insns[i], insns[i + 1], *symbol);
            else if (symbol)
                done = fail(at(function, pc, "it cannot refer to anything"));
            if (!done) return done;
            if (!ebpf::known(std::span(insns).subspan(i)))
                return fail(at(function, pc, "it is none that tamis knows"));
            out_.insns.push_back(insns[i]);
            if (wide) out_.insns.push_back(insns[++i]);
        }
        return {};
    }

    Result<void> resolve_call(FunctionPlace const& function, std::size_t pc, ebpf::Insn& insn,
                              ElfSymbol const* symbol) {
        if (symbol && symbol->entry.st_shndx == SHN_UNDEF) {
            for (std::int32_t i = 0; i < ebpf::kfunc_count; ++i) {
                if (name_of(ebpf::Kfunc{i}) != symbol->name) continue;
                insn.src = static_cast<unsigned>(ebpf::Callee::kfunc) & 15;
                insn.imm = i;
                return {};
            }
            return fail(at(function, pc,
                           fmt::format("it calls '{}' of the kernel, which is not modelled",
                                       escape(symbol->name))));
        }
        if (insn.src != static_cast<unsigned>(ebpf::Callee::local)) return {};
        std::int64_t target = std::int64_t{insn.imm} + 1;
        std::size_t section = function.section;
        if (symbol) {
            section = symbol->entry.st_shndx;
            target += static_cast<std::int64_t>(symbol->entry.st_value / insn_size);
        } else {
            target += static_cast<std::int64_t>(pc);
        }
        if (!is_code(section) || target < 0)
            return fail(at(function, pc, "the call leads out of the object"));
        auto place = function_at(section, static_cast<std::uint64_t>(target));
        if (!place) return fail(place.error());
        auto const known =
            std::find_if(functions_.begin(), functions_.end(), [&](FunctionPlace const& other) {
                return other.section == place->section && other.begin == place->begin;
            });
        calls_.emplace_back(out_.insns.size(),
                            static_cast<std::size_t>(known - functions_.begin()));
        if (known == functions_.end()) functions_.push_back(std::move(*place));
        return {};
    }

    Result<void> resolve_load(FunctionPlace const& function, std::size_t pc, ebpf::Insn& first,
                              ebpf::Insn& second, ElfSymbol const& symbol) {
        std::size_t const section = symbol.entry.st_shndx;
        if (section == SHN_UNDEF || section >= sections_.size())
            return fail(
                at(function, pc, fmt::format("'{}' is not in the object", escape(symbol.name))));
        std::string const& where = sections_[section].name;
        bool const is_map = where == ".maps" || where == "maps";
        bool const is_data =
            where.starts_with(".rodata") || where.starts_with(".data") || where == ".bss";
        if (!is_map && !is_data)
            return fail(at(function, pc,
                           fmt::format("it refers to section '{}', which holds neither maps nor "
                                       "variables",
                                       escape(where))));
        auto const map = is_map ? map_index(symbol.name) : data_index(section);
        if (!map) return fail(at(function, pc, map.error().message));
        auto const pseudo = is_map ? ebpf::Pseudo::map_index : ebpf::Pseudo::map_index_value;
        std::uint64_t const offset = symbol.entry.st_value + static_cast<std::uint32_t>(first.imm);
        first.src = static_cast<unsigned>(pseudo) & 15;
        second.imm =
            is_map ? 0 : static_cast<std::int32_t>(std::min<std::uint64_t>(offset, most_data));
        first.imm = static_cast<std::int32_t>(*map);
        return {};
    }

    Result<std::size_t> map_index(std::string const& name) {
        return index_of(name, [&]() -> Result<ebpf::MapSpec> {
            for (LegacyMap const& old : legacy_)
                if (old.name == name) {
                    ebpf::MapSpec map{.name = name,
                                      .type = ebpf::MapType{old.type},
                                      .key_size = old.key_size,
                                      .max_entries = old.max_entries};
                    map.plain_size = old.value_size;
                    map.flags = old.flags;
                    return map;
                }
            if (auto map = btf_map(types_.get(), name)) return std::move(*map);
            return fail(broken(fmt::format("nothing says what map '{}' is", escape(name))));
        });
    }

    Result<std::size_t> data_index(std::size_t section) {
        ElfSection const& data = sections_[section];
        return index_of(data.name, [&]() -> Result<ebpf::MapSpec> {
            std::uint64_t const size = data.header.sh_size;
            bool const zeros = data.header.sh_type == SHT_NOBITS;
            if (size == 0 || size > most_data || (!zeros && data.bytes.size() != size))
                return fail(broken(fmt::format("section '{}' is empty, broken or larger than 1 MiB",
                                               escape(data.name))));
            ebpf::MapSpec map{.name = data.name};
            map.plain_size = static_cast<std::uint32_t>(size);
            map.content.resize(size);
            if (!zeros) std::memcpy(map.content.data(), data.bytes.data(), size);
            map.constant = data.name.starts_with(".rodata");
            return map;
        });
    }

    template <class Make>
    Result<std::size_t> index_of(std::string const& name, Make const& make) {
        auto const [at, fresh] = maps_.try_emplace(name, out_.maps.size());
        if (!fresh) return at->second;
        auto map = make();
        if (!map) return fail(map.error());
        out_.maps.push_back(std::move(*map));
        return at->second;
    }

    std::span<ElfSection const> sections_;
    std::span<ElfSymbol const> symbols_;
    std::span<LegacyMap const> legacy_;
    BtfPtr types_;
    std::map<std::pair<std::size_t, std::uint64_t>, ElfSymbol const*> relocations_;
    std::vector<FunctionPlace> functions_;
    std::vector<std::pair<std::size_t, std::size_t>> calls_;  // instruction, function
    std::map<std::string, std::size_t> maps_;
    ebpf::Program out_;
};

std::string names_of(std::span<ElfSymbol const* const> entries) {
    std::string out;
    for (ElfSymbol const* const entry : entries)
        out += (out.empty() ? "" : ", ") + escape(entry->name);
    return out;
}

}  // namespace

Result<ObjectProgram> read_program(std::span<std::byte const> file, std::string_view name) {
    auto copy = copy_of(file);
    ElfPtr const elf = open_memory(copy);
    auto const sections = sections_of(elf.get());
    if (!sections) return fail(sections.error());
    auto const symbols = symbols_of(elf.get(), *sections);
    auto const old = read_elf(file);
    if (!old) return fail(old.error());
    Linker linker(*sections, symbols, old->legacy_maps);
    auto const entries = linker.entries();
    if (entries.empty()) return fail(broken("the object has no program"));
    auto const wanted = std::find_if(entries.begin(), entries.end(),
                                     [&](ElfSymbol const* s) { return s->name == name; });
    if (!name.empty() && wanted == entries.end())
        return fail({fmt::format("the object has no program '{}'", escape(name)),
                     std::nullopt,
                     {{"its programs are " + names_of(entries), std::nullopt}}});
    if (name.empty() && entries.size() > 1)
        return fail({fmt::format("the object has {} programs", entries.size()),
                     std::nullopt,
                     {{"--program takes one of " + names_of(entries), std::nullopt}}});
    ElfSymbol const& entry = name.empty() ? *entries[0] : **wanted;
    std::string const& section = (*sections)[entry.entry.st_shndx].name;
    SectionRow const* const row = find_section(section).row;
    if (!row)
        return fail({fmt::format("the section '{}' says no type of program", escape(section)),
                     std::nullopt,
                     {{"names such as xdp and tc do", std::nullopt}}});
    auto program = linker.link(entry);
    if (!program) return fail(program.error());
    return ObjectProgram{entry.name, section, row, std::move(*program)};
}

}  // namespace tamis::runtime
