// The kernel form where a listing in tests/cases/kernel.txt would be too long or show too little:
// limits, junk fields, binding.
#include "translator/kernel_form.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace tamis::translator {
namespace {

using cbpf::Insn;

constexpr Insn ret{0x06, 0, 0, 1}, half{0x28, 0, 0, 12};      // 14 instructions in translation
constexpr Insn xor_x{0x20, 0, 0, cbpf::ancillary_base + 40};  // one instruction
constexpr std::size_t prologue = 7, half_size = 14;

cbpf::Program loads(std::size_t count) {
    cbpf::Program program;
    program.insns.assign(count, half);
    program.insns.push_back(ret);
    return program;
}

KernelRefusal refusal(cbpf::Program const& program, KernelModel const& model = {}) {
    auto const result = kernel_form(program, model);
    return result ? KernelRefusal{0, 0, "taken"} : result.error();
}

TEST(KernelForm, ProgramsWithoutJumpsMayBeAsLongAsTheyGet) {
    auto const longest = kernel_form(loads(cbpf::max_socket_insns - 1), {});
    ASSERT_TRUE(longest);
    EXPECT_EQ(longest->insns.size(), prologue + 4095 * half_size + 2);
    EXPECT_EQ(refusal(loads(cbpf::max_socket_insns)).error, EINVAL);
}

// The last place of a jump is 32,767, whether it is an unconditional one or not and wherever it
// goes.
TEST(KernelForm, NoJumpStandsBehind32767) {
    for (Insn const jump : {Insn{0x05, 0, 0, 0}, Insn{0x15, 0, 0, 1}, Insn{0x1d, 0, 1, 0}}) {
        cbpf::Program program = loads(2340);  // 7 + 2340 * 14 = 32,767
        program.insns.back() = jump;
        program.insns.insert(program.insns.end(), {ret, ret});
        EXPECT_EQ(refusal(program).rule, "taken");
        program.insns.insert(program.insns.begin(), xor_x);
        EXPECT_EQ(refusal(program).error, EINVAL);
        EXPECT_EQ(refusal(program).index, 2341U);
        EXPECT_EQ(refusal(program).rule,
                  "its translation puts a jump at instruction 32768; the last place for one is "
                  "32767");
    }
}

TEST(KernelForm, NoJumpIsLongerThan32767) {
    cbpf::Program program = loads(2340);  // 32,760 to jump over
    program.insns.insert(program.insns.begin(), {0x05, 0, 0, 2340 + 7});
    program.insns.insert(program.insns.begin() + 1, 7, xor_x);
    auto const taken = kernel_form(program, {});
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->insns[prologue].off, 32767);
    program.insns[0].k += 1;
    program.insns.insert(program.insns.begin() + 1, xor_x);
    EXPECT_EQ(refusal(program).error, EINVAL);
    EXPECT_EQ(refusal(program).index, 0U);
    EXPECT_EQ(refusal(program).rule,
              "its translation jumps over 32768 instructions, at most 32767");
}

// A program counts with its header, and has to leave a byte over (sk_attach_filter).
TEST(KernelForm, TheSocketsMemoryIsALimit) {
    KernelModel model;
    model.optmem_max = 131072;
    cbpf::Program program = loads(1168);  // 7 + 1168 * 14 + 2 = 16,361
    program.insns.insert(program.insns.begin(), 10, xor_x);
    EXPECT_EQ(refusal(program, model).rule, "taken");
    program.insns.insert(program.insns.begin(), xor_x);
    EXPECT_EQ(refusal(program, model).error, ENOMEM);
    EXPECT_EQ(refusal(program, model).index, program.insns.size());
    model.optmem_max += 1;
    EXPECT_EQ(refusal(program, model).rule, "taken");
    // What cannot be converted is EINVAL however large it is.
    program.insns.insert(program.insns.begin(), {0x05, 0, 0, 5000});
    EXPECT_EQ(refusal(program, model).error, EINVAL);
}

