// What the translator promises beyond verdicts (those are the differential test's): what it
// refuses, what it leaves out, and that every shape of program loads.
#include "translator/translate.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "backend/object.h"
#include "runtime/kernel.h"
#include "tests/support/kernel_gate.h"

namespace tamis {
namespace {

using cbpf::Insn;

constexpr Insn ret_all{0x06, 0, 0, 262144}, ret_none{0x06, 0, 0, 0};

translator::Options options_for(HookRow const& hook) {
    return {.hook = hook.hook,
            .match = {find_action(hook, hook.match)},
            .no_match = {find_action(hook, hook.no_match)},
            .stats = true};
}

// One that is not the default and wants no argument.
Action another_action(HookRow const& hook) {
    auto const at = std::find_if(hook.actions.begin(), hook.actions.end(), [&](auto const& a) {
        return a.name != hook.match && a.arg == Arg::none;
    });
    return {&*at};
}

Insn ancillary(cbpf::Anc number) {
    return {0x20, 0, 0, cbpf::ancillary_base + static_cast<std::uint32_t>(number)};
}

// Which metadata each hook's programs can read, as a list of names: the table that users see.
std::string readable(HookRow const& hook) {
    std::string names;
    for (cbpf::Ancillary const& anc : cbpf::ancillaries()) {
        cbpf::Program const program{{ancillary(anc.number), {0x16, 0, 0, 0}}, {}};
        if (translator::translate(program, options_for(hook))) names += std::string(anc.name) + ' ';
    }
    return names;
}

TEST(Translate, AncillariesByHook) {
    std::string const sk_buff =
        "proto type ifidx mark queue rxhash cpu xor_x vlan_tci vlanp random vlan_tpid ";
    EXPECT_EQ(readable(row(Hook::socket)), sk_buff);
    EXPECT_EQ(readable(row(Hook::tc_ingress)), sk_buff);
    EXPECT_EQ(readable(row(Hook::cgroup_egress)), sk_buff);
    EXPECT_EQ(readable(row(Hook::lwt_xmit)), sk_buff);
    EXPECT_EQ(readable(row(Hook::xdp)), "ifidx cpu xor_x random ");
    EXPECT_EQ(readable(row(Hook::xdp_frags)), "ifidx cpu xor_x random ");
    EXPECT_EQ(readable(row(Hook::netfilter_input)), "cpu xor_x random ");
}

TEST(Translate, AMissingAncillaryPointsAtItsText) {
    cbpf::Program const program{{ancillary(cbpf::Anc::mark), ret_all}, {{3, 7}, {0, 0}}};
    auto const result = translator::translate(program, options_for(row(Hook::xdp)));
    ASSERT_FALSE(result);
    EXPECT_EQ(render(result.error(), {"filter", "ip mark"}),
              "filter:1:4: error: the metadata 'mark' cannot be read at hook xdp\n"
              "    ip mark\n"
              "       ^~~~\n"
              "note: a classic filter on a socket can read it\n");
}

TEST(Translate, EveryInstructionHasAnOrigin) {
    cbpf::Program const program{{{0x28, 0, 0, 12}, {0x15, 0, 1, 0x800}, ret_all, ret_none},
                                {{0, 2}, {0, 2}, {5, 7}, {5, 7}}};
    for (HookRow const& hook : hooks()) {
        auto const result = translator::translate(program, options_for(hook));
        ASSERT_TRUE(result) << hook.name;
        EXPECT_EQ(result->origin.size(), result->insns.size());
        for (std::uint32_t classic = 0; classic < 3; ++classic)
            EXPECT_TRUE(std::any_of(result->origin.begin(), result->origin.end(),
                                    [&](ebpf::Origin const& o) {
                                        return o.classic == classic &&
                                               o.text == program.origin[classic];
                                    }))
                << hook.name << " lost instruction " << classic;
    }
}

TEST(Translate, TheBareSocketFilterReturnsTheClassicValue) {
    translator::Options options = options_for(row(Hook::socket));
    options.stats = false;
    auto const result = translator::translate({{ret_all}, {}}, options);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->functions.size(), 1U);
    EXPECT_TRUE(result->maps.empty());
}

// Programs whose shape has a trap: dead code, one end only, constant conditions, jumps to the next
// instruction.
std::vector<cbpf::Program> shapes() {
    Insn const div_x{0x3c, 0, 0, 0}, jump_over{0x05, 0, 0, 1}, far_load{0x30, 0, 0, 0x7fffffff};
    return {
        {{ret_all}, {}},
        {{ret_none}, {}},
        {{jump_over, ret_none, ret_all}, {}},                         // dead code
        {{ret_all, {0x28, 0, 0, 12}, ret_none}, {}},                  // code behind the end
        {{far_load, ret_all}, {}},                                    // a load that cannot succeed
        {{{0x15, 0, 0, 0}, ret_all}, {}},                             // both targets the same
        {{{0x00, 0, 0, 5}, {0x15, 1, 0, 5}, ret_none, ret_all}, {}},  // decided beforehand
        {{{0x45, 0, 1, 0x80000000}, ret_all, ret_none}, {}},          // jset without an inverse
        {{{0x80, 0, 0, 0}, {0x07, 0, 0, 0}, div_x, {0x16, 0, 0, 0}}, {}},  // run-time division
        {{{0xb1, 0, 0, 0xffff}, {0x87, 0, 0, 0}, {0x16, 0, 0, 0}}, {}},    // msh through the helper
        {{{0x20, 0, 0, 0xfffd}, {0x16, 0, 0, 0}}, {}},                     // the last word in reach
        {{{0x01, 0, 0, 0xfffffff0}, {0x40, 0, 0, 0x20}, {0x16, 0, 0, 0}}, {}},  // X + k wraps
        {{{0x02, 0, 0, 15}, {0x61, 0, 0, 15}, {0x1d, 0, 1, 0}, ret_all, ret_none}, {}},
        {{{0x20, 0, 0, 0xfff00000}, ret_all}, {}},  // network header
    };
}

TEST(TranslateKernel, EveryShapeLoadsAtEveryHook) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    std::vector<cbpf::Program> const programs = shapes();
    for (HookRow const& hook : hooks()) {
        if (!runtime::kernel_has(hook)) continue;
        for (bool const stats : {true, false})
            for (std::size_t i = 0; i < programs.size(); ++i) {
                SCOPED_TRACE(std::string(hook.name) + ", shape " + std::to_string(i));
                translator::Options options = options_for(hook);
                options.stats = stats;
                if (!stats && hook.hook != Hook::socket) options.match = another_action(hook);
                auto const program = translator::translate(programs[i], options);
                ASSERT_TRUE(program) << render(program.error(), {"", ""});
                auto const object = backend::object(*program, hook);
                ASSERT_TRUE(object) << render(object.error(), {"", ""});
                auto const loaded = runtime::LoadedProgram::load(*object, hook);
                EXPECT_TRUE(loaded) << render(loaded.error(), {"", ""});
            }
    }
}

