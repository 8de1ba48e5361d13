// The running kernel on our tables: its verifier log lists instructions in its own words, and its
// refusals say what it takes for an instruction.  Kernel 6.18 is what the tables are about; older
// ones print less and know fewer opcodes.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <random>
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
using test::loose_samples;
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
    auto const append = [&](Sample const& sample) {
        std::vector<Insn> const insns = sample.insns();
        program.push_back(make_insn(0x15, 1, 0, static_cast<int>(insns.size())));
        at[program.size()] = &sample;
        program.insert(program.end(), insns.begin(), insns.end());
    };
    for (Sample const& sample : samples) append(sample);
    for (Sample const& sample : loose_samples) append(sample);
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

// Fields at random, for every opcode that takes the straight way.
TEST(EbpfKernel, TextsOfRandomFieldsAreTheVerifierLogs) {
    NEED_VERIFIER();
    std::mt19937 engine(1);
    auto const random = [&] { return static_cast<std::uint32_t>(engine()); };
    std::vector<Insn> program;
    for (Sample const& sample : samples) {
        Class const cls = class_of(sample.insns()[0]);
        if (cls == Class::ld || cls == Class::jmp || cls == Class::jmp32) continue;
        for (int i = 0; i < 20; ++i) {
            Insn insn = make_insn(sample.fields.code, random() % 11, random() % 11,
                                  static_cast<int>(random()), static_cast<std::int32_t>(random()));
            if (cls == Class::ldx || i % 2 == 0) insn.imm = sample.fields.imm;
            if (i % 4 == 0) insn.off = static_cast<std::int16_t>(sample.fields.off);
            program.push_back(insn);
        }
    }
    program.push_back(exit_insn);
    std::map<std::size_t, std::string> const lines =
        listed(test::load_insns(program, BPF_PROG_TYPE_SOCKET_FILTER, 2).log);
    ASSERT_EQ(lines.size(), program.size());
    for (std::size_t i = 0; i < program.size(); ++i) {
        if (lines.at(i).substr(0, 4) == "BUG_")
            EXPECT_EQ(disassemble({&program[i], 1}).substr(0, 7), "unknown") << lines.at(i);
        else
            EXPECT_EQ(with_code(program[i], disassemble({&program[i], 1})), lines.at(i));
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
    EXPECT_EQ(lines.at(0), with_code(program[0], disassemble(program)));
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

// bpftool 7.1 knows the instruction set before ISA v4: it has no words for bswap, sign-extending
// loads, acquire and release, and prints signed division, sign-extending moves, gotol and may_goto
// as something else.  Calls and maps it names by what is loaded, which we cannot see.
bool bpftool_knows(Insn const& insn) {
    Class const cls = class_of(insn);
    if (cls == Class::alu || cls == Class::alu64) return insn.off == 0 && insn.code != 0xd7;
    if (cls == Class::ldx) return mode_of(insn) == Mode::mem;
    if (cls == Class::stx && mode_of(insn) == Mode::atomic) return insn.imm < 0x100;
    return !is_ld_imm64(insn) && insn.code != 0x06 && insn.code != 0xe5 && insn.code != 0x85;
}

// Every operation of ALU and jumps on numbers that the verifier does not know, every access to the
// stack, and the calls that packet loads become.
std::vector<Insn> loadable_program() {
    std::vector<Insn> out = {make_insn(0xbf, 6, 1), make_insn(0x61, 7, 6, 0), make_insn(0xbf, 2, 7),
                             make_insn(0xb7, 4), make_insn(0x7b, 10, 7, -8)};
    for (AluOp const& op : alu_ops())
        for (unsigned const cls : {7U, 4U})
            for (int const off : {0, op.sign_name.empty() ? 0 : 1}) {
                unsigned const code = cls | static_cast<unsigned>(op.op);
                out.push_back(make_insn(code, 2, 0, off, 5));
                out.push_back(make_insn(code | 8, 2, 7, off));
            }
    for (unsigned const code : {0xd4U, 0xdcU, 0xd7U})
        for (int const bits : {16, 32, 64}) out.push_back(make_insn(code, 2, 0, 0, bits));
    for (unsigned const code : {0x84U, 0x87U}) out.push_back(make_insn(code, 2));
    for (int const bits : {8, 16, 32}) out.push_back(make_insn(0xbf, 3, 2, bits));
    for (JumpOp const& op : jump_ops())
        for (unsigned const cls : {5U, 6U}) {
            unsigned const code = cls | static_cast<unsigned>(op.op);
            out.push_back(make_insn(0x61, 2, 6, 0));  // forget what the last jump told
            out.push_back(make_insn(code, 2, 0, 1, 0x800));
            out.push_back(make_insn(0x07, 4, 0, 0, 1));
            out.push_back(make_insn(code | 8, 2, 7, 1));
            out.push_back(make_insn(0x07, 4, 0, 0, 1));
        }
    for (unsigned const size : {0x00U, 0x08U, 0x10U, 0x18U}) {
        out.push_back(make_insn(0x61 | size, 3, 10, -8));
        if (size != 0x18) out.push_back(make_insn(0x81 | size, 3, 10, -8));
        out.push_back(make_insn(0x62 | size, 10, 0, -8, 7));
        out.push_back(make_insn(0x63 | size, 10, 3, -8));
        out.push_back(make_insn(0xc3 | size, 3, 10, -8, 0x100));
        out.push_back(make_insn(0xc3 | size, 10, 3, -8, 0x110));
    }
    out.push_back(make_insn(0xb7));
    for (AtomicOp const& op : atomic_ops()) {
        if (op.any_size) continue;
        out.push_back(make_insn(0xdb, 10, 3, -8, static_cast<std::int32_t>(op.op)));
        out.push_back(make_insn(0xc3, 10, 3, -8, static_cast<std::int32_t>(op.op)));
    }
    for (unsigned const code : {0x20U, 0x28U, 0x30U}) out.push_back(make_insn(code, 0, 0, 0, 12));
    for (unsigned const code : {0x40U, 0x48U, 0x50U}) out.push_back(make_insn(code, 0, 7, 0, 12));
    out.push_back(exit_insn);
    return out;
}

// The program as the kernel has rewritten it, and its id.
std::pair<std::vector<Insn>, std::uint32_t> translated(int fd) {
    std::vector<Insn> insns(4096);
    bpf_prog_info info{};
    info.xlated_prog_insns = test::address(insns.data());
    info.xlated_prog_len = static_cast<std::uint32_t>(insns.size() * sizeof(Insn));
    bpf_attr attr{};
    attr.info.bpf_fd = static_cast<std::uint32_t>(fd);
    attr.info.info_len = sizeof info;
    attr.info.info = test::address(&info);
    if (test::sys_bpf(BPF_OBJ_GET_INFO_BY_FD, attr) != 0) return {};
    insns.resize(info.xlated_prog_len / sizeof(Insn));
    return {insns, info.id};
}

std::vector<std::string> output_lines(std::string const& command) {
    std::vector<std::string> out;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return out;
    std::array<char, 512> line{};
    while (std::fgets(line.data(), line.size(), pipe) != nullptr) {
        out.emplace_back(line.data());
        if (out.back().ends_with('\n')) out.back().pop_back();
    }
    ::pclose(pipe);
    return out;
}

TEST(EbpfKernel, ListingIsBpftoolsWhereItKnowsTheInstruction) {
    NEED_VERIFIER();
    TAMIS_NEED_KERNEL("bpftool", !output_lines("bpftool version 2>/dev/null").empty());
    Loaded const loaded = test::load_insns(loadable_program(), BPF_PROG_TYPE_SOCKET_FILTER, 1);
    ASSERT_GE(loaded.fd, 0) << loaded.log;
    auto const [insns, id] = translated(loaded.fd);
    std::vector<std::string> const dump =
        output_lines("bpftool prog dump xlated id " + std::to_string(id));
    ASSERT_EQ(dump.size(), insns.size());
    Program program;
    program.insns = insns;
    std::istringstream ours(listing(program));
    std::size_t compared = 0;
    for (std::size_t i = 0; i < insns.size(); ++i) {
        std::string line;
        ASSERT_TRUE(std::getline(ours, line));
        if (!bpftool_knows(insns[i])) continue;
        EXPECT_EQ(line, dump[i]);
        ++compared;
    }
    EXPECT_GT(compared, 200U);
}

}  // namespace
}  // namespace tamis::ebpf
