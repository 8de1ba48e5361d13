// BTF through libbpf's writer; .BTF.ext, for which libbpf has none, by hand.  Every reader of BTF
// treats it as optional and drops it silently when it is wrong: the tests ask the kernel.
#include "backend/btf.h"

#include <cassert>
#include <cerrno>
#include <initializer_list>
#include <map>
#include <memory>
#include <utility>

#include <bpf/btf.h>
#include <fmt/core.h>

namespace tamis::backend {
namespace {

// Members of the context structs (linux/bpf.h, `struct __sk_buff` and `struct xdp_md`).
struct Member {
    std::string_view name;
    std::uint32_t offset;  // bytes
    std::uint32_t bytes;   // 4, or 8
    std::uint32_t count = 1;
};
// clang-format off
// Without the members that point to other structs (flow_keys at 144, sk at 168).
constexpr Member sk_buff[] = {
    {"len", 0, 4}, {"pkt_type", 4, 4}, {"mark", 8, 4}, {"queue_mapping", 12, 4}, {"protocol", 16, 4},
    {"vlan_present", 20, 4}, {"vlan_tci", 24, 4}, {"vlan_proto", 28, 4}, {"priority", 32, 4},
    {"ingress_ifindex", 36, 4}, {"ifindex", 40, 4}, {"tc_index", 44, 4}, {"cb", 48, 4, 5}, {"hash", 68, 4},
    {"tc_classid", 72, 4}, {"data", 76, 4}, {"data_end", 80, 4}, {"napi_id", 84, 4}, {"family", 88, 4},
    {"remote_ip4", 92, 4}, {"local_ip4", 96, 4}, {"remote_ip6", 100, 4, 4}, {"local_ip6", 116, 4, 4},
    {"remote_port", 132, 4}, {"local_port", 136, 4}, {"data_meta", 140, 4}, {"tstamp", 152, 8},
    {"wire_len", 160, 4}, {"gso_segs", 164, 4}, {"gso_size", 176, 4}, {"hwtstamp", 184, 8},
};
constexpr Member xdp_md[] = {
    {"data", 0, 4}, {"data_end", 4, 4}, {"data_meta", 8, 4}, {"ingress_ifindex", 12, 4},
    {"rx_queue_index", 16, 4}, {"egress_ifindex", 20, 4},
};
// Pointers in the kernel's own struct.
constexpr Member nf_ctx[] = {{"state", 0, 8}, {"skb", 8, 8}};
// clang-format on

struct Context {
    std::string_view name;
    std::uint32_t size;
    std::span<Member const> members;
};
constexpr Context contexts[] = {
    {"__sk_buff", 192, sk_buff}, {"xdp_md", 24, xdp_md}, {"bpf_nf_ctx", 16, nf_ctx}};

// libbpf's writer.  Ids of types are ints; after the first failure every id is that error.
class Types {
  public:
    Types() : btf_(btf__new_empty(), btf__free) {
        if (!btf_) error_ = ENOMEM;
        if (btf_) btf__set_endianness(btf_.get(), BTF_LITTLE_ENDIAN);
    }

