// Other people's loaders take our objects as they are, types included: they drop wrong types
// silently, so each test asks the kernel what it got.
#include <array>
#include <fstream>
#include <memory>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include "backend/file.h"
#include "backend/object.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/netns.h"
#include "tests/support/sample_programs.h"
#include "tests/support/shell.h"

namespace tamis {
namespace {

using testing::HasSubstr;

// Other tests load programs at the same time.
std::string entry_name() { return "l" + std::to_string(getpid()); }

void write_object(std::string const& path, ebpf::Program program, Hook hook) {
    program.functions[0].name = entry_name();
    auto const object = backend::object(program, row(hook));
    ASSERT_TRUE(object.has_value());
    ASSERT_TRUE(backend::write_file(path, *object).has_value());
}

// The newest of our programs that the kernel has.
bpf_prog_info loaded() {
    bpf_prog_info found{};
    for (std::uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
        int const fd = bpf_prog_get_fd_by_id(id);
        bpf_prog_info info{};
        std::uint32_t size = sizeof info;
        if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.name == entry_name())
            found = info;
        if (fd >= 0) close(fd);
    }
    return found;
}

void expect_types(bpf_prog_info const& info, std::uint32_t functions) {
    EXPECT_NE(info.id, 0U) << "not loaded";
    EXPECT_NE(info.btf_id, 0U) << "BTF was dropped";
    EXPECT_EQ(info.nr_func_info, functions);
    EXPECT_EQ(info.nr_line_info, functions);
    EXPECT_EQ(info.gpl_compatible, 1U);
}

// A network, a bpffs and a folder of the test's own.
class Loaders : public testing::Test {
  protected:
    void SetUp() override {
        TAMIS_NEED_KERNEL("root and CAP_SYS_ADMIN", geteuid() == 0 && unshare(CLONE_NEWNS) == 0);
        TAMIS_NEED_KERNEL("ip, and CAP_NET_ADMIN", test::enter_private_network());
        for (char const* program : {"bpftool", "tc", "cc"})
            TAMIS_NEED_KERNEL(program, test::have_program(program));
        ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
        fs_ = folder_ / "bpf";
        std::filesystem::create_directory(fs_);
        ASSERT_EQ(mount("bpf", fs_.c_str(), "bpf", 0, nullptr), 0);
    }
    void TearDown() override {
        if (!fs_.empty()) umount2(fs_.c_str(), MNT_DETACH);
    }
    // Runs a command that must say nothing.
    static void run(std::string const& command) {
        auto const ran = test::shell(command);
        EXPECT_EQ(ran.status, 0) << command;
        EXPECT_EQ(ran.text, "") << command;
    }
    static std::string output(std::string const& command) {
        auto const ran = test::shell(command);
        EXPECT_EQ(ran.status, 0) << command << "\n" << ran.text;
        return ran.text;
    }

