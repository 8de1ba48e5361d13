// The language beside libpcap's: random filters of every link type, compared with what libpcap
// makes of them without its optimiser.
//
//     language [--expressions N] [--seed S] [--link-type NAME]... [--file FILE] [--jobs N]
//              [--optimise]
//
// A file has a filter a line, for each of the link types.
//
// Both must refuse the same filters, and give the same verdict on each packet: on packets solved
// for the tests of either program, their neighbours in one field, cut ones, and captured ones
// (TAMIS_CAPTURES names a folder of captures).  What a row of the oracle's table sets aside is
// counted.  Prints a line per link type and one per row; the exit code is 1 at a difference, or
// when too few filters saw both verdicts or too many comparisons were set aside.
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "bpf/cbpf_text.h"
#include "frontend/compile.h"
#include "tests/differential/language_oracle.h"
#include "tests/support/random_expr.h"
#include "tests/support/steer.h"

namespace tamis::test {
namespace {

constexpr double least_both = 90, most_unknown = 20, most_versions = 2;  // per cent

struct Settings {
    std::size_t expressions = 20000;
    std::uint64_t seed = 1;
    unsigned jobs = 2;
    bool optimise = false;
    std::string file;
    std::vector<int> link_types;
};

// What was seen of one link type.
struct Tally {
    std::size_t filters = 0, refused = 0, compared = 0, both = 0;
    std::size_t comparisons = 0, unknown = 0, versions = 0;
    std::vector<std::size_t> filters_of, packets_of;  // by row of differences()

    Tally() : filters_of(differences().size()), packets_of(differences().size()) {}
    void operator+=(Tally const& other) {
        filters += other.filters;
        refused += other.refused;
        compared += other.compared;
        both += other.both;
        comparisons += other.comparisons;
        unknown += other.unknown;
        versions += other.versions;
        for (std::size_t i = 0; i < filters_of.size(); ++i) {
            filters_of[i] += other.filters_of[i];
            packets_of[i] += other.packets_of[i];
        }
    }
};

// One filter of one link type, compiled by both.
class Comparison {
  public:
    Comparison(Oracle& oracle, int link_type, Settings const& settings,
               std::vector<Probe> const& captured, Tally& tally)
        : oracle_(oracle),
          link_type_(link_type),
          settings_(settings),
          captured_(captured),
          tally_(tally) {}

    // What is different, as a text to print; empty when nothing is, or a row knows of it.
    std::string run(std::string const& text, bool with_rows = true);

  private:
    std::string refusals(std::string const& text, Result<frontend::Compiled> const& ours,
                         std::optional<cbpf::Program> const& theirs);
    std::string packets(Text const& seen);
    std::string packet(Text const& seen, Probe const& probe);

