// The stages one by one, the limits, and what bad input costs.
#include <ctime>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/compile.h"
#include "frontend/lex.h"
#include "frontend/lower.h"
#include "frontend/parse.h"
#include "frontend/resolve.h"

namespace {

using namespace tamis;
using namespace tamis::frontend;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

std::string repeat(std::string_view piece, std::size_t times) {
    std::string text;
    for (std::size_t i = 0; i < times; ++i) text += piece;
    return text;
}

// ------------------------------------------------------------------------------------------ words

TEST(Words, FindsEveryKindOfKeyword) {
    EXPECT_EQ(find_word("tcp")->word, Word::tcp);
    EXPECT_EQ(find_word("wlan")->word, Word::link);
    EXPECT_EQ(find_word("tcp-syn")->value, 2U);
    EXPECT_EQ(find_word("icmp6-multicastrouterterm")->value, 153U);
    EXPECT_EQ(find_word("metaconnect")->word, Word::atm);
    EXPECT_EQ(find_word("TCP"), nullptr);
    EXPECT_EQ(find_word(""), nullptr);
    EXPECT_EQ(find_word(std::string(1000, 'a')), nullptr);
}

TEST(Words, GuessesWhatWasMeant) {
    EXPECT_EQ(nearest_word("tpc"), "tcp");
    EXPECT_EQ(nearest_word("TCP"), "tcp");
    EXPECT_EQ(nearest_word("prot"), "port");
    EXPECT_EQ(nearest_word("brodcast"), "broadcast");
    EXPECT_EQ(nearest_word("x"), "");
    EXPECT_EQ(nearest_word("example.org"), "");
}

// ------------------------------------------------------------------------------------------ lexer

std::string kinds(std::string_view text) {
    auto const tokens = lex(text);
    if (!tokens) return tokens.error().message;
    std::string const lines = dump(*tokens, text);
    std::string out;
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
        std::size_t const kind = lines.find_first_not_of(' ', lines.find(' ', at));
        out += (out.empty() ? "" : " ") + lines.substr(kind, lines.find(' ', kind) - kind);
    }
    return out;
}

TEST(Lex, TakesTheLongestWord) {
    EXPECT_EQ(kinds("10"), "number end");
    EXPECT_EQ(kinds("0x1F"), "number end");
    EXPECT_EQ(kinds("80-90"), "name end");
    EXPECT_EQ(kinds("20-4"), "name end");
    EXPECT_EQ(kinds("20 - 4"), "number minus number end");
    EXPECT_EQ(kinds("20- 4"), "number minus number end");
    EXPECT_EQ(kinds("len-1"), "name end");
    EXPECT_EQ(kinds("ftp-data"), "name end");
    EXPECT_EQ(kinds("tcp-syn"), "number end");
    EXPECT_EQ(kinds("1.2"), "ipv4 end");
    EXPECT_EQ(kinds("1.2.3.4"), "ipv4 end");
    EXPECT_EQ(kinds("1.2.3.4.5"), "name end");
    EXPECT_EQ(kinds("1.2.3.4."), "name end");
    EXPECT_EQ(kinds("0x10.0"), "ipv4 end");
    EXPECT_EQ(kinds("::"), "ipv6 end");
    EXPECT_EQ(kinds("fe80::1"), "ipv6 end");
    EXPECT_EQ(kinds("::1.2.3.4"), "ipv6 end");
    EXPECT_EQ(kinds("1:2:3:4:5:6"), "mac end");
    EXPECT_EQ(kinds("1-2-3-4-5-6"), "mac end");
    EXPECT_EQ(kinds("1.2.3.4.5.6"), "mac end");
    EXPECT_EQ(kinds("1234.5678.9012"), "mac end");
    EXPECT_EQ(kinds("123456789012"), "mac end");
    EXPECT_EQ(kinds("$1f"), "mac8 end");
    EXPECT_EQ(kinds("\\tcp"), "name end");
    EXPECT_EQ(kinds("\\tcp&&udp"), "name end");
    EXPECT_EQ(kinds("TCP"), "name end");
    EXPECT_EQ(kinds("is-is"), "keyword end");
    EXPECT_EQ(kinds(" \t\r\n"), "end");
}

