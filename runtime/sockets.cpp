// Filters on sockets.
#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/cbpf_check.h"
#include "runtime/kernel.h"
#include "runtime/privilege.h"

namespace tamis::runtime {
namespace {

static_assert(sizeof(cbpf::Insn) == sizeof(sock_filter));

std::string optmem_max() {
    std::string text;
    std::ifstream("/proc/sys/net/core/optmem_max") >> text;
    return text.empty() ? "unknown" : escape(text);
}

// What the errors of both ways to attach a filter have in common.
Diagnostic refusal(int error) {
    auto diagnostic = system_error("cannot attach the filter to the socket", error);
    if (error == ENOMEM)
        diagnostic.notes.push_back(
            {.message = fmt::format(
                 "its translation, 8 bytes per eBPF instruction, counts against the sysctl "
                 "net.core.optmem_max, which is {}",
                 optmem_max()),
             .span = {}});
    if (error == EPERM)
        diagnostic.notes.push_back(
            {.message = "the socket's filter is locked (SO_LOCK_FILTER)", .span = {}});
    return diagnostic;
}

Diagnostic refusal(cbpf::Refusal const& refused, std::size_t size) {
    std::string const where =
        refused.index < size ? fmt::format(" (instruction {})", refused.index) : "";
    return {.message = fmt::format("the kernel refuses the filter: {}{}", refused.rule, where),
            .span = {},
            .notes = {},
            .fault = Fault::system};
}

// Protocol 0 receives nothing.  The socket gets a protocol when the filter is there already, so
// that no packet can slip in before it.
template <class Attach>
Result<Fd> filtered_packet_socket(std::string const& interface, Direction direction,
                                  Attach const& attach) {
    auto const index = interface_index(interface);
    if (!index) return fail(index.error());
    Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket) {
        int const error = errno;
        auto diagnostic = system_error("cannot open a packet socket", error);
        if (error == EPERM) note_missing(diagnostic, "CAP_NET_RAW");
        return fail(std::move(diagnostic));
    }
    int const incoming_only = direction == Direction::in ? 1 : 0;
    if (setsockopt(socket.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &incoming_only,
                   sizeof incoming_only) != 0)
        return fail(system_error("cannot choose the socket's direction", errno));
    if (auto attached = attach(socket.get()); !attached) return fail(std::move(attached.error()));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(*index);
    if (bind(socket.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
        return fail(
            system_error(fmt::format("cannot receive packets of '{}'", escape(interface)), errno));
    return socket;
}

}  // namespace

Result<Fd> packet_socket(std::string const& interface, LoadedProgram const& program,
                         Direction direction) {
    return packet_socket(interface, program.fd(), direction);
}

Result<Fd> packet_socket(std::string const& interface, int program, Direction direction) {
    return filtered_packet_socket(interface, direction,
                                  [&](int socket) { return attach_ebpf(socket, program); });
}

Result<Fd> packet_socket(std::string const& interface, std::span<cbpf::Insn const> program,
                         Direction direction) {
    return filtered_packet_socket(interface, direction,
                                  [&](int socket) { return attach_classic(socket, program); });
}

Result<void> attach_classic(int socket, std::span<cbpf::Insn const> program) {
    // The kernel's field for the length has 16 bits.
    if (program.size() > cbpf::max_socket_insns)
        if (auto const refused = cbpf::refusal(program))
            return fail(refusal(*refused, program.size()));
    sock_fprog filter{};
    filter.len = static_cast<unsigned short>(program.size());
    filter.filter = const_cast<sock_filter*>(reinterpret_cast<sock_filter const*>(program.data()));
    if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0) return {};
    int const error = errno;
    auto const refused = error == EINVAL ? cbpf::refusal(program) : std::nullopt;
    if (refused) return fail(refusal(*refused, program.size()));
    auto diagnostic = refusal(error);
    if (error == EINVAL)
        diagnostic.notes.push_back(
            {.message = "a jump of its translation would be longer than 32,767 instructions",
             .span = {}});
    return fail(std::move(diagnostic));
}

Result<void> attach_ebpf(int socket, LoadedProgram const& program) {
    return attach_ebpf(socket, program.fd());
}

Result<void> attach_ebpf(int socket, int program) {
    if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) == 0) return {};
    int const error = errno;
    auto diagnostic = refusal(error);
    if (error == EINVAL)
        diagnostic.notes.push_back(
            {.message = "only programs for the hook 'socket' attach to sockets", .span = {}});
    return fail(std::move(diagnostic));
}

Result<DatagramPair> DatagramPair::open() {
    std::array<int, 2> fds{};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()) != 0)
        return fail(system_error("cannot open a pair of unix sockets", errno));
    DatagramPair pair;
    pair.sender_ = Fd(fds[0]);
    pair.receiver_ = Fd(fds[1]);
    return pair;
}

Result<std::optional<std::size_t>> DatagramPair::send(std::span<std::uint8_t const> bytes) {
    if (::send(sender_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
        return fail(
            system_error(fmt::format("cannot send a datagram of {} bytes", bytes.size()), errno));
    // The length is what the filter left of it; nobody needs the bytes.
    ssize_t const arrived = recv(receiver_.get(), nullptr, 0, MSG_TRUNC);
    if (arrived < 0 && errno == EAGAIN) return std::nullopt;
    if (arrived < 0) return fail(system_error("cannot receive", errno));
    return static_cast<std::size_t>(arrived);
}

}  // namespace tamis::runtime