    int int_type(char const* name, std::size_t bytes, int encoding = 0) {
        return note(error_ ? -error_ : btf__add_int(btf_.get(), name, bytes, encoding));
    }
    int pointer(int to) { return note(error_ ? -error_ : btf__add_ptr(btf_.get(), to)); }
    int array(int of, int index, std::uint32_t count) {
        return note(error_ ? -error_ : btf__add_array(btf_.get(), index, of, count));
    }
    int structure(std::string const& name, std::uint32_t bytes) {
        return note(error_ ? -error_ : btf__add_struct(btf_.get(), name.c_str(), bytes));
    }
    void member(std::string const& name, int type, std::uint32_t byte_offset) {
        if (!error_)
            note(btf__add_field(btf_.get(), name.c_str(), type, 8 * byte_offset, /*bit_size=*/0));
    }
    struct Parameter {
        char const* name;
        int type;
    };
    int prototype(int returns, std::initializer_list<Parameter> parameters) {
        int const id = note(error_ ? -error_ : btf__add_func_proto(btf_.get(), returns));
        for (Parameter const& p : parameters)
            if (!error_) note(btf__add_func_param(btf_.get(), p.name, p.type));
        return id;
    }
    int function(std::string const& name, btf_func_linkage linkage, int prototype) {
        return note(error_ ? -error_ : btf__add_func(btf_.get(), name.c_str(), linkage, prototype));
    }
    int variable(std::string const& name, int type) {
        return note(error_
                        ? -error_
                        : btf__add_var(btf_.get(), name.c_str(), BTF_VAR_GLOBAL_ALLOCATED, type));
    }
    struct Variable {
        int id;
        std::uint32_t size;
    };
    void data_section(std::string const& name, std::vector<Variable> const& variables) {
        std::uint32_t size = 0;
        for (Variable const& v : variables) size += v.size;
        if (!error_) note(btf__add_datasec(btf_.get(), name.c_str(), size));
        std::uint32_t offset = 0;
        for (Variable const& v : variables) {
            if (!error_) note(btf__add_datasec_var_info(btf_.get(), v.id, offset, v.size));
            offset += v.size;
        }
    }
    std::uint32_t text(std::string const& s) {
        return static_cast<std::uint32_t>(
            note(error_ ? -error_ : btf__add_str(btf_.get(), s.c_str())));
    }

    Result<std::vector<std::byte>> bytes() const {
        std::uint32_t size = 0;
        void const* data = error_ ? nullptr : btf__raw_data(btf_.get(), &size);
        if (!data) return fail(system_error("cannot write BTF", error_ ? error_ : ENOMEM));
        auto const* first = static_cast<std::byte const*>(data);
        return std::vector<std::byte>(first, first + size);
    }

  private:
    int note(int result) {
        if (result < 0 && !error_) error_ = -result;
        return result;
    }

