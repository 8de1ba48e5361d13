// The running kernel on our tables: its verifier log lists instructions in its own words, and its
// refusals say what it takes for an instruction.  Kernel 6.18 is what the tables are about; older
// ones print less and know fewer opcodes.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <regex>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/utsname.h>

#include "bpf/ebpf.h"
#include "bpf/ebpf_text.h"
#include "tests/bpf/ebpf_samples.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/verifier.h"

namespace tamis::ebpf {
namespace {

using test::Loaded;
using test::Sample;
using test::samples;

bool kernel_is_new_enough() {
    utsname name{};
    int major = 0, minor = 0;
    return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           std::pair(major, minor) >= std::pair(6, 18);
}

#define NEED_VERIFIER() \
    TAMIS_NEED_KERNEL("CAP_BPF and kernel 6.18", kernel_is_new_enough() && test::may_load())

Insn const exit_insn = make_insn(0x95);
Insn const zero_insn = make_insn(0xb7);  // r0 = 0

// The listing that log level 2 gives before the verifier walks the program: instruction index ->
// `(b7) r0 = 0`.  Lines begin with the index and the live registers, as in `  3: 01........ `.
std::map<std::size_t, std::string> listed(std::string const& log) {
    std::map<std::size_t, std::string> out;
    std::regex const line(R"(\s*(?:\d+\s+)?(\d+): [.0-9]{10} (.*))");
    std::istringstream lines(log);
    std::smatch match;
    for (std::string text; std::getline(lines, text);)
        if (std::regex_match(text, match, line)) out[std::stoul(match[1])] = match[2];
    return out;
}

std::string with_code(Insn const& insn, std::string const& text) {
    std::array<char, 8> code{};
    std::snprintf(code.data(), code.size(), "(%02x) ", insn.code);
    return code.data() + text;
}

// Before each instruction a jump over it, so that all of them are reachable whatever they do.
TEST(EbpfKernel, TextsAreTheVerifierLogs) {
    NEED_VERIFIER();
    std::vector<Insn> program;
    std::map<std::size_t, Sample const*> at;
    for (Sample const& sample : samples) {
        std::vector<Insn> const insns = sample.insns();
        program.push_back(make_insn(0x15, 1, 0, static_cast<int>(insns.size())));
        at[program.size()] = &sample;
        program.insert(program.end(), insns.begin(), insns.end());
    }
    program.insert(program.end(), 40, zero_insn);  // where forward jumps land
    program.push_back(exit_insn);
    std::string const log = test::load_insns(program, BPF_PROG_TYPE_SOCKET_FILTER, 2).log;
    std::map<std::size_t, std::string> const lines = listed(log);
    for (auto const& [index, sample] : at) {
        ASSERT_TRUE(lines.contains(index)) << sample->text << '\n' << log.substr(0, 2000);
        EXPECT_EQ(with_code(program[index], sample->text), lines.at(index));
        EXPECT_EQ(with_code(program[index], disassemble(std::span(program).subspan(index))),
                  lines.at(index));
    }
}

TEST(EbpfKernel, HelperNamesAreTheVerifierLogs) {
    NEED_VERIFIER();
    std::vector<Insn> program;
    for (std::int32_t number = -2; number < 230; ++number)
        program.push_back(make_insn(0x85, 0, 0, 0, number));
    program.push_back(exit_insn);
    std::map<std::size_t, std::string> const lines =
        listed(test::load_insns(program, BPF_PROG_TYPE_SOCKET_FILTER, 2).log);
    ASSERT_EQ(lines.size(), program.size());
    for (std::size_t i = 0; i < program.size(); ++i)
        EXPECT_EQ(with_code(program[i], disassemble({&program[i], 1})), lines.at(i));
}

TEST(EbpfKernel, LocalCallsAreTheVerifierLogs) {
    NEED_VERIFIER();
    std::vector<Insn> const program = {make_insn(0x85, 0, 1, 0, 2), zero_insn, exit_insn, zero_insn,
                                       exit_insn};
    std::map<std::size_t, std::string> const lines =
        listed(test::load_insns(program, BPF_PROG_TYPE_SOCKET_FILTER, 2).log);
    ASSERT_TRUE(lines.contains(0));
    EXPECT_EQ(lines.at(0), with_code(program[0], disassemble({&program[0], 1})));
}

// What a refusal says about the instruction under test.
enum class Answer { not_an_instruction, an_instruction, unseen };

bool has_any(std::string const& log, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return log.find(word) != std::string::npos; });
}