TEST(Lex, TellsOperatorsApart) {
    EXPECT_EQ(kinds("a<<b<=c<d"), "name shift_left name le name lt name end");
    EXPECT_EQ(kinds("a>>b>=c>d"), "name shift_right name ge name gt name end");
    EXPECT_EQ(kinds("a==b=c!=d!e"), "name eq name eq name ne name not name end");
    EXPECT_EQ(kinds("a&&b&c||d|e"), "name and name ampersand name or name pipe name end");
    EXPECT_EQ(kinds("ip[2:2]"), "keyword open_bracket number colon number close_bracket end");
}

TEST(Lex, KnowsArithmeticParentheses) {
    EXPECT_EQ(kinds("(tcp)"), "open keyword close end");
    EXPECT_EQ(kinds("(1) = 1"), "open_arith number close_arith eq number end");
    EXPECT_EQ(kinds("1 = (1)"), "number eq open_arith number close_arith end");
    EXPECT_EQ(kinds("((1) = 1)"), "open open_arith number close_arith eq number close end");
    EXPECT_EQ(kinds("((1)) = 1"),
              "open_arith open_arith number close_arith close_arith eq number end");
    EXPECT_EQ(kinds("ip[(1)]"),
              "keyword open_bracket open_arith number close_arith close_bracket end");
    EXPECT_EQ(kinds("port (80)"), "keyword open number close end");
}

TEST(Lex, ReadsNumbers) {
    EXPECT_EQ(lex("4294967295")->front().value, 4294967295U);
    EXPECT_EQ(lex("017")->front().value, 15U);
    EXPECT_EQ(lex("0xffffffff")->front().value, 0xffffffffU);
    EXPECT_EQ(kinds("4294967296"), "'4294967296' does not fit in 32 bits");
    EXPECT_EQ(kinds("0x100000000"), "'0x100000000' does not fit in 32 bits");
    EXPECT_EQ(kinds("08"), "'8' is not an octal digit");
}

TEST(Lex, RefusesEveryOtherByteWhereItStands) {
    std::string const accepted = "+-*/%:[]!<>()&|^=$\\ \t\r\n";
    for (int byte = 0; byte < 256; ++byte) {
        auto const c = static_cast<char>(byte);
        bool const alphanumeric = byte < 0x80 && std::isalnum(byte) != 0;
        if (alphanumeric || accepted.find(c) != std::string::npos) continue;
        auto const tokens = lex(std::string("tcp ") + c);
        ASSERT_FALSE(tokens) << byte;
        EXPECT_EQ(tokens.error().span, (Span{4, 5})) << byte;
    }
}

// ------------------------------------------------------------------------------------ syntax tree

std::string tree(std::string_view text) {
    auto const tokens = lex(text);
    if (!tokens) return tokens.error().message;
    auto const parsed = parse(text, *tokens);
    return parsed ? ast::dump(*parsed, *tokens, text) : parsed.error().message;
}

TEST(Parse, TakesAndAndOrFromLeftToRight) {
    EXPECT_EQ(tree("a or b and not (c or d)"),
              "chain\n"
              "  primitive a\n"
              "or\n"
              "  primitive b\n"
              "and\n"
              "  not\n"
              "    group\n"
              "      chain\n"
              "        primitive c\n"
              "      or\n"
              "        primitive d\n");
}

TEST(Parse, KeepsWordsAsWritten) {
    EXPECT_EQ(tree("tcp src or dst port http"), "primitive tcp src or dst port http\n");
    EXPECT_EQ(tree("net 10.0.0.0 / 8"), "primitive net 10.0.0.0 / 8\n");
    EXPECT_EQ(tree("byte 0 = 1"), "primitive byte 0 = 1\n");
    EXPECT_EQ(tree("host (a)"), "primitive host\n  group\n    primitive a\n");
    EXPECT_EQ(tree("host not a"), "primitive host\n  not\n    primitive a\n");
}

TEST(Parse, FoldsArithmeticAsLibpcapDoes) {
    auto const left = [](std::string const& text) {
        std::string const line = tree(text + " = 0");
        return line.substr(9, line.find(" ;") - 9);
    };
    EXPECT_EQ(left("1 + 2 * 3"), "1 2 3 * +");
    EXPECT_EQ(left("1 * 2 + 3"), "1 2 * 3 +");
    EXPECT_EQ(left("1 - 2 - 3"), "1 2 - 3 -");
    EXPECT_EQ(left("1 | 2 & 3 << 4"), "1 2 3 4 << & |");
    EXPECT_EQ(left("- 1 + 2"), "1 neg 2 +");
    EXPECT_EQ(left("- (1 + 2)"), "1 2 + neg");
    EXPECT_EQ(left("10 % 3 + 1"), "10 3 1 + %");
    EXPECT_EQ(left("1 + 2 % 3 * 4"), "1 2 3 4 * % +");
    EXPECT_EQ(left("1 & 3 ^ 1"), "1 3 1 ^ &");
    EXPECT_EQ(left("- 1 % 2"), "1 2 % neg");
    EXPECT_EQ(left("(1 % 2) + 3"), "1 2 % 3 +");
    EXPECT_EQ(left("ip[ip[0]:2]"), "0 ip[] ip[]:2");
}

