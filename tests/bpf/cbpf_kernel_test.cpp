// The running kernel accepts exactly the classic programs that cbpf::check accepts.  Attaching a
// filter to a unix socket needs no privilege.
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "tests/support/filtered_socket.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/random_cbpf.h"

namespace tamis::cbpf {
namespace {

constexpr Insn ret_a{0x16, 0, 0, 0};

bool has_kernel() { return test::FilteredSocket().attach(std::vector<Insn>{ret_a}) == 0; }

// On a socket of its own: a filter that replaces another is charged for both.
int attach(std::vector<Insn> const& insns) { return test::FilteredSocket().attach(insns); }

// A program that is taken may still be too large for net.core.optmem_max.
bool kernel_takes(int error) { return error == 0 || error == ENOMEM; }

void expect_same(std::vector<Insn> const& insns) {
    auto const ours = refusal(insns);
    int const error = attach(insns);
    ASSERT_TRUE(kernel_takes(error) || error == EINVAL) << error;
    ASSERT_EQ(!ours, kernel_takes(error)) << (ours ? ours->rule : "we accept") << '\n'
                                          << listing({insns, {}});
}

TEST(CbpfKernel, EveryOpcode) {
    TAMIS_NEED_KERNEL("socket filters", has_kernel());
    // Filters on one socket are charged together only while they change hands, so this one is used
    // again: 262,144 sockets would take seconds.
    test::FilteredSocket socket;
    unsigned accepted = 0, differing = 0;
    for (std::uint32_t const k : {0u, 1u, 16u, 32u})
        for (std::uint32_t code = 0; code <= 0xffff; ++code) {
            // Reads no cell that is not written: the opcode and its k are judged alone.
            std::vector<Insn> insns = {{0x02, 0, 0, 0}, {0x02, 0, 0, 1}};
            insns.push_back({static_cast<std::uint16_t>(code), 0, 0, k});
            insns.insert(insns.end(), 33, ret_a);
            bool const ours = !refusal(insns);
            bool const theirs = kernel_takes(socket.attach(insns));
            accepted += theirs;
            if (ours != theirs) ++differing;
            EXPECT_EQ(ours, theirs) << "opcode " << code << ", k " << k;
            ASSERT_LT(differing, 20u);
        }
    // 49 opcodes four times, but div and mod not by 0, shifts not by 32, cells only below 16.
    EXPECT_EQ(accepted, 4 * 49u - 2 - 2 - 2 * 4);
}

TEST(CbpfKernel, LengthLimits) {
    TAMIS_NEED_KERNEL("socket filters", has_kernel());
    for (std::size_t const length : {0u, 1u, 2u, 4095u, 4096u, 4097u}) {
        SCOPED_TRACE(length);
        expect_same(std::vector<Insn>(length, ret_a));
    }
}

TEST(CbpfKernel, EveryAncillaryOffset) {
    TAMIS_NEED_KERNEL("socket filters", has_kernel());
    constexpr std::uint16_t loads[] = {0x20, 0x28, 0x30, 0x40, 0xb1};
    for (std::uint32_t k = ancillary_base - 8; k != 0; ++k)
        for (std::uint16_t const code : loads) {
            if (k >= ancillary_base + 80 && k % 61 != 0) continue;
            expect_same({Insn{code, 0, 0, k}, ret_a});
            if (HasFatalFailure()) return;
        }
}

// One step away from a valid program: where the rules draw their lines.
void mutate(std::vector<Insn>& insns, test::RandomPrograms& random) {
    if (insns.empty()) return;
    Insn& insn = insns[random.below(insns.size())];
    switch (random.below(10)) {
        case 0:  // a jump about the end of the program
            insn.code = 0x05;
            insn.k = static_cast<std::uint32_t>(insns.size() + 1 - random.below(insns.size() + 2));
            break;
        case 1:
            (random.one_in(2) ? insn.jt : insn.jf) =
                static_cast<std::uint8_t>(random.below(insns.size() + 2));
            break;
        case 2:
            insn.code = random.one_in(2) ? 0x60 : 0x61;  // a cell that may not be written
            insn.k = static_cast<std::uint32_t>(random.below(18));
            break;
        case 3:
            insn.k = static_cast<std::uint32_t>(random.below(40));
            break;
        case 4:
            insn.k = ancillary_base + static_cast<std::uint32_t>(random.below(80)) - 8;
            break;
        case 5:
            insns.pop_back();  // probably without a ret at the end
            break;
        case 6:
            insn.code = static_cast<std::uint16_t>(random.below(256));
            break;
        case 7:  // the table's opcodes with other fields
            insn.code = ops()[random.below(ops().size())].code;
            break;
        case 8:  // a cell that is no longer written
            for (Insn& it : insns)
                if (it.code == 0x02 && random.one_in(2)) it.code = 0x07;
            break;
        case 9:
            insn = {static_cast<std::uint16_t>(random.below(0x10000)), 0, 0, random.constant()};
            break;
    }
}

TEST(CbpfKernel, RandomAndMutatedPrograms) {
    TAMIS_NEED_KERNEL("socket filters", has_kernel());
    constexpr int programs = 20000;
    test::RandomPrograms::Options options;
    options.junk_fields = true;
    options.header_offsets = true;
    options.max_length = 24;
    for (Ancillary const& row : ancillaries()) options.ancillaries.push_back(row.number);
    test::RandomPrograms random(2, options);
    int accepted = 0;
    for (int i = 0; i < programs; ++i) {
        std::vector<Insn> insns = random.next().insns;
        for (std::uint64_t n = random.below(3); n > 0; --n) mutate(insns, random);
        accepted += !refusal(insns);
        expect_same(insns);
        if (HasFatalFailure()) FAIL() << "program " << i;
    }
    // Both answers have to be common for this to mean anything.
    EXPECT_GT(accepted, programs / 4);
    EXPECT_LT(accepted, programs * 3 / 4);
}

TEST(CbpfKernel, LongPrograms) {
    TAMIS_NEED_KERNEL("socket filters", has_kernel());
    test::RandomPrograms random(3);
    for (int i = 0; i < 30; ++i) {
        // Past some 2,000 instructions a jump of the translation no longer fits in 16 bits, which
        // is another EINVAL than that of the checks.
        std::vector<Insn> insns = random.program(1500).insns;
        if (i % 2) mutate(insns, random);
        expect_same(insns);
        if (HasFatalFailure()) FAIL() << "program " << i;
    }
}

}  // namespace
}  // namespace tamis::cbpf
