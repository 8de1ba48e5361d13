// Long lists: how compile time, memory and program length grow with the number of terms.
//
//     list_bench [--most N]
//     list_bench --only LIST TERMS    compiles one list once: KiB that the process grows by at most
//     list_bench --text LIST TERMS    prints the list, for `tamis attach -F`
//
// For each kind of list and N = 10, 100, ... the best of several runs in CPU time, for the classic
// program and for an XDP object; libpcap's pcap_compile beside them as long as that should take
// less than two seconds; then the exponent of the growth between 1,000 and 100,000, and the memory
// per term.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <pcap/pcap.h>

#include "backend/object.h"
#include "bench/lists.h"
#include "bpf/cbpf_check.h"
#include "bpf/hooks.h"
#include "frontend/compile.h"
#include "translator/translate.h"

namespace {

using namespace tamis;
using bench::List, bench::lists, bench::text_of;

double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// What a process takes at most for compiling such a list, text not counted, in bytes.
double peak(std::string const& self, std::string_view list, std::size_t terms) {
    std::FILE* const child =
        popen(fmt::format("{} --only '{}' {}", self, list, terms).c_str(), "r");
    double kilobytes = 0;
    if (child == nullptr || std::fscanf(child, "%lf", &kilobytes) != 1) kilobytes = 0;
    if (child != nullptr) pclose(child);
    return kilobytes * 1024;
}

// What a line of the process's status says, in KiB.
long kilobytes(std::string_view name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name)) return std::atol(line.c_str() + name.size());
    return 0;
}

int compile_only(List const& list, std::size_t terms) {
    std::string const text = text_of(list, terms);
    frontend::compile(text_of(list, 1), {}).value();  // what is there once
    std::ofstream("/proc/self/clear_refs") << 5;      // the peak begins here
    long const before = kilobytes("VmRSS:");
    if (!frontend::compile(text, {})) return 1;
    fmt::print("{}\n", kilobytes("VmHWM:") - before);
    return 0;
}

int one_list(std::string_view what, std::string_view name, std::size_t terms) {
    for (List const& list : lists) {
        if (list.name != name) continue;
        if (what == "--only") return compile_only(list, terms);
        fmt::print("{}\n", text_of(list, terms));
        return 0;
    }
    fmt::print(stderr, "no list is called '{}'\n", name);
    return 1;
}

double libpcap_seconds(std::string const& text) {
    std::unique_ptr<pcap_t, decltype(&pcap_close)> const handle(pcap_open_dead(DLT_EN10MB, 262144),
                                                                pcap_close);
    bpf_program program{};
    double const begin = cpu_seconds();
    bool const good = pcap_compile(handle.get(), &program, text.c_str(), 1, 0) == 0;
    double const end = cpu_seconds();
    pcap_freecode(&program);
    return good ? end - begin : -1;
}

}  // namespace

int main(int argc, char** argv) {
    std::string_view const what = argc == 4 ? argv[1] : "";
    if (what == "--only" || what == "--text")
        return one_list(what, argv[2], std::strtoull(argv[3], nullptr, 10));
    std::size_t most = 100'000;
    for (int i = 1; i + 1 < argc; ++i)
        if (std::string_view(argv[i]) == "--most") most = std::strtoull(argv[i + 1], nullptr, 10);
    HookRow const& xdp = *find_hook("xdp");
    fmt::print("{:<11}{:>8}{:>11}{:>11}{:>11}{:>9}{:>6}{:>11}\n", "list", "terms", "classic ms",
               "object ms", "libpcap ms", "insns", "path", "bytes/term");
    for (List const& list : lists) {
        double theirs = 0, at_thousand = 0, last = 0;
        for (std::size_t terms = 10; terms <= most; terms *= 10) {
            std::string const text = text_of(list, terms);
            double classic = 1e9, object = 1e9;
            std::vector<cbpf::Insn> insns;
            for (int run = 0; run < (terms < 10'000 ? 10 : 3); ++run) {
                double const begin = cpu_seconds();
                auto const compiled = frontend::compile(text, {});
                double const middle = cpu_seconds();
                auto const translated = translator::translate(
                    compiled->program, {.hook = xdp.hook,
                                        .match = {find_action(xdp, xdp.match)},
                                        .no_match = {find_action(xdp, xdp.no_match)}});
                if (!translated) {
                    fmt::print("{}: {}\n", list.name, translated.error().message);
                    return 1;
                }
                auto const bytes = backend::object(*translated, xdp);
                double const end = cpu_seconds();
                if (!bytes) return 1;
                classic = std::min(classic, middle - begin);
                object = std::min(object, end - begin);
                insns = compiled->program.insns;
            }
            // Ten times the terms can take a thousand times as long.
            theirs = theirs >= 0 && theirs < 0.002 ? libpcap_seconds(text) : -1;
            if (terms == 1000) at_thousand = object;
            last = object;
            fmt::print("{:<11}{:>8}{:>11.2f}{:>11.2f}{:>11}{:>9}{:>6}{:>11.0f}\n", list.name, terms,
                       classic * 1e3, object * 1e3,
                       theirs < 0 ? "-" : fmt::format("{:.2f}", theirs * 1e3), insns.size(),
                       cbpf::longest_path(insns),
                       peak(argv[0], list.name, terms) / static_cast<double>(terms));
        }
        if (most >= 10'000)
            fmt::print("{:<11}exponent of the growth from 1000 on: {:.2f}\n", list.name,
                       std::log(last / at_thousand) / std::log(static_cast<double>(most) / 1000));
    }
    return 0;
}
