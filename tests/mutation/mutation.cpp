// Whether the prover and the verifier notice the faults of mutants.txt.
//
//     mutation [--fault N] [--jobs J] [--timeout SECONDS]
//
// Each fault is switched on alone, while the repository's filters are translated for every hook, or
// optimised.  It is killed when the prover finds a packet on which a program is wrong, or code that
// no packet reaches, or when the kernel's verifier refuses a program.  What one question refutes
// must not be proved in stretches, nor as an object.  Exit 1 when it is, when a fault survives that
// mutants.txt does not call equivalent, or when one is killed that it does.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "backend/object.h"
#include "runtime/kernel.h"
#include "tests/mutation/planted.h"
#include "tests/support/corpus.h"
#include "tests/support/translations.h"
#include "translator/translate.h"
#include "verify/cut_points.h"
#include "verify/prove.h"

namespace tamis {

thread_local int planted = 0;

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
    std::size_t fault = 0, jobs = 2, timeout = 10;
} settings;

constexpr std::size_t max_proofs = 400;  // of one fault
constexpr std::size_t max_loads = 40;

// A filter as it is without faults.
struct Subject {
    test::CorpusFilter filter;
    cbpf::Program program;
    std::optional<frontend::Formula> formula;                // of an expression
    std::vector<std::optional<ebpf::Program>> translated{};  // one for each translation
    cbpf::Program unoptimised{}, optimised{};
};

struct Planted {
    explicit Planted(int number) { planted = number; }
    Planted(Planted const&) = delete;
    Planted& operator=(Planted const&) = delete;
    ~Planted() { planted = 0; }
};

std::optional<ebpf::Program> translate(cbpf::Program const& program,
                                       test::Translation const& wanted) {
    auto translated = translator::translate(program, wanted.options);
    if (!translated) return std::nullopt;
    return std::move(*translated);
}

std::optional<cbpf::Program> compile(test::CorpusFilter const& filter, bool optimise) {
    frontend::Options options = filter.options;
    options.optimise = optimise;
    auto compiled = frontend::compile(filter.text, options);
    if (!compiled) return std::nullopt;
    return std::move(compiled->program);
}

bool same(cbpf::Program const& a, cbpf::Program const& b) {
    return std::equal(a.insns.begin(), a.insns.end(), b.insns.begin(), b.insns.end(),
                      [](cbpf::Insn const& x, cbpf::Insn const& y) {
                          return x.code == y.code && x.jt == y.jt && x.jf == y.jf && x.k == y.k;
                      });
}

void add(std::vector<Subject>& out, test::CorpusFilter const& filter,
         cbpf::Program const& program) {
    if (program.insns.size() > 150) return;
    Subject subject{filter, program, std::nullopt};
    for (test::Translation const& wanted : test::translations())
        subject.translated.push_back(translate(program, wanted));
    if (!filter.assembly) {
        auto const formula = frontend::formula(filter.text, filter.options);
        if (formula) subject.formula = *formula;
        subject.unoptimised = compile(filter, false).value_or(cbpf::Program{});
        subject.optimised = compile(filter, true).value_or(cbpf::Program{});
    }
    out.push_back(std::move(subject));
}

// As each filter is, and as it is for packets whose VLAN tag lies beside them.
std::vector<Subject> subjects() {
    auto const corpus = test::corpus(TAMIS_SOURCE_ROOT);
    if (!corpus) {
        fmt::print(stderr, "{}\n", corpus.error());
        std::exit(2);
    }
    std::vector<Subject> out;
    for (test::CorpusFilter const& filter : *corpus) {
        auto const program = test::program_of(filter);
        if (program) add(out, filter, *program);
        if (filter.assembly) continue;
        test::CorpusFilter live = filter;
        live.options.context = frontend::Context::live;
        auto const other = test::program_of(live);
        if (other && !(program && same(*program, *other))) add(out, live, *other);
    }
    // The quickest to prove come first.
    std::stable_sort(out.begin(), out.end(), [](Subject const& a, Subject const& b) {
        return a.program.insns.size() < b.program.insns.size();
    });
    return out;
}

