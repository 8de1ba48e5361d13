// The programs that find classic filters inside the running kernel: BPF iterators over files and
// tasks, assembled here with the offsets of the kernel at hand.
#pragma once

#include <array>
#include <cstdint>

#include "bpf/ebpf.h"
#include "bpf/result.h"
#include "verify/kernel_layout.h"

namespace tamis::verify {

// Who holds a program.
enum class Holder : std::uint32_t { socket, reuseport, fanout, seccomp };

// An iterator writes at most 32 KiB for one file or task, and one program of at most 57,339
// instructions can take 14 times that: one round shows one window of every program.
inline constexpr std::uint32_t window = 3840;      // instructions
inline constexpr std::uint32_t most_header = 256;  // bytes of struct bpf_prog

// What the walk is told, at the start of the map's only value.
struct WalkOrder {
    std::uint32_t tgid;  // the process, as the kernel counts them; 0: whatever the iterator visits
    Holder holder;
    std::uint64_t skip;   // instructions of earlier windows
    std::uint32_t chain;  // seccomp: how many filters behind the newest one
    std::uint32_t unused;
};

// What it writes per program, behind the order in the map's value.  `count` instructions follow.
struct WalkRecord {
    std::uint32_t tgid, fd;
    Holder holder;
    std::uint32_t stack_depth, count, unused;
    std::array<std::uint8_t, most_header> header;  // struct bpf_prog up to its instructions
};

inline constexpr std::uint32_t walk_value_size =
    sizeof(WalkOrder) + sizeof(WalkRecord) + 8 * window;

// The iterator for files: programs of sockets.  `map_fd` is an array map with one value of
// walk_value_size bytes.
Result<ebpf::Program> file_walk(WalkOffsets const& offsets, int map_fd);
// The iterator for tasks: seccomp filters.
Result<ebpf::Program> task_walk(WalkOffsets const& offsets, int map_fd);

}  // namespace tamis::verify
