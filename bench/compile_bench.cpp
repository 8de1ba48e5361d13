// How long it takes to compile an expression, beside libpcap's pcap_compile in the same process:
// the filters of a corpus, one benchmark each, then lists of 10 to 100,000 terms.
//
// Both sides take turns: text to an optimised program for Ethernet, with everything that was made
// for it freed.  Thread CPU time; the ratio is what counts, and its median over the corpus.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/core.h>
#include <pcap/pcap.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lists.h"
#include "frontend/compile.h"

namespace {

using namespace tamis;

constexpr std::uint32_t netmask = 0xffffff00, snaplen = 262144;

double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

bool compile(std::string const& text) {
    return frontend::compile(text, {.snaplen = snaplen, .netmask = netmask}).has_value();
}

// A filter that rejects everything is an error to libpcap; it takes its time all the same.
bool compile(pcap_t* handle, std::string const& text) {
    bpf_program program{};
    bool const good = pcap_compile(handle, &program, text.c_str(), 1, netmask) == 0;
    pcap_freecode(&program);
    return good || std::string_view(pcap_geterr(handle)).ends_with("rejects all packets");
}

struct Row {
    std::string text;
    double ratio = 0;  // 0: not measured
};

void filter(benchmark::State& state, Row& row, pcap_t* handle) {
    // Compilations between two looks at the clock, which takes its time, too.
    constexpr int turn = 8;
    double ours = 0, theirs = 0;
    bool good = true;
    for (auto _ : state) {
        double const begin = cpu_seconds();
        for (int i = 0; i < turn; ++i) good = compile(row.text) && good;
        double const middle = cpu_seconds();
        for (int i = 0; i < turn; ++i) good = compile(handle, row.text) && good;
        theirs += cpu_seconds() - middle;
        ours += middle - begin;
        state.SetIterationTime((middle - begin) / turn);
    }
    if (!good) return state.SkipWithError("one of both refuses it");
    row.ratio = ours / theirs;
    state.counters["libpcap_us"] = theirs * 1e6 / turn / static_cast<double>(state.iterations());
    state.counters["ratio"] = row.ratio;
}

// What pcap_compile takes, in a process of its own that is ended when it takes too long: 0 then.
double patient_seconds(pcap_t* handle, std::string const& text, unsigned patience) {
    int ends[2];
    if (pipe(ends) != 0) return 0;
    pid_t const child = fork();
    if (child == 0) {
        rlimit const limit{patience, patience};
        setrlimit(RLIMIT_CPU, &limit);
        double const begin = cpu_seconds();
        compile(handle, text);
        double const took = cpu_seconds() - begin;
        _exit(write(ends[1], &took, sizeof took) == sizeof took ? 0 : 1);
    }
    close(ends[1]);
    double took = 0;
    if (read(ends[0], &took, sizeof took) != sizeof took) took = 0;
    close(ends[0]);
    if (child > 0) waitpid(child, nullptr, 0);
    return took;
}

void list(benchmark::State& state, bench::List const& list, std::size_t terms, pcap_t* handle) {
    constexpr unsigned patience = 3;  // seconds
    std::string const text = bench::text_of(list, terms);
    double ours = 0;
    for (auto _ : state) {
        double const begin = cpu_seconds();
        if (!compile(text)) state.SkipWithError("is refused");
        ours += cpu_seconds() - begin;
        state.SetIterationTime(cpu_seconds() - begin);
    }
    // What took long for a part of the list takes longer for all of it.
    static std::string_view too_long;
    double const theirs = too_long == list.name ? 0 : patient_seconds(handle, text, patience);
    if (theirs == 0) too_long = list.name;
    if (theirs == 0) return state.SetLabel(fmt::format("libpcap: over {} s", patience));
    too_long = {};
    state.counters["libpcap_us"] = theirs * 1e6;
    state.counters["ratio"] = ours / static_cast<double>(state.iterations()) / theirs;
}

void print_summary(std::vector<Row> rows) {
    std::erase_if(rows, [](Row const& row) { return row.ratio == 0; });
    if (rows.empty()) return;
    std::sort(rows.begin(), rows.end(),
              [](Row const& a, Row const& b) { return a.ratio < b.ratio; });
    auto const over = [&](double most) {
        return std::count_if(rows.begin(), rows.end(),
                             [&](Row const& r) { return r.ratio > most; });
    };
    fmt::print("\n{} filters, time for libpcap's: median {:.2f}, above 1 {}, above 2 {}; most:\n",
               rows.size(), rows[rows.size() / 2].ratio, over(1), over(2));
    for (std::size_t i = rows.size(); i-- > rows.size() - std::min<std::size_t>(5, rows.size());)
        fmt::print("{:6.2f}  {}\n", rows[i].ratio, rows[i].text);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    std::unique_ptr<pcap_t, decltype(&pcap_close)> const handle(
        pcap_open_dead(DLT_EN10MB, static_cast<int>(snaplen)), pcap_close);
    std::vector<Row> rows;
    std::ifstream corpus(TAMIS_CORPUS);
    for (std::string line; std::getline(corpus, line);)
        if (!line.empty() && line[0] != '#') rows.push_back({line});
    for (Row& row : rows)
        if (compile(row.text) && compile(handle.get(), row.text))
            benchmark::RegisterBenchmark(row.text.c_str(), filter, std::ref(row), handle.get())
                ->UseManualTime()
                ->Unit(benchmark::kMicrosecond)
                ->MinTime(0.01);
    for (bench::List const& kind : bench::lists)
        for (std::size_t terms = 10; terms <= 100'000; terms *= 10)
            benchmark::RegisterBenchmark(fmt::format("{} {}", terms, kind.name).c_str(), list, kind,
                                         terms, handle.get())
                ->UseManualTime()
                ->Unit(benchmark::kMicrosecond)
                ->MinTime(0.01);
    benchmark::RunSpecifiedBenchmarks();
    print_summary(std::move(rows));
}
