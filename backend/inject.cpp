// An object is taken apart (read_elf), the function's bytes are exchanged, and whatever counts in
// bytes or instructions of its section is moved along: symbols, relocations, relative calls, and
// the records of .BTF.ext.
#include "backend/inject.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/core.h>

#include "backend/elf_file.h"
#include "backend/line_info.h"

namespace tamis::backend {
namespace {

constexpr std::uint64_t insn_size = 8;
constexpr std::byte call_code{0x85}, load_code{0x18};  // of calls and of 64-bit immediates
// Relocations of the BPF psABI that add to what stands in their place.
constexpr std::uint64_t reloc_abs64 = 2, reloc_abs32 = 3;

tl::unexpected<Diagnostic> refuse(std::string message, std::string note = {}) {
    Diagnostic out{std::move(message), std::nullopt, {}};
    if (!note.empty()) out.notes.push_back({std::move(note), std::nullopt});
    return fail(std::move(out));
}

bool has_code(ElfSection const& section) {
    return section.header.sh_type == SHT_PROGBITS && (section.header.sh_flags & SHF_EXECINSTR) != 0;
}

std::uint16_t find_section(ElfFile const& elf, std::string_view name) {
    for (std::size_t i = 1; i < elf.sections.size(); ++i)
        if (elf.sections[i].name == name) return static_cast<std::uint16_t>(i);
    return 0;
}

std::string_view string_at(Bytes const& table, std::uint64_t at) {
    if (at >= table.size() || table.back() != std::byte{}) return {};
    return reinterpret_cast<char const*>(table.data()) + at;
}

// Where the function is.
struct Place {
    std::uint16_t section = 0;
    std::uint64_t begin = 0, end = 0;  // bytes
};

// The object's parts that matter here.
struct Parts {
    ElfFile elf;
    std::uint16_t symbol_table = 0;
    std::vector<Elf64_Sym> symbols;
    TypeReader types;
    std::optional<TypeExtension> extension;
};

Result<Parts> take_apart(std::span<std::byte const> object) {
    auto elf = read_elf(object);
    if (!elf) return fail(elf.error());
    Parts out{std::move(*elf), 0, {}, {}, {}};
    for (std::size_t i = 1; i < out.elf.sections.size(); ++i) {
        if (out.elf.sections[i].header.sh_type != SHT_SYMTAB) continue;
        if (out.symbol_table != 0) return refuse("it has two tables of symbols");
        out.symbol_table = static_cast<std::uint16_t>(i);
        out.symbols = elements<Elf64_Sym>(out.elf.sections[i]);
    }
    std::uint16_t const types = find_section(out.elf, ".BTF"),
                        extension = find_section(out.elf, ".BTF.ext");
    if (out.symbol_table == 0) return refuse("it has no symbols");
    if (types == 0) return refuse("it has no type information (BTF)", "compile it with `clang -g`");
    auto reader = TypeReader::read(out.elf.sections[types].bytes);
    if (!reader) return fail(reader.error());
    out.types = std::move(*reader);
    if (extension == 0) return out;
    auto read = TypeExtension::read(out.elf.sections[extension].bytes);
    if (!read) return fail(read.error());
    out.extension = std::move(*read);
    return out;
}

std::string_view name_of(Parts const& parts, Elf64_Sym const& symbol) {
    auto const link = parts.elf.sections[parts.symbol_table].header.sh_link;
    return string_at(parts.elf.sections[link].bytes, symbol.st_name);
}

Result<Place> find_function(Parts const& parts, std::string_view function) {
    std::optional<Place> out;
    std::string known;
    for (Elf64_Sym const& s : parts.symbols) {
        if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx >= parts.elf.sections.size() ||
            !has_code(parts.elf.sections[s.st_shndx]))
            continue;
        if (known.size() < 200) known += (known.empty() ? "" : ", ") + escape(name_of(parts, s));
        if (name_of(parts, s) != function) continue;
        if (out) return refuse(fmt::format("it has two functions '{}'", escape(function)));
        std::uint64_t const size = parts.elf.sections[s.st_shndx].bytes.size();
        if (s.st_size == 0 || s.st_value > size || s.st_size > size - s.st_value ||
            s.st_value % insn_size != 0 || s.st_size % insn_size != 0)
            return refuse(
                fmt::format("the symbol of '{}' names no instructions", escape(function)));
        out = Place{s.st_shndx, s.st_value, s.st_value + s.st_size};
    }
    if (!out)
        return refuse(fmt::format("it has no function '{}'", escape(function)),
                      known.empty() ? "it has none at all; one that is inlined everywhere is none: "
                                      "__attribute__((noinline))"
                                    : "its functions are " + known);
    return *out;
}

// Sections that describe what the linker of BPF objects does not keep either.
bool is_dropped(std::string_view name) {
    std::string_view const of = name.starts_with(".rel") ? name.substr(4) : name;
    return of.starts_with(".debug_") || of == ".llvm_addrsig" || of == ".eh_frame" ||
           name == ".rel.BTF" || name == ".rel.BTF.ext";
}

class Injection {
  public:
    Injection(Parts parts, Place const& place, ebpf::Program const& program)
        : parts_(std::move(parts)),
          elf_(parts_.elf),
          place_(place),
          program_(program),
          new_end_(place.begin + insn_size * program.insns.size()) {}