    std::unique_ptr<btf, decltype(&btf__free)> btf_;
    int error_ = 0;
};

// The numbers that everything here is made of.
struct Basics {
    int i32, u32, u64, chr;
};

int context_type(Types& types, Basics const& basic, std::string_view name) {
    Context const* context = nullptr;
    for (Context const& c : contexts)
        if (c.name == name) context = &c;
    assert(context && "every hook's context has a row");
    // Arrays first: a struct's members follow it immediately.
    std::vector<int> member_types;
    for (Member const& m : context->members) {
        int const word = m.bytes == 8 ? basic.u64 : basic.u32;
        member_types.push_back(m.count == 1 ? word : types.array(word, basic.u32, m.count));
    }
    int const id = types.structure(std::string(name), context->size);
    for (std::size_t i = 0; i < member_types.size(); ++i)
        types.member(std::string(context->members[i].name), member_types[i],
                     context->members[i].offset);
    return id;
}

int value_type(Types& types, Basics const& basic, ebpf::MapSpec const& map) {
    int const value = types.structure(map.value_type, map.value_size());
    for (std::uint32_t i = 0; i < map.value_fields.size(); ++i)
        types.member(map.value_fields[i], basic.u64, 8 * i);
    return value;
}

// A number as a type: a pointer to an array of that length.
int number(Types& types, Basics const& basic, std::uint32_t n) {
    return types.pointer(types.array(basic.i32, basic.u32, n));
}

int settings_variable(Types& types, Basics const& basic, Settings const& settings) {
    std::vector<int> numbers;
    for (auto const& s : settings.settings) numbers.push_back(number(types, basic, s.number));
    int const definition = types.structure("", settings.size());
    for (std::uint32_t i = 0; i < numbers.size(); ++i)
        types.member(settings.settings[i].name, numbers[i], 8 * i);
    return types.variable(settings.variable, definition);
}

// What `__uint(type, ...); __uint(max_entries, ...); __type(key, ...); __type(value, ...)` makes in
// C: numbers are lengths of arrays, types are pointed to.
int map_variable(Types& types, Basics const& basic, ebpf::MapSpec const& map, int value) {
    assert(map.key_size == 4 && "both array map types have 32-bit keys");
    int const type = number(types, basic, static_cast<std::uint32_t>(map.type));
    int const max_entries = number(types, basic, map.max_entries);
    int const key = types.pointer(basic.u32);
    int const value_pointer = types.pointer(value);

    int const definition = types.structure("", map_definition_size);
    types.member("type", type, 0);
    types.member("max_entries", max_entries, 8);
    types.member("key", key, 16);
    types.member("value", value_pointer, 24);
    return types.variable(map.name, definition);
}

// Declarations of kernel functions (kernel/bpf/helpers.c, net/core/filter.c).  The loader compares
// kinds of types with the kernel's, so pointers lead to structs, whose members nobody asks for.
int declare(Types& types, Basics const& basic, ebpf::Kfunc kfunc) {
    auto const structure = [&](char const* name) {
        return types.pointer(types.structure(name, 0));
    };
    auto const proto = [&]() -> int {
        switch (kfunc) {
            case ebpf::Kfunc::dynptr_from_skb: {
                int const skb = structure("__sk_buff"), to = structure("bpf_dynptr");
                return types.prototype(basic.i32,
                                       {{"s", skb}, {"flags", basic.u64}, {"ptr__uninit", to}});
            }
            case ebpf::Kfunc::dynptr_slice: {
                int const from = structure("bpf_dynptr"), bytes = types.pointer(0);
                return types.prototype(bytes, {{"p", from},
                                               {"offset", basic.u32},
                                               {"buffer__opt", bytes},
                                               {"buffer__szk", basic.u32}});
            }
            case ebpf::Kfunc::dynptr_size: {
                int const of = structure("bpf_dynptr");
                return types.prototype(basic.u32, {{"p", of}});
            }
            case ebpf::Kfunc::xdp_vlan_tag: {
                int const to = types.pointer(types.int_type("unsigned short", 2));
                return types.prototype(
                    basic.i32, {{"ctx", structure("xdp_md")}, {"vlan_proto", to}, {"vlan_tci", to}});
            }
        }
        return 0;
    };
    return types.function(std::string(name_of(kfunc)), BTF_FUNC_EXTERN, proto());
}

// .BTF.ext: a header of 24 bytes, then function records, then line records; both kinds are grouped
// by code section.  libbpf warns about every program that has function records and no line.
class Ext {
  public:
    void section(std::uint32_t name, std::size_t functions, std::size_t lines) {
        put(functions_, {name, static_cast<std::uint32_t>(functions)});
        put(lines_, {name, static_cast<std::uint32_t>(lines)});
    }
    void function(std::uint32_t insn, std::uint32_t type) { put(functions_, {8 * insn, type}); }
    void line(std::uint32_t insn, std::uint32_t file, std::uint32_t text, LineInfo const& at) {
        put(lines_, {8 * insn, file, text, at.line << 10 | at.column});
    }
    std::vector<std::byte> bytes() const {
        auto const size = [](auto const& v) { return static_cast<std::uint32_t>(4 + v.size()); };
        std::vector<std::byte> out;
        put(out, {0x0001eb9f});           // magic, version 1, no flags
        put(out, {24});                   // size of this header
        put(out, {0, size(functions_)});  // where behind it, and how long
        put(out, {size(functions_), size(lines_)});
        put(out, {8});  // size of a function record
        out.insert(out.end(), functions_.begin(), functions_.end());
        put(out, {16});  // size of a line record
        out.insert(out.end(), lines_.begin(), lines_.end());
        return out;
    }

  private:
    static void put(std::vector<std::byte>& to, std::initializer_list<std::uint32_t> values) {
        for (std::uint32_t const value : values)
            for (unsigned shift = 0; shift < 32; shift += 8)
                to.push_back(static_cast<std::byte>(value >> shift));
    }
    std::vector<std::byte> functions_, lines_;
};

// File names of line records.  From 6.9 on the verifier's log passes over a record that has the
// file and the line of the one before; it compares not the name but its place in .BTF.  So every
// further text on a line gets the name at a place of its own: the end of a longer string.
class FileNames {
  public:
    explicit FileNames(Types& types) : types_(types) {}