    Oracle& oracle_;
    int link_type_;
    Settings const& settings_;
    std::vector<Probe> const& captured_;
    Tally& tally_;
    cbpf::Program ours_, theirs_;
    std::optional<Interpreted> run_ours_, run_theirs_;
    std::vector<std::size_t> rows_;  // of differences(), those that the text is concerned of
    bool matched_ = false, missed_ = false;
};

std::string hex(std::vector<std::uint8_t> const& bytes) {
    std::string out;
    for (std::uint8_t const byte : bytes) out += fmt::format("{:02x}", byte);
    return out;
}

std::string Comparison::run(std::string const& text, bool with_rows) {
    ++tally_.filters;
    auto tokens = frontend::lex(text);
    if (tokens) tokens->pop_back();  // the end
    Text const seen{text, tokens ? *tokens : std::span<frontend::Token const>{}, link_type_};
    std::vector<Edit> edits, of_both;
    rows_.clear();
    for (std::size_t row = 0; with_rows && row < differences().size(); ++row) {
        Difference const& difference = differences()[row];
        bool const both = difference.effect == Effect::both_reworded;
        if (difference.applies(seen, both ? of_both : edits)) rows_.push_back(row);
    }
    edits.insert(edits.end(), of_both.begin(), of_both.end());

    auto ours = frontend::compile(
        edited(text, of_both),
        {.link_type = link_type_, .netmask = oracle_netmask, .optimise = settings_.optimise});
    auto theirs = oracle_.compile(edited(text, edits));
    if (!ours || !theirs) return refusals(text, ours, theirs);
    ours_ = std::move(ours->program);
    theirs_ = std::move(*theirs);
    return packets(seen);
}

// Both refuse, or a row says who does not.
std::string Comparison::refusals(std::string const& text, Result<frontend::Compiled> const& ours,
                                 std::optional<cbpf::Program> const& theirs) {
    if (!ours && !theirs) {
        ++tally_.refused;
        return "";
    }
    Effect const effect = ours ? Effect::refused_there : Effect::refused_here;
    for (std::size_t const row : rows_) {
        if (differences()[row].effect != effect) continue;
        ++tally_.filters_of[row];
        return "";
    }
    return ours ? fmt::format("libpcap refuses it: {}\n", oracle_.why())
                : fmt::format("libpcap accepts it:\n{}", render(ours.error(), {"filter", text}));
}

// Solved for either program, their neighbours, and captured ones.
std::string Comparison::packets(Text const& seen) {
    run_ours_.emplace(ours_);
    run_theirs_.emplace(theirs_);
    if (!run_ours_->valid()) return "bpf_validate refuses our program\n" + cbpf::listing(ours_);
    ++tally_.compared;
    for (std::size_t const row : rows_) {
        Effect const effect = differences()[row].effect;
        bool const refuses = effect == Effect::refused_here || effect == Effect::refused_there;
        if (!refuses) ++tally_.filters_of[row];
    }
    matched_ = missed_ = false;

    std::mt19937_64 random(settings_.seed * 31 + std::hash<std::string_view>{}(seen.text));
    for (cbpf::Program const* const program : {&ours_, &theirs_}) {
        Steering steering(*program, random);
        for (int i = 0; i < 6; ++i) {
            bool const match = i % 2 == 0;
            unsigned const attempts = (match ? matched_ : missed_) ? 2 : 40;
            auto const found = steering.packet(match, attempts);
            if (!found) continue;
            if (std::string wrong = packet(seen, *found); !wrong.empty()) return wrong;
            for (Probe const& near : steering.neighbours(*found, 4, 3))
                if (std::string wrong = packet(seen, near); !wrong.empty()) return wrong;
        }
    }
    for (std::size_t i = 0; i < 12 && !captured_.empty(); ++i) {
        Probe const& probe = captured_[random() % captured_.size()];
        if (std::string wrong = packet(seen, probe); !wrong.empty()) return wrong;
    }
    tally_.both += matched_ && missed_ ? 1 : 0;
    return "";
}

std::string Comparison::packet(Text const& seen, Probe const& probe) {
    ++tally_.comparisons;
    for (std::size_t const row : rows_) {
        Difference const& difference = differences()[row];
        if (difference.effect != Effect::some_packets ||
            !difference.sets_aside(seen, ours_, theirs_, probe))
            continue;
        ++tally_.packets_of[row];
        ++tally_.versions;
        return "";
    }
    bool const theirs = run_theirs_->matches(probe), ours = run_ours_->matches(probe);
    // A packet that is too short is no evidence that the filter can say no.
    if (theirs) matched_ = true;
    if (!theirs && !missed_) missed_ = run_to_end(theirs_, probe) == End::miss;
    // Where a load leaves the packet, the optimiser may do better than reject.
    if (settings_.optimise && ours && !theirs && run_to_end(theirs_, probe) == End::out_of_bounds) {
        ++tally_.unknown;
        return "";
    }
    if (ours == theirs) return "";
    return fmt::format(
        "libpcap {}, tamis {} on {} bytes of {}: {}\nlibpcap's program:\n{}ours:\n{}",
        theirs ? "matches" : "rejects", ours ? "matches" : "rejects", probe.bytes.size(),
        probe.wire, hex(probe.bytes), cbpf::listing(theirs_), cbpf::listing(ours_));
}

// ----------------------------------------------------------------------------------------
// shrinking

std::vector<std::string> words_of(std::string const& text) {
    auto const tokens = frontend::lex(text);
    std::vector<std::string> words;
    if (tokens)
        for (frontend::Token const& token : *tokens)
            if (token.kind != frontend::Kind::end)
                words.push_back(text.substr(token.span.begin, token.span.end - token.span.begin));
    return words;
}

std::string joined(std::vector<std::string> const& words) {
    return fmt::format("{}", fmt::join(words, " "));
}

// The filter without words that the difference does not need: runs of them, long ones first.
std::string shrink(std::string const& text, auto const& differs) {
    std::vector<std::string> words = words_of(text);
    if (words.empty() || !differs(joined(words))) return text;
    for (std::size_t run = words.size() / 2 + 1; run > 0; --run) {
        for (std::size_t at = 0; at + run <= words.size();) {
            std::vector<std::string> fewer = words;
            auto const from = fewer.begin() + static_cast<std::ptrdiff_t>(at);
            fewer.erase(from, from + static_cast<std::ptrdiff_t>(run));
            if (!fewer.empty() && differs(joined(fewer)))
                words = std::move(fewer);
            else
                ++at;
        }
    }
    // Parentheses go together.
    for (std::size_t open = 0; open < words.size(); ++open)
        for (std::size_t close = open + 1; close < words.size() && words[open] == "("; ++close) {
            std::vector<std::string> fewer = words;
            fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(close));
            fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(open));
            if (words[close] == ")" && differs(joined(fewer))) words = std::move(fewer);
        }
    return joined(words);
}

