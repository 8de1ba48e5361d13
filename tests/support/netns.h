// A network of the test's own: nothing outside it is seen or touched.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/shell.h"

namespace tamis::test {

// Moves this thread, and what it starts, into a new network namespace with a veth pair v0 - v1,
// both up and silent (no IPv6).  False without CAP_SYS_ADMIN.  It goes with the thread's next
// namespace or the process.
inline bool enter_private_network() {
    if (!have_program("ip") || unshare(CLONE_NEWNET) != 0) return false;
    for (char const* which : {"default", "all"})
        std::ofstream("/proc/sys/net/ipv6/conf/" + std::string(which) + "/disable_ipv6") << "1";
    return shell(
               "ip link set lo up; ip link add v0 type veth peer name v1 && "
               "ip link set v0 up && ip link set v1 up")
               .status == 0;
}

// An Ethernet frame of `size` bytes.
inline std::vector<std::uint8_t> frame(std::uint16_t ethertype, std::size_t size = 60) {
    std::vector<std::uint8_t> out(size, 0);
    std::fill_n(out.begin(), 6, std::uint8_t{0xff});
    out[6] = 2;
    out[12] = static_cast<std::uint8_t>(ethertype >> 8);
    out[13] = static_cast<std::uint8_t>(ethertype);
    return out;
}

// Puts frames on an interface as they are.
class FrameSender {
  public:
    explicit FrameSender(char const* interface)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
        address_.sll_family = AF_PACKET;
        address_.sll_ifindex = static_cast<int>(if_nametoindex(interface));
    }
    FrameSender(FrameSender const&) = delete;
    FrameSender& operator=(FrameSender const&) = delete;
    ~FrameSender() { close(fd_); }
    bool send(std::span<std::uint8_t const> bytes) const {
        return sendto(fd_, bytes.data(), bytes.size(), 0,
                      reinterpret_cast<sockaddr const*>(&address_),
                      sizeof address_) == static_cast<ssize_t>(bytes.size());
    }

  private:
    int fd_;
    sockaddr_ll address_{};
};

// Waits until `done()`, at most two seconds.
template <class Done>
bool eventually(Done const& done) {
    using namespace std::chrono_literals;
    auto const until = std::chrono::steady_clock::now() + 2s;
    while (!done()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

}  // namespace tamis::test