TEST(KernelForm, JunkIsCarriedAlong) {
    constexpr std::uint32_t junk = 0x80000001;
    cbpf::Program const program{{{0x0c, 5, 6, junk},   // add x
                                 {0x84, 0, 0, junk},   // neg
                                 {0x1d, 1, 0, junk},   // jeq x
                                 {0x07, 1, 2, junk},   // tax
                                 {0x87, 1, 2, junk},   // txa
                                 {0x16, 1, 2, junk}},  // ret a
                                {}};
    auto const form = kernel_form(program, {});
    ASSERT_TRUE(form);
    auto const imm = static_cast<std::int32_t>(junk);
    std::vector<ebpf::Insn> const expected = {ebpf::make_insn(0xac),
                                              ebpf::make_insn(0xac, 7, 7),
                                              ebpf::make_insn(0xbf, 6, 1),
                                              ebpf::make_insn(0x0c, 0, 7, 0, imm),
                                              ebpf::make_insn(0x84, 0, 7, 0, imm),
                                              ebpf::make_insn(0x1d, 0, 7, 1, imm),
                                              ebpf::make_insn(0xbf, 7),
                                              ebpf::make_insn(0xbf, 0, 7),
                                              ebpf::make_insn(0x95)};
    EXPECT_EQ(form->insns, expected);
}

TEST(KernelForm, TheStackIsAsDeepAsTheHighestCellThatIsWritten) {
    for (std::uint32_t const k : {0U, 7U, 15U}) {
        auto const form = kernel_form({{{0x02, 0, 0, k}, {0x03, 0, 0, 0}, ret}, {}}, {});
        ASSERT_TRUE(form);
        EXPECT_EQ(form->stack_depth, 4 * k + 4);
    }
    EXPECT_EQ(kernel_form({{ret}, {}}, {})->stack_depth, 0U);
}

TEST(KernelForm, EveryInstructionHasAnOrigin) {
    cbpf::Program const program{{half, {0x15, 0, 1, 0x800}, ret, ret},
                                {{0, 2}, {0, 2}, {3, 5}, {3, 5}}};
    auto const form = kernel_form(program, {});
    ASSERT_TRUE(form);
    ASSERT_EQ(form->origin.size(), form->insns.size());
    ASSERT_EQ(form->symbols.size(), form->insns.size());
    for (std::size_t i = 0; i < form->insns.size(); ++i) {
        std::uint32_t const classic = form->origin[i].classic;
        if (i < prologue) {
            EXPECT_EQ(classic, ebpf::Origin::none);
        } else {
            EXPECT_EQ(form->origin[i].text, program.origin[classic]);
        }
    }
    EXPECT_EQ(form->origin.back().classic, 3U);
}

// Unreachable instructions are translated, and their loads count for the prologue.
TEST(KernelForm, NothingIsLeftOut) {
    auto const form = kernel_form({{ret, half, ret}, {}}, {});
    ASSERT_TRUE(form);
    EXPECT_EQ(form->insns.size(), prologue + 2 + half_size + 2);
}

TEST(KernelForm, BoundToNumbers) {
    auto const form = kernel_form({{half, {0x20, 0, 0, cbpf::ancillary_base + 8}, ret}, {}}, {});
    ASSERT_TRUE(form);
    Layout layout;
    std::int32_t next = 1000;
    for (SymbolRow const& symbol : symbols())
        if (symbol.kind != SymbolKind::none) layout[symbol.symbol] = next++;
    auto const insns = bind(*form, layout);
    ASSERT_TRUE(insns);
    for (std::size_t i = 0; i < insns->size(); ++i) {
        ebpf::Insn expected = form->insns[i];
        SymbolRow const& symbol = row(form->symbols[i]);
        if (symbol.kind == SymbolKind::function)
            expected.imm = *layout[symbol.symbol];
        else if (symbol.kind != SymbolKind::none)
            expected.off = static_cast<std::int16_t>(*layout[symbol.symbol]);
        EXPECT_EQ((*insns)[i], expected) << i;
    }
    layout[Symbol::ifindex] = std::nullopt;
    auto const lacking = bind(*form, layout);
    ASSERT_FALSE(lacking);
    EXPECT_EQ(lacking.error().message, "this kernel has no 'ifindex'");
    EXPECT_EQ(lacking.error().fault, Fault::system);
}

TEST(KernelForm, ARefusalPointsAtItsText) {
    cbpf::Program const program{{{0x64, 0, 0, 40}, ret}, {{3, 7}, {0, 0}}};
    EXPECT_EQ(render(describe(refusal(program), program), {"filter", "ip lsh!"}),
              "filter:1:4: error: instruction 0: 'lsh' takes a number up to 31 here, not 40\n"
              "    ip lsh!\n"
              "       ^~~~\n");
}

}  // namespace
}  // namespace tamis::translator
