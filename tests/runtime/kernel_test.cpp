// The running kernel: programs loaded, attached, counting real packets, and every refusal in words.
#include "runtime/kernel.h"

#include <atomic>
#include <thread>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "backend/object.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/netns.h"
#include "tests/support/sample_programs.h"

namespace tamis {
namespace {

using ebpf::Reg;
using runtime::DatagramPair;
using runtime::LoadedProgram;
using runtime::XdpMode;
using testing::HasSubstr;
using testing::StartsWith;

Result<LoadedProgram> load(ebpf::Program const& program, Hook hook) {
    return LoadedProgram::load(backend::object(program, row(hook)).value(), row(hook));
}

bool may_load() {
    static bool const may = load(test::socket_filter('x'), Hook::socket).has_value();
    return may;
}

#define NEED_BPF() TAMIS_NEED_KERNEL("CAP_BPF and CAP_NET_ADMIN", may_load())
#define NEED_NETWORK()                                                             \
    TAMIS_NEED_KERNEL("ip, CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN", \
                      may_load() && test::enter_private_network())

std::string all_of(Diagnostic const& diagnostic) {
    std::string out = diagnostic.message;
    for (Note const& note : diagnostic.notes) out += "\n" + note.message;
    return out;
}

template <class T>
std::string error_of(Result<T> const& result) {
    return result ? "no error" : all_of(result.error());
}

// What `body` says, run in a child that has first done `change`.
template <class Change, class Body>
std::string in_child(Change const& change, Body const& body) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) return "no pipe";
    pid_t const child = fork();
    if (child == 0) {
        std::string const text = change() ? body() : "could not change";
        _exit(write(ends[1], text.data(), text.size()) < 0);
    }
    close(ends[1]);
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t n; (n = read(ends[0], buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<std::size_t>(n));
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return text;
}

bool become_nobody() { return setgid(65534) == 0 && setuid(65534) == 0; }

bool keep_only(std::uint64_t capabilities) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    for (unsigned i = 0; i < 2; ++i)
        data[i].effective = data[i].permitted = static_cast<std::uint32_t>(capabilities >> 32 * i);
    return syscall(SYS_capset, &header, data.data()) == 0;
}
constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }

// ---- Loading

TEST(Load, EveryHookWithItsTypes) {
    NEED_BPF();
    struct Case {
        Hook hook;
        ebpf::Program program;
        std::uint32_t functions;
    };
    for (Case const& c :
         {Case{Hook::socket, test::socket_filter('x'), 1}, Case{Hook::xdp, test::xdp_counter(), 1},
          Case{Hook::tc_ingress, test::tc_counter(), 3},
          Case{Hook::tc_egress, test::tc_counter(), 3}}) {
        SCOPED_TRACE(row(c.hook).name);
        auto const program = load(c.program, c.hook);
        ASSERT_TRUE(program.has_value()) << error_of(program);
        bpf_prog_info info{};
        std::uint32_t size = sizeof info;
        ASSERT_EQ(bpf_obj_get_info_by_fd(program->fd(), &info, &size), 0);
        EXPECT_EQ(info.id, program->id());
        EXPECT_EQ(info.type, row(c.hook).prog_type);
        EXPECT_NE(info.btf_id, 0U);
        EXPECT_EQ(info.nr_func_info, c.functions);
        EXPECT_EQ(c.program.functions[0].name, info.name);
        EXPECT_GE(program->verified_insns(), 5U);
    }
}

TEST(Load, ProgramGoesWithItsValue) {
    NEED_BPF();
    std::uint32_t id = 0;
    {
        auto const program = load(test::xdp_counter(), Hook::xdp);
        ASSERT_TRUE(program.has_value());
        id = program->id();
        LoadedProgram const copy = *program;
        EXPECT_EQ(copy.id(), id);
    }
    EXPECT_TRUE(test::eventually([&] { return bpf_prog_get_fd_by_id(id) == -ENOENT; }));
}

