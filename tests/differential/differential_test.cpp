// Every way to run a classic program, held against the classic interpreter under that engine's
// rule: libpcap's bpf_filter, the forms of the hooks interpreted and run by the kernel, and the
// kernel's own translation.  Of the loads of every expression at every hook, one in N is tried.
//
//     differential [--programs N] [--packets N] [--seed S] [--stride N] [--no-kernel] [gtest
//     options]
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "backend/object.h"
#include "bpf/cbpf_text.h"
#include "frontend/compile.h"
#include "runtime/kernel.h"
#include "tests/differential/libpcap_engine.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/random_cbpf.h"
#include "tests/support/steer.h"
#include "translator/translate.h"
#include "verify/engines.h"

namespace tamis {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Settings {
    std::size_t programs = 2000, packets = 20, stride = 1;
    std::uint64_t seed = 1;
    bool kernel = true;
} settings;

bool kernel_here() { return settings.kernel && geteuid() == 0; }

// The engines of a run, and what it has seen.
class Comparison {
  public:
    Comparison() {
        engines_.push_back(test::libpcap_engine());
        for (auto& engine : verify::unprivileged_engines()) engines_.push_back(std::move(engine));
        if (!kernel_here()) return;
        for (auto& engine : verify::kernel_engines()) engines_.push_back(std::move(engine));
    }

    // One program on its packets.  `what` names it in a failure.
    void run(cbpf::Program const& program, std::vector<Bytes> const& packets,
             std::string const& what) {
        ++programs_;
        bool matched = false, missed = false;
        for (Bytes const& packet : packets) {
            ++packets_;
            std::uint32_t const verdict = runtime::run(program.insns, engines_[1]->model(packet),
                                                       runtime::Rules::kernel, &executed_);
            (verdict != 0 ? matched : missed) = true;
        }
        if (matched && missed) ++both_;
        for (auto const& engine : engines_) {
            auto const prepared = engine->prepare(program);
            if (!prepared) {
                fail(fmt::format("{}: {}", engine->name(), render(prepared.error(), {what, ""})),
                     program, what);
                continue;
            }
            if (!*prepared) continue;
            for (Bytes const& packet : packets) one(*engine, program, packet, what);
        }
    }

    void one(verify::Engine& engine, cbpf::Program const& program, Bytes const& packet,
             std::string const& what) {
        ++comparisons_;
        auto const difference = verify::compare(engine, program, packet);
        if (!difference) {
            fail(fmt::format("{}: {}", engine.name(), render(difference.error(), {what, ""})),
                 program, what);
        } else if (*difference) {
            std::string hex;
            for (std::uint8_t const byte : packet) hex += fmt::format("{:02x}", byte);
            fail(fmt::format("{}: expected {}, got {} for packet {}", engine.name(),
                             (*difference)->expected, (*difference)->got, hex),
                 program, what);
        }
    }

    void fail(std::string const& message, cbpf::Program const& program, std::string const& what) {
        if (++failures_ <= 3)
            ADD_FAILURE() << what << "\n" << message << "\n" << cbpf::listing(program);
    }

    void print_summary(std::string_view subject) const {
        fmt::print(
            "{}: {} programs, {} packets, {} comparisons with {} engines, {} differences; {:.1f} % "
            "of the programs "
            "saw both verdicts\n",
            subject, programs_, packets_, comparisons_, engines_.size(), failures_,
            share_of_both());
    }
    double share_of_both() const {
        return programs_ == 0 ? 0
                              : 100.0 * static_cast<double>(both_) / static_cast<double>(programs_);
    }
    std::size_t failures() const { return failures_; }
    runtime::ExecutionCounts const& executed() const { return executed_; }

