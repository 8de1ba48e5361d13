// What is in an object: sections, symbols, relocations and types, read back by libelf, libbpf and
// llvm-objdump.
#include "backend/object.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gelf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/c_text.h"
#include "backend/file.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/sample_programs.h"
#include "tests/support/shell.h"

namespace tamis {
namespace {

using testing::HasSubstr;

std::vector<std::byte> object_of(ebpf::Program const& program, Hook hook) {
    auto const object = backend::object(program, row(hook));
    EXPECT_TRUE(object.has_value());
    return object.value_or(std::vector<std::byte>{});
}

TEST(CText, CommentsHoldForeignText) {
    EXPECT_EQ(backend::comment_text("a */ b /* c\n\x1b"), "a * / b / * c\\n\\x1b");
}

std::vector<std::byte> tc_object() { return object_of(test::tc_counter(), Hook::tc_ingress); }

// The object as libelf reads it.
class Read {
  public:
    explicit Read(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {
        elf_version(EV_CURRENT);
        elf_ = elf_memory(reinterpret_cast<char*>(bytes_.data()), bytes_.size());
        std::size_t names = 0;
        elf_getshdrstrndx(elf_, &names);
        for (Elf_Scn* scn = nullptr; (scn = elf_nextscn(elf_, scn)) != nullptr;) {
            GElf_Shdr header;
            gelf_getshdr(scn, &header);
            sections_[elf_strptr(elf_, names, header.sh_name)] = scn;
        }
    }
    Read(Read const&) = delete;
    Read& operator=(Read const&) = delete;
    ~Read() { elf_end(elf_); }

    GElf_Ehdr header() const {
        GElf_Ehdr out;
        gelf_getehdr(elf_, &out);
        return out;
    }
    bool has(std::string const& section) const { return sections_.count(section) > 0; }
    std::string contents(std::string const& section) const {
        Elf_Data const* data = elf_getdata(sections_.at(section), nullptr);
        return {static_cast<char const*>(data->d_buf), data->d_size};
    }
    std::vector<ebpf::Insn> code(std::string const& section) const {
        std::string const bytes = contents(section);
        std::vector<ebpf::Insn> out(bytes.size() / 8);
        std::memcpy(out.data(), bytes.data(), bytes.size());
        return out;
    }
    // `binding type section+value size` by name.
    std::map<std::string, std::string> symbols() const {
        std::map<std::string, std::string> out;
        for (int i = 1;; ++i) {
            GElf_Sym symbol;
            if (!gelf_getsym(elf_getdata(sections_.at(".symtab"), nullptr), i, &symbol)) return out;
            int const bind = GELF_ST_BIND(symbol.st_info), type = GELF_ST_TYPE(symbol.st_info);
            out[name_of(symbol)] = std::string(bind == STB_GLOBAL ? "global" : "local") +
                                   (type == STT_FUNC      ? " func "
                                    : type == STT_OBJECT  ? " object "
                                    : type == STT_SECTION ? " section "
                                                          : " ? ") +
                                   section_name(symbol.st_shndx) + "+" +
                                   std::to_string(symbol.st_value) + " " +
                                   std::to_string(symbol.st_size);
        }
    }
    // `offset type symbol`, in order.
    std::vector<std::string> relocations(std::string const& section) const {
        std::vector<std::string> out;
        for (int i = 0;; ++i) {
            GElf_Rel entry;
            if (!gelf_getrel(elf_getdata(sections_.at(section), nullptr), i, &entry)) return out;
            GElf_Sym symbol;
            gelf_getsym(elf_getdata(sections_.at(".symtab"), nullptr),
                        static_cast<int>(GELF_R_SYM(entry.r_info)), &symbol);
            out.push_back(std::to_string(entry.r_offset / 8) + " " +
                          std::to_string(GELF_R_TYPE(entry.r_info)) + " " + name_of(symbol));
        }
    }

  private:
    std::string section_name(std::size_t index) const {
        for (auto const& [name, scn] : sections_)
            if (elf_ndxscn(scn) == index) return name;
        return "?";
    }
    std::string name_of(GElf_Sym const& symbol) const {
        if (GELF_ST_TYPE(symbol.st_info) == STT_SECTION) return section_name(symbol.st_shndx);
        return elf_strptr(elf_, elf_ndxscn(sections_.at(".strtab")), symbol.st_name);
    }

    std::vector<std::byte> bytes_;
    Elf* elf_ = nullptr;
    std::map<std::string, Elf_Scn*> sections_;
};

TEST(Object, IsTheSameEveryTime) {
    EXPECT_EQ(tc_object(), tc_object());
    EXPECT_FALSE(tc_object().empty());
    EXPECT_NE(tc_object(), object_of(test::xdp_counter(), Hook::xdp));
}

TEST(Object, IsARelocatableFileForBpf) {
    Read const elf(tc_object());
    GElf_Ehdr const header = elf.header();
    EXPECT_EQ(header.e_machine, 247);
    EXPECT_EQ(header.e_type, ET_REL);
    EXPECT_EQ(header.e_ident[EI_DATA], ELFDATA2LSB);
    EXPECT_EQ(header.e_ident[EI_CLASS], ELFCLASS64);
    EXPECT_EQ(elf.contents("license"), std::string("Dual BSD/GPL\0", 13));
    EXPECT_EQ(elf.contents(".maps"), std::string(32, '\0'));
}

TEST(Object, EntryIsInTheHooksSection) {
    for (Hook const hook : {Hook::socket, Hook::tc_ingress, Hook::tc_egress}) {
        Read const elf(object_of(test::socket_filter('x'), hook));
        std::string const section(row(hook).section);
        EXPECT_EQ(elf.code(section), test::socket_filter('x').insns);
        EXPECT_EQ(elf.symbols().at("first_byte"), "global func " + section + "+0 56");
    }
}

TEST(Object, WithoutMapsAndFunctionsHasNoSectionsForThem) {
    Read const elf(object_of(test::socket_filter('x'), Hook::socket));
    for (char const* section : {".text", ".maps", ".rel.text", ".relsocket"})
        EXPECT_FALSE(elf.has(section)) << section;
}

TEST(Object, SymbolsNameEveryFunctionAndMap) {
    auto const program = test::tc_counter();
    Read const elf(object_of(program, Hook::tc_ingress));
    auto const symbols = elf.symbols();
    auto const size = [&](std::size_t f) {
        auto const& all = program.functions;
        auto const end = f + 1 < all.size() ? all[f + 1].begin : program.insns.size();
        return std::to_string(8 * (end - all[f].begin));
    };
    auto const answer =
        std::to_string(8 * (program.functions[2].begin - program.functions[1].begin));
    EXPECT_EQ(symbols.at("ip_counter"), "global func tc+0 " + size(0));
    EXPECT_EQ(symbols.at("filter"), "local func .text+0 " + size(1));
    EXPECT_EQ(symbols.at("answer"), "local func .text+" + answer + " " + size(2));
    EXPECT_EQ(symbols.at("counters"), "global object .maps+0 32");
    EXPECT_EQ(symbols.at("_license"), "global object license+0 13");
}

TEST(Object, RelocationsStandForMapsAndForCallsOutOfTheSection) {
    auto const program = test::tc_counter();
    Read const elf(object_of(program, Hook::tc_ingress));
    EXPECT_EQ(elf.relocations(".reltc"), (std::vector<std::string>{"1 10 .text", "3 1 counters"}));
    EXPECT_FALSE(elf.has(".rel.text"));  // the one call there stays in its section

    auto const entry = elf.code("tc");
    EXPECT_EQ(entry[1], (ebpf::Insn{0x85, 0, 1, 0, -1}));  // .text + 8 * (-1 + 1)
    EXPECT_EQ(entry[3], (ebpf::Insn{0x18, 1, 0, 0, 0}));
    EXPECT_EQ(entry[4], ebpf::Insn{});
    std::size_t const begin = program.functions[1].begin;
    EXPECT_TRUE(std::equal(program.insns.begin() + static_cast<std::ptrdiff_t>(begin),
                           program.insns.end(), elf.code(".text").begin()));
}

TEST(Object, CallToALaterFunctionSaysWhereItBegins) {
    using namespace ebpf;
    Builder b;
    auto const one = b.label(), two = b.label();
    b.call(two).call(one).exit();
    b.bind(one).load_map(Reg::r1, 1).mov(Reg::r0, 0).exit();
    b.bind(two).mov(Reg::r0, 0).exit();
    auto second = test::counters_map();
    second.name = "more";
    Read const elf(object_of(
        test::finished(b, {test::counters_map(), second}, {{"entry", 0}, {"one", 3}, {"two", 7}}),
        Hook::tc_ingress));
    EXPECT_EQ(elf.code("tc")[0].imm, 3);
    EXPECT_EQ(elf.code("tc")[1].imm, -1);
    EXPECT_EQ(elf.relocations(".reltc"), (std::vector<std::string>{"0 10 .text", "1 10 .text"}));
    EXPECT_EQ(elf.relocations(".rel.text"), std::vector<std::string>{"0 1 more"});
    EXPECT_EQ(elf.symbols().at("more"), "global object .maps+32 32");
}

[[gnu::format(printf, 2, 0)]] void append(void* to, char const* format, va_list arguments) {
    std::array<char, 4096> text{};
    vsnprintf(text.data(), text.size(), format, arguments);
    *static_cast<std::string*>(to) += text.data();
}

// The C declarations of everything in the object's BTF.
std::string declarations(std::vector<std::byte> const& object) {
    test::TemporaryFolder const folder;
    EXPECT_TRUE(backend::write_file(folder / "f.o", object));
    btf_ext* ext = nullptr;
    btf* const types = btf__parse_elf((folder / "f.o").c_str(), &ext);
    EXPECT_NE(types, nullptr);
    EXPECT_NE(ext, nullptr);
    std::string out;
    btf_dump* const dump = btf_dump__new(types, append, &out, nullptr);
    for (unsigned id = 1; types && id < btf__type_cnt(types); ++id) {
        btf_type const* type = btf__type_by_id(types, id);
        std::string const name = btf__name_by_offset(types, type->name_off);
        if (btf_is_func(type))
            out += "/* " + std::string(btf_vlen(type) == BTF_FUNC_GLOBAL ? "global " : "static ") +
                   name + " */\n";
        else if (btf_is_composite(type) && !name.empty())
            btf_dump__dump_type(dump, id);
    }
    btf_dump__free(dump);
    btf_ext__free(ext);
    btf__free(types);
    return out;
}

TEST(Types, NameFunctionsCountersAndContext) {
    std::string const tc = declarations(tc_object());
    EXPECT_THAT(tc, HasSubstr("/* global ip_counter */"));
    EXPECT_THAT(tc, HasSubstr("/* static filter */"));
    EXPECT_THAT(tc, HasSubstr("/* static answer */"));
    EXPECT_THAT(tc, HasSubstr("struct counter {\n\tunsigned long long packets;\n"
                              "\tunsigned long long bytes;\n};"));
    EXPECT_THAT(tc, HasSubstr("struct __sk_buff {\n\tunsigned int len;\n"));
    EXPECT_THAT(declarations(object_of(test::xdp_counter(), Hook::xdp)),
                HasSubstr("struct xdp_md {\n\tunsigned int data;\n\tunsigned int data_end;\n"));
}

// Offsets against the header that the kernel's users compile with.
TEST(Types, ContextsAreLaidOutAsInTheKernelsHeader) {
    test::TemporaryFolder const folder;
    for (auto const& [object, context] :
         {std::pair{tc_object(), "__sk_buff"},
          std::pair{object_of(test::xdp_counter(), Hook::xdp), "xdp_md"}}) {
        ASSERT_TRUE(backend::write_file(folder / "f.o", object));
        std::unique_ptr<btf, decltype(&btf__free)> const types(
            btf__parse_elf((folder / "f.o").c_str(), nullptr), btf__free);
        ASSERT_NE(types, nullptr);
        int const id = btf__find_by_name_kind(types.get(), context, BTF_KIND_STRUCT);
        ASSERT_GT(id, 0);
        btf_type const* type = btf__type_by_id(types.get(), static_cast<unsigned>(id));
        std::ofstream c(folder / "offsets.c");
        c << "#include <stddef.h>\n#include <linux/bpf.h>\n";
        c << "_Static_assert(sizeof(struct " << context << ") >= " << type->size
          << ", \"size\");\n";
        for (unsigned m = 0; m < btf_vlen(type); ++m) {
            auto const* member = btf_members(type) + m;
            std::string const name = btf__name_by_offset(types.get(), member->name_off);
            c << "_Static_assert(offsetof(struct " << context << ", " << name
              << ") == " << btf_member_bit_offset(type, m) / 8 << " && sizeof((struct " << context
              << "){0}." << name << ") == " << btf__resolve_size(types.get(), member->type)
              << ", \"" << name << "\");\n";
        }
        c.close();
        EXPECT_GE(btf_vlen(type), 6U);
        auto const compiled = test::shell("cc -std=c11 -fsyntax-only " + folder / "offsets.c");
        EXPECT_EQ(compiled.status, 0) << compiled.text;
    }
}

// Libbpf itself must find nothing to complain about.
TEST(Object, LibbpfOpensItWithoutAWord) {
    static std::string words;
    words.clear();
    auto const old = libbpf_set_print([](libbpf_print_level level, char const* format, va_list) {
        if (level != LIBBPF_DEBUG) words += format;
        return 0;
    });
    auto const bytes = tc_object();
    bpf_object* const object = bpf_object__open_mem(bytes.data(), bytes.size(), nullptr);
    ASSERT_NE(object, nullptr) << words;
    bpf_program const* program = bpf_object__next_program(object, nullptr);
    ASSERT_NE(program, nullptr);
    EXPECT_STREQ(bpf_program__name(program), "ip_counter");
    EXPECT_EQ(bpf_program__type(program), BPF_PROG_TYPE_SCHED_CLS);
    bpf_map const* map = bpf_object__find_map_by_name(object, "counters");
    ASSERT_NE(map, nullptr);
    EXPECT_EQ(bpf_map__type(map), BPF_MAP_TYPE_PERCPU_ARRAY);
    EXPECT_EQ(bpf_map__key_size(map), 4U);
    EXPECT_EQ(bpf_map__value_size(map), 16U);
    EXPECT_EQ(bpf_map__max_entries(map), 2U);
    EXPECT_NE(bpf_map__btf_value_type_id(map), 0U);
    bpf_object__close(object);
    libbpf_set_print(old);
    EXPECT_EQ(words, "");
}

TEST(Object, LlvmObjdumpPrintsTheInstructions) {
    TAMIS_NEED_KERNEL("llvm-objdump", test::have_program("llvm-objdump"));
    test::TemporaryFolder const folder;
    ASSERT_TRUE(backend::write_file(folder / "f.o", tc_object()));
    auto const listing = test::shell("llvm-objdump -dr " + folder / "f.o");
    EXPECT_EQ(listing.status, 0);
    EXPECT_THAT(listing.text, HasSubstr("<ip_counter>:"));
    EXPECT_THAT(listing.text, HasSubstr("<filter>:"));
    EXPECT_THAT(listing.text, HasSubstr("r0 = *(u16 *)skb[12]"));
    EXPECT_THAT(listing.text, HasSubstr("R_BPF_64_64\tcounters"));
    EXPECT_THAT(listing.text, HasSubstr("R_BPF_64_32\t.text"));
}

TEST(Raw, IsTheInstructionsInOrder) {
    ebpf::Program program;
    program.insns = {{0x15, 3, 4, -2, 0x01020304}};
    std::vector<std::byte> expected;
    for (int const byte : {0x15, 0x43, 0xfe, 0xff, 4, 3, 2, 1})
        expected.push_back(static_cast<std::byte>(byte));
    EXPECT_EQ(backend::raw(program), expected);
}

}  // namespace
}  // namespace tamis