    Result<std::vector<std::byte>> run(Source const* source, std::string_view function) {
        if (auto fits = alone_in_its_place(); !fits) return fail(fits.error());
        move_references();
        exchange_code();
        move_symbols();
        if (parts_.extension) {
            move_records();
            add_lines(source, function);
            elf_.sections[find_section(elf_, ".BTF")].bytes = parts_.types.bytes();
            elf_.sections[find_section(elf_, ".BTF.ext")].bytes = parts_.extension->bytes();
        }
        if (lost_) return refuse("something in it refers to the middle of the function");
        drop_sections();
        elf_.sections[find_symbols()].bytes = bytes_of(std::span<Elf64_Sym const>(parts_.symbols));
        return write_elf(elf_);
    }

  private:
    bool is_inside(std::uint64_t at) const { return at > place_.begin && at < place_.end; }
    // Where a byte of the section is afterwards.
    std::uint64_t moved(std::uint64_t at) {
        lost_ |= is_inside(at);
        return at < place_.end ? at : at - place_.end + new_end_;
    }

    Result<void> alone_in_its_place() const {
        for (Elf64_Sym const& s : parts_.symbols)
            if (ELF64_ST_TYPE(s.st_info) == STT_FUNC && s.st_shndx == place_.section &&
                (is_inside(s.st_value) ||
                 (s.st_value == place_.begin && s.st_value + s.st_size != place_.end)))
                return refuse("its functions overlap");
        return {};
    }

    std::uint16_t find_symbols() const {
        for (std::size_t i = 1; i < elf_.sections.size(); ++i)
            if (elf_.sections[i].header.sh_type == SHT_SYMTAB) return static_cast<std::uint16_t>(i);
        return 0;
    }

    // ---- Calls and relocations, before anything moves

    void move_references() {
        std::map<std::uint64_t, bool> relocated;  // instructions of the section, by offset
        for (ElfSection& table : elf_.sections) {
            if (table.header.sh_type != SHT_REL || is_dropped(table.name) ||
                table.header.sh_info == 0 || table.header.sh_info >= elf_.sections.size())
                continue;
            bool const here = table.header.sh_info == place_.section;
            std::vector<Elf64_Rel> kept;
            for (Elf64_Rel entry : elements<Elf64_Rel>(table)) {
                if (here && entry.r_offset >= place_.begin && entry.r_offset < place_.end) continue;
                move_target(elf_.sections[table.header.sh_info], entry);
                if (here) {
                    relocated[entry.r_offset] = true;
                    entry.r_offset = moved(entry.r_offset);
                }
                kept.push_back(entry);
            }
            table.bytes = bytes_of(std::span<Elf64_Rel const>(kept));
        }
        Bytes& code = elf_.sections[place_.section].bytes;
        for (std::uint64_t at = 0; at + insn_size <= code.size(); at += insn_size) {
            bool const in_body = at >= place_.begin && at < place_.end;
            bool const local = code[at] == call_code && (code[at + 1] >> 4) == std::byte{1};
            if (local && !in_body && !relocated.contains(at)) move_call(code, at, moved(at));
            if (code[at] == load_code) at += insn_size;
        }
    }

    // A call at one byte that will be at another.
    void move_call(Bytes& code, std::uint64_t at, std::uint64_t new_at) {
        std::int64_t const imm = static_cast<std::int32_t>(get32(code, at + 4));
        auto const size = static_cast<std::int64_t>(insn_size);
        std::int64_t const target = static_cast<std::int64_t>(at) + (imm + 1) * size;
        if (target < 0) return;  // the loader's to refuse
        std::int64_t const distance =
            static_cast<std::int64_t>(moved(static_cast<std::uint64_t>(target))) -
            static_cast<std::int64_t>(new_at);
        put32(code, at + 4, static_cast<std::uint32_t>(distance / size - 1));
    }

