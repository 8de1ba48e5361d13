// The direct form beside careful C: bench/rivals.  The C is no straw man (it is short enough, and
// proved to mean what the expression means), and ours executes no more.
#include "tests/support/rivals.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "frontend/compile.h"
#include "tests/support/executed.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/traffic.h"
#include "tests/support/verifier.h"
#include "translator/translate.h"
#include "verify/prove.h"

namespace tamis {
namespace {

using test::Rival;

HookRow const& xdp = row(Hook::xdp);
translator::Options const pass_or_drop{.hook = Hook::xdp,
                                       .match = {find_action(xdp, "pass")},
                                       .no_match = {find_action(xdp, "drop")},
                                       .stats = false};

cbpf::Program classic(Rival const& rival) {
    auto compiled = frontend::compile(
        rival.expression, {.context = frontend::Context::live, .tags = frontend::Tags::in_packet});
    EXPECT_TRUE(compiled) << rival.expression;
    return std::move(compiled->program);
}

ebpf::Program ours(Rival const& rival) { return *translate(classic(rival), pass_or_drop); }

std::size_t length_in_kernel(ebpf::Program const& program) {
    test::Loaded const loaded = test::load_insns(program.insns, BPF_PROG_TYPE_XDP, 0);
    EXPECT_EQ(loaded.error, 0);
    bpf_prog_info info{};
    bpf_attr attr{};
    attr.info.bpf_fd = static_cast<std::uint32_t>(loaded.fd);
    attr.info.info = test::address(&info);
    attr.info.info_len = sizeof info;
    EXPECT_EQ(test::sys_bpf(BPF_OBJ_GET_INFO_BY_FD, attr), 0);
    return info.xlated_prog_len / sizeof(ebpf::Insn);
}

class Rivals : public testing::Test {
  protected:
    void SetUp() override {
        auto all = test::rivals(TAMIS_RIVALS_OBJECT, TAMIS_RIVALS_LIST);
        ASSERT_TRUE(all) << all.error().message;
        rivals_ = std::move(*all);
        ASSERT_EQ(rivals_.size(), 22U);
    }
    std::vector<Rival> rivals_;
};

TEST_F(Rivals, AreNoLongerInTheKernelThanOtherTranslatorsC) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    for (Rival const& rival : rivals_) {
        EXPECT_LE(length_in_kernel(rival.xdp), rival.at_most) << rival.name;
        EXPECT_LE(length_in_kernel(ours(rival)), rival.at_most) << "ours: " << rival.expression;
    }
}

TEST_F(Rivals, MeanWhatTheirExpressionsMean) {
    if (!verify::can_prove()) GTEST_SKIP() << verify::prover_missing;
    for (Rival const& rival : rivals_) {
        verify::Proof const proof =
            verify::prove_translation(classic(rival), rival.xdp, pass_or_drop, {.blocks = false});
        EXPECT_EQ(proof.outcome, verify::Outcome::proved) << rival.name << ": " << proof.reason;
    }
}

TEST_F(Rivals, ExecuteMoreThanTheDirectForm) {
    auto const packets = test::traffic(8192);
    for (Rival const& rival : rivals_) {
        auto const mine = test::executed_per_packet(ours(rival), xdp, packets);
        auto const theirs = test::executed_per_packet(rival.xdp, xdp, packets);
        ASSERT_TRUE(mine) << mine.error().message;
        ASSERT_TRUE(theirs) << rival.name << ": " << theirs.error().message;
        EXPECT_LE(mine->emitted, theirs->emitted) << rival.expression;
    }
}

// What IPv4 and IPv6 have in common stands behind the first, and the second jumps back.
TEST_F(Rivals, NothingIsJumpedOver) {
    auto const rival = std::ranges::find(rivals_, "tcp dst port 80", &Rival::expression);
    ASSERT_NE(rival, rivals_.end());
    std::vector<int> jumps;
    for (ebpf::Insn const& insn : ours(*rival).insns)
        if (insn.code == 0x05) jumps.push_back(insn.off);
    EXPECT_THAT(jumps, testing::ElementsAre(testing::Lt(0)));
}

TEST_F(Rivals, TheSocketFormExecutesTwiceAsMuch) {
    auto const packets = test::traffic(8192);
    for (Rival const& rival : rivals_) {
        auto const compiled =
            frontend::compile(rival.expression, {.context = frontend::Context::live});
        ASSERT_TRUE(compiled);
        auto const run = [&](Hook hook) {
            auto const program = translator::translate_filter(compiled->program, row(hook));
            return test::executed_per_packet(*program, row(hook), packets)->with_calls;
        };
        EXPECT_GE(run(Hook::socket), 2 * run(Hook::tc_ingress)) << rival.expression;
    }
}

}  // namespace
}  // namespace tamis
