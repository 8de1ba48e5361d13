// Programs of filters at every hook: that the kernel takes them, also from a process with fewer
// capabilities, and what they come to there.
//
//     everywhere_test [--stride N] [gtest options]
//
// UPDATE=1 writes the table of sizes (tests/translator/sizes.txt) anew.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/object.h"
#include "runtime/kernel.h"
#include "tests/support/corpus.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/verifier.h"
#include "tests/translator/at_hook.h"
#include "translator/translate.h"

namespace tamis {
namespace {

using test::compile_at;
using test::distinct_hooks;
using test::options_for;

std::size_t stride = 1;  // every how many filters of the corpus are loaded

Result<runtime::LoadedProgram> load(ebpf::Program const& program, HookRow const& hook) {
    auto const object = backend::object(program, hook);
    if (!object) return fail(object.error());
    return runtime::LoadedProgram::load(*object, hook);
}

std::vector<test::CorpusFilter> filters() {
    auto const all = test::corpus(TAMIS_SOURCE_ROOT);
    EXPECT_TRUE(all);
    std::set<std::string> seen;
    std::vector<test::CorpusFilter> out;
    for (test::CorpusFilter const& filter : *all)
        if (filter.text.size() < 4000 && seen.insert(filter.text).second) out.push_back(filter);
    return out;
}

// Filters of the corpus that are translated at a hook, loaded there; how many.  Which ones are not
// is the table of refusals_test.  Without counters, what does not match is dropped by that action.
std::size_t load_corpus(Hook which, translator::Shape const& shape, std::size_t every,
                        std::optional<std::string_view> without_stats = {}) {
    HookRow const& hook = row(which);
    std::vector<test::CorpusFilter> const all = filters();
    std::size_t loaded = 0;
    for (std::size_t i = 0; i < all.size(); i += every) {
        auto const classic =
            all[i].assembly ? test::program_of(all[i]) : compile_at(hook, all[i].text);
        if (!classic) continue;
        translator::Options options = options_for(hook);
        options.shape = shape;
        if (without_stats) {
            options.no_match = {find_action(hook, *without_stats)};
            options.stats = false;
        }
        auto const program = translator::translate(*classic, options);
        if (!program) continue;  // metadata that the hook lacks
        auto const result = load(*program, hook);
        EXPECT_TRUE(result) << hook.name << ": " << all[i].text << "\n"
                            << render(result.error(), {all[i].text, ""});
        if (!result) break;
        ++loaded;
    }
    return loaded;
}

TEST(EverywhereKernel, EveryFilterLoadsAtEveryHook) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    for (Hook const hook : distinct_hooks) {
        if (!runtime::kernel_has(row(hook))) continue;
        std::size_t const loaded = load_corpus(hook, {}, stride);
        EXPECT_GT(loaded, 400 / stride) << row(hook).name;
        fmt::print("{}: {} filters\n", row(hook).name, loaded);
    }
}

TEST(EverywhereKernel, ProgramsThatOnlyDecideLoad) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    EXPECT_GT(load_corpus(Hook::xdp, {}, stride, "drop"), 400 / stride);
    EXPECT_GT(load_corpus(Hook::tc_ingress, {}, 7 * stride, "shot"), 400 / 7 / stride);
}

TEST(EverywhereKernel, TheLinearShapeLoads) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    for (Hook const hook : {Hook::tc_ingress, Hook::xdp_frags, Hook::cgroup_egress})
        EXPECT_GT(load_corpus(hook, {.linear = true}, 7 * stride), 400 / 7 / stride);
}

// In a process of its own, which keeps these two.
TEST(EverywhereKernel, TheShapeWithoutPerfmonLoadsWithoutIt) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    pid_t const child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        __user_cap_data_struct data[2]{};
        data[0].effective = data[0].permitted = 1U << CAP_NET_ADMIN;
        data[1].effective = data[1].permitted = 1U << (CAP_BPF - 32);
        if (::syscall(SYS_capset, &header, data) != 0) _exit(2);
        for (Hook const hook : distinct_hooks) {
            if (!runtime::kernel_has(row(hook))) continue;
            load_corpus(hook, {.no_perfmon = true}, 7 * stride);
        }
        _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

std::string series() {
    utsname name{};
    uname(&name);
    std::string_view const release = name.release;
    return std::string(release.substr(0, release.find('.', release.find('.') + 1)));
}