// What became of a fault.
struct Fate {
    std::string killer;  // "prover" or "verifier"; empty: survived
    std::string where;
    std::string missed;  // what else should have found it
    std::size_t changed = 0, proofs = 0, undecided = 0, loads = 0;
};

bool refused_by_verifier(ebpf::Program const& program, HookRow const& hook) {
    auto const object = backend::object(program, hook);
    return object && !runtime::LoadedProgram::load(*object, hook);
}

// True when the fault is dead.
bool judge(Fate& fate, verify::Proof const& proof, std::string const& where) {
    ++fate.proofs;
    // What the model has no meaning for, such as memory that nobody wrote, is not proved at any
    // time.
    bool const meaningless =
        proof.outcome == verify::Outcome::undecided && !proof.reason.starts_with("not decided");
    if (proof.outcome == verify::Outcome::undecided) ++fate.undecided;
    if (proof.outcome != verify::Outcome::refuted && !meaningless) return false;
    fate.killer = "prover";
    fate.where = meaningless ? where + ": " + proof.reason : where;
    return true;
}

// A filter that is refuted is not proved in stretches either, nor as the object that it would be if
// somebody else had compiled it.
std::string missed(int number, Subject const& subject, translator::Options const& translation) {
    HookRow const& hook = row(translation.hook);
    std::optional<ebpf::Program> faulty;
    {
        Planted const on(number);
        auto filter = translator::translate_filter(subject.program, hook, translation.shape);
        if (filter) faulty = std::move(*filter);
    }
    verify::ProveOptions const options{.timeout = std::chrono::seconds(settings.timeout),
                                       .blocks = false};
    if (!faulty || verify::prove_filter(subject.program, *faulty, hook, options).outcome !=
                       verify::Outcome::refuted)
        return "";
    if (!verify::prove_by_cuts(subject.program, *faulty, hook, nullptr, options))
        return "proved in stretches";
    auto const object =
        verify::prove_object(subject.program, *faulty, hook, {{}, {0}}, nullptr, false, options);
    return object.outcome == verify::Outcome::proved ? "proved as an object" : "";
}

bool hunt_translation(Fate& fate, int number, Subject const& subject, bool may_load) {
    std::vector<test::Translation> const all = test::translations();
    for (std::size_t i = 0; i < all.size(); ++i) {
        HookRow const& hook = row(all[i].options.hook);
        std::optional<ebpf::Program> faulty;
        {
            Planted const on(number);
            faulty = translate(subject.program, all[i]);
        }
        auto const& right = subject.translated[i];
        if (!faulty || !right || faulty->insns == right->insns) continue;
        ++fate.changed;
        std::string const where = fmt::format("{}: '{}'", all[i].name, subject.filter.text);
        if (fate.proofs < max_proofs &&
            judge(fate,
                  verify::prove_translation(subject.program, *faulty, all[i].options,
                                            {.timeout = std::chrono::seconds(settings.timeout)}),
                  where)) {
            fate.missed = missed(number, subject, all[i].options);
            return true;
        }
        if (may_load && fate.loads < max_loads) {
            ++fate.loads;
            if (refused_by_verifier(*faulty, hook) && !refused_by_verifier(*right, hook)) {
                fate.killer = "verifier";
                fate.where = where;
                return true;
            }
        }
    }
    return false;
}