// ---------------------------------------------------------------------------------------- a whole
// run

// A share of a link type's filters: its own seed, so that the result does not hang on the jobs.
struct Share {
    int link_type;
    std::size_t number, count;
};
constexpr std::size_t share_size = 250;

class Run {
  public:
    explicit Run(Settings const& settings);
    int go();

  private:
    bool rows_are_true();
    void work();
    void share(Share const& share);
    void compare(Oracle& oracle, int link_type, std::string const& text, Tally& tally);
    bool print(double seconds) const;

    Settings settings_;
    std::map<int, std::vector<Probe>> captured_;
    std::vector<std::string> listed_;
    std::vector<Share> shares_;
    std::atomic<std::size_t> next_ = 0;
    std::mutex mutex_;
    std::map<int, Tally> tallies_;
    std::size_t different_ = 0;
};

Run::Run(Settings const& settings) : settings_(settings) {
    char const* const named = std::getenv("TAMIS_CAPTURES");
    captured_ = captured(named != nullptr ? named : TAMIS_SOURCE_ROOT "/examples", 200);
    if (settings_.link_types.empty())
        settings_.link_types.assign(drawn_link_types().begin(), drawn_link_types().end());
    if (!settings_.file.empty()) {
        std::ifstream file(settings_.file);
        for (std::string line; std::getline(file, line);)
            if (!line.empty() && line[0] != '#') listed_.push_back(line);
        settings_.expressions = listed_.size() * settings_.link_types.size();
    }
    std::size_t const kinds = settings_.link_types.size();
    std::size_t const each = (settings_.expressions + kinds - 1) / kinds;
    for (std::size_t at = 0; at < each; at += share_size)
        for (int const link_type : settings_.link_types)
            shares_.push_back({link_type, at / share_size, std::min(share_size, each - at)});
}

void Run::compare(Oracle& oracle, int link_type, std::string const& text, Tally& tally) {
    static std::vector<Probe> const none;
    auto const found = captured_.find(link_type);
    auto const& captured = found == captured_.end() ? none : found->second;
    std::string wrong = Comparison(oracle, link_type, settings_, captured, tally).run(text);
    if (wrong.empty()) return;
    auto const differs = [&](std::string const& shorter) {
        Tally ignored;
        return !Comparison(oracle, link_type, settings_, captured, ignored).run(shorter).empty();
    };
    std::lock_guard const lock(mutex_);
    if (++different_ > 5) return;
    std::string const shorter = shrink(text, differs);
    Tally ignored;
    if (shorter != text)
        wrong = Comparison(oracle, link_type, settings_, captured, ignored).run(shorter);
    fmt::print("{}: {}\n  shorter: {}\n{}\n", find_link_type(link_type)->name, text, shorter,
               wrong);
}

void Run::share(Share const& share) {
    Oracle oracle(share.link_type);
    RandomExpressions expressions(settings_.seed * 1000003 +
                                      static_cast<std::uint64_t>(share.link_type) * 10007 +
                                      share.number,
                                  share.link_type);
    Tally tally;
    for (std::size_t i = 0; i < share.count; ++i)
        compare(oracle, share.link_type,
                listed_.empty() ? expressions.next() : listed_[share.number * share_size + i],
                tally);
    std::lock_guard const lock(mutex_);
    tallies_[share.link_type] += tally;
}

// Each row's example differs, with the packets of some seed, and the row knows of it.
bool Run::rows_are_true() {
    bool all = true;
    for (Difference const& row : differences()) {
        if (row.example.empty()) continue;
        Oracle oracle(row.link_type);
        Tally ignored;
        std::vector<Probe> const none;
        std::string const example(row.example);
        bool differs = false, known = true;
        Settings settings = settings_;
        for (settings.seed = 1; settings.seed <= 100 && !differs; ++settings.seed) {
            Comparison comparison(oracle, row.link_type, settings, none, ignored);
            differs = !comparison.run(example, false).empty();
            known = known && comparison.run(example).empty();
        }
        if (differs && known) continue;
        fmt::print("the row '{}' is not true of '{}'\n", row.name, example);
        all = false;
    }
    return all;
}

