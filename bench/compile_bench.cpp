// How long it takes to compile an expression, beside libpcap's pcap_compile in the same process:
// both sides take turns, thread CPU time, the ratio is what counts.
#include <cstdlib>
#include <ctime>
#include <memory>

#include <benchmark/benchmark.h>
#include <pcap/pcap.h>

#include "frontend/compile.h"

namespace {

constexpr char const* expressions[] = {
    "ip",
    "tcp port 80",
    "host 10.0.0.1",
    "net 192.168.0.0/16",
    "udp portrange 1000-2000",
    "port 53 or port 80 or port 443",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "ip6 host 2001:db8::1",
    "tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
    "host 10.0.0.1 and (port 53 or port 80 or port 443) and not host 10.0.0.2",
};

double cpu_microseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

void compile_beside_libpcap(benchmark::State& state) {
    char const* text = expressions[state.range(0)];
    std::unique_ptr<pcap_t, decltype(&pcap_close)> const handle(pcap_open_dead(DLT_EN10MB, 262144),
                                                                pcap_close);
    double ours = 0, theirs = 0;
    for (auto _ : state) {
        double const start = cpu_microseconds();
        auto compiled = tamis::frontend::compile(text, {});
        double const middle = cpu_microseconds();
        bpf_program program{};
        bool const good = pcap_compile(handle.get(), &program, text, 1, PCAP_NETMASK_UNKNOWN) == 0;
        double const end = cpu_microseconds();
        pcap_freecode(&program);
        if (!compiled || !good) {
            state.SkipWithError("does not compile");
            break;
        }
        ours += middle - start;
        theirs += end - middle;
        state.SetIterationTime((middle - start) / 1e6);
    }
    auto const runs = static_cast<double>(state.iterations());
    state.counters["tamis_us"] = ours / runs;
    state.counters["libpcap_us"] = theirs / runs;
    state.counters["ratio"] = ours / theirs;
    state.SetLabel(text);
}
BENCHMARK(compile_beside_libpcap)->DenseRange(0, std::size(expressions) - 1)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
