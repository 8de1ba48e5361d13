// Lists of every kind, as long as TAMIS_TERMS says, from text to an XDP object on a stack that
// recursion over their terms would overflow.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include "backend/object.h"
#include "bpf/hooks.h"
#include "frontend/compile.h"
#include "runtime/cbpf_vm.h"
#include "runtime/packet.h"
#include "translator/translate.h"

namespace tamis::frontend {
namespace {

using Random = std::mt19937_64;

std::size_t terms() {
    char const* const said = std::getenv("TAMIS_TERMS");
    return said == nullptr ? 1000 : std::strtoull(said, nullptr, 10);
}

// Few networks, so that packets of the same kind meet terms of a list.
std::string host(Random& r) { return fmt::format("10.{}.0.{}", r() % 4, r() % 256); }
std::string port(Random& r) { return fmt::format("{}", r() % 2048); }
std::string anything(Random& r) {
    switch (r() % 8) {
        case 0:
            return "host " + host(r);
        case 1:
            return "src host " + host(r);
        case 2:
            return "port " + port(r);
        case 3:
            return "net " + fmt::format("10.{}.{}.0/24", r() % 256, r() % 256);
        case 4:
            return "ip6 host " + fmt::format("2001:db8:{:x}::{:x}", r() % 65536, r() % 65536);
        case 5:
            return "ether host " + fmt::format("2:0:0:0:{:x}:{:x}", r() % 256, r() % 256);
        case 6:
            return "portrange " + fmt::format("{}-{}", r() % 512, 512 + r() % 8);
        default:
            return fmt::format("ip proto {}", r() % 200 + 20);
    }
}

struct List {
    std::string_view name, begin, between, end;
    std::string (*term)(Random&);
};
constexpr List lists[] = {
    {"or", "", " or ", "", [](Random& r) { return "host " + host(r); }},
    {"mixed or", "", " or ", "", anything},
    {"and not", "ip and not ", " and not ", "", [](Random& r) { return "host " + host(r); }},
    {"mixed and not", "not ", " and not ", "", anything},
    {"not of alternatives", "", " and ", "",
     [](Random& r) { return "not (" + anything(r) + " or " + anything(r) + ")"; }},
    {"and or by turns", "", " or ", "",
     [](Random& r) { return anything(r) + " and not " + anything(r); }},
    {"pairs", "", " or ", "",
     [](Random& r) { return "(host " + host(r) + " and port " + port(r) + ")"; }},
    {"behind a tag", "vlan and (", " or ", ")", [](Random& r) { return "host " + host(r); }},
    {"behind variables", "geneve and (", " or ", ")", [](Random& r) { return "port " + port(r); }},
    {"bytes", "", " or ", "",
     [](Random& r) { return fmt::format("tcp[{}:2] = {}", r() % 8, r() % 65536); }},
    {"arithmetic", "", " or ", "",
     [](Random& r) { return fmt::format("ip[{}] + ip[8] = {}", r() % 20, r() % 512); }},
    {"one sum", "ip[0]", "", " > 5", [](Random&) -> std::string { return "+1"; }},
    {"one sum of bytes", "0", "", " > 5", [](Random&) -> std::string { return "+ip[8]"; }},
};

std::string text_of(List const& list) {
    Random random(1);
    std::string text(list.begin);
    for (std::size_t i = 0; i < terms(); ++i) {
        if (i > 0) text += list.between;
        text += list.term(random);
    }
    return text.append(list.end);
}

// TCP over IPv4, with a tag or without.
std::vector<std::uint8_t> packet(Random& r) {
    std::vector<std::uint8_t> bytes{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    if (r() % 4 == 0) bytes.insert(bytes.end(), {0x81, 0, 0, 5});
    bytes.insert(bytes.end(), {8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0});
    for (int i = 0; i < 2; ++i)
        bytes.insert(bytes.end(), {10, static_cast<std::uint8_t>(r() % 6), 0,
                                   static_cast<std::uint8_t>(r() % 256)});
    for (int i = 0; i < 2; ++i)
        bytes.insert(bytes.end(),
                     {static_cast<std::uint8_t>(r() % 9), static_cast<std::uint8_t>(r() % 256)});
    bytes.resize(bytes.size() + 16);
    return bytes;
}

// Runs it in a thread of its own, on a stack of so many bytes.
void on_a_stack_of(std::size_t bytes, std::function<void()> work) {
    pthread_attr_t attributes;
    ASSERT_EQ(pthread_attr_init(&attributes), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, bytes), 0);
    pthread_t thread{};
    auto const run = [](void* function) -> void* {
        (*static_cast<std::function<void()>*>(function))();
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

void compile_all_the_way(List const& list) {
    std::string const text = text_of(list);
    auto const optimised = compile(text, {});
    auto const plain = compile(text, {.optimise = false});
    ASSERT_TRUE(optimised && plain);
    EXPECT_LE(optimised->program.insns.size(), plain->program.insns.size());
    Random random(2);
    for (int i = 0; i < 200; ++i) {
        auto const bytes = packet(random);
        runtime::Packet sent{};
        sent.bytes = bytes;
        sent.length = static_cast<std::uint32_t>(bytes.size());
        EXPECT_EQ(runtime::run(optimised->program.insns, sent, runtime::Rules::libpcap),
                  runtime::run(plain->program.insns, sent, runtime::Rules::libpcap))
            << "packet " << i;
    }
    HookRow const& xdp = *find_hook("xdp");
    auto const translated =
        translator::translate(optimised->program, {.hook = xdp.hook,
                                                   .match = {find_action(xdp, xdp.match)},
                                                   .no_match = {find_action(xdp, xdp.no_match)}});
    if (!translated) {  // a million instructions are the most that there are
        EXPECT_GT(optimised->program.insns.size(), 300'000U) << translated.error().message;
        return;
    }
    EXPECT_TRUE(backend::object(*translated, xdp));
}

class LongLists : public testing::TestWithParam<List> {};

TEST_P(LongLists, TakeLittleStack) {
    on_a_stack_of(256 * 1024, [] { compile_all_the_way(GetParam()); });
}

// The tree of a long text is given back before the answer is known.
TEST(LongContradiction, IsShown) {
    std::string text = "src host 10.0.0.0";
    for (int i = 1; i < 3000; ++i)
        text += fmt::format(" and src host 10.0.{}.{}", i / 256, i % 256);
    Result<Compiled> const compiled = compile(text, {});
    ASSERT_TRUE(compiled);
    EXPECT_EQ(compiled->program.insns.size(), 1U);
    ASSERT_EQ(compiled->warnings.size(), 1U);
    EXPECT_EQ(compiled->warnings[0].span, (Span{22, 39}));
    ASSERT_EQ(compiled->warnings[0].notes.size(), 1U);
    EXPECT_EQ(compiled->warnings[0].notes[0].span, (Span{0, 17}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, LongLists, testing::ValuesIn(lists), [](auto const& list) {
    std::string name(list.param.name);
    for (char& c : name)
        if (c == ' ') c = '_';
    return name;
});

}  // namespace
}  // namespace tamis::frontend
