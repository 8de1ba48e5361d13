// Objects as clang writes them, so that every loader takes them: sections by hook, relocations for
// maps and for calls that leave their section.
#include "backend/object.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <string_view>
#include <utility>

#include "backend/btf.h"
#include "backend/elf_file.h"

namespace tamis::backend {
namespace {

constexpr std::string_view license = "Dual BSD/GPL";
// Relocations of the BPF psABI: a 64-bit immediate load, and a call.
constexpr std::uint32_t reloc_load = 1, reloc_call = 10;

bool loads_map(ebpf::Insn const& insn) {
    return ebpf::is_ld_imm64(insn) &&
           insn.src == static_cast<std::uint8_t>(ebpf::Pseudo::map_index);
}

bool calls_kernel(ebpf::Insn const& insn) {
    return insn.code == 0x85 && insn.src == static_cast<unsigned>(ebpf::Callee::kfunc);
}

bool calls_function(ebpf::Insn const& insn) {
    return insn.code == 0x85 && insn.src == static_cast<std::uint8_t>(ebpf::Callee::local);
}

Bytes encoded(std::span<ebpf::Insn const> insns) {
    auto const octets = ebpf::encode(insns);
    auto const bytes = std::as_bytes(std::span(octets));
    return {bytes.begin(), bytes.end()};
}

// A section's code, and what in it the loader has to fill in.  Places are counted in instructions
// from the section's start.
struct Code {
    std::vector<ebpf::Insn> insns;
    std::vector<PlacedFunction> functions;
    std::vector<LineInfo> lines;
    struct Reference {
        std::uint32_t insn;
        enum class To : std::uint8_t { map, text, kfunc } to;
        std::uint32_t index = 0;  // of the map or the kernel function
    };
    std::vector<Reference> references;
};

std::uint32_t size_of(Code const& code) { return static_cast<std::uint32_t>(code.insns.size()); }

// All that the object holds: the code of every program and their maps.
struct Contents {
    Code entries, text;
    std::vector<ebpf::MapSpec> maps;
    std::vector<ebpf::Kfunc> kfuncs;  // that they call
};

// Where parts of a program go: `text` is the index of its first static function's instruction,
// which becomes instruction `text_at` of .text; its map 0 becomes map `maps_at`.
struct Placement {
    std::uint32_t text, text_at, maps_at;
};

// Appends the program's instructions [begin, end) to a section.
void append(Code& code, ebpf::Program const& program, std::vector<LineInfo> const& lines,
            std::uint32_t begin, std::uint32_t end, Placement const& placement) {
    std::uint32_t const base = size_of(code);
    code.insns.insert(code.insns.end(), program.insns.begin() + begin, program.insns.begin() + end);
    for (ebpf::Function const& f : program.functions)
        if (f.begin >= begin && f.begin < end)
            code.functions.push_back(
                {f.name, f.begin - begin + base, f.begin == 0 ? Scope::global : Scope::local});
    for (LineInfo line : lines) {
        if (line.insn < begin || line.insn >= end) continue;
        line.insn += base - begin;
        code.lines.push_back(std::move(line));
    }
    for (std::uint32_t i = begin; i < end; ++i) {
        ebpf::Insn& insn = code.insns[i - begin + base];
        if (loads_map(insn)) {
            auto const map = static_cast<std::uint32_t>(insn.imm);
            assert(map < program.maps.size());
            code.references.push_back(
                {i - begin + base, Code::Reference::To::map, placement.maps_at + map});
            insn.src = 0;
            insn.imm = 0;
        } else if (calls_function(insn)) {
            // Relative to the next instruction; in another section, where only the loader knows
            // the distance, relative to that section's start (as if called from before it).
            auto const target = static_cast<std::int64_t>(i) + 1 + insn.imm;
            if (target < begin || target >= end) {
                assert(target >= placement.text);
                code.references.push_back({i - begin + base, Code::Reference::To::text});
                insn.imm =
                    static_cast<std::int32_t>(target - placement.text + placement.text_at - 1);
            }
        } else if (calls_kernel(insn)) {
            code.references.push_back({i - begin + base, Code::Reference::To::kfunc,
                                       static_cast<std::uint32_t>(insn.imm)});
            insn.src = static_cast<std::uint8_t>(ebpf::Callee::local) & 15;
            insn.imm = -1;
        }
        if (ebpf::is_ld_imm64(insn)) ++i;
    }
}

std::vector<LineInfo> lines_of(ObjectEntry const& entry, std::string_view context) {
    std::vector<std::string> declarations;
    for (ebpf::Function const& f : entry.program->functions)
        declarations.push_back(declaration(f.name, context));
    return line_info(*entry.program, entry.source, declarations);
}

void append(Contents& out, ObjectEntry const& entry, std::string_view context) {
    ebpf::Program const& program = *entry.program;
    auto const& functions = program.functions;
    assert(!functions.empty() && functions[0].begin == 0);
    auto const end = static_cast<std::uint32_t>(program.insns.size());
    Placement const placement{.text = functions.size() > 1 ? functions[1].begin : end,
                              .text_at = size_of(out.text),
                              .maps_at = static_cast<std::uint32_t>(out.maps.size())};
    auto const lines = lines_of(entry, context);
    append(out.entries, program, lines, 0, placement.text, placement);
    append(out.text, program, lines, placement.text, end, placement);
    out.maps.insert(out.maps.end(), program.maps.begin(), program.maps.end());
}

// Names and places in the object.  Local symbols come before global ones.
class Symbols {
  public:
    explicit Symbols(ElfFile& elf) : elf_(elf), symbols_(1) {}

