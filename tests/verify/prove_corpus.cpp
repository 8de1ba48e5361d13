// Proves every filter of the repository, or random ones: that its translation is right at every
// hook, and that the optimiser has kept its meaning under both rules.
//
//     prove_corpus [--random N] [--seed S] [--jobs J] [--timeout SECONDS] [--longest N]
//                  [--only optimiser|hooks]
//
// With --random: N generated expressions instead of the repository's.  A few filters with headers
// at places that only the packet tells (protochain, Geneve in Geneve) take the solver minutes, in
// translations of two versions and in what the optimiser made of them.  Where the program, there
// before it was optimised, has more than --longest instructions they are left out, and counted.
// Exit 1 when anything was not proved.
#include <atomic>
#include <charconv>
#include <cstdio>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "tests/support/corpus.h"
#include "tests/support/random_expr.h"
#include "tests/support/translations.h"
#include "translator/translate.h"
#include "verify/prove.h"

namespace {

using namespace tamis;
using Clock = std::chrono::steady_clock;

struct Settings {
    std::size_t random = 0, jobs = 2, timeout = 120, longest = 80;
    std::uint64_t seed = 1;
    std::string_view only;
} settings;

// What was seen; workers add to it.
struct Report {
    std::mutex mutex;
    std::vector<double> milliseconds;
    std::atomic<std::size_t> left_out = 0;
    std::size_t proofs = 0, by_terms = 0, by_cuts = 0, failures = 0, idle = 0;