TEST(Load, TellsWhyTheVerifierRefuses) {
    NEED_BPF();
    ebpf::Builder b;
    b.mov(Reg::r3, 1).load(ebpf::Size::word, Reg::r0, Reg::r9, 0).exit();
    auto const program = load(test::finished(b, {}, {{"faulty", 0}}), Hook::xdp);
    ASSERT_FALSE(program.has_value());
    EXPECT_EQ(program.error().message, "the kernel refuses the program: R9 !read_ok");
    EXPECT_EQ(program.error().fault, Fault::system);
    EXPECT_THAT(all_of(program.error()), HasSubstr("\n1: (61) r0 = *(u32 *)(r9 +0)\n"));
    EXPECT_LE(program.error().notes.size(), 10U);
}

// The instruction's origin leads back to the filter's text, through line information and the log.
TEST(Load, NamesTheTextThatTheVerifierRefuses) {
    NEED_BPF();
    Source const source{"filter", "ip and tcp port 80"};
    ebpf::Builder b;
    b.from({0, {0, 2}}).mov(Reg::r3, 1);
    b.from({1, {7, 18}}).load(ebpf::Size::word, Reg::r0, Reg::r9, 0).exit();
    auto const faulty = test::finished(b, {}, {{"faulty", 0}});
    auto const program = LoadedProgram::load(
        backend::object(faulty, row(Hook::xdp), &source).value(), row(Hook::xdp));
    ASSERT_FALSE(program.has_value());
    EXPECT_THAT(all_of(program.error()), HasSubstr("\n; tcp port 80"));
}

TEST(Load, RefusesWhatIsNoObject) {
    std::vector<std::byte> const garbage(200, std::byte{'x'});
    auto const program = LoadedProgram::load(garbage, row(Hook::xdp));
    ASSERT_FALSE(program.has_value());
    EXPECT_EQ(program.error().fault, Fault::input);
    EXPECT_THAT(program.error().message, StartsWith("cannot read the object: "));
    EXPECT_FALSE(LoadedProgram::load({}, row(Hook::xdp)).has_value());
}

TEST(Load, NamesTheCapabilityThatIsMissing) {
    TAMIS_NEED_KERNEL("root", geteuid() == 0);
    NEED_BPF();
    auto const try_xdp = [] { return error_of(load(test::xdp_counter(), Hook::xdp)); };
    std::string const nobody = in_child(become_nobody, try_xdp);
    EXPECT_THAT(nobody, StartsWith("cannot load the program into the kernel: "));
    EXPECT_THAT(nobody, HasSubstr("this needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"));

    auto const without_perfmon = [] { return keep_only(bit(CAP_BPF) | bit(CAP_NET_ADMIN)); };
    std::string const pointers = in_child(without_perfmon, try_xdp);
    EXPECT_THAT(pointers, StartsWith("the kernel refuses the program: R9 pointer -= pointer "));
    EXPECT_THAT(pointers, HasSubstr("needs CAP_PERFMON"));

    // LD_ABS needs no more than these.
    EXPECT_EQ(in_child(without_perfmon,
                       [] { return error_of(load(test::tc_counter(), Hook::tc_ingress)); }),
              "no error");
    EXPECT_EQ(in_child([] { return keep_only(bit(CAP_BPF)); },
                       [] { return error_of(load(test::socket_filter('x'), Hook::socket)); }),
              "no error");
}

