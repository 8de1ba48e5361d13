// Filters that people type and other translators get wrong, or the verifier refuses: right at every
// hook.
#include <gtest/gtest.h>

#include "tests/translator/at_hook.h"
#include "verify/prove.h"

namespace tamis {
namespace {

using test::compile_at;
using test::distinct_hooks;
using test::options_for;

struct Failing {
    std::string_view who, text;
};
constexpr Failing failing[] = {
    {"a pointer of two bases at a join",
     "(tcp[tcpflags] & tcp-syn != 0 or port 443) and not tcp dst port 80"},
    {"the same", "(tcp[tcpflags] & tcp-ack != 0 or tcp src port 53) and tcp dst port 443"},
    {"merged by clang", "tcp[tcpflags] & tcp-syn != 0 or not port 53"},
    {"A taken for X", "tcp[13]=2"},
    {"A taken for X", "icmp[icmptype] = icmp-echo"},
    {"A taken for X", "tcp[2:1] > 2"},
    {"a short immediate", "tcp[tcpflags] & tcp-ack != 0"},
    {"a short immediate", "ether[0] & 1 = 0"},
    {"cells that are not stored", "tcp[2:2] > ip[4:2]"},
    {"no length", "less 70"},
    {"no length", "len > 100"},
    {"constants that are sign-extended", "src host 192.168.0.1"},
    {"no inverse of a bit test", "tcp[tcpflags] & tcp-syn != 0"},
    {"no inverse of a bit test", "ether multicast"},
};

TEST(Everywhere, FiltersThatOthersGetWrongAreRight) {
    if (!verify::can_prove()) GTEST_SKIP() << verify::prover_missing;
    std::size_t proved = 0;
    for (Failing const& f : failing)
        for (Hook const which : distinct_hooks) {
            HookRow const& hook = row(which);
            auto const classic = compile_at(hook, std::string(f.text));
            if (!classic) {
                EXPECT_TRUE(hook.start == Start::network && f.text.starts_with("ether")) << f.text;
                continue;
            }
            translator::Options const options = options_for(hook);
            auto const program = translator::translate(*classic, options);
            ASSERT_TRUE(program);
            verify::Proof const proof =
                verify::prove_translation(*classic, *program, options, {.blocks = false});
            EXPECT_EQ(proof.outcome, verify::Outcome::proved)
                << f.who << ": " << f.text << " at " << hook.name << ": " << proof.reason;
            ++proved;
        }
    EXPECT_GT(proved, 130U);
}

}  // namespace
}  // namespace tamis