    test::TemporaryFolder folder_;
    std::string fs_;
};

TEST_F(Loaders, BpftoolLoadsEveryHook) {
    struct Case {
        Hook hook;
        ebpf::Program program;
        char const* type;
        std::string line;
        std::uint32_t functions;
    };
    Case const cases[] = {
        {Hook::socket, test::socket_filter('x'), "socket_filter",
         "int " + entry_name() + "(struct __sk_buff *ctx)", 1},
        {Hook::xdp, test::xdp_counter(), "xdp", "int " + entry_name() + "(struct xdp_md *ctx)", 1},
        {Hook::tc_ingress, test::tc_counter(), "sched_cls", "int filter(struct __sk_buff *ctx)", 3},
    };
    for (Case const& c : cases) {
        SCOPED_TRACE(c.type);
        write_object(folder_ / "f.o", c.program, c.hook);
        run("bpftool prog load " + folder_ / "f.o" + " " + fs_ + "/f");
        expect_types(loaded(), c.functions);
        EXPECT_THAT(output("bpftool prog show pinned " + fs_ + "/f"), HasSubstr(c.type));
        EXPECT_THAT(output("bpftool prog dump xlated pinned " + fs_ + "/f"),
                    HasSubstr("; " + c.line));
        std::filesystem::remove(fs_ + "/f");
    }
}

TEST_F(Loaders, BpftoolShowsTheCountersByName) {
    write_object(folder_ / "f.o", test::xdp_counter(), Hook::xdp);
    run("bpftool prog load " + folder_ / "f.o" + " " + fs_ + "/f pinmaps " + fs_);
    EXPECT_THAT(output("bpftool map dump pinned " + fs_ + "/counters"),
                HasSubstr("\"packets\": 0"));
}

TEST_F(Loaders, BpftoolLinksObjects) {
    write_object(folder_ / "f.o", test::tc_counter(), Hook::tc_ingress);
    run("bpftool gen object " + folder_ / "linked.o" + " " + folder_ / "f.o");
    run("bpftool prog load " + folder_ / "linked.o" + " " + fs_ + "/f");
    expect_types(loaded(), 3);
}

TEST_F(Loaders, SkeletonCompilesAndLoads) {
    write_object(folder_ / "f.o", test::tc_counter(), Hook::tc_ingress);
    run("bpftool gen skeleton " + folder_ / "f.o" + " name sample > " + folder_ / "sample.skel.h");
    std::ofstream(folder_ / "main.c") << "#define ENTRY " << entry_name() << R"(
#include <stdio.h>
#include "sample.skel.h"
int main(void) {
    struct sample* s = sample__open_and_load();
    if (!s) return 1;
    printf("%d %d\n", bpf_program__fd(s->progs.ENTRY) >= 0, bpf_map__fd(s->maps.counters) >= 0);
    sample__destroy(s);
    return 0;
}
)";
    auto const main = folder_ / "main";
    run("cc -Wall -Werror -o " + main + " " + main + ".c -lbpf");
    EXPECT_EQ(output(main), "1 1\n");
}

TEST_F(Loaders, IpAttachesToXdp) {
    write_object(folder_ / "f.o", test::xdp_counter(), Hook::xdp);
    run("ip link set dev v0 xdpgeneric obj " + folder_ / "f.o" + " sec xdp");
    auto const info = loaded();
    expect_types(info, 1);
    EXPECT_THAT(output("ip link show dev v0"),
                HasSubstr("prog/xdp id " + std::to_string(info.id) + " "));
}

TEST_F(Loaders, TcAttachesToClsact) {
    write_object(folder_ / "f.o", test::tc_counter(), Hook::tc_ingress);
    run("tc qdisc add dev v0 clsact");
    for (char const* direction : {"ingress", "egress"}) {
        run(std::string("tc filter add dev v0 ") + direction + " bpf da obj " + folder_ / "f.o" +
            " sec tc");
        auto const info = loaded();
        expect_types(info, 3);
        EXPECT_THAT(output(std::string("tc filter show dev v0 ") + direction),
                    HasSubstr("direct-action not_in_hw id " + std::to_string(info.id) + " "));
    }
}

// The classic filter's place at tc: LD_ABS in a static function, on real packets.
TEST_F(Loaders, ProgramAtTcCountsPackets) {
    write_object(folder_ / "f.o", test::tc_counter(), Hook::tc_ingress);
    run("tc qdisc add dev v0 clsact");
    run("tc filter add dev v0 ingress bpf da obj " + folder_ / "f.o" + " sec tc");
    test::FrameSender const sender("v1");
    for (int i = 0; i < 7; ++i) ASSERT_TRUE(sender.send(test::frame(i < 4 ? 0x0800 : 0x88b5)));

    std::uint32_t map = 0;
    bpf_prog_info info{};
    info.nr_map_ids = 1;
    info.map_ids = reinterpret_cast<std::uintptr_t>(&map);
    std::uint32_t size = sizeof info;
    int const program = bpf_prog_get_fd_by_id(loaded().id);
    ASSERT_EQ(bpf_obj_get_info_by_fd(program, &info, &size), 0);
    close(program);
    int const counters = bpf_map_get_fd_by_id(map);
    ASSERT_GE(counters, 0);
    auto const packets = [&](std::uint32_t key) {
        std::vector<std::array<std::uint64_t, 2>> values(
            static_cast<std::size_t>(libbpf_num_possible_cpus()));
        EXPECT_EQ(bpf_map_lookup_elem(counters, &key, values.data()), 0);
        std::uint64_t sum = 0;
        for (auto const& value : values) sum += value[0];
        return sum;
    };
    EXPECT_TRUE(test::eventually([&] { return packets(0) + packets(1) == 7; }));
    EXPECT_EQ(packets(1), 4U);
    close(counters);
}

}  // namespace
}  // namespace tamis
