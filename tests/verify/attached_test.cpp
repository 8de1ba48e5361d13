// Every place that holds a classic program: what the kernel keeps there is our translation.
#include <algorithm>
#include <array>
#include <functional>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/kernel_gate.h"
#include "verify/attached_filters.h"
#include "verify/mirror.h"

namespace tamis::verify {
namespace {

using cbpf::Insn;
using runtime::Fd;

constexpr Insn ret_all{0x06, 0, 0, 0x7fff0000};  // SECCOMP_RET_ALLOW, and as good as all bytes

#define NEED_MIRROR(mirror)                                                      \
    auto mirror = Mirror::open();                                                \
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_PERFMON and CAP_SYSLOG: " +                  \
                          (mirror ? "" : render(mirror.error(), {"tamis", ""})), \
                      mirror.has_value())

// A program that is worth a comparison.
cbpf::Program sample() {
    return {{{0x28, 0, 0, 12},
             {0x02, 0, 0, 2},
             {0x20, 7, 8, cbpf::ancillary_base + 36},
             {0x45, 0, 1, 0x80000000},
             {0x06, 0, 0, 0},
             {0x60, 0, 0, 2},
             {0x16, 1, 2, 3}},
            {}};
}

// The kernel's view of a program, which has to outlive it.
sock_fprog view(cbpf::Program const& program) {
    static_assert(sizeof(sock_filter) == sizeof(Insn));
    return {static_cast<unsigned short>(program.insns.size()),
            const_cast<sock_filter*>(reinterpret_cast<sock_filter const*>(program.insns.data()))};
}

bool set(int socket, int level, int option, cbpf::Program const& program) {
    sock_fprog const filter = view(program);
    return setsockopt(socket, level, option, &filter, sizeof filter) == 0;
}

bool add_seccomp(cbpf::Program const& program) {
    sock_fprog const filter = view(program);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// The one program that our socket holds there is the translation of `program`.
void expect_mirrored(Mirror& mirror, int socket, Holder holder, cbpf::Program const& program) {
    auto copies = mirror.programs().of_sockets(getpid(), holder);
    ASSERT_TRUE(copies) << render(copies.error(), {"tamis", ""});
    ASSERT_EQ(copies->size(), 1U);
    EXPECT_EQ(copies->front().fd, socket);
    EXPECT_EQ(copies->front().holder, holder);
    EXPECT_TRUE(copies->front().classic);
    auto const r =
        reflect(program, copies->front(), mirror.layout().model, mirror.layout().symbols);
    ASSERT_TRUE(r);
    EXPECT_FALSE(r->difference) << r->difference->index << ' ' << r->difference->what;
}

TEST(AttachedKernel, Reuseport) {
    NEED_MIRROR(mirror);
    Fd const udp(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    int const one = 1;
    ASSERT_EQ(setsockopt(udp.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ASSERT_EQ(bind(udp.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
    ASSERT_TRUE(set(udp.get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, sample()));
    expect_mirrored(*mirror, udp.get(), Holder::reuseport, sample());
    auto const none = mirror->programs().of_sockets(getpid(), Holder::socket);
    ASSERT_TRUE(none);
    EXPECT_TRUE(none->empty());
}

TEST(AttachedKernel, Fanout) {
    NEED_MIRROR(mirror);
    Fd const packet(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_LOOPBACK)));
    TAMIS_NEED_KERNEL("CAP_NET_RAW", static_cast<bool>(packet));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_LOOPBACK);
    address.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
    ASSERT_EQ(bind(packet.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address), 0);
    constexpr int new_group = 0x2000;  // PACKET_FANOUT_FLAG_UNIQUEID
    int const group = (PACKET_FANOUT_CBPF | new_group) << 16;
    ASSERT_EQ(setsockopt(packet.get(), SOL_PACKET, PACKET_FANOUT, &group, sizeof group), 0);
    ASSERT_TRUE(set(packet.get(), SOL_PACKET, PACKET_FANOUT_DATA, sample()));
    expect_mirrored(*mirror, packet.get(), Holder::fanout, sample());
}

// A process that does `first` and then waits for its end.
class Child {
  public:
    explicit Child(std::function<bool()> const& first) {
        std::array<int, 2> ready{}, hold{};
        if (pipe(ready.data()) != 0 || pipe(hold.data()) != 0) return;
        process_ = fork();
        char byte = 1;
        if (process_ == 0) {
            close(hold[1]);
            byte = first() ? 1 : 0;
            static_cast<void>(!write(ready[1], &byte, 1));
            static_cast<void>(!read(hold[0], &byte, 1));
            _exit(0);
        }
        close(hold[0]);
        hold_ = Fd(hold[1]);
        worked_ = read(ready[0], &byte, 1) == 1 && byte == 1;
        close(ready[0]);
        close(ready[1]);
    }
    Child(Child const&) = delete;
    Child& operator=(Child const&) = delete;
    ~Child() {
        { Fd const ends(std::move(hold_)); }  // the child reads its end
        waitpid(process_, nullptr, 0);
    }
    pid_t process() const { return process_; }
    bool worked() const { return worked_; }

  private:
    pid_t process_ = -1;
    bool worked_ = false;
    Fd hold_;
};

TEST(AttachedKernel, Seccomp) {
    NEED_MIRROR(mirror);
    cbpf::Program const older{{{0x20, 0, 0, 4}, {0x15, 0, 0, 7}, ret_all}, {}};
    cbpf::Program const newer{{{0x80, 0, 0, 0},
                               {0x02, 0, 0, 5},
                               {0x81, 0, 0, 0},
                               {0x20, 0, 0, 60},
                               {0x3c, 0, 0, 0},
                               {0xac, 0, 0, 9},
                               {0x1d, 0, 1, 0},
                               ret_all,
                               ret_all},
                              {}};
    Child const child([&] { return add_seccomp(older) && add_seccomp(newer); });
    ASSERT_TRUE(child.worked());
    translator::KernelModel model = mirror->layout().model;
    model.use = translator::KernelModel::Use::seccomp;
    for (std::uint32_t place : {0U, 1U}) {
        auto copies = mirror->programs().of_seccomp(child.process(), place);
        ASSERT_TRUE(copies) << render(copies.error(), {"tamis", ""});
        ASSERT_EQ(copies->size(), 1U);
        EXPECT_EQ(copies->front().holder, Holder::seccomp);
        auto const r =
            reflect(place == 0 ? newer : older, copies->front(), model, mirror->layout().symbols);
        ASSERT_TRUE(r);
        EXPECT_FALSE(r->difference) << r->difference->index << ' ' << r->difference->what;
    }
}

// The kernel and tamis refuse the same programs for seccomp.
TEST(AttachedKernel, SeccompsRefusalsAreTheKernels) {
    NEED_MIRROR(mirror);
    translator::KernelModel model;
    model.use = translator::KernelModel::Use::seccomp;
    for (cbpf::Op const& op : cbpf::ops())
        for (std::uint32_t const k : {0U, 1U, 2U, 4U, 60U, 64U, 0xfffff000U}) {
            cbpf::Program const program{{{0x02, 0, 0, 1}, {op.code, 0, 0, k}, ret_all}, {}};
            bool const ours = translator::kernel_form(program, model).has_value();
            SCOPED_TRACE(std::to_string(op.code) + " " + std::to_string(k));
            pid_t const process = fork();
            if (process == 0) _exit(add_seccomp(program) ? 1 : 0);
            int status = 0;
            ASSERT_EQ(waitpid(process, &status, 0), process);
            // One that returns 0 ends the process: it was taken.
            bool const taken = WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
            EXPECT_EQ(taken, ours);
        }
}

TEST(AttachedKernel, AnotherProcesssFilters) {
    NEED_MIRROR(mirror);
    Child const child([] {
        int const filtered = socket(AF_UNIX, SOCK_DGRAM, 0), plain = socket(AF_UNIX, SOCK_DGRAM, 0);
        return plain >= 0 && set(filtered, SOL_SOCKET, SO_ATTACH_FILTER, sample());
    });
    ASSERT_TRUE(child.worked());
    auto const found = attached_filters(*mirror, child.process());
    ASSERT_TRUE(found) << render(found.error(), {"tamis", ""});
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(found->front().process, child.process());
    EXPECT_EQ(found->front().program.insns, sample().insns);
    EXPECT_FALSE(found->front().command.empty());
    EXPECT_FALSE(found->front().reflection.difference);
    auto const all = all_processes();
    ASSERT_TRUE(all);
    EXPECT_TRUE(std::find(all->begin(), all->end(), child.process()) != all->end());
    auto const nobody = attached_filters(*mirror, 1 << 22);
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().message, "cannot look at process 4194304: No such process");
}

}  // namespace
}  // namespace tamis::verify
