#include "runtime/process_socket.h"

#include <cerrno>
#include <vector>

#include <fmt/core.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/link_types.h"
#include "runtime/privilege.h"

namespace tamis::runtime {
namespace {

Diagnostic refused(std::string_view what, int error) {
    auto out = system_error(what, error);
    if (error == EPERM)
        out.notes.push_back({"the socket's filter is locked (SO_LOCK_FILTER)", std::nullopt});
    return out;
}

int option(int socket, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

std::string_view name_of(SocketUse use) {
    switch (use) {
        case SocketUse::filter:
            return "the socket's filter";
        case SocketUse::reuseport:
            return "the choice within the socket's SO_REUSEPORT group";
        case SocketUse::fanout:
            return "the choice within the socket's PACKET_FANOUT group";
    }
    return {};
}

Diagnostic cannot_set(SocketUse use, int error) {
    auto out = system_error(fmt::format("cannot set {}", name_of(use)), error);
    if (use == SocketUse::reuseport && error == EINVAL)
        out.notes.push_back({"it has to be bound with SO_REUSEPORT", std::nullopt});
    if (use == SocketUse::fanout && error == EINVAL)
        out.notes.push_back(
            {"it has to be in a group of type PACKET_FANOUT_CBPF or, with --engine "
             "ebpf, PACKET_FANOUT_EBPF",
             std::nullopt});
    return out;
}

sock_fprog classic_of(std::span<cbpf::Insn const> program) {
    sock_fprog out{};
    out.len = static_cast<unsigned short>(program.size());
    out.filter = const_cast<sock_filter*>(reinterpret_cast<sock_filter const*>(program.data()));
    return out;
}

}  // namespace

Result<ProcessSocket> ProcessSocket::open(pid_t process, int fd) {
    std::string name = fmt::format("descriptor {} of process {}", fd, process);
    Fd const pidfd(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
    if (!pidfd) {
        auto out = system_error(fmt::format("there is no process {}", process), errno);
        if (errno == ESRCH || errno == EINVAL) out.fault = Fault::input;
        return fail(std::move(out));
    }
    Fd socket(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)));
    if (!socket) {
        int const error = errno;
        auto out = system_error("cannot take " + name, error);
        if (error == EPERM) note_missing(out, "CAP_SYS_PTRACE");
        if (error == EBADF) out.fault = Fault::input;
        return fail(std::move(out));
    }
    struct stat info {};
    if (fstat(socket.get(), &info) != 0 || !S_ISSOCK(info.st_mode))
        return fail(
            {name + " is no socket",
             std::nullopt,
             {{fmt::format("`ls -l /proc/{}/fd` shows which are", process), std::nullopt}}});
    return ProcessSocket(std::move(socket), std::move(name));
}

Result<int> ProcessSocket::link_type(SocketUse use) const {
    if (use == SocketUse::fanout) return dlt_raw;
    if (option(socket_.get(), SO_DOMAIN) != AF_PACKET) return opaque_link_type;
    if (option(socket_.get(), SO_TYPE) != SOCK_RAW) return dlt_raw;
    sockaddr_ll address{};
    socklen_t size = sizeof address;
    char interface[IF_NAMESIZE];
    if (getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return fail(system_error("cannot ask where " + name_ + " is bound", errno));
    // One that hears all interfaces is taken for one on Ethernet.
    if (address.sll_ifindex == 0 ||
        !if_indextoname(static_cast<unsigned>(address.sll_ifindex), interface))
        return en10mb;
    return interface_link_type(interface);
}

std::uint64_t ProcessSocket::cookie() const {
    std::uint64_t value = 0;
    socklen_t size = sizeof value;
    getsockopt(socket_.get(), SOL_SOCKET, SO_COOKIE, &value, &size);
    return value;
}

bool ProcessSocket::locked() const { return option(socket_.get(), SO_LOCK_FILTER) == 1; }

Result<cbpf::Program> ProcessSocket::filter() const {
    // The length counts instructions here; without room the kernel says how many there are.
    socklen_t count = 0;
    auto const failed = [&] {
        return fail(system_error("cannot read the filter of " + name_, errno));
    };
    if (getsockopt(socket_.get(), SOL_SOCKET, SO_GET_FILTER, nullptr, &count) != 0) return failed();
    cbpf::Program out;
    out.insns.resize(count);
    if (count != 0 &&
        getsockopt(socket_.get(), SOL_SOCKET, SO_GET_FILTER, out.insns.data(), &count) != 0)
        return failed();
    return out;
}

Result<void> ProcessSocket::set(SocketUse use, std::span<cbpf::Insn const> classic) const {
    if (use == SocketUse::filter) return attach_classic(socket_.get(), classic);
    sock_fprog const program = classic_of(classic);
    bool const fanout = use == SocketUse::fanout;
    if (setsockopt(socket_.get(), fanout ? SOL_PACKET : SOL_SOCKET,
                   fanout ? PACKET_FANOUT_DATA : SO_ATTACH_REUSEPORT_CBPF, &program,
                   sizeof program) != 0)
        return fail(cannot_set(use, errno));
    return {};
}

Result<void> ProcessSocket::set(SocketUse use, int program) const {
    if (use == SocketUse::filter) return attach_ebpf(socket_.get(), program);
    bool const fanout = use == SocketUse::fanout;
    if (setsockopt(socket_.get(), fanout ? SOL_PACKET : SOL_SOCKET,
                   fanout ? PACKET_FANOUT_DATA : SO_ATTACH_REUSEPORT_EBPF, &program,
                   sizeof program) != 0)
        return fail(cannot_set(use, errno));
    return {};
}

Result<void> ProcessSocket::clear(SocketUse use) const {
    if (use == SocketUse::fanout) {
        // The group's program cannot be taken off: this is what it begins with.
        cbpf::Insn const first_socket[] = {{0x06, 0, 0, 0}};
        if (set(use, first_socket)) return {};
        return {};  // a group of type PACKET_FANOUT_EBPF keeps ours
    }
    int const unused = 0;
    int const name = use == SocketUse::filter ? SO_DETACH_FILTER : SO_DETACH_REUSEPORT_BPF;
    if (setsockopt(socket_.get(), SOL_SOCKET, name, &unused, sizeof unused) == 0 || errno == ENOENT)
        return {};
    return fail(refused("cannot remove " + std::string(name_of(use)), errno));
}

Result<void> ProcessSocket::lock() const {
    int const on = 1;
    if (setsockopt(socket_.get(), SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) != 0)
        return fail(system_error("cannot lock the filter", errno));
    return {};
}

bool takes_classic(std::span<cbpf::Insn const> program) {
    auto const pair = DatagramPair::open();
    return pair && attach_classic(pair->receiver(), program);
}

}  // namespace tamis::runtime