bool hunt_optimiser(Fate& fate, int number, Subject const& subject) {
    if (!subject.formula) return false;
    std::optional<cbpf::Program> faulty;
    {
        Planted const on(number);
        faulty = compile(subject.filter, true);
    }
    if (!faulty || same(*faulty, subject.optimised) || fate.proofs >= max_proofs) return false;
    ++fate.changed;
    for (runtime::Rules const rules : {runtime::Rules::libpcap, runtime::Rules::kernel})
        if (judge(fate,
                  verify::prove_optimisation(*subject.formula, subject.filter.options.snaplen,
                                             subject.unoptimised, *faulty, rules,
                                             {.timeout = std::chrono::seconds(settings.timeout)}),
                  fmt::format("'{}'", subject.filter.text)))
            return true;
    return false;
}

Fate hunt(std::size_t index, std::vector<Subject> const& all, bool may_load) {
    Fate fate;
    int const number = static_cast<int>(index) + 1;
    bool const of_translator = faults()[index].file.starts_with("translator/");
    for (Subject const& subject : all)
        if (of_translator ? hunt_translation(fate, number, subject, may_load)
                          : hunt_optimiser(fate, number, subject))
            break;
    return fate;
}

bool take(int argc, char** argv, std::string_view name, std::size_t& value) {
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string_view const text = argv[i + 1];
        if (argv[i] == name)
            return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc{};
    }
    return true;
}

int run() {
    std::vector<Subject> const all = subjects();
    bool const may_load = geteuid() == 0;
    std::atomic<std::size_t> next = 0;
    std::mutex mutex;
    std::size_t by_prover = 0, by_verifier = 0, equivalent = 0, wrong = 0, tried = 0;
    auto const work = [&] {
        for (std::size_t i = next++; i < faults().size(); i = next++) {
            if (settings.fault != 0 && settings.fault != i + 1) continue;
            auto const begin = Clock::now();
            Fate const fate = hunt(i, all, may_load);
            double const took = std::chrono::duration<double>(Clock::now() - begin).count();
            std::lock_guard const lock(mutex);
            ++tried;
            PlantedFault const& fault = faults()[i];
            std::string verdict = "killed by the " + fate.killer;
            if (fate.killer == "prover") ++by_prover;
            if (fate.killer == "verifier") ++by_verifier;
            if (!fate.killer.empty() && !fault.equivalent.empty())
                verdict += ", though said to be equivalent", ++wrong;
            if (fate.killer.empty() && !fault.equivalent.empty())
                verdict = fmt::format("equivalent: {}", fault.equivalent), ++equivalent;
            if (fate.killer.empty() && fault.equivalent.empty()) verdict = "SURVIVED", ++wrong;
            if (!fate.missed.empty()) verdict += ", but " + fate.missed, ++wrong;
            fmt::print(
                "{:3} {}: {}: {}; {} programs changed, {} proofs ({} undecided), {} loads, "
                "{:.1f} s{}\n",
                i + 1, fault.file, fault.name, verdict, fate.changed, fate.proofs, fate.undecided,
                fate.loads, took, fate.where.empty() ? "" : "\n      " + fate.where.substr(0, 150));
            std::fflush(stdout);
        }
    };
    std::vector<std::thread> workers;
    for (std::size_t i = 0; i < settings.jobs; ++i) workers.emplace_back(work);
    for (std::thread& worker : workers) worker.join();
    fmt::print(
        "{} faults: {} killed by the prover, {} by the verifier, {} equivalent, {} wrong; "
        "score {:.0f} %{}\n",
        tried, by_prover, by_verifier, equivalent, wrong,
        100.0 * double(by_prover + by_verifier) /
            double(std::max<std::size_t>(1, tried - equivalent)),
        may_load ? "" : "; the verifier was not asked: that needs root");
    return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tamis

int main(int argc, char** argv) {
    using namespace tamis;
    if (argc % 2 == 0 || !take(argc, argv, "--fault", settings.fault) ||
        !take(argc, argv, "--jobs", settings.jobs) ||
        !take(argc, argv, "--timeout", settings.timeout)) {
        fmt::print(stderr, "usage: {} [--fault N] [--jobs J] [--timeout SECONDS]\n", argv[0]);
        return 2;
    }
    return run();
}
