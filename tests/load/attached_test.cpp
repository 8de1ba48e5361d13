// Programs of every kind of section: loaded and attached by tamis, run by a real event, and gone
// when their loader is killed.
//
// A case is an object of ./objects, what its sections leave open, and the event.  Its programs
// count their runs in the map `runs`, each under its place in the file.  What the running kernel
// does not take has to be refused; where what brings the event is missing, programs are only
// loaded, and the output says so.  On Debian's Linux 6.12, where tests/qemu runs this, either is a
// failure, except for what is newer.
#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <sstream>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "runtime/bpf_fs.h"
#include "runtime/kernel_features.h"
#include "runtime/object_file.h"
#include "runtime/program_types.h"
#include "runtime/sections.h"
#include "runtime/tracefs.h"
#include "tests/load/events.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/netns.h"

namespace tamis {
namespace {

using namespace std::chrono_literals;
using runtime::AttachBy;
using runtime::Fd;
using runtime::SectionRow;
using runtime::Targets;
using test::LoadedElsewhere;

// ---- The cases

struct Case {
    char const* object;
    test::Event event;
    Targets targets = {};
    bool by_others = false;       // tamis only loads
    runtime::Release since = {};  // where the rows' own is not enough
    char const* before = "true";  // a command that makes what the object is attached to
};

Targets with(std::string Targets::*target, std::string value) {
    Targets out;
    out.*target = std::move(value);
    return out;
}
Targets tracing() {
    Targets out = with(&Targets::event, "cpu-clock:999");
    out.binary = "/proc/self/exe";
    return out;
}
Targets by_trace_events() {
    Targets out;
    out.kprobe_events = true;
    return out;
}

// A control group of our own, in a mount of our own.
std::string const cgroups = fmt::format("/tmp/tamis-cgroups-{}", getpid());
std::string const cgroup = fmt::format("{}/tamis-test-{}", cgroups, getpid());
bool make_cgroup() {
    return unshare(CLONE_NEWNS) == 0 &&
           mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mkdir(cgroups.c_str(), 0700) == 0 &&
           mount("none", cgroups.c_str(), "cgroup2", 0, nullptr) == 0 &&
           mkdir(cgroup.c_str(), 0700) == 0;
}
void remove_cgroup() {
    rmdir(cgroup.c_str());
    umount(cgroups.c_str());
    rmdir(cgroups.c_str());
}
Targets in_cgroup() { return with(&Targets::cgroup, cgroup); }

std::vector<Case> cases() {
    auto const on = [](char const* interface) { return with(&Targets::interface, interface); };
    return {
        {"device", test::frames, on("v0")},
        {"frags", test::frames, on("v0")},
        {"tcx", test::frames, on("v0")},
        // The kernel names the other end.
        {"netkit",
         test::netkit_frames,
         on("primary"),
         false,
         {},
         "ip link add primary type netkit && ip link set primary up && ip link set nk0 up"},
        {"trace", test::traces, tracing()},
        {"usdt", test::traces, with(&Targets::binary, "/proc/self/exe")},
        {"uprobe_multi", test::traces, with(&Targets::binary, "/proc/self/exe")},
        {"uprobe_session", test::traces, with(&Targets::binary, "/proc/self/exe")},
        {"kprobe", test::calls},
        {"kprobe", test::calls, by_trace_events()},
        {"kprobe_multi", test::calls},
        {"kprobe_session", test::calls},
        {"trampoline", test::calls},
        {"sleepable", test::kernel_tests, {}, false, {6, 2}},
        {"iter", test::nothing},
        {"cgroup", test::internet_sockets, in_cgroup()},
        {"cgroup_unix", test::unix_sockets, in_cgroup()},
        {"lsm_cgroup", test::bound_socket, in_cgroup()},
        {"netns", test::network},
        {"netfilter", test::datagram, with(&Targets::netfilter, "ipv4:output:-50")},
        {"sockmap", test::mapped_sockets},
        {"sockmap_verdict", test::mapped_sockets},
        {"reuseport", test::reuseport, {}, true},
        {"redirect", test::redirected_frames, {}, true},
        {"redirect_frags", test::redirected_frames, {}, true},
        {"lwt", test::routes, {}, true},
        {"action", test::tc_action, {}, true},
        {"syscall", test::run_by_request, {}, true},
    };
}

// Kinds without a case, and why.
struct Exception {
    char const* section;
    char const* why;
};
constexpr Exception exceptions[] = {
    {"freplace",
     "its loader has to say which loaded program's function it replaces; libxdp's does "
     "(tests/qemu/objects.sh)"},
    {"struct_ops", "it is refused, with the reason (load_test.py)"},
    {"struct_ops.s", "it is refused, with the reason"},
    {"lirc_mode2", "no machine here has a receiver of infrared light"},
};

// ---- The kernel

std::string object_path(std::string const& name) { return TAMIS_OBJECTS "/" + name + ".o"; }

std::vector<SectionRow const*> rows_of(char const* object) {
    auto const file = runtime::ObjectFile::open(object_path(object));
    std::vector<SectionRow const*> out;
    if (!file) ADD_FAILURE() << file.error().message;
    if (file)
        for (auto const& program : file->plan().programs) out.push_back(program.place.row);
    return out;
}

// Why the running kernel does not take programs of this kind; empty: it does.
std::string refusal(SectionRow const& row) {
    if (std::string why = runtime::missing(row); !why.empty()) return why;
    runtime::ProgramKind const kind{row.prog_type, row.attach_type};
    auto const range = runtime::returns(row.prog_type, row.attach_type);
    if (runtime::may_return(kind, range ? range->low : 0) == runtime::Support::yes) return {};
    return fmt::format("the kernel loads no program for '{}'", row.name);
}

// Debian's, in which there is everything.
bool kernel_has_all() {
    return runtime::running_kernel() == runtime::Release{6, 12} && runtime::has_kprobe_pmu();
}

// ---- Another process that has loaded an object, until it is killed

std::string content(std::string const& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

class Loader {
  public:
    explicit Loader(Case const& c) {
        std::array<int, 2> ends{};
        EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
        Fd out(ends[0]), in(ends[1]);
        child_ = fork();
        if (child_ == 0) {
            out = {};
            std::string const said = load(c);
            if (write(in.get(), said.data(), said.size()) < 0) _exit(1);
            in = {};
            while (true) pause();
        }
        in = {};
        std::array<char, 4096> buffer{};
        ssize_t const size = read(out.get(), buffer.data(), buffer.size());
        std::istringstream text(std::string(buffer.data(), size > 0 ? std::size_t(size) : 0));
        std::getline(text, error);
        for (std::uint32_t id = 0; text >> id;) ids.push_back(id);
    }
    Loader(Loader const&) = delete;
    Loader& operator=(Loader const&) = delete;
    ~Loader() { kill(); }

    void kill() {
        if (child_ <= 0) return;
        ::kill(child_, SIGKILL);
        waitpid(child_, nullptr, 0);
        child_ = -1;
    }
    std::string sockets() const { return sockets_of(child_); }

    std::string error;               // empty: all is well
    std::vector<std::uint32_t> ids;  // of the programs

  private:
    static std::string sockets_of(pid_t process) {
        return fmt::format("{}/tamis-sockets-{}", runtime::bpf_fs_path, process);
    }
    // A line with the error, and the IDs.
    static std::string load(Case const& c) {
        Targets targets = c.targets;
        targets.attach = !c.by_others;
        auto const fixup = [](runtime::MapPlan const& map) -> Result<runtime::MapSetting> {
            runtime::MapSetting out;
            if (map.name == "sockets") out.pin = sockets_of(getpid());
            return out;
        };
        static Result<runtime::Loaded> loaded =
            runtime::load_bpf_file(object_path(c.object), fixup, targets);
        if (!loaded) {
            std::string out = loaded.error().message;
            for (Note const& note : loaded.error().notes) out += "; " + note.message;
            return out;
        }
        auto const read = loaded->read_iterators([](std::string_view) {});
        std::string out = read ? "\n" : read.error().message + "\n";
        for (runtime::Attachment const& done : loaded->attachments())
            out += fmt::format("{} ", done.id);
        return out;
    }

    pid_t child_ = -1;
};

std::string trace_events() {
    std::string out;
    for (char const* file : {"kprobe_events", "uprobe_events"})
        out += content(std::string("/sys/kernel/tracing/") + file);
    return out;
}

// ---- The tests

class Attached : public testing::TestWithParam<std::size_t> {
  protected:
    static void SetUpTestSuite() {
        may_ = test::enter_private_network() && make_cgroup() && runtime::has_bpf_fs();
        if (may_) test::shell("sysctl -qw net.ipv6.conf.lo.disable_ipv6=0");
    }
    static void TearDownTestSuite() { remove_cgroup(); }
    inline static bool may_ = false;
};

// Why this kernel takes no such programs; empty if it does.
std::string refusal(Case const& c, std::vector<SectionRow const*> const& rows) {
    for (SectionRow const* row : rows)
        if (std::string why = refusal(*row); !why.empty()) return why;
    if (runtime::running_kernel() < c.since) return "Linux " + runtime::text_of(c.since);
    return {};
}

// What this kernel does not take is refused by tamis; without what brings an event, programs are
// loaded, no more.  Then the event is one of the other kernels of tests/qemu.
TEST_P(Attached, RunsByARealEventAndGoesWithItsLoader) {
    TAMIS_NEED_KERNEL("ip, CAP_SYS_ADMIN, control groups and a file system for BPF", may_);
    Case c = cases()[GetParam()];
    std::vector<SectionRow const*> const rows = rows_of(c.object);
    bool const newer = std::any_of(rows.begin(), rows.end(), [](SectionRow const* row) {
        return runtime::running_kernel() < row->since;
    });
    auto const lacks = [&](std::string const& why) {
        if (kernel_has_all() && !newer)
            ADD_FAILURE() << why << ", but this kernel is to have everything";
        fmt::print("no event for {} here: {}\n", c.object, why);
    };
    std::string const events_before = trace_events();
    if (std::string const why = refusal(c, rows); !why.empty()) {
        lacks(why);
        EXPECT_NE(Loader(c).error, "") << why;
        EXPECT_EQ(trace_events(), events_before);
        return;
    }
    if (auto const ran = test::shell(c.before); ran.status != 0) {
        lacks(ran.text);
        c.by_others = true;
        EXPECT_EQ(Loader(c).error, "");
        return;
    }
    Loader loader(c);
    LoadedElsewhere there{{}, Fd(bpf_obj_get(loader.sockets().c_str())), cgroup};
    unlink(loader.sockets().c_str());
    ASSERT_EQ(loader.error, "");
    ASSERT_EQ(loader.ids.size(), rows.size());
    for (std::uint32_t const id : loader.ids)
        there.programs.emplace_back(bpf_prog_get_fd_by_id(id));
    {
        Fd const runs = test::map_of(there.program(0), "runs");
        std::string const why = c.event(there);
        if (!why.empty()) lacks(why);
        for (std::uint32_t i = 0; why.empty() && i < rows.size(); ++i)
            EXPECT_TRUE(test::eventually([&] { return test::lookup(runs, i) > 0; }))
                << rows[i]->name << " never ran";
    }
    there = {};
    loader.kill();
    for (std::uint32_t const id : loader.ids)
        EXPECT_TRUE(test::eventually([&] { return !Fd(bpf_prog_get_fd_by_id(id)); }))
            << "program " << id << " is still there";
    EXPECT_TRUE(test::eventually([&] { return trace_events() == events_before; }))
        << trace_events();
}

INSTANTIATE_TEST_SUITE_P(Objects, Attached, testing::Range(std::size_t{0}, cases().size()),
                         [](auto const& test) {
                             Case const c = cases()[test.param];
                             return std::string(c.object) +
                                    (c.targets.kprobe_events ? "_by_trace_events" : "");
                         });

TEST(Sections, EveryKindHasACaseOrAReason) {
    std::set<SectionRow const*> covered;
    for (Case const& c : cases())
        for (SectionRow const* row : rows_of(c.object)) covered.insert(row);
    for (Exception const& exception : exceptions) {
        auto const row =
            std::find_if(runtime::sections().begin(), runtime::sections().end(),
                         [&](SectionRow const& known) { return known.name == exception.section; });
        ASSERT_NE(row, runtime::sections().end()) << exception.section << " is no section";
        EXPECT_TRUE(covered.insert(&*row).second) << exception.section << " has both";
        fmt::print("{}: {}\n", exception.section, exception.why);
    }
    for (SectionRow const& row : runtime::sections())
        EXPECT_TRUE(covered.contains(&row)) << row.name << " has neither";
}

}  // namespace
}  // namespace tamis
