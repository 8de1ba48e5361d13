// Loads eBPF into the running kernel by the bare system call, for tests that want to know what the
// kernel itself says about an instruction.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/ebpf.h"

namespace tamis::test {

inline std::uint64_t address(void const* p) { return reinterpret_cast<std::uintptr_t>(p); }

inline int sys_bpf(int command, bpf_attr& attr) {
    return static_cast<int>(::syscall(SYS_bpf, command, &attr, sizeof attr));
}

// A program in the kernel, or the reason why it is not there.
struct Loaded {
    int fd = -1;
    int error = 0;
    std::string log;
    Loaded() = default;
    Loaded(Loaded const&) = delete;
    Loaded& operator=(Loaded const&) = delete;
    Loaded(Loaded&& other) noexcept
        : fd(std::exchange(other.fd, -1)), error(other.error), log(std::move(other.log)) {}
    Loaded& operator=(Loaded&&) = delete;
    ~Loaded() {
        if (fd >= 0) ::close(fd);
    }
};

// log_level 2 lists every instruction; the log holds at most 1 MiB.
inline Loaded load_insns(std::span<ebpf::Insn const> insns, std::uint32_t prog_type,
                         std::uint32_t log_level) {
    static std::vector<char> log(1 << 20);
    log[0] = '\0';
    bpf_attr attr{};
    attr.prog_type = prog_type;
    attr.insns = address(insns.data());
    attr.insn_cnt = static_cast<std::uint32_t>(insns.size());
    attr.license = address("GPL");
    attr.log_level = log_level;
    attr.log_size = log_level == 0 ? 0 : static_cast<std::uint32_t>(log.size());
    attr.log_buf = log_level == 0 ? 0 : address(log.data());
    Loaded out;
    do out.fd = sys_bpf(BPF_PROG_LOAD, attr);
    while (out.fd < 0 && errno == EAGAIN);
    out.error = out.fd < 0 ? errno : 0;
    out.log = log.data();
    return out;
}

// BPF_PROG_TEST_RUN once on a packet; what the program returned.  The context is optional.
inline std::optional<std::uint32_t> test_run(int fd, std::span<std::uint8_t const> packet,
                                             __sk_buff const* context = nullptr) {
    bpf_attr attr{};
    attr.test.prog_fd = static_cast<std::uint32_t>(fd);
    attr.test.data_in = address(packet.data());
    attr.test.data_size_in = static_cast<std::uint32_t>(packet.size());
    attr.test.ctx_in = context == nullptr ? 0 : address(context);
    attr.test.ctx_size_in = context == nullptr ? 0 : sizeof *context;
    if (sys_bpf(BPF_PROG_TEST_RUN, attr) != 0) return std::nullopt;
    return attr.test.retval;
}

// Whether this process may load programs at all.
inline bool may_load() {
    std::vector<ebpf::Insn> const nothing = {ebpf::make_insn(0xb7), ebpf::make_insn(0x95)};
    return load_insns(nothing, BPF_PROG_TYPE_XDP, 0).fd >= 0;
}

}  // namespace tamis::test
