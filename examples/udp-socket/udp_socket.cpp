// Puts a filter on a UDP socket of its own, sends itself datagrams, and prints those that arrive.
#include <array>
#include <cstdio>
#include <string_view>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "runtime/kernel.h"

using namespace tamis;

namespace {

// On a UDP socket a filter sees the UDP header (8 bytes) and the payload: no IP header, no
// Ethernet.  The value returned is how many of these bytes to keep.
constexpr std::string_view filter = R"(
      ldb [8]             ; first byte of the payload
      jeq #0x21, urgent   ; '!'
      ret #0
urgent:
      ret #13             ; the header and 5 bytes
)";

int complain(Diagnostic const& diagnostic) {
    std::fputs(render(diagnostic, {"filter", std::string(filter)}).c_str(), stderr);
    return diagnostic.fault == Fault::input ? 2 : 3;
}

// A UDP socket on the loopback address; `address` becomes its address.
runtime::Fd loopback_socket(sockaddr_in& address) {
    runtime::Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const where = reinterpret_cast<sockaddr*>(&address);
    if (!fd || bind(fd.get(), where, size) != 0 || getsockname(fd.get(), where, &size) != 0)
        return runtime::Fd();
    return fd;
}

}  // namespace

int main() {
    auto const program = cbpf::read(filter);
    if (!program) return complain(program.error());
    if (auto const checked = cbpf::check(*program); !checked) return complain(checked.error());

    sockaddr_in address{};
    runtime::Fd const fd = loopback_socket(address);
    if (!fd) {
        std::perror("udp socket");
        return 3;
    }
    if (auto const attached = runtime::attach_classic(fd.get(), program->insns); !attached)
        return complain(attached.error());

    for (std::string_view const datagram : {"hello", "!fire", "world", "!flood in the cellar"})
        if (sendto(fd.get(), datagram.data(), datagram.size(), 0,
                   reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
            std::perror("sendto");
            return 3;
        }

    // Loopback delivers before sendto returns, so what is not there now was dropped.
    std::array<char, 100> buffer{};
    ssize_t size = 0;
    while ((size = recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) >= 0)
        std::printf("%.*s\n", static_cast<int>(size), buffer.data());
    return 0;
}