    void add(std::string const& what, verify::Proof const& proof, double took) {
        std::lock_guard const lock(mutex);
        milliseconds.push_back(took);
        ++proofs;
        if (proof.by_terms) ++by_terms;
        if (proof.by_cuts) ++by_cuts;
        idle += proof.idle.size();
        if (took > 3000) fmt::print("{:.0f} ms: {}\n", took, what);
        if (proof.outcome == verify::Outcome::proved) return;
        if (++failures > 10) return;
        fmt::print("NOT PROVED: {}\n  {}\n", what, proof.reason);
        for (verify::DeadBlock const& block : proof.dead)
            fmt::print("  no packet reaches instruction {}, which stands for instruction {}\n",
                       block.insn, static_cast<std::int32_t>(block.classic));
        if (!proof.counterexample) return;
        verify::Counterexample const& c = *proof.counterexample;
        fmt::print("  {}, instruction {}\n  {} bytes: {:02x}\n", c.broken,
                   c.insn ? int(*c.insn) : -1, c.packet.bytes.size(),
                   fmt::join(c.packet.bytes, ""));
        for (std::string const& run : c.runs) fmt::print("  {}\n", run);
    }
};

template <class Prove>
void timed(std::string_view what, test::CorpusFilter const& filter, Report& report, Prove prove) {
    auto const begin = Clock::now();
    verify::Proof const proof = prove();
    report.add(fmt::format("{}: {}: '{}'", what, filter.name, filter.text.substr(0, 200)), proof,
               std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
}

void prove_translations(cbpf::Program const& program, test::CorpusFilter const& filter,
                        Report& report, verify::ProveOptions const& options) {
    auto const formula = frontend::formula(filter.text, filter.options);
    bool const has_variables = !filter.assembly && formula && formula->variables > 0;
    std::vector<ebpf::Program> seen;  // many hooks have one program
    std::vector<verify::ConcretePacket> packets;
    for (test::Translation const& wanted : test::translations()) {
        HookRow const& hook = row(wanted.options.hook);
        auto const translated = translator::translate(program, wanted.options);
        if (!translated) continue;  // metadata that the hook lacks
        auto const same = [&](ebpf::Program const& p) { return p.insns == translated->insns; };
        if (std::any_of(seen.begin(), seen.end(), same)) continue;
        seen.push_back(*translated);
        bool const two_versions = hook.access == Access::pointer && !hook.linear;
        if (two_versions && has_variables && program.insns.size() > settings.longest) {
            ++report.left_out;
            continue;
        }
        verify::ProveOptions chosen = options;
        chosen.packets = &packets;
        timed(wanted.name, filter, report, [&] {
            return verify::prove_translation(program, *translated, wanted.options, chosen);
        });
    }
}

// As the filter is, and as it is for packets whose VLAN tag lies beside them.
void prove_translations(test::CorpusFilter filter, Report& report,
                        verify::ProveOptions const& options) {
    auto const program = test::program_of(filter);
    if (program) prove_translations(*program, filter, report, options);
    if (filter.assembly) return;
    filter.options.context = frontend::Context::live;
    filter.name += ", live";
    auto const live = test::program_of(filter);
    if (live && !(program && program->insns == live->insns))
        prove_translations(*live, filter, report, options);
}

void prove_optimisation(test::CorpusFilter filter, Report& report,
                        verify::ProveOptions const& options) {
    if (filter.assembly) return;
    auto const formula = frontend::formula(filter.text, filter.options);
    if (!formula) return;
    filter.options.optimise = false;
    auto const before = test::program_of(filter);
    if (formula->variables > 0 && before->insns.size() > settings.longest) {
        ++report.left_out;
        return;
    }
    filter.options.optimise = true;
    auto const after = test::program_of(filter);
    for (runtime::Rules const rules : {runtime::Rules::libpcap, runtime::Rules::kernel}) {
        char const* const name =
            rules == runtime::Rules::kernel ? "optimiser, kernel" : "optimiser, libpcap";
        timed(name, filter, report, [&] {
            return verify::prove_optimisation(*formula, filter.options.snaplen, *before, *after,
                                              rules, options);
        });
    }
}

void prove(test::CorpusFilter const& filter, Report& report) {
    verify::ProveOptions const options{.timeout = std::chrono::seconds(settings.timeout)};
    if (settings.only != "optimiser") prove_translations(filter, report, options);
    if (settings.only != "hooks") prove_optimisation(filter, report, options);
}

std::vector<test::CorpusFilter> filters() {
    if (settings.random == 0) {
        auto all = test::corpus(TAMIS_SOURCE_ROOT);
        if (all) return std::move(*all);
        fmt::print(stderr, "{}\n", all.error());
        std::exit(2);
    }
    std::vector<test::CorpusFilter> out;
    test::RandomExpressions expressions(settings.seed);
    for (std::size_t i = 0; i < settings.random; ++i)
        out.push_back({fmt::format("seed {}", settings.seed), expressions.next(), {}, false});
    return out;
}

template <class T>
bool take(int argc, char** argv, std::string_view name, T& value) {
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string_view const text = argv[i + 1];
        if (argv[i] == name)
            return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc{};
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc % 2 == 0 || !take(argc, argv, "--random", settings.random) ||
        !take(argc, argv, "--seed", settings.seed) || !take(argc, argv, "--jobs", settings.jobs) ||
        !take(argc, argv, "--timeout", settings.timeout) ||
        !take(argc, argv, "--longest", settings.longest)) {
        fmt::print(
            stderr,
            "usage: {} [--random N] [--seed S] [--jobs J] [--timeout SECONDS] [--longest N]\n"
            "       [--only optimiser|hooks]\n",
            argv[0]);
        return 2;
    }
    for (int i = 1; i + 1 < argc; i += 2)
        if (argv[i] == std::string_view("--only")) settings.only = argv[i + 1];
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::vector<test::CorpusFilter> const all = filters();
    Report report;
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> workers;
    auto const begin = Clock::now();
    for (std::size_t i = 0; i < settings.jobs; ++i)
        workers.emplace_back([&] {
            for (std::size_t at = next++; at < all.size(); at = next++) prove(all[at], report);
        });
    for (std::thread& worker : workers) worker.join();
    std::vector<double>& times = report.milliseconds;
    if (times.empty()) return 1;
    std::sort(times.begin(), times.end());
    fmt::print(
        "{} filters, {} proofs, {} not proved; {} already equal as terms, {} in stretches; {} "
        "blocks "
        "that nothing reaches, as in their classic programs\n",
        all.size(), report.proofs, report.failures, report.by_terms, report.by_cuts, report.idle);
    fmt::print("{} proofs left out: headers at any place and more than {} classic instructions\n",
               report.left_out.load(), settings.longest);
    fmt::print("median {:.1f} ms, p99 {:.1f} ms, max {:.1f} ms; {:.1f} s in all\n",
               times[times.size() / 2], times[times.size() * 99 / 100], times.back(),
               std::chrono::duration<double>(Clock::now() - begin).count());
    return report.failures == 0 ? 0 : 1;
}
