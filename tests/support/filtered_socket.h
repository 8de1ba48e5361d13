// The running kernel as a judge of classic programs: a unix datagram pair whose receiver has a
// filter.  By bare system calls, without runtime/, and without any privilege.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/cbpf.h"

namespace tamis::test {

class FilteredSocket {
  public:
    FilteredSocket() {
        if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds_.data()) != 0) fds_ = {-1, -1};
    }
    ~FilteredSocket() {
        for (int const fd : fds_)
            if (fd >= 0) ::close(fd);
    }
    FilteredSocket(FilteredSocket const&) = delete;
    FilteredSocket& operator=(FilteredSocket const&) = delete;

    // 0 or the error number of SO_ATTACH_FILTER.  ENOMEM means that the kernel took the program
    // and found it too large for net.core.optmem_max.
    int attach(std::span<cbpf::Insn const> insns) {
        static_assert(sizeof(cbpf::Insn) == sizeof(sock_filter));
        copy_.resize(std::max<std::size_t>(insns.size(), 1));
        std::transform(insns.begin(), insns.end(), copy_.begin(), [](cbpf::Insn const& insn) {
            return sock_filter{insn.code, insn.jt, insn.jf, insn.k};
        });
        sock_fprog const program{static_cast<unsigned short>(insns.size()), copy_.data()};
        return ::setsockopt(fds_[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0
                   ? 0
                   : errno;
    }

    // How many of the bytes came through: min(verdict, size), so 0 for a verdict of 0.  Nothing
    // when the system calls themselves failed.
    std::optional<std::size_t> send(std::span<std::uint8_t const> bytes) {
        if (::send(fds_[0], bytes.data(), bytes.size(), 0) < 0) return std::nullopt;
        received_.resize(bytes.size() + 1);
        ssize_t const got = ::recv(fds_[1], received_.data(), received_.size(), 0);
        if (got >= 0) return static_cast<std::size_t>(got);
        return errno == EAGAIN ? std::optional<std::size_t>(0) : std::nullopt;
    }

  private:
    std::array<int, 2> fds_{-1, -1};
    std::vector<sock_filter> copy_;
    std::vector<std::uint8_t> received_;
};

}  // namespace tamis::test
