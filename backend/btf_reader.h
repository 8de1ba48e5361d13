// BTF and .BTF.ext of objects that others made, read without trust: what tamis changes in an object
// it reads by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/elf_file.h"
#include "bpf/result.h"

namespace tamis::backend {

struct Parameter {
    std::string name;
    bool pointer = false;
    std::string structure;  // what it points to, where that is a struct with a name
    bool operator==(Parameter const&) const = default;
};

// The types of an object: .BTF, its strings at the end.
class TypeReader {
  public:
    static Result<TypeReader> read(Bytes bytes);

    // What a function takes; none when there is no function of that name.
    std::optional<std::vector<Parameter>> parameters(std::string_view function) const;
    std::string_view string(std::uint32_t offset) const;  // empty where there is none
    std::uint32_t add_string(std::string_view text);
    Bytes bytes() const { return bytes_; }

  private:
    struct Type {
        std::uint32_t name, kind, count, size_or_type;
        std::size_t more;  // where what follows the type begins
    };
    Type const* type(std::uint32_t id) const {
        return id != 0 && id <= types_.size() ? &types_[id - 1] : nullptr;
    }
    Parameter parameter(std::uint32_t name, std::uint32_t id) const;

    Bytes bytes_;
    std::vector<Type> types_;
    std::size_t strings_ = 0, strings_size_ = 0;
};

// .BTF.ext: records about instructions, grouped by section; each begins with the place of its
// instruction, in bytes from the section's start.
struct TypeExtension {
    struct Group {
        std::uint32_t section;  // its name
        std::vector<Bytes> records;
    };
    struct Table {
        std::uint32_t record_size = 0;  // 0: there is none
        std::vector<Group> groups;
    };
    enum { functions, lines, relocations, tables };
    Table table[tables];

    static Result<TypeExtension> read(std::span<std::byte const> bytes);
    Bytes bytes() const;
};

// Numbers as objects have them: least significant byte first.
std::uint32_t get32(std::span<std::byte const> bytes, std::size_t at);
void put32(std::span<std::byte> bytes, std::size_t at, std::uint32_t value);
void append32(Bytes& bytes, std::uint32_t value);

}  // namespace tamis::backend