    // What a relocation adds to its symbol is in the place that it is about.
    void move_target(ElfSection& in, Elf64_Rel const& entry) {
        std::uint64_t const index = ELF64_R_SYM(entry.r_info), type = ELF64_R_TYPE(entry.r_info);
        if (index >= parts_.symbols.size() || parts_.symbols[index].st_shndx != place_.section)
            return;
        std::uint64_t const value = parts_.symbols[index].st_value;
        std::uint64_t const at = entry.r_offset;
        if (at > in.bytes.size() || in.bytes.size() - at < insn_size) return;
        if (has_code(in) && in.bytes[at] == call_code) {
            // It counts from the symbol as if the call stood before it.
            put32(in.bytes, at + 4, added_to(value, get32(in.bytes, at + 4)));
        } else if (has_code(in) || type == reloc_abs32 || type == reloc_abs64) {
            std::size_t const number = has_code(in) ? at + 4 : at;  // an immediate, or data
            std::uint64_t const target = value + get32(in.bytes, number);
            put32(in.bytes, number, static_cast<std::uint32_t>(moved(target) - moved(value)));
        }
    }

    std::uint32_t added_to(std::uint64_t symbol, std::uint32_t imm) {
        // Modulo 2^64 all the way; places are multiples of an instruction.
        std::uint64_t const target =
            symbol + insn_size * static_cast<std::uint64_t>(static_cast<std::int32_t>(imm) + 1LL);
        auto const distance = static_cast<std::int64_t>(moved(target) - moved(symbol));
        return static_cast<std::uint32_t>(distance / static_cast<std::int64_t>(insn_size) - 1);
    }

    // ---- Code and symbols

    void exchange_code() {
        Bytes& code = elf_.sections[place_.section].bytes;
        auto const octets = ebpf::encode(program_.insns);
        auto const body = std::as_bytes(std::span(octets));
        auto const at = [&](std::uint64_t offset) {
            return code.begin() + static_cast<std::ptrdiff_t>(offset);
        };
        code.erase(at(place_.begin), at(place_.end));
        code.insert(at(place_.begin), body.begin(), body.end());
    }

    void move_symbols() {
        for (Elf64_Sym& s : parts_.symbols) {
            if (s.st_shndx != place_.section || ELF64_ST_TYPE(s.st_info) == STT_SECTION) continue;
            bool const is_function = ELF64_ST_TYPE(s.st_info) == STT_FUNC;
            if (is_function && s.st_value == place_.begin) s.st_size = new_end_ - place_.begin;
            // Labels in the old body have lost their place.
            s.st_value = is_inside(s.st_value) ? place_.begin : moved(s.st_value);
        }
    }

    // ---- Type information

    void move_records() {
        std::string_view const section = elf_.sections[place_.section].name;
        for (int t = 0; t < TypeExtension::tables; ++t)
            for (TypeExtension::Group& group : parts_.extension->table[t].groups) {
                if (parts_.types.string(group.section) != section) continue;
                std::vector<Bytes> kept;
                for (Bytes& record : group.records) {
                    std::uint64_t const at = get32(record, 0);
                    bool const in_body = at >= place_.begin && at < place_.end;
                    if (in_body && !(t == TypeExtension::functions && at == place_.begin)) continue;
                    put32(record, 0, static_cast<std::uint32_t>(moved(at)));
                    kept.push_back(std::move(record));
                }
                group.records = std::move(kept);
            }
    }

    // The verifier wants a record at each function's beginning, and all in order.
    void add_lines(Source const* source, std::string_view function) {
        TypeExtension::Table& table = parts_.extension->table[TypeExtension::lines];
        std::string_view const section = elf_.sections[place_.section].name;
        for (TypeExtension::Group& group : table.groups) {
            if (parts_.types.string(group.section) != section) continue;
            std::vector<Bytes> added;
            for (LineInfo const& line :
                 line_info(program_, source, {fmt::format("{}: a filter", escape(function))})) {
                Bytes record;
                append32(record, static_cast<std::uint32_t>(place_.begin + insn_size * line.insn));
                append32(record, file_name(line));
                append32(record, string(line.text));
                append32(record, line.line << 10 | line.column);
                record.resize(table.record_size);
                added.push_back(std::move(record));
            }
            auto const behind =
                std::find_if(group.records.begin(), group.records.end(),
                             [&](Bytes const& r) { return get32(r, 0) >= new_end_; });
            group.records.insert(behind, added.begin(), added.end());
            return;
        }
    }

