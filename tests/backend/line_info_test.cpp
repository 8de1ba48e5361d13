// Which text stands beside which instruction.
#include "backend/line_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/builder.h"
#include "tests/support/sample_programs.h"

namespace tamis {
namespace {

using backend::line_info;
using backend::LineInfo;
using ebpf::Builder;
using enum ebpf::Reg;

// One instruction per span, in one function.
ebpf::Program program_of(std::vector<Span> const& spans) {
    Builder b;
    for (Span const span : spans) b.from({0, span}).mov(r0, 0);
    return test::finished(b, {}, {{"f", 0}});
}

std::vector<LineInfo> records(std::string const& text, std::vector<Span> const& spans,
                              std::string const& name = "<filter>") {
    Source const source{name, text};
    return line_info(program_of(spans), &source, {"int f()"});
}

TEST(LineInfo, IsTheTermsTextWithItsPlace) {
    EXPECT_THAT(records("ip and\n  port 80", {{0, 2}, {0, 2}, {9, 16}}),
                testing::ElementsAre(LineInfo{0, "<filter>", "ip", 1, 1},
                                     LineInfo{2, "<filter>", "port 80", 2, 3}));
    EXPECT_EQ(records("ip", {{0, 2}}, "a.filter")[0].file, "a.filter");
}

TEST(LineInfo, CodeWithoutTextBelongsToItsFunction) {
    EXPECT_THAT(records("ip", {{}, {0, 2}, {}}),
                testing::ElementsAre(LineInfo{0, "<tamis>", "int f()", 1, 0},
                                     LineInfo{1, "<filter>", "ip", 1, 1},
                                     LineInfo{2, "<tamis>", "int f()", 1, 0}));
    EXPECT_THAT(line_info(program_of({{0, 2}}), nullptr, {"int f()"}),
                testing::ElementsAre(LineInfo{0, "<tamis>", "int f()", 1, 0}));
}

TEST(LineInfo, EveryFunctionHasItsOwnFirstRecord) {
    Builder b;
    auto const callee = b.label();
    b.from({0, {0, 2}}).call(callee).exit();
    b.bind(callee).mov(r0, 0).exit();
    auto const program = test::finished(b, {}, {{"f", 0}, {"g", 2}});
    Source const source{"<filter>", "ip"};
    EXPECT_THAT(line_info(program, &source, {"f", "g"}),
                testing::ElementsAre(LineInfo{0, "<filter>", "ip", 1, 1},
                                     LineInfo{2, "<filter>", "ip", 1, 1}));
}

// The verifier refuses a record there (kernel/bpf/verifier.c, check_btf_line).
TEST(LineInfo, NoRecordBeginsInsideAnInstruction) {
    Builder b;
    b.from({0, {0, 2}}).load_imm64(r1, 5).from({1, {3, 5}}).exit();
    auto program = test::finished(b, {}, {{"f", 0}});
    program.origin[1] = {1, {3, 5}};
    Source const source{"<filter>", "ip ip"};
    EXPECT_THAT(line_info(program, &source, {"f"}),
                testing::ElementsAre(LineInfo{0, "<filter>", "ip", 1, 1},
                                     LineInfo{2, "<filter>", "ip", 1, 4}));
}

TEST(LineInfo, TextIsShortAndPrintable) {
    std::string const terms(1000, 'x');
    auto const cut = records(terms, {{0, 1000}})[0].text;
    EXPECT_EQ(cut, std::string(117, 'x') + "...");
    EXPECT_EQ(cut.size(), backend::max_line_text);
    EXPECT_EQ(records(" ip\t\n  and \x1b[31m tcp\\ ", {{0, 25}})[0].text, "ip and \\x1b[31m tcp\\");
    EXPECT_EQ(records(std::string(120, 'x'), {{0, 120}})[0].text, std::string(120, 'x'));
}

// 10 bits for the column, 22 for the line.
TEST(LineInfo, PlacesThatDoNotFitAreTheLargestThatDo) {
    EXPECT_EQ(records(std::string(5000, ' ') + "ip", {{5000, 5002}})[0].column, 1023U);
    auto const far = records(std::string(1U << 22, '\n') + "ip", {{1U << 22, (1U << 22) + 2}})[0];
    EXPECT_EQ(far.line, (1U << 22) - 1);
    EXPECT_EQ(far.column, 1U);
}

}  // namespace
}  // namespace tamis