// ---------------------------------------------------------------------------------------- formula

std::string formula(std::string_view text) {
    auto const tokens = lex(text);
    auto const parsed = parse(text, *tokens);
    auto const resolved = resolve(text, *tokens, *parsed, {});
    return resolved ? dump(resolved->formula) : resolved.error().message;
}

TEST(Resolve, MakesTestsOfWords) {
    EXPECT_EQ(formula("tcp src port 80"),
              "or\n"
              "  and\n"
              "    [12:2] = 0x86dd\n"
              "    [20:1] = 0x6\n"
              "    [54:2] = 0x50\n"
              "  and\n"
              "    [12:2] = 0x800\n"
              "    [23:1] = 0x6\n"
              "    [20:2] & 0x1fff = 0x0\n"
              "    [14+ihl+0:2] = 0x50\n");
    EXPECT_EQ(formula("less 100"), "not\n  len > 0x64\n");
}

TEST(Resolve, GuardsFieldsAndTurnsComparisons) {
    EXPECT_EQ(formula("5 < ip[8] & 0xf"), "and\n  [12:2] = 0x800\n  [22:1] & 0xf > 0x5\n");
    EXPECT_EQ(formula("tcp[ip6[0]] = len"),
              "and\n"
              "  [12:2] = 0x800\n"
              "  [12:2] = 0x86dd\n"
              "  [23:1] = 0x6\n"
              "  [20:2] & 0x1fff = 0x0\n"
              "  relation [14:1] @[14+ihl+0:1] ; len =\n");
    EXPECT_EQ(formula("ip[-1] = 0"),
              "and\n  [12:2] = 0x800\n  relation 4294967295 @[14:1] ; 0 =\n");
}

// -------------------------------------------------------------------------------------- programs

cbpf::Program program(std::string_view text) {
    auto const compiled = compile(text, {.optimise = false});
    EXPECT_TRUE(compiled) << text;
    return compiled ? compiled->program : cbpf::Program{};
}

TEST(Compile, MatchesEverythingForNothing) {
    for (std::string_view const text : {"", " ", "\n\t"}) {
        auto const compiled = compile(text, {.snaplen = 96});
        ASSERT_TRUE(compiled);
        ASSERT_EQ(compiled->program.insns.size(), 1U);
        EXPECT_EQ(compiled->program.insns[0], (cbpf::Insn{0x06, 0, 0, 96}));
    }
}

TEST(Compile, LoadsNoFieldTwice) {
    EXPECT_EQ(program("ip or arp or rarp").insns.size(), 6U);
    EXPECT_EQ(program("tcp port 80").insns.size(), 21U);
    EXPECT_EQ(program("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0").insns.size(), 11U);
}

TEST(Compile, KeepsLoadsThatCanFail) {
    // A different path, a different field: the second load stays.
    EXPECT_EQ(program("ip[8] = 1 or ip[9] = 1 or ip[8] = 2").insns.size(), 14U);
}

TEST(Compile, EveryInstructionHasAnOrigin) {
    std::string const text = "tcp port 80 or host 10.0.0.1";
    cbpf::Program const compiled = program(text);
    ASSERT_EQ(compiled.origin.size(), compiled.insns.size());
    for (Span const span : compiled.origin) {
        EXPECT_LT(span.begin, span.end);
        EXPECT_LE(span.end, text.size());
    }
}

TEST(Compile, WarnsWhereLibpcapSurprises) {
    auto const odd = compile("10 % 3 + 1 = len", {});
    ASSERT_TRUE(odd);
    ASSERT_EQ(odd->warnings.size(), 1U);
    EXPECT_EQ(odd->warnings[0].span, (Span{3, 4}));
    auto const unguarded = compile("ip[0] - tcp[12] != 0", {});
    ASSERT_TRUE(unguarded);
    ASSERT_EQ(unguarded->warnings.size(), 1U);
    EXPECT_EQ(unguarded->warnings[0].span, (Span{8, 15}));
    EXPECT_TRUE(compile("ip[0] + ip[1] > 3 and len - 1 > 2", {})->warnings.empty());
}