    std::uint32_t string(std::string const& text) {
        auto const [at, is_new] = strings_.try_emplace(text, 0);
        if (is_new) at->second = parts_.types.add_string(text);
        return at->second;
    }
    // A name in a place of its own for every text on a line: see FileNames in btf.cpp.
    std::uint32_t file_name(LineInfo const& line) {
        auto const [at, is_new] = files_.try_emplace({line.file, line.line, line.text}, 0);
        if (is_new) at->second = parts_.types.add_string(line.file);
        return at->second;
    }

    // ---- What goes

    void drop_sections() {
        std::vector<std::uint16_t> index(elf_.sections.size());
        std::vector<ElfSection> kept;
        for (std::size_t i = 0; i < elf_.sections.size(); ++i) {
            if (i != 0 && is_dropped(elf_.sections[i].name)) continue;
            index[i] = static_cast<std::uint16_t>(kept.size());
            kept.push_back(std::move(elf_.sections[i]));
        }
        elf_.sections = std::move(kept);
        elf_.names = index[elf_.names];
        std::vector<std::uint64_t> const symbol = drop_symbols(index);
        for (ElfSection& s : elf_.sections) {
            std::uint32_t& info = s.header.sh_info;
            if (s.header.sh_link < index.size()) s.header.sh_link = index[s.header.sh_link];
            if (s.header.sh_type == SHT_SYMTAB) info = locals_;
            if (s.header.sh_type != SHT_REL) continue;
            if (info < index.size()) info = index[info];
            auto entries = elements<Elf64_Rel>(s);
            for (Elf64_Rel& r : entries)
                if (ELF64_R_SYM(r.r_info) < symbol.size())
                    r.r_info = ELF64_R_INFO(symbol[ELF64_R_SYM(r.r_info)], ELF64_R_TYPE(r.r_info));
            s.bytes = bytes_of(std::span<Elf64_Rel const>(entries));
        }
    }

    // Symbols of sections that are gone; returns what number the others have now.
    std::vector<std::uint64_t> drop_symbols(std::vector<std::uint16_t> const& section) {
        std::vector<std::uint64_t> index(parts_.symbols.size());
        std::vector<Elf64_Sym> kept;
        for (std::size_t i = 0; i < parts_.symbols.size(); ++i) {
            Elf64_Sym s = parts_.symbols[i];
            bool const defined = s.st_shndx != SHN_UNDEF && s.st_shndx < section.size();
            if (defined && section[s.st_shndx] == 0) continue;
            if (defined) s.st_shndx = section[s.st_shndx];
            index[i] = kept.size();
            if (ELF64_ST_BIND(s.st_info) == STB_LOCAL)
                locals_ = static_cast<std::uint32_t>(kept.size() + 1);
            kept.push_back(s);
        }
        parts_.symbols = std::move(kept);
        return index;
    }

    struct FileKey {
        std::string file;
        std::uint32_t line;
        std::string text;
        auto operator<=>(FileKey const&) const = default;
    };

    Parts parts_;
    ElfFile& elf_;
    Place place_;
    ebpf::Program const& program_;
    std::uint64_t new_end_;
    bool lost_ = false;
    std::uint32_t locals_ = 0;
    std::map<std::string, std::uint32_t> strings_;
    std::map<FileKey, std::uint32_t> files_;
};

}  // namespace

Result<Stub> find_stub(std::span<std::byte const> object, std::string_view function) {
    auto const parts = take_apart(object);
    if (!parts) return fail(parts.error());
    auto const place = find_function(*parts, function);
    if (!place) return fail(place.error());
    auto parameters = parts->types.parameters(function);
    if (!parameters)
        return refuse(fmt::format("it has no type for function '{}'", escape(function)),
                      "compile it with `clang -g`");
    Stub out{std::move(*parameters),
             {},
             static_cast<std::uint32_t>((place->end - place->begin) / insn_size)};
    for (ElfSection const& s : parts->elf.sections)
        if (has_code(s) && s.name != ".text" && !s.bytes.empty()) out.sections.push_back(s.name);
    return out;
}

Result<std::vector<std::byte>> inject(std::span<std::byte const> object, std::string_view function,
                                      ebpf::Program const& program, Source const* source) {
    auto parts = take_apart(object);
    if (!parts) return fail(parts.error());
    auto const place = find_function(*parts, function);
    if (!place) return fail(place.error());
    auto out = Injection(std::move(*parts), *place, program).run(source, function);
    if (!out) return out;
    // A file can be broken so that it is another one when it is written: tables that share bytes,
    // code under the name of what is left out.
    auto const again = find_stub(*out, function);
    if (!again || again->instructions != program.insns.size())
        return refuse("its tables are broken");
    return out;
}

}  // namespace tamis::backend