Answer answer(Loaded const& loaded) {
    if (loaded.fd >= 0) return Answer::an_instruction;
    if (has_any(loaded.log, {"unknown opcode", "uses reserved fields", "uses invalid atomic opcode",
                             "invalid atomic operand size", "invalid bpf_ld_imm64",
                             "unrecognized bpf_ld_imm64", "invalid BPF_", "invalid may_goto",
                             "R11 is invalid", "can only convert between address space"}))
        return Answer::not_an_instruction;
    // Refused for its neighbourhood before the verifier looks at the instruction itself.
    if (has_any(loaded.log,
                {"jump out of range", "call to invalid destination", "unreachable insn",
                 "last insn is not", "calling kernel", "is not a function", "btf", "BTF", "fd"}))
        return Answer::unseen;
    return Answer::an_instruction;
}

TEST(EbpfKernel, KnowsWhatTheKernelKnows) {
    NEED_VERIFIER();
    std::map<Answer, std::size_t> count;
    auto const ask = [&](Insn insn, Insn second) {
        // Operands are set and the code behind is reachable, so that nothing else is refused
        // before; r9 is never set, so that no program loads for good.
        std::vector<Insn> const program = {zero_insn,
                                           make_insn(0xb7, 2),
                                           make_insn(0xb7, 7),
                                           make_insn(0xbf, 6, 1),
                                           make_insn(0x15, 1, 0, 2),
                                           insn,
                                           second,
                                           zero_insn,
                                           make_insn(0xbf, 0, 9),
                                           zero_insn,
                                           exit_insn};
        std::span<Insn const> const asked = std::span(program).subspan(5);
        Loaded const loaded = test::load_insns(program, BPF_PROG_TYPE_SOCKET_FILTER, 1);
        Answer const said = answer(loaded);
        ++count[said];
        if (said == Answer::unseen) return;
        EXPECT_EQ(known(asked), said == Answer::an_instruction)
            << disassemble(asked) << ": code " << std::hex << int{insn.code} << std::dec << " dst "
            << int{insn.dst} << " src " << int{insn.src} << " off " << insn.off << " imm "
            << insn.imm << '\n'
            << loaded.log;
    };
    for (unsigned code = 0; code < 256; ++code) {
        Insn const second = code == 0x18 ? Insn{} : zero_insn;
        for (unsigned const dst : {0U, 2U})
            for (unsigned const src : {0U, 1U, 2U, 3U, 7U})
                for (int const off : {0, 1, 8, -1})
                    for (std::int32_t const imm : {0, 1, 16, 0x100, -1})
                        ask(make_insn(code, dst, src, off, imm), second);
        ask(make_insn(code, 11), second);
        ask(make_insn(code, 0, 11), second);
        ask(make_insn(code, 1, 2, 32), second);
        ask(make_insn(code, 1, 2, -1), second);
        ask(make_insn(code, 0, 0, 0, -1), second);
    }
    // What has more values than these: atomics, address spaces, widths, both halves of a load.
    for (unsigned const code : {0xc3U, 0xcbU, 0xd3U, 0xdbU})
        for (std::int32_t imm = -1; imm < 0x130; ++imm)
            ask(make_insn(code, 2, 1, 0, imm), zero_insn);
    for (unsigned const code : {0xbfU, 0xbcU, 0xb7U})
        for (int off = -1; off < 70; ++off)
            for (std::int32_t const imm : {0, 1, 0x10000, 0x20000})
                ask(make_insn(code, 2, 1, off, imm), zero_insn);
    for (unsigned const code : {0xd4U, 0xdcU, 0xd7U})
        for (std::int32_t imm = 0; imm < 130; ++imm) ask(make_insn(code, 1, 0, 0, imm), zero_insn);
    for (unsigned src = 0; src < 16; ++src)
        for (Insn const& second : {make_insn(0), make_insn(1), make_insn(0, 1), make_insn(0, 0, 1),
                                   make_insn(0, 0, 0, 1), make_insn(0, 0, 0, 0, 1)})
            ask(make_insn(0x18, 1, src), second);
    EXPECT_GT(count[Answer::an_instruction], 1000U);
    EXPECT_GT(count[Answer::not_an_instruction], 5000U);
}

}  // namespace
}  // namespace tamis::ebpf
