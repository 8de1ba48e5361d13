// What the running kernel says about its own build: offsets from its type information (BTF),
// addresses from /proc/kallsyms, limits from its sysctls.
#pragma once

#include <cstdint>
#include <optional>

#include "bpf/result.h"
#include "translator/kernel_form.h"

namespace tamis::verify {

// Where the kernel keeps the programs of sockets and tasks: offsets in bytes.
struct WalkOffsets {
    static constexpr std::uint32_t absent = ~std::uint32_t{0};  // this kernel has no such thing
    std::uint32_t task_tgid, task_seccomp, seccomp_filter, filter_prog, filter_prev;
    std::uint32_t file_inode, inode_mode, file_data, socket_sock;
    std::uint32_t sock_common, common_family, sock_filter, sk_filter_prog;
    std::uint32_t sock_reuseport, reuseport_prog;
    std::uint32_t packet_fanout, fanout_type, fanout_prog;
    std::uint32_t prog_len, prog_type, prog_aux, prog_insns, aux_stack_depth;
    std::uint32_t prog_blinded_bit;           // counted from the program's first bit
    std::uint32_t iter_task_file, iter_task;  // BTF IDs of the iterators, 0 where there is none
};

// Relative addresses of the functions that the verifier calls for LD_ABS and LD_IND of a loaded
// program; the translation of classic programs has others.
struct UncachedLoads {
    std::optional<std::int32_t> load_8, load_16, load_32;
};

struct KernelLayout {
    translator::KernelModel model;
    translator::Layout symbols;
    UncachedLoads uncached;
    WalkOffsets walk;
};

// Fails, as the system's fault, without BTF and where the kernel hides its addresses.
Result<KernelLayout> running_kernel();

}  // namespace tamis::verify
