// A socket of another process, taken over for a moment (pidfd_getfd): a filter is put on it that
// stays when we end, and what was there before comes back.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <sys/types.h>

#include "bpf/cbpf.h"
#include "bpf/result.h"
#include "runtime/kernel.h"

namespace tamis::runtime {

// Bytes of which the language knows nothing: a UDP socket's packets begin with the UDP header,
// those of a unix socket with the payload, and there is no link type for either.  DLT_NETLINK
// stands for them, where link[...] and lengths work and all else is an error.
inline constexpr int opaque_link_type = 253;

// What a filter on the socket decides.
enum class SocketUse : std::uint8_t {
    filter,     // whether the socket gets a packet (SO_ATTACH_FILTER)
    reuseport,  // which socket of its SO_REUSEPORT group does
    fanout,     // which socket of its PACKET_FANOUT group does
};

class ProcessSocket {
  public:
    // Needs CAP_SYS_PTRACE for processes of others.
    static Result<ProcessSocket> open(pid_t process, int fd);

    // The link type (DLT_*) of what a filter sees there: a packet socket's device's; RAW for packet
    // sockets that do not see its header and for fanout; else opaque_link_type.
    Result<int> link_type(SocketUse use) const;
    std::uint64_t cookie() const;  // the same as long as the socket lives, and no other's
    bool locked() const;           // SO_LOCK_FILTER

    // Its classic filter; empty: none.  An eBPF filter cannot be read: EACCES.
    Result<cbpf::Program> filter() const;
    Result<void> set(SocketUse use, std::span<cbpf::Insn const> classic) const;
    Result<void> set(SocketUse use, int program) const;
    Result<void> clear(SocketUse use) const;
    Result<void> lock() const;

  private:
    ProcessSocket(Fd socket, std::string name)
        : socket_(std::move(socket)), name_(std::move(name)) {}
    Fd socket_;
    std::string name_;  // "descriptor 3 of process 17"
};

// Whether the kernel takes the classic program on a socket: length, rules and net.core.optmem_max,
// all judged by the kernel itself on a socket of ours.
bool takes_classic(std::span<cbpf::Insn const> program);

}  // namespace tamis::runtime
