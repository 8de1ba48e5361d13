// An eBPF program as an ELF object that libbpf, bpftool, iproute2 and libxdp load as it is.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/diagnostic.h"
#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"

namespace tamis::backend {

// One program of an object.  `source` is the text that its origins point into; null: no line
// information but the functions' declarations.
struct ObjectEntry {
    ebpf::Program const* program;
    Source const* source = nullptr;
};

// How libxdp is to run programs of several objects on one interface: those with smaller priorities
// first, the next one only when a program returned an action of `chain`.
struct RunConfig {
    std::uint32_t priority = 50;    // libxdp's own default
    std::uint32_t chain = 1U << 2;  // bit N: the action N of XDP; XDP_PASS, likewise
    bool operator==(RunConfig const&) const = default;
};

// The object's bytes: the entry functions in the hook's section, other functions in .text, maps in
// .maps with their relocations, license `Dual BSD/GPL`, BTF, .BTF.ext with function info and line
// info whose lines are the filter's own text, and the run configuration unless it is libxdp's
// default (XDP only).  At least one program; names of entry functions and of maps must differ from
// each other.  The same programs give the same bytes everywhere.
Result<std::vector<std::byte>> object(std::span<ObjectEntry const> entries, HookRow const& hook,
                                      RunConfig const& run_config = {});
Result<std::vector<std::byte>> object(ebpf::Program const& program, HookRow const& hook,
                                      Source const* source = nullptr);

// An object for the linker of BPF objects (`bpftool gen object`) to join with others that call its
// one function, in .text: `int NAME(struct CONTEXT *)`, which every loader takes, or, where the
// hook has no context, `int NAME(void *data, void *data_end)` with hidden visibility, which libbpf
// makes a static function.  No license: the program that calls it has one.
Result<std::vector<std::byte>> function_object(ObjectEntry const& entry, HookRow const& hook);

// The header that declares it to C programs, and says how to use it.  `filter` is its text.
std::string function_header(std::string_view name, HookRow const& hook, std::string_view filter);

// The program's instructions as 8-byte little-endian records, as they would be loaded.
std::vector<std::byte> raw(ebpf::Program const& program);

}  // namespace tamis::backend