  private:
    std::vector<std::unique_ptr<verify::Engine>> engines_;
    runtime::ExecutionCounts executed_{};
    std::size_t programs_ = 0, packets_ = 0, comparisons_ = 0, both_ = 0, failures_ = 0;
};

Bytes random_packet(std::mt19937_64& random) {
    Bytes packet(random() % 4 == 0 ? random() % 16 : random() % 128);
    for (std::uint8_t& byte : packet) byte = static_cast<std::uint8_t>(random());
    return packet;
}

// Mostly built to pass and to miss the program's own tests, some plain noise.
std::vector<Bytes> packets_for(cbpf::Program const& program, std::mt19937_64& random,
                               std::size_t count) {
    std::vector<Bytes> packets = test::steer(program, random, count - count / 5);
    while (packets.size() < count) packets.push_back(random_packet(random));
    return packets;
}

std::vector<std::string> expressions() {
    std::vector<std::string> lines;
    std::ifstream file(TAMIS_SOURCE_ROOT "/tests/frontend/expressions.txt");
    for (std::string line; std::getline(file, line);)
        if (!line.empty() && line[0] != '#') lines.push_back(line);
    return lines;
}

TEST(Differential, RandomPrograms) {
    test::RandomPrograms programs(settings.seed);
    std::mt19937_64 random(settings.seed);
    Comparison comparison;
    for (std::size_t i = 0; i < settings.programs; ++i) {
        cbpf::Program const program = programs.next();
        comparison.run(program, packets_for(program, random, settings.packets),
                       fmt::format("program {} of seed {}", i, settings.seed));
    }
    comparison.print_summary("random programs");
    std::uint64_t least = ~std::uint64_t{0};
    fmt::print("executed:");
    for (cbpf::Op const& op : cbpf::ops()) {
        std::uint64_t const times = comparison.executed()[op.code];
        fmt::print(" {:02x}:{}", op.code, times);
        least = std::min(least, times);
    }
    fmt::print("\n");
    EXPECT_EQ(comparison.failures(), 0U);
    if (settings.programs >= 2000) {
        EXPECT_GE(least, 500U) << "every opcode must run often enough to be trusted";
    }
    EXPECT_GE(comparison.share_of_both(), 30.0) << "packets that always end alike test little";
}

TEST(Differential, Expressions) {
    std::mt19937_64 random(settings.seed);
    Comparison comparison;
    for (std::string const& text : expressions()) {
        auto const compiled = frontend::compile(text, {.netmask = 0xffffff00});
        if (!compiled) continue;  // the list holds some that are meant to be refused
        comparison.run(compiled->program,
                       packets_for(compiled->program, random, 4 * settings.packets), text);
    }
    comparison.print_summary("expressions");
    EXPECT_EQ(comparison.failures(), 0U);
    EXPECT_GE(comparison.share_of_both(), 85.0);
}

// Hooks whose programs differ for the kernel: by their types, flags or where packets begin.
std::vector<HookRow const*> hooks_of_this_kernel() {
    std::vector<HookRow const*> out;
    for (HookRow const& hook : hooks()) {
        bool const known = std::any_of(out.begin(), out.end(), [&](HookRow const* other) {
            return other->prog_type == hook.prog_type && other->attach_type == hook.attach_type &&
                   other->flags == hook.flags;
        });
        if (!known && runtime::kernel_has(hook)) out.push_back(&hook);
    }
    return out;
}

TEST(Differential, EveryExpressionLoadsAtEveryHook) {
    TAMIS_NEED_KERNEL("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", kernel_here());
    std::size_t loads = 0, refused = 0, turn = 0;
    for (std::string const& text : expressions()) {
        for (HookRow const* at : hooks_of_this_kernel()) {
            HookRow const& hook = *at;
            if (turn++ % settings.stride != 0) continue;
            auto const compiled = frontend::compile(
                text, {.link_type = default_link_type(hook), .netmask = 0xffffff00});
            if (!compiled) continue;  // Ethernet's words above it, among others
            auto const program = translator::translate(
                compiled->program, {.hook = hook.hook,
                                    .match = {find_action(hook, hook.match)},
                                    .no_match = {find_action(hook, hook.no_match)}});
            ASSERT_TRUE(program) << text << "\n" << render(program.error(), {"filter", text});
            auto const object = backend::object(*program, hook);
            ASSERT_TRUE(object) << text;
            auto const loaded = runtime::LoadedProgram::load(*object, hook);
            ++loads;
            if (loaded) continue;
            ++refused;
            ADD_FAILURE() << hook.name << ": " << text << "\n"
                          << render(loaded.error(), {"filter", text});
        }
    }
    fmt::print("{} loads, {} refused\n", loads, refused);
    EXPECT_GT(loads, 0U);
}

// `--name value` with a number, taken out of the arguments before gtest sees them.
bool take(int& argc, char** argv, std::string_view name, auto& value) {
    for (int i = 1; i + 1 < argc; ++i) {
        if (argv[i] != name) continue;
        std::string_view const text = argv[i + 1];
        bool const good =
            std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc{};
        std::copy(argv + i + 2, argv + argc + 1, argv + i);
        argc -= 2;
        return good;
    }
    return true;
}

}  // namespace
}  // namespace tamis

int main(int argc, char** argv) {
    using tamis::settings;
    bool good = true;
    good &= tamis::take(argc, argv, "--programs", settings.programs);
    good &= tamis::take(argc, argv, "--packets", settings.packets);
    good &= tamis::take(argc, argv, "--seed", settings.seed);
    good &= tamis::take(argc, argv, "--stride", settings.stride) && settings.stride > 0;
    for (int i = 1; i < argc; ++i)
        if (std::string_view(argv[i]) == "--no-kernel") settings.kernel = false;
    if (!good) {
        fmt::print(stderr,
                   "usage: {} [--programs N] [--packets N] [--seed S] [--stride N] [--no-kernel]\n",
                   argv[0]);
        return 2;
    }
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
