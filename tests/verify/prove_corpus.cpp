// Proves every filter of the repository, or random ones: that its translation is right at every
// hook, and that the optimiser has kept its meaning under both rules.
//
//     prove_corpus [--random N] [--seed S] [--jobs J] [--timeout SECONDS] [--forms N]
//                  [--only optimiser|hooks]
//
// With --random: N generated expressions instead of the repository's.  Every N-th filter, 8 by
// default, is proved in all forms that there are for a hook, the others in the usual one.  Times
// are of the processor, so that they mean the same on a machine that is busy.  Exit 1 when anything
// was refuted, or not decided; with --random, only when it was refuted: random filters multiply
// words of a packet, which the solver has no answer for in time.
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "tests/support/corpus.h"
#include "tests/support/random_expr.h"
#include "tests/support/translations.h"
#include "translator/translate.h"
#include "verify/prove.h"

namespace {

using namespace tamis;
using Clock = std::chrono::steady_clock;

struct Settings {
    std::size_t random = 0, jobs = 2, timeout = 120, forms = 8;
    std::uint64_t seed = 1;
    std::string_view only;
} settings;

// What a filter can be compiled to for a hook, beside the usual.
struct Form {
    std::string_view name;
    bool linear = false, no_perfmon = false, is_function = false;
};
constexpr Form forms[] = {
    {.name = ""},
    {.name = " --linear", .linear = true},
    {.name = " --no-perfmon", .no_perfmon = true},
    {.name = " --linear --no-perfmon", .linear = true, .no_perfmon = true},
    {.name = " --function", .is_function = true},
};

// What was seen; workers add to it.
struct Report {
    std::mutex mutex;
    std::vector<double> milliseconds;
    std::size_t proofs = 0, by_terms = 0, by_cuts = 0, refuted = 0, undecided = 0, idle = 0;
    std::array<std::atomic<std::size_t>, std::size(forms)> of_form{};

