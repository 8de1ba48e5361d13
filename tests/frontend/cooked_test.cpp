// Filters of the cooked link types where the packet has no cooked header.
#include "frontend/cooked.h"

#include <gtest/gtest.h>

#include "bpf/link_types.h"

namespace {

using namespace tamis;
using cbpf::Insn;

constexpr std::uint16_t ldh = 0x28, ldb = 0x30, ld = 0x20, ld_ind = 0x40, msh = 0xb1, ret = 0x06;
constexpr std::uint32_t ancillary = 0xfffff000;

std::vector<Insn> rewritten(std::vector<Insn> insns, int link_type) {
    auto const program = frontend::for_cooked_socket({std::move(insns), {}}, link_type);
    return program ? program->insns : std::vector<Insn>{};
}

TEST(Cooked, FieldsOfTheHeaderComeFromTheKernel) {
    std::vector<Insn> const v1{
        {ldh, 0, 0, ancillary + 4}, {ldh, 0, 0, ancillary + 0}, {ret, 0, 0, 1}};
    EXPECT_EQ(rewritten({{ldh, 0, 0, 0}, {ldh, 0, 0, 14}, {ret, 0, 0, 1}}, dlt_sll), v1);
    std::vector<Insn> const v2{{ldh, 0, 0, ancillary + 0},
                               {ld, 0, 0, ancillary + 8},
                               {ldb, 0, 0, ancillary + 4},
                               {ret, 0, 0, 1}};
    EXPECT_EQ(rewritten({{ldh, 0, 0, 0}, {ld, 0, 0, 4}, {ldb, 0, 0, 10}, {ret, 0, 0, 1}}, dlt_sll2),
              v2);
}

TEST(Cooked, OtherLoadsMoveToTheFront) {
    std::vector<Insn> const moved{
        {ldb, 0, 0, 9}, {msh, 0, 0, 0}, {ld_ind, 0, 0, 2}, {ret, 0, 0, 1}};
    EXPECT_EQ(
        rewritten({{ldb, 0, 0, 25}, {msh, 0, 0, 16}, {ld_ind, 0, 0, 18}, {ret, 0, 0, 1}}, dlt_sll),
        moved);
    EXPECT_EQ(
        rewritten({{ldb, 0, 0, 29}, {msh, 0, 0, 20}, {ld_ind, 0, 0, 22}, {ret, 0, 0, 1}}, dlt_sll2),
        moved);
    std::vector<Insn> const beside{{ld, 0, 0, ancillary + 8}, {ret, 0, 0, 1}};
    EXPECT_EQ(rewritten(beside, dlt_sll), beside);
}

TEST(Cooked, TheRestOfTheHeaderIsNotThere) {
    for (Insn const& load : {Insn{ldb, 0, 0, 0}, Insn{ldh, 0, 0, 4}, Insn{ld, 0, 0, 14},
                             Insn{ld_ind, 0, 0, 0}, Insn{msh, 0, 0, 14}}) {
        auto const program =
            frontend::for_cooked_socket({{load, {ret, 0, 0, 1}}, {{3, 7}, {0, 9}}}, dlt_sll);
        ASSERT_FALSE(program);
        EXPECT_EQ(program.error().span->begin, 3U);
    }
    std::vector<Insn> const other{{ldb, 0, 0, 0}, {ret, 0, 0, 1}};
    EXPECT_EQ(rewritten(other, en10mb), other);
}

}  // namespace