void Run::work() {
    for (std::size_t at = next_++; at < shares_.size(); at = next_++) share(shares_[at]);
}

double share_of(std::size_t part, std::size_t whole) {
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

// False when a share is not what it should be.
bool Run::print(double seconds) const {
    bool good = different_ == 0;
    fmt::print("{:<24} {:>8} {:>8} {:>8} {:>12} {:>7} {:>9} {:>10}\n", "link type", "filters",
               "refused", "one-sided", "comparisons", "both %", "unknown %", "versions %");
    Tally all;
    bool const judged = listed_.empty();  // what is listed was not drawn for its link type
    auto const line = [judged](std::string_view name, Tally const& tally) {
        std::size_t const one_sided = tally.filters - tally.refused - tally.compared;
        // A filter that cannot be compared counts as much as an average one.
        double const versions = share_of(one_sided, tally.compared + one_sided) +
                                share_of(tally.versions, tally.comparisons);
        double const both = share_of(tally.both, tally.compared);
        double const unknown = share_of(tally.unknown, tally.comparisons);
        bool const enough =
            !judged || (both >= least_both && unknown <= most_unknown && versions <= most_versions);
        fmt::print("{:<24} {:>8} {:>8} {:>8} {:>12} {:>7.1f} {:>9.2f} {:>10.2f}{}\n", name,
                   tally.filters, tally.refused, one_sided, tally.comparisons, both, unknown,
                   versions, enough ? "" : "  not enough");
        return enough;
    };
    for (int const link_type : settings_.link_types) {
        Tally const& tally = tallies_.at(link_type);
        good &= line(find_link_type(link_type)->name, tally);
        all += tally;
    }
    good &= line("all", all);
    static constexpr std::string_view effects[] = {"reworded for libpcap", "reworded for both",
                                                   "refused by us alone",
                                                   "refused by libpcap alone", "packets set aside"};
    for (std::size_t i = 0; i < differences().size(); ++i)
        fmt::print("{}: {} filters, {} ({}){}\n", differences()[i].name, all.filters_of[i],
                   effects[static_cast<std::size_t>(differences()[i].effect)],
                   differences()[i].source,
                   all.packets_of[i] == 0 ? "" : fmt::format(", {} packets", all.packets_of[i]));
    fmt::print("seed {}, {:.1f} s with {} jobs; {} differences\n", settings_.seed, seconds,
               settings_.jobs, different_);
    return good;
}

int Run::go() {
    auto const start = std::chrono::steady_clock::now();
    if (!settings_.optimise && !rows_are_true()) ++different_;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < settings_.jobs; ++i) threads.emplace_back([this] { work(); });
    for (std::thread& thread : threads) thread.join();
    std::chrono::duration<double> const taken = std::chrono::steady_clock::now() - start;
    return print(taken.count()) ? 0 : 1;
}

// ---------------------------------------------------------------------------------- command line

bool number(char const* text, auto& value) {
    std::string_view const all = text;
    auto const [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
    return error == std::errc{} && end == all.data() + all.size();
}

bool parse(int argc, char** argv, Settings& settings) {
    for (int i = 1; i < argc; ++i) {
        std::string_view const name = argv[i];
        if (name == "--optimise") {
            settings.optimise = true;
            continue;
        }
        if (++i == argc) return false;
        LinkType const* link_type = nullptr;
        if (name == "--file")
            settings.file = argv[i];
        else if (name == "--link-type" && (link_type = find_link_type(argv[i])) != nullptr)
            settings.link_types.push_back(link_type->number);
        else if (!(name == "--expressions" && number(argv[i], settings.expressions)) &&
                 !(name == "--seed" && number(argv[i], settings.seed)) &&
                 !(name == "--jobs" && number(argv[i], settings.jobs) && settings.jobs > 0))
            return false;
    }
    return true;
}

}  // namespace
}  // namespace tamis::test

int main(int argc, char** argv) {
    tamis::test::Settings settings;
    if (!tamis::test::parse(argc, argv, settings)) {
        fmt::print(
            stderr,
            "usage: {} [--expressions N] [--seed S] [--link-type NAME]... [--file FILE] [--jobs N] "
            "[--optimise]\n",
            argv[0]);
        return 2;
    }
    return tamis::test::Run(settings).go();
}