    std::uint32_t add(std::string_view name, unsigned bind, unsigned type, std::uint16_t section,
                      std::uint64_t offset, std::uint64_t size,
                      unsigned char visibility = STV_DEFAULT) {
        assert(bind == STB_GLOBAL || locals_ == symbols_.size());
        auto const index = static_cast<std::uint32_t>(symbols_.size());
        Elf64_Sym symbol{};
        symbol.st_name = name.empty() ? 0 : elf_.add_string(elf_.names, name);
        symbol.st_info = static_cast<unsigned char>(bind << 4 | type);
        symbol.st_other = visibility;
        symbol.st_shndx = section;
        symbol.st_value = offset;
        symbol.st_size = size;
        symbols_.push_back(symbol);
        if (bind == STB_LOCAL) locals_ = index + 1;
        return index;
    }
    std::span<Elf64_Sym const> all() const { return symbols_; }
    std::uint32_t locals() const { return locals_; }

  private:
    ElfFile& elf_;
    std::vector<Elf64_Sym> symbols_;
    std::uint32_t locals_ = 1;
};

void add_functions(Symbols& symbols, Code const& code, std::uint16_t section, unsigned bind) {
    for (std::size_t f = 0; f < code.functions.size(); ++f) {
        PlacedFunction const& function = code.functions[f];
        if ((function.scope == Scope::local ? STB_LOCAL : STB_GLOBAL) != bind) continue;
        std::size_t const end =
            f + 1 < code.functions.size() ? code.functions[f + 1].begin : code.insns.size();
        std::uint64_t const begin = function.begin;
        symbols.add(function.name, bind, STT_FUNC, section, 8 * begin, 8 * (end - begin),
                    function.scope == Scope::hidden ? STV_HIDDEN : STV_DEFAULT);
    }
}

// Symbols that references lead to: .text, the first map, the first kernel function.
struct Targets {
    std::uint32_t text = 0, first_map = 0;
    std::vector<std::uint32_t> kfuncs;  // by the function's number
};

std::vector<Elf64_Rel> relocations(Code const& code, Targets const& targets) {
    using To = Code::Reference::To;
    std::vector<Elf64_Rel> out;
    for (Code::Reference const& r : code.references) {
        std::uint64_t const symbol = r.to == To::map    ? targets.first_map + r.index
                                     : r.to == To::text ? targets.text
                                                        : targets.kfuncs[r.index];
        out.push_back({8 * std::uint64_t{r.insn},
                       symbol << 32 | (r.to == To::map ? reloc_load : reloc_call)});
    }
    return out;
}

// The kernel functions that the programs call, in the order of their numbers.
std::vector<ebpf::Kfunc> called_kfuncs(std::span<ObjectEntry const> programs) {
    std::vector<ebpf::Kfunc> out;
    for (std::int32_t number = 0; number < ebpf::kfunc_count; ++number) {
        auto const calls = [&](ebpf::Insn const& insn) {
            return calls_kernel(insn) && insn.imm == number;
        };
        if (std::any_of(programs.begin(), programs.end(), [&](ObjectEntry const& entry) {
                auto const& insns = entry.program->insns;
                return std::any_of(insns.begin(), insns.end(), calls);
            }))
            out.push_back(static_cast<ebpf::Kfunc>(number));
    }
    return out;
}

Bytes text_bytes(std::string_view text) {
    Bytes out;
    for (char const c : text) out.push_back(static_cast<std::byte>(c));
    out.push_back(std::byte{0});
    return out;
}

// What libxdp looks for beside a program: a variable of the program's name, in words of its
// XDP_RUN_CONFIG().  It takes XDP_PASS for set unless that is said to be 0.
std::vector<Settings> run_configs(Code const& entries, RunConfig const& config) {
    constexpr std::string_view actions[] = {"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX",
                                            "XDP_REDIRECT"};
    std::vector<Settings> out;
    for (PlacedFunction const& f : entries.functions) {
        Settings settings{"_" + f.name, {{"priority", config.priority}}};
        for (std::uint32_t action = 0; action < std::size(actions); ++action) {
            bool const chained = (config.chain >> action & 1) != 0;
            if (chained || actions[action] == "XDP_PASS")
                settings.settings.push_back({std::string(actions[action]), chained ? 1U : 0U});
        }
        out.push_back(std::move(settings));
    }
    return out;
}

// A variable of a data section, as the symbol table has it.
struct Variable {
    std::string name;
    std::uint64_t size;
};

// Puts an object together: sections first, then the symbols that name places in them, then the
// relocations that name symbols.
class ObjectWriter {
  public:
    explicit ObjectWriter(Contents const& contents) : contents_(contents), symbols_(elf_) {
        string_table_ = elf_.add(".strtab", {.type = SHT_STRTAB, .align = 1}, {});
    }

