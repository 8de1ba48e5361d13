#include "tests/load/events.h"

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <utility>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/support/netns.h"

// A note beside the instruction tells tracers where it is: systemtap's format, version 3.
extern "C" __attribute__((noinline, visibility("default"))) void tamis_test_function() {
    asm volatile(
        "990: nop\n"
        ".pushsection .note.stapsdt, \"\", \"note\"\n"
        ".balign 4\n"
        ".4byte 992f - 991f, 994f - 993f, 3\n"
        "991: .asciz \"stapsdt\"\n"
        "992: .balign 4\n"
        "993: .8byte 990b, tamis_stapsdt_base, 0\n"
        ".asciz \"tamis\", \"event\", \"4@$0\"\n"
        "994: .balign 4\n"
        ".popsection\n"
        ".pushsection .stapsdt.base, \"a\", \"progbits\"\n"
        "tamis_stapsdt_base: .space 1\n"
        ".popsection\n");
}

namespace tamis::test {
namespace {

using namespace std::chrono_literals;
using runtime::Fd;

// ---- Sockets

sockaddr_in ipv4() {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return out;
}
sockaddr_in6 ipv6() {
    sockaddr_in6 out{};
    out.sin6_family = AF_INET6;
    out.sin6_addr = in6addr_loopback;
    return out;
}
sockaddr_un abstract(char const* name) {
    sockaddr_un out{};
    out.sun_family = AF_UNIX;
    std::strncpy(out.sun_path + 1, name, sizeof out.sun_path - 2);
    return out;
}
template <class Address>
sockaddr* generic(Address& address) {
    return reinterpret_cast<sockaddr*>(&address);
}

// A socket that others can reach, and the address to reach it at.
template <class Address>
Fd bound(int type, Address& address) {
    Fd out(socket(generic(address)->sa_family, type | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(out.get(), generic(address), size), 0) << strerror(errno);
    EXPECT_EQ(getsockname(out.get(), generic(address), &size), 0);
    return out;
}

template <class Address>
void send_datagram(Fd const& sender, Address address) {
    Fd const receiver = bound(SOCK_DGRAM, address);
    EXPECT_EQ(sendto(sender.get(), "x", 1, 0, generic(address), sizeof address), 1)
        << strerror(errno);
    char byte = 0;
    Address from{};
    socklen_t size = sizeof from;
    EXPECT_EQ(recvfrom(receiver.get(), &byte, 1, 0, generic(from), &size), 1) << strerror(errno);
}
template <class Address>
void send_datagram(Address address) {
    send_datagram(Fd(socket(generic(address)->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)), address);
}

struct Connection {
    Fd client, accepted;
};
template <class Address>
Connection connection(Address address) {
    Fd const server = bound(SOCK_STREAM, address);
    EXPECT_EQ(listen(server.get(), 1), 0);
    Fd client(socket(generic(address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(client.get(), generic(address), sizeof address), 0) << strerror(errno);
    Address peer{};
    socklen_t size = sizeof peer;
    EXPECT_EQ(getpeername(client.get(), generic(peer), &size), 0);
    return {std::move(client), Fd(accept(server.get(), nullptr, nullptr))};
}

// In a process of the control group.
void in_cgroup(std::string const& folder, void (*body)()) {
    pid_t const child = fork();
    if (child == 0) {
        std::ofstream(folder + "/cgroup.procs") << 0 << std::flush;
        body();
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << "in the control group";
}

// ---- Programs by hand

// Under a name, for programs that take names.
struct PinnedProgram {
    explicit PinnedProgram(int program, int number = 0)
        : path(fmt::format("/sys/fs/bpf/tamis-event-{}-{}", getpid(), number)) {
        EXPECT_EQ(bpf_obj_pin(program, path.c_str()), 0) << strerror(errno);
    }
    PinnedProgram(PinnedProgram const&) = delete;
    PinnedProgram& operator=(PinnedProgram const&) = delete;
    ~PinnedProgram() { unlink(path.c_str()); }
    std::string path;
};

int run_once(int program, std::span<char const> packet = {}) {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = packet.empty() ? nullptr : packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    return bpf_prog_test_run_opts(program, &options);
}

std::string command(std::string const& text) {
    Ran const ran = shell(text);
    EXPECT_EQ(ran.status, 0) << text << ": " << ran.text;
    return ran.text;
}

void send_udp(char const* address) {
    sockaddr_in to = ipv4();
    inet_pton(AF_INET, address, &to.sin_addr);
    to.sin_port = htons(9);
    Fd const sender(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(sendto(sender.get(), "x", 1, 0, generic(to), sizeof to), 1) << strerror(errno);
}

// An IPv6 packet to the segment fd77::1, with one more segment to go.
std::vector<std::uint8_t> segment_routed() {
    std::vector<std::uint8_t> out = frame(0x86dd, 14 + 40 + 40);
    ifreq device{};
    std::strcpy(device.ifr_name, "v0");
    Fd const any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ioctl(any.get(), SIOCGIFHWADDR, &device);
    std::memcpy(out.data(), device.ifr_hwaddr.sa_data, 6);
    auto* packet = out.data() + 14;
    packet[0] = 0x60;
    packet[5] = 40;  // behind the header: a routing header with two segments
    packet[6] = 43;
    packet[7] = 64;
    inet_pton(AF_INET6, "fd77::2", packet + 8);
    inet_pton(AF_INET6, "fd77::1", packet + 24);
    auto* routing = packet + 40;
    routing[0] = 59;  // nothing follows
    routing[1] = 4;   // times 8 bytes, behind the first 8
    routing[2] = 4;   // segment routing
    routing[3] = 1;   // segment left
    routing[4] = 1;   // the last one
    inet_pton(AF_INET6, "fd77::3", routing + 8);
    inet_pton(AF_INET6, "fd77::1", routing + 24);
    return out;
}

}  // namespace

Fd map_of(int program, std::string_view name) {
    std::array<std::uint32_t, 16> ids{};
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
    info.nr_map_ids = ids.size();
    if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) return {};
    for (std::uint32_t i = 0; i < info.nr_map_ids; ++i) {
        Fd map(bpf_map_get_fd_by_id(ids[i]));
        bpf_map_info about{};
        size = sizeof about;
        if (map && bpf_obj_get_info_by_fd(map.get(), &about, &size) == 0 && about.name == name)
            return map;
    }
    return {};
}

std::uint64_t lookup(Fd const& map, std::uint32_t key) {
    std::uint64_t value = 0;
    bpf_map_lookup_elem(map.get(), &key, &value);
    return value;
}

std::string nothing(LoadedElsewhere const&) { return {}; }

std::string frames(LoadedElsewhere const&) {
    EXPECT_TRUE(FrameSender("v1").send(frame(0x800)));
    EXPECT_TRUE(FrameSender("v0").send(frame(0x800)));
    return {};
}

std::string netkit_frames(LoadedElsewhere const&) {
    EXPECT_TRUE(FrameSender("nk0").send(frame(0x800)));
    EXPECT_TRUE(FrameSender("primary").send(frame(0x800)));
    return {};
}

std::string datagram(LoadedElsewhere const&) {
    send_datagram(ipv4());
    return {};
}

std::string network(LoadedElsewhere const& loaded) {
    frames(loaded);  // which are dissected, for want of a header's offset
    return datagram(loaded);
}

std::string internet_sockets(LoadedElsewhere const& loaded) {
    in_cgroup(loaded.cgroup, [] {
        Connection const pair = connection(ipv4());
        connection(ipv6());
        int on = 1;
        socklen_t size = sizeof on;
        EXPECT_EQ(setsockopt(pair.client.get(), SOL_SOCKET, SO_KEEPALIVE, &on, size), 0);
        EXPECT_EQ(getsockopt(pair.client.get(), SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
        send_datagram(ipv4());
        send_datagram(ipv6());
        std::string text;
        EXPECT_TRUE(std::ifstream("/proc/sys/net/ipv4/ip_forward") >> text);
        EXPECT_TRUE(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    });
    return {};
}

std::string unix_sockets(LoadedElsewhere const& loaded) {
    in_cgroup(loaded.cgroup, [] {
        connection(abstract("tamis-stream"));
        sockaddr_un from = abstract("tamis-from");
        send_datagram(bound(SOCK_DGRAM, from), abstract("tamis-to"));
    });
    return {};
}

std::string bound_socket(LoadedElsewhere const& loaded) {
    in_cgroup(loaded.cgroup, [] { send_datagram(ipv4()); });
    return {};
}

std::string mapped_sockets(LoadedElsewhere const& loaded) {
    Connection const pair = connection(ipv4());
    for (std::uint32_t key : {0U, 1U}) {
        std::uint32_t const value =
            static_cast<std::uint32_t>((key == 0 ? pair.client : pair.accepted).get());
        EXPECT_EQ(bpf_map_update_elem(loaded.sockets.get(), &key, &value, 0), 0) << strerror(errno);
    }
    std::array<char, 5> text{};
    EXPECT_EQ(send(pair.client.get(), "hello", 5, 0), 5) << strerror(errno);
    EXPECT_EQ(recv(pair.accepted.get(), text.data(), text.size(), 0), 5) << strerror(errno);
    return {};
}

std::string traces(LoadedElsewhere const& loaded) {
    frames(loaded);
    tamis_test_function();
    auto const until = std::chrono::steady_clock::now() + 100ms;
    while (std::chrono::steady_clock::now() < until) {  // for the clock
    }
    // The end of a test run is a trace point whose argument can be written.
    std::array<bpf_insn, 2> const program{
        {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
    Fd const pass(
        bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", program.data(), program.size(), nullptr));
    EXPECT_EQ(run_once(pass.get(), std::array<char, 64>{}), 0) << strerror(errno);
    return {};
}

std::string calls(LoadedElsewhere const& loaded) {
    EXPECT_TRUE(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    syscall(SYS_getppid);
    return datagram(loaded);
}

std::string kernel_tests(LoadedElsewhere const& loaded) {
    EXPECT_EQ(run_once(loaded.program(0)), 0) << strerror(errno);
    return {};
}

std::string reuseport(LoadedElsewhere const& loaded) {
    for (std::size_t i = 0; i < loaded.programs.size(); ++i) {
        sockaddr_in address = ipv4();
        Fd const receiver(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        int const on = 1, program = loaded.program(i);
        EXPECT_EQ(setsockopt(receiver.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
        EXPECT_EQ(bind(receiver.get(), generic(address), sizeof address), 0);
        EXPECT_EQ(setsockopt(receiver.get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program,
                             sizeof program),
                  0)
            << strerror(errno);
        socklen_t size = sizeof address;
        EXPECT_EQ(getsockname(receiver.get(), generic(address), &size), 0);
        Fd const sender(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(sendto(sender.get(), "x", 1, 0, generic(address), size), 1) << strerror(errno);
    }
    return {};
}

std::string redirected_frames(LoadedElsewhere const& loaded) {
    int const redirect = loaded.program(2);
    std::uint32_t const key = 0;
    bpf_devmap_val to_device{};
    to_device.ifindex = if_nametoindex("v0");  // whose peer has a program, so that it sends
    to_device.bpf_prog.fd = loaded.program(0);
    EXPECT_EQ(bpf_map_update_elem(map_of(redirect, "devices").get(), &key, &to_device, 0), 0)
        << strerror(errno);
    bpf_cpumap_val to_processor{};
    to_processor.qsize = 16;
    to_processor.bpf_prog.fd = loaded.program(1);
    EXPECT_EQ(bpf_map_update_elem(map_of(redirect, "processors").get(), &key, &to_processor, 0), 0)
        << strerror(errno);
    Fd const link(
        bpf_link_create(redirect, static_cast<int>(if_nametoindex("v1")), BPF_XDP, nullptr));
    EXPECT_TRUE(link) << strerror(errno);
    EXPECT_TRUE(FrameSender("v0").send(frame(0x88b5, 60)));
    EXPECT_TRUE(FrameSender("v0").send(frame(0x88b5, 200)));
    Fd const runs = map_of(redirect, "runs");  // the link stays until the processor has run
    EXPECT_TRUE(eventually([&] { return lookup(runs, 1) > 0; }));
    return {};
}

std::string routes(LoadedElsewhere const& loaded) {
    PinnedProgram const in(loaded.program(0), 0), out(loaded.program(1), 1),
        xmit(loaded.program(2), 2), segment(loaded.program(3), 3);
    command("ip address add 10.98.0.99/24 dev v0");
    command("ip route add table local local 10.99.0.1 encap bpf in pinned " + in.path + " dev lo");
    command(fmt::format("ip route add 10.98.1.0/24 encap bpf out pinned {} xmit pinned {} dev v0",
                        out.path, xmit.path));
    send_udp("10.99.0.1");
    send_udp("10.98.1.1");
    command("sysctl -qw net.ipv6.conf.v0.disable_ipv6=0");
    command("ip -6 route add fd77::1/128 encap seg6local action End.BPF endpoint pinned " +
            segment.path + " dev v0");
    EXPECT_TRUE(FrameSender("v1").send(segment_routed()));
    std::this_thread::sleep_for(10ms);
    command("ip -6 route del fd77::1/128; sysctl -qw net.ipv6.conf.v0.disable_ipv6=1");
    command("ip route del table local local 10.99.0.1; ip address del 10.98.0.99/24 dev v0");
    return {};
}

std::string tc_action(LoadedElsewhere const& loaded) {
    PinnedProgram const program(loaded.program(0));
    command("tc qdisc add dev v0 clsact");
    Ran const ran =
        shell("tc filter add dev v0 egress matchall action bpf object-pinned " + program.path);
    frames(loaded);
    command("tc qdisc del dev v0 clsact");
    return ran.status == 0 ? "" : "act_bpf or cls_matchall: " + ran.text;
}

std::string run_by_request(LoadedElsewhere const& loaded) {
    EXPECT_EQ(run_once(loaded.program(0)), 0) << strerror(errno);
    return {};
}

}  // namespace tamis::test