    std::uint32_t of(LineInfo const& at) {
        auto const& first = first_.try_emplace(std::pair(at.file, at.line), at.text).first->second;
        if (first == at.text) return types_.text(at.file);
        std::string const prefix = std::to_string(types_.text(at.text));
        return types_.text(prefix + at.file) + static_cast<std::uint32_t>(prefix.size());
    }

  private:
    Types& types_;
    std::map<std::pair<std::string, std::uint32_t>, std::string>
        first_;  // the first text on a line
};

}  // namespace

std::string declaration(std::string_view function, std::string_view context) {
    if (context.empty()) return fmt::format("int {}(void *data, void *data_end)", function);
    return fmt::format("int {}(struct {} *ctx)", function, context);
}

namespace {

int prototype(Types& types, Basics const& basic, std::string_view context) {
    if (!context.empty()) {
        int const pointer = types.pointer(context_type(types, basic, context));
        return types.prototype(basic.i32, {{"ctx", pointer}});
    }
    int const bound = types.pointer(0);
    return types.prototype(basic.i32, {{"data", bound}, {"data_end", bound}});
}

// .maps, .ksyms, .xdp_run_config and license.
void add_data_sections(Types& types, Basics const& basic, Typed const& object) {
    std::vector<Types::Variable> maps;
    std::map<std::string_view, int> values;  // maps share them
    for (ebpf::MapSpec const& map : object.maps) {
        auto const [at, is_new] = values.try_emplace(map.value_type, 0);
        if (is_new) at->second = value_type(types, basic, map);
        maps.push_back({map_variable(types, basic, map, at->second), map_definition_size});
    }
    if (!maps.empty()) types.data_section(".maps", maps);

    std::vector<Types::Variable> kernel;
    for (ebpf::Kfunc const kfunc : object.kfuncs)
        kernel.push_back({declare(types, basic, kfunc), 0});
    if (!kernel.empty()) types.data_section(".ksyms", kernel);

    std::vector<Types::Variable> run_configs;
    for (Settings const& s : object.run_configs)
        run_configs.push_back({settings_variable(types, basic, s), s.size()});
    if (!run_configs.empty()) types.data_section(".xdp_run_config", run_configs);

    if (object.license.empty()) return;
    auto const size = static_cast<std::uint32_t>(object.license.size() + 1);
    int const license = types.variable("_license", types.array(basic.chr, basic.u32, size));
    types.data_section("license", {{license, size}});
}

}  // namespace

Result<TypeSections> type_sections(Typed const& object) {
    Types types;
    Basics const basic{
        .i32 = types.int_type("int", 4, BTF_INT_SIGNED),
        .u32 = types.int_type("unsigned int", 4),
        .u64 = types.int_type("unsigned long long", 8),
        .chr = types.int_type("char", 1, BTF_INT_SIGNED),
    };
    int const proto = prototype(types, basic, object.context);

    Ext ext;
    FileNames files(types);
    for (CodeSection const& section : object.code) {
        ext.section(types.text(std::string(section.name)), section.functions.size(),
                    section.lines.size());
        for (PlacedFunction const& f : section.functions) {
            auto const linkage = f.scope == Scope::local ? BTF_FUNC_STATIC : BTF_FUNC_GLOBAL;
            int const type = types.function(f.name, linkage, proto);
            ext.function(f.begin, static_cast<std::uint32_t>(type));
        }
        for (LineInfo const& l : section.lines)
            ext.line(l.insn, files.of(l), types.text(l.text), l);
    }
    add_data_sections(types, basic, object);
    return types.bytes().map([&](std::vector<std::byte>&& btf) {
        return TypeSections{std::move(btf), ext.bytes()};
    });
}

}  // namespace tamis::backend
