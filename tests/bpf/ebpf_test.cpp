// What counts as an instruction, and the bytes of one.
#include "bpf/ebpf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tamis::ebpf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

bool known_one(Insn insn) { return known({&insn, 1}); }

TEST(Ebpf, BytesAreLittleEndian) {
    Insn const insn = make_insn(0x15, 1, 2, -2, 0x11223344);
    EXPECT_THAT(encode({&insn, 1}), ElementsAre(0x15, 0x21, 0xfe, 0xff, 0x44, 0x33, 0x22, 0x11));
    EXPECT_TRUE(encode({}).empty());
}

TEST(Ebpf, DecodeReadsWhatIsKnown) {
    std::vector<std::uint8_t> const bytes = {0x18, 0x01, 0, 0, 0x78, 0x56, 0x34, 0x12,  //
                                             0,    0,    0, 0, 0xff, 0xff, 0xff, 0xff,  //
                                             0x95, 0,    0, 0, 0,    0,    0,    0};
    Result<std::vector<Insn>> const insns = decode(bytes);
    ASSERT_TRUE(insns) << insns.error().message;
    EXPECT_THAT(*insns, ElementsAre(make_insn(0x18, 1, 0, 0, 0x12345678), make_insn(0, 0, 0, 0, -1),
                                    make_insn(0x95)));
    EXPECT_TRUE(decode({})->empty());
}

TEST(Ebpf, DecodeNamesWhatIsNot) {
    EXPECT_THAT(decode(std::vector<std::uint8_t>(12)).error().message, HasSubstr("'12' bytes"));
    std::vector<std::uint8_t> bytes = encode(std::vector<Insn>{make_insn(0xb7), make_insn(0xff)});
    EXPECT_THAT(decode(bytes).error().message, HasSubstr("instruction 1 with opcode '0xff'"));
    // The second half is missing.
    bytes = encode(std::vector<Insn>{make_insn(0x18)});
    EXPECT_THAT(decode(bytes).error().message, HasSubstr("instruction 0 with opcode '0x18'"));
}

TEST(Ebpf, ReservedFieldsAreZero) {
    EXPECT_FALSE(known({}));
    EXPECT_TRUE(known_one(make_insn(0x07, 1, 0, 0, 5)));
    EXPECT_FALSE(known_one(make_insn(0x07, 1, 2, 0, 5)));  // both operands
    EXPECT_FALSE(known_one(make_insn(0x0f, 1, 2, 0, 5)));
    EXPECT_FALSE(known_one(make_insn(0x07, 1, 0, 1, 5)));   // no signed addition
    EXPECT_FALSE(known_one(make_insn(0x07, 11, 0, 0, 5)));  // no r11
    EXPECT_FALSE(known_one(make_insn(0x0f, 1, 11)));
    EXPECT_FALSE(known_one(make_insn(0xdf, 1, 0, 0, 16)));  // bswap has one order
    EXPECT_FALSE(known_one(make_insn(0xdc, 1, 0, 0, 8)));
    EXPECT_FALSE(known_one(make_insn(0xbc, 1, 2, 32)));  // a 32-bit move has no 32 to extend
    EXPECT_FALSE(known_one(make_insn(0xdb, 1, 2, 0, 0xe0)));
    EXPECT_FALSE(known_one(make_insn(0xcb, 1, 2, 0, 0)));  // no 16-bit addition
    EXPECT_FALSE(known_one(make_insn(0x8d)));              // no call through a register
    EXPECT_FALSE(known_one(make_insn(0x85, 0, 3)));
}

TEST(Ebpf, PartsOfAnOpcode) {
    Insn const insn = make_insn(0x69);
    EXPECT_EQ(class_of(insn), Class::ldx);
    EXPECT_EQ(size_of(insn), Size::half);
    EXPECT_EQ(mode_of(insn), Mode::mem);
    EXPECT_EQ(op_of(make_insn(0x1d)), 0x10);
    EXPECT_TRUE(source_is_reg(make_insn(0x1d)));
    EXPECT_EQ(find_alu(0x87), nullptr);  // neg has a form of its own
    EXPECT_EQ(find_jump(0x95), nullptr);
    EXPECT_EQ(find_atomic(2), nullptr);
    for (unsigned const size : {1U, 2U, 4U, 8U}) EXPECT_EQ(bytes(size_of(size)), size);
}

TEST(Ebpf, WhereControlGoesOn) {
    auto const from = [](Insn const& insn) {
        Ways const on = ways(insn, 10);
        return std::vector<std::size_t>(on.all().begin(), on.all().end());
    };
    using To = std::vector<std::size_t>;
    EXPECT_EQ(from(make_insn(0x95)), To{});                         // exit
    EXPECT_EQ(from(make_insn(0x85, 0, 0, 0, 7)), To{11});           // a call
    EXPECT_EQ(from(make_insn(0x05, 0, 0, -3)), To{8});              // goto
    EXPECT_EQ(from(make_insn(0x06, 0, 0, 0, 70'000)), To{70'011});  // gotol
    EXPECT_EQ(from(make_insn(0x15, 1, 0, 5, 2)), (To{16, 11}));     // if r1 == 2
    EXPECT_EQ(from(make_insn(0x16, 1, 0, 5, 2)), (To{16, 11}));     // if w1 == 2
    EXPECT_EQ(from(make_insn(0x18)), To{12});                       // takes two
    EXPECT_EQ(from(make_insn(0xb7)), To{11});
}

}  // namespace
}  // namespace tamis::ebpf