TEST(Compile, NamesWhatIsMissing) {
    EXPECT_THAT(compile("ip broadcast", {}).error().message, HasSubstr("netmask"));
    EXPECT_TRUE(compile("ip broadcast", {.netmask = 0}));
    EXPECT_THAT(compile("tcp", {.snaplen = 0}).error().message, HasSubstr("rejects all packets"));
    EXPECT_THAT(compile("tcp", {.link_type = 7}).error().message, HasSubstr("ARCNET"));
    EXPECT_THAT(compile("tcp", {.link_type = 9999}).error().message, HasSubstr("9999"));
    for (std::string_view const text : {"vpi 5", "vpi > 5", "not lane", "connectmsg and ip"}) {
        EXPECT_THAT(compile(text, {}).error().message, HasSubstr("ATM only")) << text;
        EXPECT_THAT(compile(text, {.link_type = dlt_sunatm}).error().message,
                    HasSubstr("not supported yet"))
            << text;
    }
    for (std::string_view const text : {"opc 5", "hsls < 5", "fisu", "sio (1 or 2)"}) {
        EXPECT_THAT(compile(text, {}).error().message, HasSubstr("SS7 only")) << text;
        for (int const type : {dlt_mtp2, dlt_mtp2_with_phdr, dlt_erf})
            EXPECT_THAT(compile(text, {.link_type = type}).error().message,
                        HasSubstr("not supported yet"))
                << text;
    }
}

TEST(Compile, WarnsOfReadsBehindTheOtherIp) {
    for (std::string_view const text :
         {"ip6 and tcp[13] = 2", "udp[0] = 1 and ip6 host ::1", "tcp and ip6 and len > icmp[0]"})
        EXPECT_EQ(compile(text, {})->warnings.size(), 1U) << text;
    for (std::string_view const text :
         {"ip6 or tcp[13] = 2", "ip and tcp[13] = 2", "not ip6 and tcp[13] = 2",
          "ip6 and ip6[53] = 2", "ip6 and icmp6[0] = 135", "ip or ip6 and tcp[13] = 2"})
        EXPECT_TRUE(compile(text, {})->warnings.empty()) << text;
}

TEST(Compile, WarnsWhenATestMovesWhatFollowsAnOr) {
    auto const moved = compile("vlan 100 or vlan 200", {});
    ASSERT_EQ(moved->warnings.size(), 1U);
    EXPECT_EQ(moved->warnings[0].span, (Span{12, 20}));
    EXPECT_EQ(compile("(vlan and ip) or ip", {})->warnings.size(), 1U);
    EXPECT_EQ(compile("mpls or ip or ip6", {})->warnings.size(), 1U);
    EXPECT_TRUE(compile("ip or vlan", {})->warnings.empty());
    EXPECT_TRUE(compile("vlan and (ip or ip6)", {})->warnings.empty());
}

TEST(Compile, AsksTheKernelOfLivePacketsOnly) {
    for (std::string_view const text : {"inbound", "outbound", "ifindex 1"}) {
        EXPECT_THAT(compile(text, {}).error().message, HasSubstr("live")) << text;
        EXPECT_TRUE(compile(text, {.context = Context::live})) << text;
    }
}

// The kernel takes the outermost tag out of the packet or leaves it in; both match.
TEST(Compile, FindsATagBesideALivePacket) {
    auto const listing = [](std::string_view text, Context context) {
        std::vector<std::uint32_t> loads;
        auto const compiled = compile(text, {.context = context});
        for (cbpf::Insn const& insn : compiled->program.insns)
            if ((insn.code & 0xe7) == 0x20 && insn.k >= 0xfffff000) loads.push_back(insn.k);
        return loads;
    };
    constexpr std::uint32_t present = 0xfffff000 + 48, value = 0xfffff000 + 44;
    EXPECT_THAT(listing("vlan", Context::live), ElementsAre(present));
    EXPECT_THAT(listing("vlan 7", Context::live), IsSupersetOf({present, value}));
    EXPECT_TRUE(listing("vlan 7", Context::savefile).empty());
    EXPECT_THAT(listing("vlan and vlan", Context::live), ElementsAre(present));
    EXPECT_TRUE(listing("geneve and vlan", Context::live).empty());
}

// ----------------------------------------------------------------------------------------- limits

