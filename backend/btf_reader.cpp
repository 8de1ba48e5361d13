// The formats are those of the kernel's Documentation/bpf/btf.rst.
#include "backend/btf_reader.h"

#include <algorithm>

namespace tamis::backend {
namespace {

constexpr std::uint32_t magic = 0x0001eb9f;  // version 1, no flags
constexpr std::size_t header_size = 24, type_size = 12;

enum Kind : std::uint32_t {
    integer = 1,
    pointer,
    array,
    structure,
    union_,
    enumeration,
    forward,
    typedef_,
    volatile_,
    constant,
    restrict_,
    function,
    prototype,
    variable,
    section,
    floating,
    declaration_tag,
    type_tag,
    enumeration64,
};

tl::unexpected<Diagnostic> broken() {
    return fail({"its type information is broken", std::nullopt, {}});
}

// Bytes behind a type of that kind with `count` members.
std::optional<std::size_t> bytes_behind(std::uint32_t kind, std::size_t count) {
    switch (kind) {
        case integer:
        case variable:
        case declaration_tag:
            return 4;
        case array:
            return 12;
        case structure:
        case union_:
        case section:
        case enumeration64:
            return 12 * count;
        case enumeration:
        case prototype:
            return 8 * count;
        case pointer:
        case forward:
        case typedef_:
        case volatile_:
        case constant:
        case restrict_:
        case function:
        case floating:
        case type_tag:
            return 0;
    }
    return std::nullopt;
}

bool is_inside(std::span<std::byte const> bytes, std::uint64_t at, std::uint64_t size) {
    return at <= bytes.size() && size <= bytes.size() - at;
}

}  // namespace

std::uint32_t get32(std::span<std::byte const> bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;)
        value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
    return value;
}

void put32(std::span<std::byte> bytes, std::size_t at, std::uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::byte>(value >> (8 * i));
}

void append32(Bytes& bytes, std::uint32_t value) {
    bytes.resize(bytes.size() + 4);
    put32(bytes, bytes.size() - 4, value);
}

Result<TypeReader> TypeReader::read(Bytes bytes) {
    if (bytes.size() < header_size || get32(bytes, 0) != magic) return broken();
    std::uint64_t const header = get32(bytes, 4);
    std::uint64_t const begin = header + get32(bytes, 8), length = get32(bytes, 12);
    std::uint64_t const strings = header + get32(bytes, 16), strings_size = get32(bytes, 20);
    if (!is_inside(bytes, begin, length) || !is_inside(bytes, strings, strings_size) ||
        begin + length > strings || strings_size == 0 || bytes[strings] != std::byte{} ||
        bytes[strings + strings_size - 1] != std::byte{})
        return broken();
    TypeReader out;
    for (std::uint64_t at = begin, end = begin + length; at < end;) {
        if (end - at < type_size) return broken();
        std::uint32_t const info = get32(bytes, at + 4);
        Type const type{get32(bytes, at), info >> 24 & 0x1f, info & 0xffff, get32(bytes, at + 8),
                        at + type_size};
        auto const behind = bytes_behind(type.kind, type.count);
        if (!behind || *behind > end - at - type_size) return broken();
        out.types_.push_back(type);
        at += type_size + *behind;
    }
    bytes.resize(strings + strings_size);
    out.bytes_ = std::move(bytes);
    out.strings_ = strings;
    out.strings_size_ = strings_size;
    return out;
}

std::string_view TypeReader::string(std::uint32_t offset) const {
    if (offset >= strings_size_) return {};
    return reinterpret_cast<char const*>(bytes_.data()) + strings_ + offset;  // the last byte is 0
}

std::uint32_t TypeReader::add_string(std::string_view text) {
    auto const at = static_cast<std::uint32_t>(strings_size_);
    auto const added = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), added.begin(), added.end());
    bytes_.push_back({});
    strings_size_ += text.size() + 1;
    put32(bytes_, 20, static_cast<std::uint32_t>(strings_size_));
    return at;
}

Parameter TypeReader::parameter(std::uint32_t name, std::uint32_t id) const {
    Parameter out{std::string(string(name)), false, {}};
    // Bounded: broken types may lead in circles.
    for (int depth = 0; depth < 16; ++depth) {
        Type const* t = type(id);
        if (!t) return out;
        bool const passed = t->kind == typedef_ || t->kind == constant || t->kind == volatile_ ||
                            t->kind == restrict_ || t->kind == type_tag;
        if (t->kind == pointer && !out.pointer)
            out.pointer = true;
        else if (!passed) {
            if (out.pointer && (t->kind == structure || t->kind == forward))
                out.structure = string(t->name);
            return out;
        }
        id = t->size_or_type;
    }
    return out;
}

std::optional<std::vector<Parameter>> TypeReader::parameters(std::string_view name) const {
    for (Type const& t : types_) {
        if (t.kind != function || string(t.name) != name) continue;
        Type const* proto = type(t.size_or_type);
        if (!proto || proto->kind != prototype) return std::nullopt;
        std::vector<Parameter> out;
        for (std::size_t i = 0; i < proto->count; ++i)
            out.push_back(parameter(get32(bytes_, proto->more + 8 * i),
                                    get32(bytes_, proto->more + 8 * i + 4)));
        return out;
    }
    return std::nullopt;
}

Result<TypeExtension> TypeExtension::read(std::span<std::byte const> bytes) {
    TypeExtension out;
    if (bytes.size() < header_size || get32(bytes, 0) != magic) return broken();
    std::uint64_t const header = get32(bytes, 4);
    if (header < header_size || header > bytes.size()) return broken();
    for (std::size_t i = 0; i < tables && header >= header_size + (i == relocations ? 8 : 0); ++i) {
        std::uint64_t at = header + get32(bytes, 8 + 8 * i);
        std::uint64_t const size = get32(bytes, 12 + 8 * i), end = at + size;
        if (!is_inside(bytes, at, size)) return broken();
        if (size == 0) continue;
        Table& table = out.table[i];
        if (size < 4 || (table.record_size = get32(bytes, at)) < (i == functions ? 8 : 16) ||
            table.record_size > 256)
            return broken();
        for (at += 4; at < end;) {
            if (end - at < 8) return broken();
            Group group{get32(bytes, at), {}};
            std::uint64_t const count = get32(bytes, at + 4);
            at += 8;
            if (count > (end - at) / table.record_size) return broken();
            for (std::uint64_t r = 0; r < count; ++r, at += table.record_size) {
                auto const record = bytes.subspan(at, table.record_size);
                group.records.emplace_back(record.begin(), record.end());
            }
            table.groups.push_back(std::move(group));
        }
    }
    return out;
}

Bytes TypeExtension::bytes() const {
    Bytes contents[tables];
    for (std::size_t i = 0; i < tables; ++i) {
        if (table[i].record_size == 0) continue;
        append32(contents[i], table[i].record_size);
        for (Group const& group : table[i].groups) {
            append32(contents[i], group.section);
            append32(contents[i], static_cast<std::uint32_t>(group.records.size()));
            for (Bytes const& r : group.records)
                contents[i].insert(contents[i].end(), r.begin(), r.end());
        }
    }
    Bytes out;
    append32(out, magic);
    append32(out, header_size + 8);
    std::uint32_t offset = 0;
    for (Bytes const& content : contents) {
        append32(out, offset);
        append32(out, static_cast<std::uint32_t>(content.size()));
        offset += static_cast<std::uint32_t>(content.size());
    }
    for (Bytes const& content : contents) out.insert(out.end(), content.begin(), content.end());
    return out;
}

}  // namespace tamis::backend
