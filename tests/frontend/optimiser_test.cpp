// Optimised programs beside unoptimised ones, on packets of every length: what the unoptimised one
// accepts is accepted, and nothing that the text, in three-valued logic, does not say.
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "frontend/compile.h"
#include "frontend/lex.h"
#include "frontend/parse.h"
#include "frontend/resolve.h"
#include "runtime/cbpf_vm.h"
#include "tests/support/random_expr.h"
#include "tests/support/steer.h"
#include "tests/support/three_valued.h"

namespace {

using namespace tamis;
using runtime::Rules;
using test::Truth;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t netmask = 0xffffff00;

struct Tally {
    std::size_t filters = 0, runs = 0, both = 0, further = 0;
    std::size_t before = 0, after = 0;  // instructions
};

std::optional<frontend::Formula> formula_of(std::string const& text,
                                            frontend::Options const& options) {
    auto const tokens = frontend::lex(text);
    if (!tokens) return std::nullopt;
    auto const tree = frontend::parse(text, *tokens);
    if (!tree) return std::nullopt;
    auto resolved = frontend::resolve(text, *tokens, *tree, options);
    if (!resolved) return std::nullopt;
    return std::move(resolved->formula);
}

std::string hex(std::span<std::uint8_t const> bytes) {
    std::string text;
    for (std::uint8_t const byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
}

// False at a difference, which is then reported.
bool compare(std::string const& text, std::mt19937_64& random, std::size_t packets, Tally& tally,
             frontend::Options options = {.netmask = netmask}) {
    options.optimise = false;
    auto const plain = frontend::compile(text, options);
    if (!plain) return true;
    options.optimise = true;
    auto const optimised = frontend::compile(text, options);
    EXPECT_TRUE(optimised) << text;
    auto const formula = formula_of(text, options);
    if (cbpf::check(plain->program)) {
        EXPECT_TRUE(cbpf::check(optimised->program)) << text;
    }
    EXPECT_EQ(optimised->program.origin.size(), optimised->program.insns.size());
    ++tally.filters;
    tally.before += plain->program.insns.size();
    tally.after += optimised->program.insns.size();
    bool matched = false, missed = false;
    for (cbpf::Program const* side : {&plain->program, &optimised->program}) {
        for (Bytes const& packet : test::steer(*side, random, packets)) {
            auto const wire = static_cast<std::uint32_t>(packet.size() +
                                                         (random() % 4 == 0 ? random() % 100 : 0));
            std::size_t const shortest = packet.size() > 128 ? packet.size() - 128 : 0;
            for (std::size_t size = packet.size() + 1; size-- > shortest;) {
                for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
                    runtime::Packet seen;
                    seen.bytes = std::span(packet).first(size);
                    seen.length = wire;
                    bool const expected = runtime::run(plain->program.insns, seen, rules) != 0;
                    bool const got = runtime::run(optimised->program.insns, seen, rules) != 0;
                    ++tally.runs;
                    (got ? matched : missed) = true;
                    if (got == expected) continue;
                    if (got && formula) {
                        bool divides = false;
                        if (test::evaluate(*formula, seen, rules, &divides) == Truth::yes &&
                            !divides) {
                            ++tally.further;
                            continue;
                        }
                    }
                    ADD_FAILURE() << text << "\n"
                                  << (rules == Rules::kernel ? "kernel" : "libpcap")
                                  << "'s rule: " << (got ? "accepts" : "rejects") << " " << size
                                  << " bytes of " << wire << ": " << hex(seen.bytes) << "\n"
                                  << cbpf::listing(plain->program) << "optimised\n"
                                  << cbpf::listing(optimised->program);
                    return false;
                }
            }
        }
    }
    tally.both += matched && missed ? 1 : 0;
    return true;
}

void report(char const* what, Tally const& tally) {
    fmt::print(
        "{}: {} filters, {} runs, both verdicts seen: {:.1f} %; accepted beyond the unoptimised "
        "program: {}; {} instructions for {}\n",
        what, tally.filters, tally.runs,
        100.0 * static_cast<double>(tally.both) / static_cast<double>(tally.filters), tally.further,
        tally.after, tally.before);
}

std::size_t setting(char const* name, std::size_t otherwise) {
    char const* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Optimiser, ListedExpressions) {
    std::mt19937_64 random(setting("TAMIS_SEED", 1));
    Tally tally;
    for (char const* const name : {"/tests/frontend/expressions.txt", "/bench/corpus.txt"}) {
        std::ifstream file(std::string(TAMIS_SOURCE_ROOT) + name);
        std::size_t failures = 0;
        for (std::string line; std::getline(file, line);)
            if (!line.empty() && line[0] != '#')
                if (!compare(line, random, setting("TAMIS_PACKETS", 12), tally) && ++failures == 3)
                    break;
    }
    report("listed", tally);
    EXPECT_GE(tally.both, tally.filters * 80 / 100);
}

TEST(Optimiser, RandomExpressions) {
    std::uint64_t const seed = setting("TAMIS_SEED", 1);
    std::mt19937_64 random(seed);
    test::RandomExpressions expressions(seed);
    Tally tally;
    std::size_t failures = 0;
    for (std::size_t i = setting("TAMIS_EXPRESSIONS", 400); i > 0; --i)
        if (!compare(expressions.next(), random, setting("TAMIS_PACKETS", 8), tally) &&
            ++failures == 3)
            break;
    fmt::print("seed {}; ", seed);
    report("random", tally);
}

}  // namespace