TEST(Limits, DepthIsBounded) {
    EXPECT_TRUE(compile(repeat("(", 200) + "tcp" + repeat(")", 200), {}));
    EXPECT_FALSE(compile(repeat("(", 201) + "tcp" + repeat(")", 201), {}));
    EXPECT_TRUE(compile(repeat("not ", 200) + "tcp", {}));
    EXPECT_FALSE(compile(repeat("!", 201) + "tcp", {}));
    EXPECT_TRUE(compile(repeat("ip[", 200) + "0" + repeat("]", 200) + " = 1", {}));
    EXPECT_FALSE(compile(repeat("- ", 201) + "1 = 1", {}));
    EXPECT_TRUE(compile(repeat("not (", 100) + "tcp" + repeat(")", 100), {}));
    EXPECT_FALSE(compile(repeat("not (", 101) + "tcp" + repeat(")", 101), {}));
    // siblings are not deeper
    EXPECT_TRUE(compile("not tcp" + repeat(" and not (tcp)", 1000), {}));
}

TEST(Limits, RegistersAreBounded) {
    auto const nested = [](std::size_t n) {
        return "ip[0]" + repeat(" - (ip[0]", n) + repeat(")", n) + " = 1";
    };
    EXPECT_TRUE(compile(nested(16), {}));
    EXPECT_THAT(compile(nested(17), {}).error().message, HasSubstr("too many intermediate"));
    EXPECT_TRUE(compile("ip[0]" + repeat(" - ip[0]", 5000) + " = 1", {}));
}

// Jumps of classic code end after 255 instructions.
TEST(Limits, LongJumpsAreResolved) {
    std::string hosts = "src 10.0.0.0";
    for (int i = 1; i < 500; ++i)
        hosts += " or " + std::string("10.0.0.") + std::to_string(i % 256);
    cbpf::Program const listed = program("(" + hosts + ") and udp and not (" + hosts + ")");
    for (std::size_t pc = 0; pc < listed.insns.size(); ++pc) {
        cbpf::Op const* const op = cbpf::find(listed.insns[pc].code);
        ASSERT_NE(op, nullptr);
        if (op->kind != cbpf::Kind::jump && op->kind != cbpf::Kind::branch) continue;
        auto const targets = cbpf::targets(listed.insns[pc], pc, op->kind);
        ASSERT_LT(targets.taken, listed.insns.size());
        ASSERT_LT(targets.fallen, listed.insns.size());
    }
}

// What must be refused is refused at once, and long lists take time in proportion; the bounds are
// wide, for slow machines.  The time is the processor's for us, so that a busy machine is no slow one.
TEST(Limits, TimeIsBounded) {
    auto const milliseconds = [](std::string const& text, bool good) {
        std::clock_t const begin = std::clock();
        auto const compiled = compile(text, {});
        std::clock_t const end = std::clock();
        EXPECT_EQ(compiled.has_value(), good) << text.substr(0, 60);
        return 1e3 * static_cast<double>(end - begin) / CLOCKS_PER_SEC;
    };
    for (std::string const& text :
         {repeat("not ", 200000) + "tcp", repeat("(", 10000), repeat("((", 10000) + "tcp",
          std::string(1 << 20, 'a'), std::string(1 << 20, '1'), std::string(1 << 20, ':'),
          "host " + std::string(1 << 20, 'a'), repeat("a:", 1 << 19), repeat("tcp ", 100000),
          repeat("\x80", 1 << 20), std::string(17 << 20, ' '), "\\" + std::string(1 << 20, 'a'),
          "len" + repeat(" % 3", 100000) + " = 1", repeat("1.", 30000) + "1",
          "tcp" + repeat(" or", 100000)})
        EXPECT_LT(milliseconds(text, false), 1000) << text.substr(0, 60);
    std::string hosts = "host 10.0.0.0", ports = "port 1";
    for (unsigned i = 1; i < 20000; ++i) {
        hosts += " or 10.0." + std::to_string(i >> 8) + "." + std::to_string(i & 255);
        ports += " and not " + std::to_string(i);
    }
    EXPECT_LT(milliseconds(hosts, true), 2000);
    EXPECT_LT(milliseconds(ports, true), 2000);
    EXPECT_LT(milliseconds("tcp" + repeat(" and udp or ip", 50000), true), 2000);
    EXPECT_LT(milliseconds("len" + repeat(" + 1", 100000) + " > 5", true), 1000);
}

}  // namespace