    Result<Bytes> write(std::string_view entry_section, std::vector<Settings> const& configs,
                        std::string_view license_words, TypeSections types) {
        if (!contents_.text.insns.empty()) text_ = code_section(".text", contents_.text);
        if (!contents_.entries.insns.empty())
            entries_ = code_section(entry_section, contents_.entries);
        Data const license_data =
            data_section("license", 1, {{"_license", license_words.size() + 1}},
                         license_words.empty() ? Bytes{} : text_bytes(license_words));
        std::vector<Variable> maps, run_configs;
        for (ebpf::MapSpec const& map : contents_.maps)
            maps.push_back({map.name, map_definition_size});
        for (Settings const& s : configs) run_configs.push_back({s.variable, s.size()});
        Data const map_data = zeros(".maps", maps);
        Data const config_data = zeros(".xdp_run_config", run_configs);
        type_section(".BTF", std::move(types.btf));
        type_section(".BTF.ext", std::move(types.ext));

        if (text_ != 0) targets_.text = symbols_.add({}, STB_LOCAL, STT_SECTION, text_, 0, 0);
        add_functions(symbols_, contents_.text, text_, STB_LOCAL);
        add_functions(symbols_, contents_.text, text_, STB_GLOBAL);
        add_functions(symbols_, contents_.entries, entries_, STB_GLOBAL);
        targets_.first_map = static_cast<std::uint32_t>(symbols_.all().size());
        for (Data const* data : {&map_data, &config_data, &license_data}) add_variables(*data);
        targets_.kfuncs.resize(ebpf::kfunc_count);
        for (ebpf::Kfunc const kfunc : contents_.kfuncs)
            targets_.kfuncs[static_cast<std::size_t>(kfunc)] =
                symbols_.add(name_of(kfunc), STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
        write_tables(entry_section);
        return write_elf(elf_);
    }

  private:
    struct Data {
        std::uint16_t section = 0;
        std::vector<Variable> variables;
    };

    std::uint16_t code_section(std::string_view name, Code const& code) {
        return elf_.add(name,
                        {.type = SHT_PROGBITS, .flags = SHF_ALLOC | SHF_EXECINSTR, .align = 8},
                        encoded(code.insns));
    }
    // Nothing where there are no contents.
    Data data_section(std::string_view name, std::uint64_t align, std::vector<Variable> variables,
                      Bytes contents) {
        if (contents.empty()) return {};
        SectionHeader const header{
            .type = SHT_PROGBITS, .flags = SHF_ALLOC | SHF_WRITE, .align = align};
        return {elf_.add(name, header, std::move(contents)), std::move(variables)};
    }
    // Variables that matter by their types only.
    Data zeros(std::string_view name, std::vector<Variable> const& variables) {
        std::size_t size = 0;
        for (Variable const& v : variables) size += v.size;
        return data_section(name, 8, variables, Bytes(size));
    }
    void type_section(std::string_view name, Bytes contents) {
        elf_.add(name, {.type = SHT_PROGBITS, .align = 4}, std::move(contents));
    }
    void add_variables(Data const& data) {
        std::uint64_t offset = 0;
        for (Variable const& v : data.variables) {
            symbols_.add(v.name, STB_GLOBAL, STT_OBJECT, data.section, offset, v.size);
            offset += v.size;
        }
    }
    // The symbol table, and the relocations of both code sections.
    void write_tables(std::string_view entry_section) {
        std::uint16_t const symbols = elf_.add(".symtab",
                                               {.type = SHT_SYMTAB,
                                                .link = string_table_,
                                                .info = symbols_.locals(),
                                                .align = 8,
                                                .entry_size = sizeof(Elf64_Sym)},
                                               bytes_of(symbols_.all()));
        auto const add = [&](std::string const& name, Code const& code, std::uint16_t target) {
            auto const list = relocations(code, targets_);
            if (list.empty()) return;
            elf_.add(name,
                     {.type = SHT_REL,
                      .flags = SHF_INFO_LINK,
                      .link = symbols,
                      .info = target,
                      .align = 8,
                      .entry_size = sizeof(Elf64_Rel)},
                     bytes_of(std::span(list)));
        };
        add(".rel.text", contents_.text, text_);
        add(".rel" + std::string(entry_section), contents_.entries, entries_);
    }

    Contents const& contents_;
    ElfFile elf_;
    Symbols symbols_;
    std::uint16_t string_table_ = 0, text_ = 0, entries_ = 0;
    Targets targets_;
};

Result<Bytes> write(Contents const& contents, HookRow const& hook,
                    std::vector<Settings> const& configs, std::string_view license_words) {
    Typed typed{{}, contents.maps, contents.kfuncs, configs, hook.context, license_words};
    auto const add = [&](std::string_view name, Code const& code) {
        if (!code.insns.empty()) typed.code.push_back({name, code.functions, code.lines});
    };
    add(".text", contents.text);
    add(hook.section, contents.entries);
    auto types = type_sections(typed);
    if (!types) return fail(std::move(types.error()));
    return ObjectWriter(contents).write(hook.section, configs, license_words, std::move(*types));
}

}  // namespace

std::vector<std::byte> raw(ebpf::Program const& program) { return encoded(program.insns); }

Result<std::vector<std::byte>> object(ebpf::Program const& program, HookRow const& hook,
                                      Source const* source) {
    ObjectEntry const entry{&program, source};
    return object(std::span(&entry, 1), hook);
}

Result<std::vector<std::byte>> object(std::span<ObjectEntry const> programs, HookRow const& hook,
                                      RunConfig const& run_config) {
    assert(!programs.empty());
    Contents contents;
    for (ObjectEntry const& entry : programs) append(contents, entry, hook.context);
    contents.kfuncs = called_kfuncs(programs);
    std::vector<Settings> configs;
    // libbpf mentions a section that it does not know at every load, so the default stays unsaid.
    if (run_config != RunConfig{}) configs = run_configs(contents.entries, run_config);
    return write(contents, hook, configs, license);
}

Result<std::vector<std::byte>> function_object(ObjectEntry const& entry, HookRow const& hook) {
    Contents contents;
    auto const end = static_cast<std::uint32_t>(entry.program->insns.size());
    append(contents.text, *entry.program, lines_of(entry, hook.context), 0, end, {0, 0, 0});
    if (!has_context(hook)) contents.text.functions.front().scope = Scope::hidden;
    contents.kfuncs = called_kfuncs(std::span(&entry, 1));
    return write(contents, hook, {}, {});
}

}  // namespace tamis::backend
