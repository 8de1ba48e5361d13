// Every instruction is printed, encoded and read back; listings name maps and functions.
#include "bpf/ebpf_text.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/bpf/ebpf_samples.h"

namespace tamis::ebpf {
namespace {

using test::bound_samples;
using test::loose_samples;
using test::Sample;
using test::samples;

TEST(EbpfText, EveryInstructionInTheKernelsWords) {
    auto const check = [](Sample const& sample) {
        EXPECT_EQ(disassemble(sample.insns()), sample.text);
    };
    for (Sample const& sample : samples) check(sample);
    for (Sample const& sample : bound_samples) check(sample);
    for (Sample const& sample : loose_samples) check(sample);
}

TEST(EbpfText, LooseInstructionsAreNotKnown) {
    for (Sample const& sample : loose_samples) EXPECT_FALSE(known(sample.insns())) << sample.text;
}

// An opcode that known() takes in any form has a sample.
TEST(EbpfText, NoOpcodeIsWithoutSample) {
    std::set<int> sampled;
    for (Sample const& sample : samples) sampled.insert(sample.fields.code);
    for (unsigned code = 0; code < 256; ++code) {
        bool any = false;
        for (std::int32_t const imm : {0, 16, 0x100})
            any = any || known({{make_insn(code, 0, 0, 0, imm), Insn{}}});
        EXPECT_EQ(any, sampled.contains(static_cast<int>(code))) << std::hex << code;
    }
}

TEST(EbpfText, EveryInstructionSurvivesItsBytes) {
    std::vector<Insn> program;
    auto const append = [&](Sample const& sample) {
        for (Insn const& insn : sample.insns()) program.push_back(insn);
    };
    for (Sample const& sample : samples) append(sample);
    for (Sample const& sample : bound_samples) append(sample);
    std::vector<std::uint8_t> const bytes = encode(program);
    ASSERT_EQ(bytes.size(), 8 * program.size());
    Result<std::vector<Insn>> const back = decode(bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, program);
}

TEST(EbpfText, WhatIsNoInstructionShowsItsFields) {
    EXPECT_EQ(disassemble({}), "");
    EXPECT_EQ(disassemble({{make_insn(0xff, 1, 2, -3, 4)}}),
              "unknown: dst 1, src 2, off -3, imm 4");
    // The first half of a 64-bit load at the end of a program.
    EXPECT_EQ(disassemble({{make_insn(0x18, 1)}}), "unknown: dst 1, src 0, off 0, imm 0");
}

Program two_functions() {
    Program program;
    program.maps.push_back(
        {.name = "counters", .value_type = "counter", .value_fields = {"packets", "bytes"}});
    program.functions = {{"entry", 0}, {"filter", 6}};
    program.insns = {
        make_insn(0x85, 0, 1, 0, 5),  // call filter
        make_insn(0x18, 1, 5, 0, 0),
        make_insn(0, 0, 0, 0, 0),
        make_insn(0x18, 2, 6, 0, 0),
        make_insn(0, 0, 0, 0, 8),
        make_insn(0x95),
        make_insn(0xb7),
        make_insn(0x95),
    };
    program.origin.resize(program.insns.size());
    return program;
}

TEST(EbpfText, ListingNamesMapsAndFunctions) {
    EXPECT_EQ(listing(two_functions()),
              "entry:\n"
              "   0: (85) call filter\n"
              "   1: (18) r1 = map[counters]\n"
              "   3: (18) r2 = map[counters][0]+8\n"
              "   5: (95) exit\n"
              "filter:\n"
              "   6: (b7) r0 = 0\n"
              "   7: (95) exit\n");
}

TEST(EbpfText, OneFunctionNeedsNoHeading) {
    Program program;
    program.functions = {{"filter", 0}};
    program.insns = {make_insn(0xb7), make_insn(0x95)};
    EXPECT_EQ(listing(program), "   0: (b7) r0 = 0\n   1: (95) exit\n");
}

TEST(EbpfText, NamesThatTheProgramDoesNotHaveAreNumbers) {
    Program program = two_functions();
    program.maps.clear();
    program.functions.resize(1);
    EXPECT_EQ(listing(program),
              "   0: (85) call pc+5\n"
              "   1: (18) r1 = 0x0\n"
              "   3: (18) r2 = 0x800000000\n"
              "   5: (95) exit\n"
              "   6: (b7) r0 = 0\n"
              "   7: (95) exit\n");
    Insn const elsewhere = make_insn(0x85, 0, 1, 0, 0);
    EXPECT_EQ(disassemble({&elsewhere, 1}, &program), "call pc+0");
}

TEST(EbpfText, ListingOfHalfALoadEnds) {
    Program program;
    program.insns = {make_insn(0x18, 1)};
    EXPECT_EQ(listing(program), "   0: (18) unknown: dst 1, src 0, off 0, imm 0\n");
}

}  // namespace
}  // namespace tamis::ebpf