TEST(TranslateKernel, EveryActionIsWhatTheProgramReturns) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    cbpf::Program const first_byte_is_one{{{0x30, 0, 0, 0}, {0x15, 0, 1, 1}, ret_all, ret_none},
                                          {}};
    std::vector<std::uint8_t> hit(60, 1), miss(60, 2);
    for (Hook const hook : {Hook::xdp, Hook::xdp_frags, Hook::tc_ingress, Hook::tc_action})
        for (ActionName const& yes : row(hook).actions)
            for (ActionName const& no : row(hook).actions)
                for (bool const stats : {true, false}) {
                    if (!stats && &yes == &no) continue;
                    if (yes.arg != Arg::none || no.arg != Arg::none) continue;
                    SCOPED_TRACE(std::string(row(hook).name) + " " + std::string(yes.name) + " " +
                                 std::string(no.name));
                    auto const program = translator::translate(
                        first_byte_is_one,
                        {.hook = hook, .match = {&yes}, .no_match = {&no}, .stats = stats});
                    ASSERT_TRUE(program);
                    auto const loaded = runtime::LoadedProgram::load(
                        *backend::object(*program, row(hook)), row(hook));
                    ASSERT_TRUE(loaded) << render(loaded.error(), {"", ""});
                    EXPECT_EQ(static_cast<std::int32_t>(loaded->test_run(hit)->retval), yes.code);
                    EXPECT_EQ(static_cast<std::int32_t>(loaded->test_run(miss)->retval), no.code);
                    if (!stats) continue;
                    auto const counters = loaded->counters();
                    ASSERT_TRUE(counters);
                    EXPECT_EQ(counters->matched.packets, 1U);
                    EXPECT_EQ(counters->matched.bytes, 60U);
                    EXPECT_EQ(counters->passed.packets, 1U);
                    EXPECT_EQ(counters->passed.bytes, 60U);
                }
}

TEST(TranslateKernel, AFailedLoadAtTcIsANonMatchAndNotTheEndOfTheChain) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", geteuid() == 0);
    cbpf::Program const reads_far{{{0x30, 0, 0, 1000}, ret_all}, {}};
    HookRow const& hook = row(Hook::tc_ingress);
    auto const program = translator::translate(reads_far, options_for(hook));
    ASSERT_TRUE(program);
    auto const loaded = runtime::LoadedProgram::load(*backend::object(*program, hook), hook);
    ASSERT_TRUE(loaded);
    std::vector<std::uint8_t> const packet(60, 1);
    EXPECT_EQ(static_cast<std::int32_t>(loaded->test_run(packet)->retval), -1);
    EXPECT_EQ(loaded->counters()->passed.packets, 1U);
}

}  // namespace
}  // namespace tamis