// Hooks that this kernel lacks, and what a program at one is told.
TEST(EverywhereKernel, RefusalsNameTheKernelThatHasTheHook) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    std::string lacking;
    for (HookRow const& hook : hooks())
        if (!runtime::kernel_has(hook)) lacking += fmt::format(" {}", hook.name);
    std::ifstream file(TAMIS_SOURCE_ROOT "/tests/translator/refusals.txt");
    std::string const kernel = fmt::format("kernel {} lacks:", series());
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(kernel)) {
            EXPECT_EQ(line, kernel + lacking);
        }
    for (HookRow const& hook : hooks()) {
        if (runtime::kernel_has(hook)) continue;
        auto const program = translator::translate(*compile_at(hook, "tcp"), options_for(hook));
        ASSERT_TRUE(program);
        auto const refused = load(*program, hook);
        ASSERT_FALSE(refused) << hook.name;
        EXPECT_NE(render(refused.error(), {"", ""})
                      .find(fmt::format("the hook '{}' needs Linux {}", hook.name, hook.since)),
                  std::string::npos)
            << render(refused.error(), {"", ""});
    }
}

// ---- Sizes

// What a program comes to in the kernel.
struct Size {
    std::size_t insns = 0, jited = 0, verified = 0;
};

constexpr std::string_view sized_filters[] = {
    "ip",
    "tcp",
    "host 10.0.0.1",
    "tcp dst port 80",
    "port 53",
    "not (tcp port 22)",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "(tcp[tcpflags] & tcp-syn != 0 or port 443) and not tcp dst port 80",
    "port 80 and tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ip6 host 2001:db8::1",
    "vlan 100 and tcp dst port 80",
    "len > 100 and udp",
    "portrange 20-1024",
    "icmp6 and ip6[40] = 128",
};

std::optional<Size> size_at(HookRow const& hook, std::string const& text) {
    auto const classic = compile_at(hook, text);
    if (!classic) return std::nullopt;
    auto const program = translator::translate(*classic, options_for(hook));
    if (!program) return std::nullopt;
    auto const loaded = load(*program, hook);
    EXPECT_TRUE(loaded) << hook.name << ": " << text;
    if (!loaded) return std::nullopt;
    bpf_prog_info info{};
    bpf_attr attr{};
    attr.info.bpf_fd = static_cast<std::uint32_t>(loaded->fd());
    attr.info.info = test::address(&info);
    attr.info.info_len = sizeof info;
    EXPECT_EQ(test::sys_bpf(BPF_OBJ_GET_INFO_BY_FD, attr), 0);
    return Size{info.xlated_prog_len / sizeof(ebpf::Insn), info.jited_prog_len,
                info.verified_insns};
}

TEST(EverywhereKernel, ProgramsDoNotGrow) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    std::string const path = TAMIS_SOURCE_ROOT "/tests/translator/sizes.txt";
    std::map<std::string, Size> known;
    std::string kernel;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("# kernel ")) kernel = line.substr(9);
        if (line.empty() || line[0] == '#') continue;
        std::istringstream words(line);
        std::string hook, text;
        Size size;
        words >> hook >> size.insns >> size.jited >> size.verified >> std::ws;
        std::getline(words, text);
        known[hook + " " + text] = size;
    }
    bool const update = std::getenv("UPDATE") != nullptr;
    if (!update && kernel != series()) GTEST_SKIP() << "sizes.txt was written on Linux " << kernel;
    std::string out = fmt::format(
        "# Programs of filters in the kernel: instructions, bytes of machine code, instructions "
        "that\n"
        "# the verifier went through.  More by a tenth is a failure; UPDATE=1 everywhere_test "
        "writes it.\n"
        "# kernel {}\n",
        series());
    auto const grown = [](std::size_t now, std::size_t before) { return 10 * now > 11 * before; };
    for (Hook const which : distinct_hooks) {
        HookRow const& hook = row(which);
        if (!runtime::kernel_has(hook)) continue;
        for (std::string_view const text : sized_filters) {
            auto const size = size_at(hook, std::string(text));
            if (!size) continue;
            out += fmt::format("{:16} {:4} {:5} {:5}  {}\n", hook.name, size->insns, size->jited,
                               size->verified, text);
            if (update) continue;
            auto const before = known.find(fmt::format("{} {}", hook.name, text));
            ASSERT_NE(before, known.end()) << hook.name << ": " << text;
            EXPECT_FALSE(grown(size->insns, before->second.insns) ||
                         grown(size->jited, before->second.jited) ||
                         grown(size->verified, before->second.verified))
                << hook.name << ": " << text << ": " << size->insns << " instructions, "
                << size->jited << " bytes, " << size->verified << " verified; was "
                << before->second.insns << ", " << before->second.jited << ", "
                << before->second.verified;
        }
    }
    if (update) std::ofstream(path) << out;
}

}  // namespace
}  // namespace tamis

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc == 3 && std::string_view(argv[1]) == "--stride") {
        std::string_view const number = argv[2];
        std::from_chars(number.data(), number.data() + number.size(), tamis::stride);
    }
    return tamis::stride == 0 ? 2 : RUN_ALL_TESTS();
}