TEST(Load, PrintsNothing) {
    NEED_BPF();
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    static_cast<void>(load(test::tc_counter(), Hook::tc_ingress));
    ebpf::Builder b;
    b.exit();
    EXPECT_FALSE(load(test::finished(b, {}, {{"faulty", 0}}), Hook::xdp).has_value());
    static_cast<void>(LoadedProgram::load({}, row(Hook::xdp)));
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// ---- Running on packets of our own

TEST(TestRun, CountsAndAnswers) {
    NEED_BPF();
    auto const program = load(test::xdp_counter(), Hook::xdp);
    ASSERT_TRUE(program.has_value());
    auto const once = program->test_run(test::frame(0x0800, 100));
    ASSERT_TRUE(once.has_value()) << error_of(once);
    EXPECT_EQ(once->retval, 2U);
    ASSERT_TRUE(program->test_run(test::frame(0x0806, 60), 1000).has_value());
    auto const counters = program->counters();
    ASSERT_TRUE(counters.has_value());
    EXPECT_EQ(counters->matched.packets, 1U);
    EXPECT_EQ(counters->matched.bytes, 100U);
    EXPECT_EQ(counters->passed.packets, 1000U);
    EXPECT_EQ(counters->passed.bytes, 60000U);
}

TEST(TestRun, RunsTheStaticFunctionAtTc) {
    NEED_BPF();
    auto const program = load(test::tc_counter(), Hook::tc_ingress);
    ASSERT_TRUE(program.has_value());
    for (bool const is_ip : {true, false, true}) {
        auto const run = program->test_run(test::frame(is_ip ? 0x0800 : 0x0806));
        ASSERT_TRUE(run.has_value()) << error_of(run);
        EXPECT_EQ(run->retval, ~0U);
    }
    EXPECT_EQ(program->counters()->matched.packets, 2U);
    EXPECT_EQ(program->counters()->passed.packets, 1U);
}

TEST(TestRun, SaysWhatTheKernelTakes) {
    NEED_BPF();
    auto const program = load(test::xdp_counter(), Hook::xdp);
    ASSERT_TRUE(program.has_value());
    std::vector<std::uint8_t> const tiny(3);
    EXPECT_THAT(error_of(program->test_run(tiny)),
                HasSubstr("cannot run the program on a packet of 3 bytes: Invalid argument\n"));
}

TEST(Counters, NeedTheMap) {
    NEED_BPF();
    auto const program = load(test::socket_filter('x'), Hook::socket);
    ASSERT_TRUE(program.has_value());
    EXPECT_THAT(error_of(program->counters()), HasSubstr("no map 'counters'"));
}

// ---- Interfaces

TEST(Interface, UnknownNamesGetNearMatches) {
    EXPECT_GT(runtime::interface_index("lo").value_or(0), 0U);
    auto const wrong = runtime::interface_index("lol");
    ASSERT_FALSE(wrong.has_value());
    EXPECT_EQ(wrong.error().fault, Fault::input);
    EXPECT_THAT(all_of(wrong.error()),
                testing::AllOf(StartsWith("there is no network interface 'lol'\nthere is "),
                               HasSubstr("'lo'")));
    EXPECT_EQ(error_of(runtime::interface_index("\x1b[31mfarfromanything")),
              "there is no network interface '\\x1b[31mfarfromanything'");
    EXPECT_FALSE(runtime::interface_index("").has_value());
    EXPECT_FALSE(runtime::interface_index(std::string(1 << 20, 'x')).has_value());
}

// ---- XDP

std::uint32_t xdp_on(char const* interface) {
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    EXPECT_EQ(bpf_xdp_query(static_cast<int>(if_nametoindex(interface)), 0, &query), 0);
    return query.prog_id;
}

TEST(Xdp, CountsRealPacketsUntilTheLinkCloses) {
    NEED_NETWORK();
    test::FrameSender const sender("v1");
    for (XdpMode const mode : {XdpMode::automatic, XdpMode::native, XdpMode::generic}) {
        auto const program = load(test::xdp_counter(), Hook::xdp);
        ASSERT_TRUE(program.has_value());
        {
            auto const attached = runtime::attach_xdp(*program, "v0", mode);
            ASSERT_TRUE(attached.has_value()) << error_of(attached);
            EXPECT_EQ(attached->mode, mode == XdpMode::generic ? mode : XdpMode::native);
            EXPECT_EQ(xdp_on("v0"), program->id());
            for (int i = 0; i < 9; ++i)
                ASSERT_TRUE(sender.send(test::frame(i % 3 == 0 ? 0x88b5 : 0x0800, 80)));
            EXPECT_TRUE(test::eventually([&] {
                auto const c = program->counters().value();
                return c.matched.packets + c.passed.packets == 9;
            }));
        }
        EXPECT_EQ(xdp_on("v0"), 0U);
        ASSERT_TRUE(sender.send(test::frame(0x0800)));
        auto const counters = program->counters().value();
        EXPECT_EQ(counters.matched.packets, 6U);
        EXPECT_EQ(counters.matched.bytes, 480U);
        EXPECT_EQ(counters.passed.packets, 3U);
    }
}

TEST(Xdp, AutomaticFallsBackToGeneric) {
    NEED_NETWORK();
    auto const program = load(test::xdp_counter(), Hook::xdp);
    ASSERT_TRUE(program.has_value());
    auto const attached = runtime::attach_xdp(*program, "lo", XdpMode::automatic);
    ASSERT_TRUE(attached.has_value()) << error_of(attached);
    EXPECT_EQ(attached->mode, XdpMode::generic);
    auto const native = runtime::attach_xdp(*program, "lo", XdpMode::native);
    EXPECT_FALSE(native.has_value());
}

TEST(Xdp, SaysThatTheDriverHasNone) {
    NEED_NETWORK();
    auto const program = load(test::xdp_counter(), Hook::xdp);
    ASSERT_TRUE(program.has_value());
    EXPECT_EQ(error_of(runtime::attach_xdp(*program, "lo", XdpMode::native)),
              "cannot attach to 'lo' in native mode: Operation not supported\n"
              "the driver has no XDP; generic mode works everywhere");
}

TEST(Xdp, SaysWhoHoldsTheInterface) {
    NEED_NETWORK();
    auto const first = load(test::xdp_counter(), Hook::xdp);
    auto const second = load(test::xdp_counter(), Hook::xdp);
    ASSERT_TRUE(first.has_value() && second.has_value());
    for (XdpMode const held : {XdpMode::native, XdpMode::generic}) {
        auto const link = runtime::attach_xdp(*first, "v0", held);
        ASSERT_TRUE(link.has_value());
        for (XdpMode const mode : {XdpMode::automatic, XdpMode::native, XdpMode::generic}) {
            auto const refused = runtime::attach_xdp(*second, "v0", mode);
            ASSERT_FALSE(refused.has_value());
            EXPECT_EQ(refused.error().fault, Fault::system);
            EXPECT_EQ(refused.error().message, "XDP on 'v0' is taken by program " +
                                                   std::to_string(first->id()) + " 'ip_counter'");
        }
        EXPECT_EQ(xdp_on("v0"), first->id());
    }
}

TEST(Xdp, IsGoneAfterSigkill) {
    NEED_NETWORK();
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    pid_t const child = fork();
    if (child == 0) {
        auto const program = load(test::xdp_counter(), Hook::xdp);
        auto const link = runtime::attach_xdp(*program, "v0", XdpMode::automatic);
        if (write(ready[1], link ? "y" : "n", 1) == 1) pause();
        _exit(1);
    }
    char answer = '?';
    ASSERT_EQ(read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    EXPECT_NE(xdp_on("v0"), 0U);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(test::eventually([] { return xdp_on("v0") == 0; }));
    for (int const fd : ready) close(fd);
}

TEST(Xdp, NeedsAnInterface) {
    NEED_BPF();
    auto const program = load(test::xdp_counter(), Hook::xdp);
    ASSERT_TRUE(program.has_value());
    EXPECT_THAT(error_of(runtime::attach_xdp(*program, "nosuch", XdpMode::automatic)),
                StartsWith("there is no network interface 'nosuch'"));
}

// ---- Sockets

// ldh [12]; jeq #0x800, 0, 1; ret #65535; ret #0
std::vector<cbpf::Insn> const ip_only{
    {0x28, 0, 0, 12}, {0x15, 0, 1, 0x800}, {6, 0, 0, 65535}, {6, 0, 0, 0}};
// ldb [0]; jeq #'y', 0, 1; ret #10; ret #0
std::vector<cbpf::Insn> const y_only{
    {0x30, 0, 0, 0}, {0x15, 0, 1, 'y'}, {6, 0, 0, 10}, {6, 0, 0, 0}};

// EtherTypes of what waits at a socket.
std::vector<int> received(int socket) {
    std::vector<int> out;
    std::array<std::uint8_t, 2048> bytes;
    for (;;) {
        pollfd waiting{socket, POLLIN, 0};
        if (poll(&waiting, 1, 50) <= 0) return out;
        if (recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT) >= 14)
            out.push_back(bytes[12] << 8 | bytes[13]);
    }
}

TEST(PacketSocket, ReceivesWhatTheFilterPasses) {
    NEED_NETWORK();
    ebpf::Builder b;
    auto const no = b.label();
    b.mov(Reg::r6, Reg::r1).load_packet(ebpf::Size::half, 12);
    b.jump(ebpf::Cond::ne, Reg::r0, 0x800, no).mov(Reg::r0, 65535).exit();
    b.bind(no).mov(Reg::r0, 0).exit();
    auto const program = load(test::finished(b, {}, {{"ip", 0}}), Hook::socket);
    ASSERT_TRUE(program.has_value()) << error_of(program);

    auto const classic = runtime::packet_socket("v0", ip_only);
    auto const extended = runtime::packet_socket("v0", *program);
    ASSERT_TRUE(classic.has_value()) << error_of(classic);
    ASSERT_TRUE(extended.has_value()) << error_of(extended);
    test::FrameSender const sender("v1");
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(sender.send(test::frame(i < 4 ? 0x0800 : 0x88b5)));
    EXPECT_EQ(received(classic->get()), std::vector<int>(4, 0x0800));
    EXPECT_EQ(received(extended->get()), std::vector<int>(4, 0x0800));
}

// A filter that comes after the socket lets packets slip in on 14 to 34 of 100 opens.
TEST(PacketSocket, FiltersItsVeryFirstPacket) {
    NEED_NETWORK();
    std::atomic<bool> stop = false;
    std::atomic<unsigned> sent = 0;
    std::thread flood([&] {
        test::FrameSender const sender("v1");
        auto const bytes = test::frame(0x88b5);
        while (!stop) sent += sender.send(bytes) ? 1U : 0U;
    });
    EXPECT_TRUE(test::eventually([&] { return sent > 100; }));
    unsigned opened = 0, slipped = 0;
    for (int i = 0; i < 60; ++i) {
        auto const socket = runtime::packet_socket("v0", ip_only);
        if (!socket) continue;
        ++opened;
        pollfd waiting{socket->get(), POLLIN, 0};
        if (poll(&waiting, 1, 2) > 0) ++slipped;
    }
    stop = true;
    flood.join();
    EXPECT_EQ(opened, 60U);
    EXPECT_EQ(slipped, 0U);
    EXPECT_GT(sent, 1000U);
}

TEST(PacketSocket, NamesTheCapabilityThatIsMissing) {
    TAMIS_NEED_KERNEL("root", geteuid() == 0);
    auto const open = [] { return error_of(runtime::packet_socket("lo", ip_only)); };
    EXPECT_EQ(in_child(become_nobody, open),
              "cannot open a packet socket: Operation not permitted\nthis needs CAP_NET_RAW");
}

std::optional<std::size_t> sent(DatagramPair& pair, std::string_view text) {
    auto const arrived =
        pair.send({reinterpret_cast<std::uint8_t const*>(text.data()), text.size()});
    EXPECT_TRUE(arrived.has_value()) << error_of(arrived);
    return arrived.value_or(std::nullopt);
}

TEST(DatagramPair, DeliversTheVerdictOfAClassicFilter) {
    auto pair = DatagramPair::open();
    ASSERT_TRUE(pair.has_value());
    EXPECT_EQ(sent(*pair, "no filter yet"), 13U);
    EXPECT_EQ(sent(*pair, ""), 0U);
    ASSERT_TRUE(runtime::attach_classic(pair->receiver(), y_only));
    EXPECT_EQ(sent(*pair, "yes, and more than ten bytes"), 10U);
    EXPECT_EQ(sent(*pair, "yes"), 3U);
    EXPECT_EQ(sent(*pair, "no"), std::nullopt);
    EXPECT_EQ(sent(*pair, ""), std::nullopt);
    EXPECT_EQ(sent(*pair, std::string(65535, 'y')), 10U);
}

TEST(DatagramPair, DeliversTheVerdictOfAnExtendedFilter) {
    NEED_BPF();
    auto const program = load(test::socket_filter('y'), Hook::socket);
    ASSERT_TRUE(program.has_value());
    auto pair = DatagramPair::open();
    ASSERT_TRUE(pair.has_value());
    ASSERT_TRUE(runtime::attach_ebpf(pair->receiver(), *program));
    EXPECT_EQ(sent(*pair, "yes, and more than ten bytes"), 10U);
    EXPECT_EQ(sent(*pair, "no"), std::nullopt);
}

TEST(DatagramPair, RefusesWhatIsTooLong) {
    auto pair = DatagramPair::open();
    ASSERT_TRUE(pair.has_value());
    std::vector<std::uint8_t> const huge(64U << 20);
    EXPECT_THAT(error_of(pair->send(huge)),
                StartsWith("cannot send a datagram of 67108864 bytes: "));
}

TEST(AttachClassic, NeedsNoPrivilege) {
    TAMIS_NEED_KERNEL("root, to become nobody", geteuid() == 0);
    auto const attach = [] {
        auto pair = DatagramPair::open();
        return error_of(runtime::attach_classic(pair->receiver(), y_only)) +
               std::to_string(sent(*pair, "yes").value_or(0));
    };
    EXPECT_EQ(in_child(become_nobody, attach), "no error3");
}

TEST(AttachClassic, ExplainsRefusals) {
    auto const pair = DatagramPair::open();
    ASSERT_TRUE(pair.has_value());
    auto const refusal = [&](std::vector<cbpf::Insn> const& program) {
        auto const attached = runtime::attach_classic(pair->receiver(), program);
        EXPECT_TRUE(attached || attached.error().fault == Fault::system);
        return error_of(attached);
    };
    EXPECT_THAT(refusal({}), StartsWith("the kernel refuses the filter: "));
    EXPECT_THAT(refusal({{0xff, 0, 0, 0}, {6, 0, 0, 0}}),
                testing::AllOf(StartsWith("the kernel refuses the filter: "),
                               HasSubstr("(instruction 0)")));
    EXPECT_THAT(refusal(std::vector<cbpf::Insn>(4097, {6, 0, 0, 0})),
                StartsWith("the kernel refuses the filter: "));
    EXPECT_THAT(refusal(std::vector<cbpf::Insn>(65537, {6, 0, 0, 0})),
                StartsWith("the kernel refuses the filter: "));
}

TEST(AttachClassic, NamesTheSysctlThatIsTooSmall) {
    auto const pair = DatagramPair::open();
    ASSERT_TRUE(pair.has_value());
    std::vector<cbpf::Insn> program(4095, {0x28, 0, 0, 12});  // 57,345 eBPF instructions
    program.push_back({6, 0, 0, 1});
    auto const attached = runtime::attach_classic(pair->receiver(), program);
    TAMIS_NEED_KERNEL("net.core.optmem_max below 458,000", !attached.has_value());
    EXPECT_THAT(error_of(attached), testing::AllOf(HasSubstr("Cannot allocate memory"),
                                                   HasSubstr("net.core.optmem_max")));
}

TEST(AttachClassic, SaysThatTheFilterIsLocked) {
    auto const pair = DatagramPair::open();
    ASSERT_TRUE(pair.has_value());
    ASSERT_TRUE(runtime::attach_classic(pair->receiver(), y_only));
    int const one = 1;
    ASSERT_EQ(setsockopt(pair->receiver(), SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof one), 0);
    EXPECT_THAT(error_of(runtime::attach_classic(pair->receiver(), y_only)),
                HasSubstr("locked (SO_LOCK_FILTER)"));
}

TEST(AttachExtended, RefusesProgramsOfOtherHooks) {
    NEED_BPF();
    auto const program = load(test::xdp_counter(), Hook::xdp);
    auto const pair = DatagramPair::open();
    ASSERT_TRUE(program.has_value() && pair.has_value());
    EXPECT_THAT(error_of(runtime::attach_ebpf(pair->receiver(), *program)),
                HasSubstr("only programs for the hook 'socket'"));
}

}  // namespace
}  // namespace tamis
