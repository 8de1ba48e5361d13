// The types of programs and maps: since when the kernel has them, which fields of their context
// programs may read and write, what they may return.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/release.h"

namespace tamis::runtime {

// A BPF_PROG_TYPE_* or BPF_MAP_TYPE_*: its name in lower case, as bpftool prints it, and the first
// kernel that has it.  Unknown ones have no name.
struct KernelType {
    std::string_view name;
    Release since;
    std::string_view capabilities = {};  // what loading needs beside CAP_BPF
};
// All of them as words: "CAP_BPF CAP_NET_ADMIN".
std::string capabilities(KernelType const& type);
KernelType program_type(std::uint32_t type);
KernelType map_type(std::uint32_t type);
// All of them, by number; the first is no type.
std::span<KernelType const> program_types();
std::span<KernelType const> map_types();

// A field of a context as programs see it.
struct ContextField {
    std::string_view name;
    std::uint16_t offset, size;  // bytes
    Release since;               // the first kernel that has it
};

// What programs of a type see of their context.
struct Context {
    std::uint32_t program_type;
    // Where it depends on the expected attach type, one bit of them per row; 0 where it does not.
    std::uint64_t attach_types;
    std::string_view type;                 // `__sk_buff`
    std::span<ContextField const> fields;  // of the type; empty where they depend on the kernel
    // Names of fields, with blanks between.
    std::string_view hidden;    // that cannot be read
    std::string_view writable;  // that can be written
    Release newer = {};  // the first kernel with these attach types, where later than the type's
    // The first kernel in which programs of this kind see the field.
    Release since(ContextField const& field) const;
    bool reads(ContextField const& field) const;
    bool writes(ContextField const& field) const;
};
std::span<Context const> contexts();
// Null for types without a row.
Context const* find_context(std::uint32_t program_type, std::uint32_t attach_type);
// The field that holds all of these bytes, or null.
ContextField const* find_field(Context const& context, std::uint32_t offset, std::uint32_t size);

// What the verifier lets a program return; none: anything.
struct Returns {
    std::int32_t low, high;
};
std::optional<Returns> returns(std::uint32_t program_type, std::uint32_t attach_type);

}  // namespace tamis::runtime
