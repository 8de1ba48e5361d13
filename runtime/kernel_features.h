// What the running kernel lets us load, found out by trying: each answer is one tiny program or one
// small map.  (libbpf 1.1's own trials do not know how newer kernels say no.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/program_types.h"

namespace tamis::runtime {

// `denied`: we lack the privilege.  `unknown`: it cannot be tried, or the verifier was not asked;
// some programs need what they are attached to while they are loaded.
enum class Support : std::uint8_t { yes, no, denied, unknown };
std::string_view word_for(Support support);

// What a program is loaded as: BPF_PROG_TYPE_* and the expected attach type.
struct ProgramKind {
    std::uint32_t type, attach_type;
    bool operator==(ProgramKind const&) const = default;
};
// One that programs of the type may be loaded as.
ProgramKind some_kind(std::uint32_t program_type);
// One that sees the context so.
ProgramKind some_kind(Context const& context);

Support has_program_type(std::uint32_t type);
Support has_map_type(std::uint32_t type);
Support may_call(ProgramKind kind, std::uint32_t helper);
// The kernel's own function (kfunc) of that name, as its BTF has it.
Support may_call(ProgramKind kind, std::string const& function);
// `size` bytes of the context from `offset` on.
Support may_read(ProgramKind kind, std::uint32_t offset, std::uint32_t size);
Support may_write(ProgramKind kind, std::uint32_t offset, std::uint32_t size);
Support may_return(ProgramKind kind, std::int32_t value);

}  // namespace tamis::runtime