    void add(std::string const& what, verify::Proof const& proof, double took) {
        std::lock_guard const lock(mutex);
        milliseconds.push_back(took);
        ++proofs;
        if (proof.by_terms) ++by_terms;
        if (proof.by_cuts) ++by_cuts;
        idle += proof.idle.size();
        if (took > 3000) fmt::print("{:.0f} ms: {}\n", took, what);
        if (proof.outcome == verify::Outcome::proved) return;
        bool const is_refuted = proof.outcome == verify::Outcome::refuted;
        if (++(is_refuted ? refuted : undecided) > 10) return;  // of each
        fmt::print("{}: {}\n  {}\n", is_refuted ? "REFUTED" : "UNDECIDED", what, proof.reason);
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

    bool good() const { return refuted == 0 && (undecided == 0 || settings.random > 0); }
};

// Of this thread, in milliseconds.
double processor_time() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

template <class Prove>
void timed(std::string_view what, test::CorpusFilter const& filter, Report& report, Prove prove) {
    double const begin = processor_time();
    verify::Proof const proof = prove();
    report.add(fmt::format("{}: {}: '{}'", what, filter.name, filter.text.substr(0, 200)), proof,
               processor_time() - begin);
}

// A program, and what it was proved for: many hooks have the same.
struct Seen {
    ebpf::Program program;
    bool linear, is_function;
};

// The same filter, keeping one byte of a match: a function says that, too.  None where what is kept
// is computed.
std::optional<cbpf::Program> keeping_one_byte(cbpf::Program program) {
    for (cbpf::Insn& insn : program.insns) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        if (op.kind != cbpf::Kind::ret) continue;
        if (op.reads & cbpf::A) return std::nullopt;
        insn.k = std::min(insn.k, 1U);
    }
    return program;
}

void prove_form(cbpf::Program const& program, test::Translation translation, Form const& form,
                test::CorpusFilter const& filter, std::vector<Seen>& seen, Report& report,
                verify::ProveOptions const& options) {
    translator::Shape& shape = translation.options.shape;
    shape.linear = form.linear;
    shape.no_perfmon = form.no_perfmon;
    HookRow hook = row(translation.options.hook);
    auto const wanted = form.is_function ? keeping_one_byte(program) : program;
    if (!wanted) return;
    auto const translated = form.is_function
                                ? translator::translate_predicate(program, hook, shape, "filter")
                                : translator::translate(program, translation.options);
    if (!translated) return;  // metadata that the hook lacks
    hook.linear |= form.linear;
    auto const same = [&](Seen const& s) {
        return s.program.insns == translated->insns && s.linear == hook.linear &&
               s.is_function == form.is_function;
    };
    if (std::any_of(seen.begin(), seen.end(), same)) return;
    seen.push_back({*translated, hook.linear, form.is_function});
    ++report.of_form[static_cast<std::size_t>(&form - forms)];
    timed(fmt::format("{}{}", translation.name, form.name), filter, report, [&] {
        return form.is_function
                   ? verify::prove_filter(*wanted, *translated, hook, options)
                   : verify::prove_translation(program, *translated, translation.options, options);
    });
}

void prove_translations(cbpf::Program const& program, test::CorpusFilter const& filter,
                        bool all_forms, Report& report, verify::ProveOptions options) {
    std::vector<Seen> seen;
    verify::Shared shared;
    options.shared = &shared;
    for (Form const& form : forms)
        if (form.name.empty() || all_forms)
            for (test::Translation const& translation : test::translations())
                prove_form(program, translation, form, filter, seen, report, options);
}

// As the filter is, and as it is for packets whose VLAN tag lies beside them.
void prove_translations(test::CorpusFilter filter, bool all_forms, Report& report,
                        verify::ProveOptions const& options) {
    auto const program = test::program_of(filter);
    if (program) prove_translations(*program, filter, all_forms, report, options);
    if (filter.assembly) return;
    filter.options.context = frontend::Context::live;
    filter.name += ", live";
    auto const live = test::program_of(filter);
    if (live && !(program && program->insns == live->insns))
        prove_translations(*live, filter, all_forms, report, options);
}

void prove_optimisation(test::CorpusFilter filter, Report& report,
                        verify::ProveOptions const& options) {
    if (filter.assembly) return;
    auto const formula = frontend::formula(filter.text, filter.options);
    if (!formula) return;
    filter.options.optimise = false;
    auto const before = test::program_of(filter);
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

void prove(test::CorpusFilter const& filter, bool all_forms, Report& report) {
    verify::ProveOptions const options{.timeout = std::chrono::seconds(settings.timeout)};
    if (settings.only != "optimiser") prove_translations(filter, all_forms, report, options);
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
        !take(argc, argv, "--forms", settings.forms) || settings.forms == 0) {
        fmt::print(stderr,
                   "usage: {} [--random N] [--seed S] [--jobs J] [--timeout SECONDS]\n"
                   "       [--forms N] [--only optimiser|hooks]\n",
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
            for (std::size_t at = next++; at < all.size(); at = next++)
                prove(all[at], at % settings.forms == 0, report);
        });
    for (std::thread& worker : workers) worker.join();
    std::vector<double>& times = report.milliseconds;
    if (times.empty()) return 1;
    std::sort(times.begin(), times.end());
    fmt::print(
        "{} filters, {} proofs, {} refuted, {} undecided; {} already equal as terms, "
        "{} in stretches; {} blocks that nothing reaches, as in their classic programs\n",
        all.size(), report.proofs, report.refuted, report.undecided, report.by_terms,
        report.by_cuts, report.idle);
    fmt::print(
        "median {:.1f} ms, p99 {:.1f} ms, max {:.1f} ms; "
        "{:.1f} s of processors in all, {:.1f} s by the clock\n",
        times[times.size() / 2], times[times.size() * 99 / 100], times.back(),
        std::accumulate(times.begin(), times.end(), 0.0) / 1e3,
        std::chrono::duration<double>(Clock::now() - begin).count());
    if (settings.only == "optimiser") return report.good() ? 0 : 1;
    // A form that everything was refused for would be no proof, and nobody would see it.
    bool complete = true;
    for (std::size_t i = 0; i < std::size(forms); ++i) {
        fmt::print("{}{} {}", i == 0 ? "usual" : ",", forms[i].name, report.of_form[i].load());
        complete = complete && (report.of_form[i] > 0 || settings.random > 0);
    }
    fmt::print("\n");
    return report.good() && complete ? 0 : 1;
}
