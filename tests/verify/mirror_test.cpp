// Our translation against the running kernel's, and that a wrong one is noticed.
#include "verify/mirror.h"

#include <cerrno>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sched.h>

#include "bpf/cbpf_text.h"
#include "frontend/compile.h"
#include "tests/support/kernel_gate.h"
#include "verify/loaded_form.h"
#include "verify/mirror_programs.h"

namespace tamis::verify {
namespace {

using translator::KernelModel;

#define NEED_MIRROR(mirror)                                                      \
    auto mirror = Mirror::open();                                                \
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_PERFMON and CAP_SYSLOG: " +                  \
                          (mirror ? "" : render(mirror.error(), {"tamis", ""})), \
                      mirror.has_value())

std::string shown(RandomCheck const& check) {
    if (!check.program) return "";
    return cbpf::decimal(*check.program) + check.reflection->difference->what;
}

TEST(MirrorKernel, RandomProgramsAreTheSame) {
    NEED_MIRROR(mirror);
    auto const check = check_random(*mirror, 1, 5000);
    ASSERT_TRUE(check) << render(check.error(), {"tamis", ""});
    EXPECT_EQ(check->accepted, 5000U);
    EXPECT_GT(check->refused, 100U);
    EXPECT_GE(check->classic_insns, 40U * 5000);
    EXPECT_EQ(check->differing, 0U) << shown(*check);
}

// Since 6.8 each network namespace has a limit of its own; where it cannot be lifted there is
// nothing to see here.
TEST(MirrorKernel, SoAreThoseBeyondTheSocketsUsualMemory) {
    bool lifted = false, old = false;
    std::thread([&] {
        if (unshare(CLONE_NEWNET) != 0) return;
        std::ofstream limit("/proc/sys/net/core/optmem_max");
        old = !limit;
        limit << 4194304 << std::flush;
        auto mirror = Mirror::open();
        if (!mirror || mirror->layout().model.optmem_max != 4194304) return;
        lifted = true;
        cbpf::Program program;
        program.insns.assign(cbpf::max_socket_insns - 1, {0x28, 0, 0, 12});
        program.insns.push_back({0x06, 0, 0, 1});
        auto const longest = mirror->reflect({&program, 1});
        ASSERT_TRUE(longest);
        EXPECT_EQ(longest->front().kernels.insns.size(), 57339U);
        EXPECT_FALSE(longest->front().difference);
        auto const check = check_random(*mirror, 2, 2000);
        ASSERT_TRUE(check);
        EXPECT_EQ(check->differing, 0U) << shown(*check);
    }).join();
    if (old) GTEST_SKIP() << "before kernel 6.8 the limit is the machine's";
    TAMIS_NEED_KERNEL("CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON and CAP_SYSLOG", lifted);
}

// How many of the programs differ when one rule of ours is another.
std::size_t differing(KernelModel const& model) {
    auto mirror = Mirror::open(model);
    if (!mirror) return 0;
    auto const check = check_random(*mirror, 3, 500);
    return check ? check->differing : 0;
}

TEST(MirrorKernel, AWrongRuleIsNoticed) {
    NEED_MIRROR(mirror);
    KernelModel const right = mirror->layout().model;
    EXPECT_EQ(differing(right), 0U);
    KernelModel wrong = right;
    wrong.vlan_present = right.vlan_present == KernelModel::VlanPresent::word
                             ? KernelModel::VlanPresent::bit
                             : KernelModel::VlanPresent::word;
    // The other variant's field may not exist here; that is noticed as well.
    auto other = Mirror::open(wrong);
    ASSERT_TRUE(other);
    auto const check = check_random(*other, 3, 500);
    EXPECT_TRUE(!check || check->differing > 0);

    wrong = right;
    wrong.big_endian = !right.big_endian;
    EXPECT_GT(differing(wrong), 0U);
    wrong = right;
    wrong.alignment = KernelModel::Alignment::offset_zero;
    EXPECT_GT(differing(wrong), 0U);
    wrong = right;
    wrong.use = KernelModel::Use::seccomp;
    EXPECT_GT(differing(wrong), 0U);
    wrong = right;
    wrong.optmem_max = 8192;
    EXPECT_GT(differing(wrong), 0U);
}

TEST(MirrorKernel, EveryFieldOfEveryInstructionCounts) {
    NEED_MIRROR(mirror);
    cbpf::Program const program{{{0x28, 0, 0, 12}, {0x02, 0, 0, 3}, {0x06, 0, 0, 1}}, {}};
    auto const reflections = mirror->reflect({&program, 1});
    ASSERT_TRUE(reflections);
    Reflection const& right = reflections->front();
    ASSERT_FALSE(right.difference);
    auto const difference = [&](KernelCopy copy) {
        auto const r =
            reflect(program, std::move(copy), mirror->layout().model, mirror->layout().symbols);
        return r ? r->difference : std::nullopt;
    };
    for (std::size_t i = 0; i < right.bound.size(); ++i)
        for (int field = 0; field < 5; ++field) {
            KernelCopy copy = right.kernels;
            ebpf::Insn& insn = copy.insns[i];
            if (field == 0) insn.code ^= 0x10;
            if (field == 1) insn.dst = (insn.dst + 1U) & 15;
            if (field == 2) insn.src = (insn.src + 1U) & 15;
            if (field == 3) insn.off = static_cast<std::int16_t>(insn.off + 1);
            if (field == 4) insn.imm += 1;
            auto const found = difference(copy);
            ASSERT_TRUE(found) << i;
            EXPECT_EQ(found->index, i);
        }
    KernelCopy copy = right.kernels;
    copy.insns.pop_back();
    EXPECT_TRUE(difference(copy));
    copy = right.kernels;
    copy.stack_depth += 4;
    EXPECT_TRUE(difference(copy));
}

TEST(MirrorKernel, ABlindedProgramIsNotCompared) {
    NEED_MIRROR(mirror);
    cbpf::Program const program{{{0x06, 0, 0, 1}}, {}};
    KernelCopy copy;
    copy.blinded = true;
    auto const r = reflect(program, copy, mirror->layout().model, mirror->layout().symbols);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().message, "the kernel hides the constants of its programs");
    EXPECT_EQ(r.error().fault, Fault::system);
}

TEST(MirrorKernel, RefusalsAreTheKernels) {
    NEED_MIRROR(mirror);
    cbpf::Insn const ret{0x06, 0, 0, 1};
    std::vector<cbpf::Program> programs = {
        {{}, {}},
        {std::vector<cbpf::Insn>(4097, ret), {}},
        {std::vector<cbpf::Insn>(70000, ret), {}},
        {{{0x34, 0, 0, 0}, ret}, {}},
        {{{0x60, 0, 0, 1}, ret}, {}},
        {{{0x05, 0, 0, 1}, ret}, {}},
        {{{0x20, 0, 0, cbpf::ancillary_base + 64}, ret}, {}},
        {{{0x0e, 0, 0, 0}}, {}},
        {{{0x28, 0, 0, 12}}, {}},
    };
    auto const reflections = mirror->reflect(programs);
    ASSERT_TRUE(reflections);
    for (Reflection const& r : *reflections) {
        EXPECT_EQ(r.kernel_error, EINVAL);
        EXPECT_FALSE(r.difference);
        EXPECT_FALSE(r.ours);
    }
}

// ---- The loadable form

TEST(MirrorKernel, RandomSocketFormsAreForetoldAndGiveTheSameVerdicts) {
    NEED_MIRROR(mirror);
    RandomPrograms::Options options;
    options.header_offsets = true;
    for (cbpf::Ancillary const& a : cbpf::ancillaries()) options.ancillaries.push_back(a.number);
    RandomPrograms source(4, options);
    std::size_t compared = 0, kept = 0;
    for (std::uint64_t i = 0; i < 1500; ++i) {
        cbpf::Program const program = source.next();
        SCOPED_TRACE(cbpf::decimal(program));
        auto const loaded = compare_loaded(program, mirror->layout(), i, 20);
        ASSERT_TRUE(loaded) << render(loaded.error(), {"program", ""});
        if (!*loaded) continue;
        EXPECT_FALSE((*loaded)->difference);
        EXPECT_FALSE((*loaded)->differing);
        kept += (*loaded)->accepted;
        if ((*loaded)->predicted && !(*loaded)->shortened()) ++compared;
    }
    EXPECT_GT(compared, 300U);
    EXPECT_GT(kept, 3000U);
}

TEST(MirrorKernel, ExpressionsAreForetoldWhole) {
    NEED_MIRROR(mirror);
    for (char const* text : {"tcp port 80", "ip host 10.0.0.1", "udp or icmp6", "tcp[13] & 2 != 0",
                             "ip[0] / (tcp[0] + 1) = 2", "len > 100 and not arp"})
        for (bool const optimise : {true, false}) {
            SCOPED_TRACE(text);
            frontend::Options options;
            options.optimise = optimise;
            auto const compiled = frontend::compile(text, options);
            ASSERT_TRUE(compiled);
            auto const reflections = mirror->reflect({&compiled->program, 1});
            ASSERT_TRUE(reflections);
            EXPECT_FALSE(reflections->front().difference);
            auto const loaded = compare_loaded(compiled->program, mirror->layout(), 1, 100);
            ASSERT_TRUE(loaded && *loaded);
            EXPECT_TRUE((*loaded)->predicted);
            EXPECT_FALSE((*loaded)->shortened());
            EXPECT_TRUE((*loaded)->same());
            EXPECT_EQ((*loaded)->packets, 100U);
        }
}

}  // namespace
}  // namespace tamis::verify
