// Classic programs to text and back, without anyone else's word for it; cbpf_tcpdump_test.cpp asks
// libpcap.
#include "bpf/cbpf_text.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/random_cbpf.h"

namespace tamis::cbpf {
namespace {

Program const tcp_port_80{
    {{0x28, 0, 0, 12}, {0x15, 0, 1, 0x800}, {0x06, 0, 0, 262144}, {0x16, 0, 0, 0}}, {}};

std::string slice(std::string_view text, Span span) {
    return std::string(text.substr(span.begin, span.end - span.begin));
}

TEST(CbpfText, FourForms) {
    EXPECT_EQ(listing(tcp_port_80),
              "(000) ldh      [12]\n"
              "(001) jeq      #0x800           jt 2\tjf 3\n"
              "(002) ret      #262144\n"
              "(003) ret      \n");
    EXPECT_EQ(c_initialisers(tcp_port_80),
              "{ 0x28, 0, 0, 0x0000000c },\n"
              "{ 0x15, 0, 1, 0x00000800 },\n"
              "{ 0x6, 0, 0, 0x00040000 },\n"
              "{ 0x16, 0, 0, 0x00000000 },\n");
    EXPECT_EQ(decimal(tcp_port_80), "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n22 0 0 0\n");
    EXPECT_EQ(bytecode(tcp_port_80), "4,40 0 0 12,21 0 1 2048,6 0 0 262144,22 0 0 0");
}

TEST(CbpfText, EveryFormReadsBack) {
    test::RandomPrograms::Options options;
    options.header_offsets = true;
    options.max_length = 60;
    for (Ancillary const& row : ancillaries()) options.ancillaries.push_back(row.number);
    test::RandomPrograms clean(4, options);
    options.junk_fields = true;
    test::RandomPrograms junk(5, options);
    for (int i = 0; i < 1000; ++i) {
        Program const program = clean.next();
        auto const read_back = read(listing(program));
        ASSERT_TRUE(read_back) << read_back.error().message << '\n' << listing(program);
        ASSERT_EQ(read_back->insns, program.insns) << listing(program);

        // A listing leaves out what an instruction does not use; the numbers say everything.
        Program const full = junk.next();
        for (std::string const& text : {decimal(full), bytecode(full), c_initialisers(full)}) {
            auto const again = read(text);
            ASSERT_TRUE(again) << again.error().message << '\n' << text;
            ASSERT_EQ(again->insns, full.insns) << text;
            ASSERT_EQ(again->origin.size(), full.insns.size());
        }
    }
}

// No row of the table is shadowed by another, and foreign opcodes survive a listing.
TEST(CbpfText, EveryOpcodeReadsBack) {
    for (std::uint32_t code = 0; code <= 0xffff; ++code) {
        Insn const insn{static_cast<std::uint16_t>(code), 0, 0, 0};
        auto const again = read(disassemble(insn, 0));
        ASSERT_TRUE(again) << code << ": " << again.error().message;
        ASSERT_EQ(again->insns, std::vector{insn}) << code;
    }
}

struct Written {
    std::string_view source;
    Insn insn;
};

TEST(CbpfText, BpfAsmSpellings) {
    Written const table[] = {
        {"ld #5", {0x00, 0, 0, 5}},
        {"ldi #5", {0x00, 0, 0, 5}},
        {"ldi 5", {0x00, 0, 0, 5}},
        {"ldxi 0x10", {0x01, 0, 0, 16}},
        {"ld #010", {0x00, 0, 0, 8}},
        {"ld #0b101", {0x00, 0, 0, 5}},
        {"ld #0XFF", {0x00, 0, 0, 255}},
        {"ld #-1", {0x00, 0, 0, 0xffffffff}},
        {"ld #-0x80000000", {0x00, 0, 0, 0x80000000}},
        {"ld #4294967295", {0x00, 0, 0, 0xffffffff}},
        {"ld [12]", {0x20, 0, 0, 12}},
        {"ldb[12]", {0x30, 0, 0, 12}},
        {"ldh [x+3]", {0x48, 0, 0, 3}},
        {"ldh [ x + 3 ]", {0x48, 0, 0, 3}},
        {"ldh [%x + 3]", {0x48, 0, 0, 3}},
        {"ldh [x + -3]", {0x48, 0, 0, 0xfffffffd}},
        {"ld M[3]", {0x60, 0, 0, 3}},
        {"ldx M[3]", {0x61, 0, 0, 3}},
        {"ldx 4*([14]&0xf)", {0xb1, 0, 0, 14}},
        {"ldxb 4 * ( [14] & 15 )", {0xb1, 0, 0, 14}},
        {"ld len", {0x80, 0, 0, 0}},
        {"ld #len", {0x80, 0, 0, 0}},
        {"ld #pktlen", {0x80, 0, 0, 0}},
        {"ldx #len", {0x81, 0, 0, 0}},
        {"ld #proto", {0x20, 0, 0, 0xfffff000}},
        {"ldh proto", {0x28, 0, 0, 0xfffff000}},
        {"ldb [type]", {0x30, 0, 0, 0xfffff004}},
        {"ld vlan_avail", {0x20, 0, 0, 0xfffff030}},
        {"ld [vlanp]", {0x20, 0, 0, 0xfffff030}},
        {"ld rand", {0x20, 0, 0, 0xfffff038}},
        {"ld random", {0x20, 0, 0, 0xfffff038}},
        {"jeq #1, 2, 3", {0x15, 2, 3, 1}},
        {"jeq #1, 2", {0x15, 2, 0, 1}},
        {"jeq x, 2, 3", {0x1d, 2, 3, 0}},
        {"jeq %x, 2", {0x1d, 2, 0, 0}},
        {"jne #1, 2", {0x15, 0, 2, 1}},
        {"jneq x, 2", {0x1d, 0, 2, 0}},
        {"jlt #1, 2", {0x35, 0, 2, 1}},
        {"jlt x, 2, 3", {0x3d, 3, 2, 0}},
        {"jle #1, 2, 3", {0x25, 3, 2, 1}},
        {"jset #0xf, 0, 255", {0x45, 0, 255, 15}},
        {"ja 7", {0x05, 0, 0, 7}},
        {"jmp 7", {0x05, 0, 0, 7}},
        {"add x", {0x0c, 0, 0, 0}},
        {"add %x", {0x0c, 0, 0, 0}},
        {"neg", {0x84, 0, 0, 0}},
        {"ret a", {0x16, 0, 0, 0}},
        {"ret %a", {0x16, 0, 0, 0}},
        {"ret", {0x16, 0, 0, 0}},
        {"ret #-1", {0x06, 0, 0, 0xffffffff}},
        {"  one: two:three :\ttax ; and so on", {0x07, 0, 0, 0}},
        {"/* a */ tax /* b\n*/ # c", {0x07, 0, 0, 0}},
        {"# nothing\r\n\ttax\r\n", {0x07, 0, 0, 0}},
        {"(000) ja 4", {0x05, 0, 0, 3}},
    };
    for (Written const& it : table) {
        SCOPED_TRACE(it.source);
        auto const program = read(it.source);
        ASSERT_TRUE(program) << render(program.error(), {"asm", std::string(it.source)});
        EXPECT_EQ(program->insns, std::vector{it.insn});
    }
}

TEST(CbpfText, Labels) {
    std::string_view const text =
        "start:  ldh [12]\n"
        "        jeq #0x800, ip, no /* two ways */\n"
        "ip:     ldb [23]\n"
        "        jne #6, no\n"
        "        ja yes\n"
        "no:\n"
        "        ret #0\n"
        "yes:    ret #-1\n";
    auto const program = read(text);
    ASSERT_TRUE(program) << program.error().message;
    EXPECT_EQ(listing(*program),
              "(000) ldh      [12]\n"
              "(001) jeq      #0x800           jt 2\tjf 5\n"
              "(002) ldb      [23]\n"
              "(003) jeq      #0x6             jt 4\tjf 5\n"
              "(004) ja       6\n"
              "(005) ret      #0\n"
              "(006) ret      #-1\n");
    ASSERT_EQ(program->origin.size(), 7u);
    EXPECT_EQ(slice(text, program->origin[0]), "ldh [12]");
    EXPECT_EQ(slice(text, program->origin[1]), "jeq #0x800, ip, no");
    EXPECT_EQ(slice(text, program->origin[6]), "ret #-1");
}

TEST(CbpfText, BytecodeAsOthersWriteIt) {
    for (std::string_view const text :
         {"2,40 0 0 12,6 0 0 09", "2,40 0 0 12,6 0 0 9,\n", " 2 , 40 0 0 12 ,\n6 0 0 9",
          "2\r\n40 0 0 12\r\n6 0 0 9\r\n"}) {
        auto const program = read(text);
        ASSERT_TRUE(program) << text << ": " << program.error().message;
        EXPECT_EQ(bytecode(*program), "2,40 0 0 12,6 0 0 9");
        EXPECT_EQ(slice(text, program->origin[0]), "40 0 0 12");
    }
}

struct Mistake {
    std::string text, word, message;
};

TEST(CbpfText, MistakesAreNamedAndShown) {
    std::string const far = "jeq #1, far\n" + [] {
        std::string lines;
        for (int i = 0; i < 256; ++i) lines += "tax\n";
        return lines;
    }() + "far: ret a\n";
    Mistake const table[] = {
        {"ldq [12]", "ldq", "no instruction is called 'ldq'"},
        {"LDH [12]", "LDH", "no instruction is called 'LDH'"},
        {"ldh {12}", "{", "'{' does not go with 'ldh' here"},
        {"ldh M[3]", "M", "no ancillary value is called 'M'"},
        {"ld foo", "foo", "no ancillary value is called 'foo'"},
        {"ld [12] [13]", "[", "'[' does not go with 'ld' here"},
        {"ret 5", "5", "'5' does not go with 'ret' here"},
        {"tax x", "x", "'x' does not go with 'tax' here"},
        {"ldh [12", "", "something is missing here for 'ldh'"},
        {"jeq #5 ; , x", "", "something is missing here for 'jeq'"},
        {"jeq #5, 0, ", "", "something is missing here for 'jeq'"},
        {"ldx 4*([14]&0xe)", "0xe", "'0xe' does not go with 'ldx' here"},
        {"ld #4294967296", "4294967296", "'4294967296' does not fit in 32 bits"},
        {"ld #-2147483649", "-2147483649", "'-2147483649' does not fit in 32 bits"},
        {"ld #99999999999999999999999999", "99999999999999999999999999",
         "'99999999999999999999999999' does not fit in 32 bits"},
        {"ld #0x", "0x", "'0x' is not a number"},
        {"ld #09", "09", "'09' is not a number"},
        {"ld #12z", "12z", "'12z' is not a number"},
        {"jeq #5, 256", "256", "'256' is out of reach: a branch skips 0 to 255 instructions"},
        {"jeq #5, -1", "-1", "'-1' is out of reach: a branch skips 0 to 255 instructions"},
        {"jeq #5, no\nret a", "no", "no line has the label 'no'"},
        {"l: l: ret a", "l", "label 'l' stands here a second time"},
        {"l: tax\nja l\nret a", "l",
         "label 'l' stands before this jump, and classic BPF jumps forward only"},
        {far, "far",
         "label 'far' is out of reach: a branch skips at most 255 instructions, not 256"},
        {"(001) tax", "001", "instruction 1 stands where 0 comes next"},
        {"(000 tax", "tax", "'(' and '000' want a ')' here"},
        {"(000) jeq #5 jt 0 jf 4", "0",
         "'0' is out of reach: a branch skips 0 to 255 instructions"},
        {"unimp 0x10000", "0x10000", "'0x10000' does not fit in the 16 bits of an opcode"},
        {"tax /* ", "/*", "this comment has no '*/'"},
        {"\x01\xff", "\x01", "'\\x01' begins no instruction and no label"},
        {"2\n6 0 0 0\n", "2", "2 instructions announced, 1 follow"},
        {"1,6 0 0", "", "an instruction ends here too early: it is code, jt, jf and k"},
        {"1,6 0 0 0 7", "7",
         "'7' is one number too many: first the number of instructions, then code, jt, jf and k of "
         "each"},
        {"1,65536 0 0 0", "65536", "'65536' is too large for code, at most 65535"},
        {"1,6 0 256 0", "256", "'256' is too large for jf, at most 255"},
        {"1,6 0 0 4294967296", "4294967296", "'4294967296' does not fit in 32 bits"},
        {"1,6 0 0 -1", "-1", "'-1' is not a number"},
        {"1,6 0 0 0x1", "0x1", "'0x1' is not a number"},
        {"{ 6, 0, 0 }", "}", "',' belongs after jf"},
        {"{ 6, 0, 0, 1 } 5", "5", "'5' stands where '{' begins the next instruction"},
        {"{ 6, 0, 0, -1 }", "-1", "'-1' is too large for k, at most 4294967295"},
    };
    for (Mistake const& it : table) {
        SCOPED_TRACE(it.text.substr(0, 60));
        auto const program = read(it.text);
        ASSERT_FALSE(program);
        EXPECT_EQ(program.error().message, it.message);
        ASSERT_TRUE(program.error().span);
        EXPECT_EQ(slice(it.text, *program.error().span), it.word);
    }
}

TEST(CbpfText, NotesSayWhatWouldBeRight) {
    auto const note = [](std::string_view text) {
        auto const program = read(text);
        return program || program.error().notes.empty() ? "" : program.error().notes[0].message;
    };
    EXPECT_EQ(note("ret 5"), "it is written ret #k | ret a | ret");
    EXPECT_EQ(note("jne"), "it is written jne #k, Lt, Lf | jne #k, Lt | jne x, Lt, Lf | jne x, Lt");
    EXPECT_EQ(note("ja ["), "it is written ja L");
    EXPECT_EQ(
        note("ld [foo]"),
        "there are: len proto type ifidx nla nlan mark queue hatype rxhash cpu xor_x vlan_tci "
        "vlan_avail poff rand vlan_tpid");
    EXPECT_NE(note("ldz").find(" ldh "), std::string::npos);
}

TEST(CbpfText, NothingIsNoProgram) {
    for (std::string_view const text : {"", " \n\t", "; only\n# comments", "label:", "0\n"}) {
        auto const program = read(text);
        ASSERT_FALSE(program) << text;
        EXPECT_EQ(program.error().message, "no instruction in this text");
    }
}

TEST(CbpfText, Limits) {
    constexpr std::size_t most = 16u << 20;
    auto const too_long = read(std::string(most + 1, ' '));
    ASSERT_FALSE(too_long);
    EXPECT_EQ(too_long.error().message, "16777217 bytes of text, at most 16777216");
    auto const one_word = read(std::string(most, 'x'));
    ASSERT_FALSE(one_word);
    EXPECT_LT(one_word.error().message.size(), 100u);

    std::string many;
    for (int i = 0; i < 100000; ++i) many += "ld [12]\n";
    auto const program = read(many);
    ASSERT_TRUE(program);
    EXPECT_EQ(program->insns.size(), 100000u);
}

// Whatever stands in a text, the answer is a program or a diagnostic whose span lies in the text.
TEST(CbpfText, DamagedText) {
    test::RandomPrograms random(6);
    for (int i = 0; i < 10000; ++i) {
        Program const program = random.next();
        std::string const whole[] = {listing(program), decimal(program), c_initialisers(program),
                                     bytecode(program)};
        std::string text = whole[random.below(4)];
        for (std::uint64_t n = 1 + random.below(3); n > 0 && !text.empty(); --n) {
            std::size_t const at = random.below(text.size());
            constexpr std::string_view bytes = "#[]x(){},+*-0;:/\n \xff%aM9";
            if (random.one_in(3))
                text.erase(at, 1 + random.below(8));
            else
                text[at] = bytes[random.below(bytes.size())];
        }
        auto const again = read(text);
        if (again) {
            ASSERT_EQ(again->origin.size(), again->insns.size());
            continue;
        }
        ASSERT_FALSE(again.error().message.empty());
        if (!again.error().span) continue;
        ASSERT_LE(again.error().span->begin, again.error().span->end) << text;
        ASSERT_LE(again.error().span->end, text.size()) << text;
    }
}

}  // namespace
}  // namespace tamis::cbpf
