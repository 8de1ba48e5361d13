#include "runtime/elf_functions.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "runtime/elf_sections.h"

namespace tamis::runtime {
namespace {

constexpr std::uint8_t call = 0x85, load_address = 0x18;  // a 64-bit immediate load
constexpr std::size_t most_code = std::size_t{64} << 20;  // of all functions, in bytes

using Place = std::pair<std::string, std::uint64_t>;  // a section, and a byte of it

// The symbol, by number, of every relocation of code.
std::map<Place, std::size_t> symbols_by_place(std::span<ElfSection const> sections,
                                              std::size_t symbols) {
    std::map<Place, std::size_t> out;
    each_relocation(sections, [&](ElfSection const& code, GElf_Rel const& entry) {
        if (GELF_R_SYM(entry.r_info) < symbols)
            out.emplace(Place{code.name, entry.r_offset}, GELF_R_SYM(entry.r_info));
    });
    return out;
}

// A function of its section, and what of it the file has; sizes that overlap are taken as they are.
std::vector<Function> code_of(std::span<ElfSection const> sections,
                              std::span<ElfSymbol const> symbols) {
    std::vector<Function> out;
    std::size_t total = 0;
    for (ElfSymbol const& symbol : symbols) {
        std::size_t const index = symbol.entry.st_shndx;
        if (GELF_ST_TYPE(symbol.entry.st_info) != STT_FUNC || index >= sections.size()) continue;
        ElfSection const& section = sections[index];
        std::uint64_t const at = symbol.entry.st_value;
        if ((section.header.sh_flags & SHF_EXECINSTR) == 0 || at > section.bytes.size()) continue;
        std::uint64_t const size =
            std::min<std::uint64_t>(symbol.entry.st_size, section.bytes.size() - at);
        if ((total += size) > most_code) break;
        Function function{section.name, symbol.name, at, {}, {}};
        function.code.resize(size / sizeof(ebpf::Insn));
        if (!function.code.empty())
            std::memcpy(function.code.data(), section.bytes.data() + at,
                        function.code.size() * sizeof(ebpf::Insn));
        out.push_back(std::move(function));
    }
    return out;
}

bool calls_function(ebpf::Insn const& insn) { return insn.code == call && insn.src == 1; }

// How far an instruction leads from the symbol of its relocation, or from itself: a call says it in
// instructions, and from the one behind it.
std::uint64_t distance(ebpf::Insn const& insn) {
    std::int64_t const bytes = calls_function(insn)
                                   ? (std::int64_t{insn.imm} + 1) * std::int64_t{sizeof insn}
                                   : std::int64_t{insn.imm};
    return static_cast<std::uint64_t>(bytes);
}

// Functions lead to others by relocations, and by calls within a section that need none.
void connect(std::vector<Function>& functions, std::span<ElfSection const> sections,
             std::span<ElfSymbol const> symbols) {
    auto const relocated = symbols_by_place(sections, symbols.size());
    std::map<Place, std::size_t> beginnings;
    for (std::size_t i = 0; i < functions.size(); ++i)
        beginnings.emplace(Place{functions[i].section, functions[i].begin}, i);
    for (Function& function : functions) {
        for (std::size_t i = 0; i < function.code.size(); ++i) {
            ebpf::Insn const& insn = function.code[i];
            if (!calls_function(insn) && insn.code != load_address) continue;
            Place from{function.section, function.begin + i * sizeof insn};
            if (auto const relocation = relocated.find(from); relocation != relocated.end()) {
                GElf_Sym const& symbol = symbols[relocation->second].entry;
                if (symbol.st_shndx >= sections.size()) continue;
                from = {sections[symbol.st_shndx].name, symbol.st_value};
            } else if (!calls_function(insn)) {
                continue;
            }
            auto const to = beginnings.find({from.first, from.second + distance(insn)});
            if (to != beginnings.end()) function.references.push_back({i, to->second});
        }
    }
}

}  // namespace

std::vector<Function> functions_of(std::span<ElfSection const> sections,
                                   std::span<ElfSymbol const> symbols) {
    auto out = code_of(sections, symbols);
    connect(out, sections, symbols);
    return out;
}

}  // namespace tamis::runtime
