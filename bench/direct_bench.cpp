// The direct form beside careful C, both compiled from the same filters (bench/rivals):
// instructions in the program, instructions executed, and time.
//
// Time is that of BPF_PROG_TEST_RUN over 8,192 different packets (packet_loop.h): one repeated
// packet would be predicted perfectly by every branch, and every program would cost the same.
// "Mixed" takes a new packet each time, "trains" takes each eight times.  "Net" is what is left
// when the time of an empty filter is taken away.
//
// Where a program lies matters as much as a few instructions.  So ours, the rival and the empty
// filter are loaded many times, in random order, each behind padding of a random size.  After each
// load they take several turns, again in random order and on one CPU.  The best turn of each is
// taken, since whatever else the machine does only adds time; nothing else is left out.  A ratio is
// that of the sums over all loads.  Its interval (95 %, by bootstrap over loads) tells how far it
// might be another one with other loads: where 1 lies within, nothing is shown.
//
// The socket form is counted in three ways (tests/support/executed.h).  Its loads are calls, so
// only the third tells what is executed.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <span>
#include <string_view>

#include <fmt/core.h>
#include <sched.h>

#include "bench/packet_loop.h"
#include "bpf/builder.h"
#include "frontend/compile.h"
#include "tests/support/executed.h"
#include "tests/support/rivals.h"
#include "tests/support/traffic.h"
#include "translator/translate.h"

namespace tamis {
namespace {

using bench::die;

constexpr std::size_t packet_count = 8192;
constexpr int loads = 48, turns = 5, resamples = 2000;

// Nanoseconds of a packet at each load.
struct Times {
    std::vector<double> ours, theirs, empty;
};

struct Ratio {
    double ours = 0, theirs = 0;  // means
    double low = 0, high = 0;     // of their ratio
    double value() const { return ours / theirs; }
};

double quantile(std::vector<double> values, double q) {
    auto const at = values.begin() +
                    static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1) + 0.5);
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

Times measure(bench::PacketLoop const& loop, std::array<std::span<ebpf::Insn const>, 3> filters,
              unsigned train_shift, std::mt19937& random) {
    std::array<std::vector<double>, 3> best;
    std::array<std::size_t, 3> order = {0, 1, 2};
    for (int load = 0; load < loads; ++load) {
        std::vector<test::Loaded> loaded;
        std::array<int, 3> programs{};
        std::ranges::shuffle(order, random);
        for (std::size_t const which : order) {
            loaded.push_back(bench::load_padding(random() % 256));
            loaded.push_back(loop.load(filters[which], train_shift));
            programs[which] = loaded.back().fd;
            best[which].push_back(std::numeric_limits<double>::infinity());
        }
        for (int turn = 0; turn < turns; ++turn) {
            std::ranges::shuffle(order, random);
            auto const number = static_cast<std::uint32_t>(random());
            for (std::size_t const which : order)
                best[which].back() =
                    std::min(best[which].back(), loop.time(programs[which], number));
        }
    }
    return {best[0], best[1], best[2]};
}

// Of both sides less what is in `less`.
Ratio compare(std::vector<double> const& ours, std::vector<double> const& theirs,
              std::vector<double> const& less, std::mt19937& random) {
    auto const means = [&](auto const& pick) {
        double mine = 0, other = 0;
        for (std::size_t i = 0; i < less.size(); ++i) {
            std::size_t const load = pick(i);
            mine += ours[load] - less[load];
            other += theirs[load] - less[load];
        }
        double const n = static_cast<double>(less.size());
        return Ratio{mine / n, other / n};
    };
    Ratio out = means([](std::size_t i) { return i; });
    std::vector<double> values;
    for (int i = 0; i < resamples; ++i)
        values.push_back(means([&](std::size_t) { return random() % less.size(); }).value());
    out.low = quantile(values, 0.025), out.high = quantile(values, 0.975);
    return out;
}

HookRow const& xdp = row(Hook::xdp);
translator::Options const pass_or_drop{.hook = Hook::xdp,
                                       .match = {find_action(xdp, "pass")},
                                       .no_match = {find_action(xdp, "drop")},
                                       .stats = false};

struct Summary {
    std::string_view name;
    std::vector<double> ratios{};
};

void print(Summary const& s) {
    fmt::print("{}: median {:.2f}, least {:.2f}, most {:.2f}\n", s.name, quantile(s.ratios, 0.5),
               *std::min_element(s.ratios.begin(), s.ratios.end()),
               *std::max_element(s.ratios.begin(), s.ratios.end()));
}

test::Executed executed(ebpf::Program const& program, HookRow const& hook,
                        std::vector<std::vector<std::uint8_t>> const& packets) {
    auto const done = test::executed_per_packet(program, hook, packets);
    if (!done) die(done.error().message);
    return *done;
}

// Times of "mixed" or "trains", of one filter and of all.
struct Column {
    Summary total, net;
    unsigned train_shift;
    std::size_t slower = 0, faster = 0;  // filters whose net interval leaves out 1

    void add(Times const& t, std::mt19937& random) {
        std::vector<double> const nothing(t.empty.size());
        Ratio const whole = compare(t.ours, t.theirs, nothing, random);
        Ratio const rest = compare(t.ours, t.theirs, t.empty, random);
        total.ratios.push_back(whole.value());
        net.ratios.push_back(rest.value());
        slower += rest.low > 1 ? 1 : 0;
        faster += rest.high < 1 ? 1 : 0;
        fmt::print("  {:5.2f} {:5.2f} {:4.2f}  {:5.2f} {:5.2f} {:4.2f} ({:4.2f}-{:4.2f})",
                   whole.ours, whole.theirs, whole.value(), rest.ours, rest.theirs, rest.value(),
                   rest.low, rest.high);
    }
};

// A loop's time depends on where it runs, so it stays there.
void stay_on_this_cpu() {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("cannot stay on one CPU");
}

int run(char const* object, char const* list, std::span<char* const> names) {
    auto rivals = test::rivals(object, list);
    if (!rivals) die(rivals.error().message);
    if (!names.empty())
        std::erase_if(*rivals, [&](test::Rival const& rival) {
            return std::ranges::find(names, rival.name) == names.end();
        });
    if (rivals->empty()) die("no filter of that name");
    auto const packets = test::traffic(packet_count);
    stay_on_this_cpu();
    bench::PacketLoop const loop(packets);
    std::mt19937 random(1);
    ebpf::Builder nothing;
    nothing.mov32(ebpf::Reg::r0, 0).exit();
    ebpf::Program const empty = *nothing.finish();

    fmt::print("{:17} {:>15} {:>18} {:>15} {:>47} {:>47}\n", "", "instructions", "executed",
               "socket / ours", "ns mixed: whole, net (95 %)", "ns trains: whole, net (95 %)");
    fmt::print("{:17} {:>4} {:>4} {:>5} {:>6} {:>6} {:>4} {:>5} {:>4} {:>4}", "filter", "ours", "C",
               "limit", "ours", "C", "", "as is", "dump", "work");
    for (int i = 0; i < 2; ++i)
        fmt::print("  {:>5} {:>5} {:>4}  {:>5} {:>5} {:>16}", "ours", "C", "", "ours", "C", "");
    fmt::print("\n");
    Summary counted{"executed, ours / C"},
        as_is{"executed, socket form / ours, LD_ABS and LD_IND as one instruction each"},
        dumped{"executed, socket form / ours, as the kernel dumps it: calls as one each"},
        worked{"executed, socket form / ours, with what is executed behind the calls"};
    std::array<Column, 2> columns = {
        Column{{"time mixed, ours / C"}, {"time mixed less an empty filter's, ours / C"}, 0},
        Column{{"time trains, ours / C"}, {"time trains less an empty filter's, ours / C"}, 3}};
    for (test::Rival const& rival : *rivals) {
        frontend::Options options{.context = frontend::Context::live};
        auto const live = frontend::compile(rival.expression, options);
        options.tags = frontend::Tags::in_packet;
        auto const classic = frontend::compile(rival.expression, options);
        if (!classic || !live) die("does not compile: " + rival.expression);
        auto const direct = translate(classic->program, pass_or_drop);
        if (!direct) die("does not translate: " + rival.expression);
        if (loop.verdicts(direct->insns) != loop.verdicts(rival.xdp.insns))
            die("the two programs disagree: " + rival.expression);
        double const mine = executed(*direct, xdp, packets).emitted;
        double const theirs = executed(rival.xdp, xdp, packets).emitted;
        auto const at = [&](Hook hook) {
            return executed(*translator::translate_filter(live->program, row(hook)), row(hook),
                            packets);
        };
        test::Executed const socket = at(Hook::socket);
        double const tc = at(Hook::tc_ingress).emitted;
        counted.ratios.push_back(mine / theirs);
        as_is.ratios.push_back(socket.emitted / tc);
        dumped.ratios.push_back(socket.loaded / tc);
        worked.ratios.push_back(socket.with_calls / tc);
        fmt::print("{:17} {:4} {:4} {:5} {:6.2f} {:6.2f} {:4.2f} {:5.2f} {:4.2f} {:4.2f}",
                   rival.name, direct->insns.size(), rival.xdp.insns.size(), rival.at_most, mine,
                   theirs, mine / theirs, as_is.ratios.back(), dumped.ratios.back(),
                   worked.ratios.back());
        for (Column& column : columns)
            column.add(measure(loop, {direct->insns, rival.xdp.insns, empty.insns},
                               column.train_shift, random),
                       random);
        fmt::print("\n");
        std::fflush(stdout);
    }
    for (Summary const& s : {counted, as_is, dumped, worked}) print(s);
    for (Column const& c : columns) {
        print(c.total);
        print(c.net);
        fmt::print("  whose interval lies below 1: {}, above: {}\n", c.faster, c.slower);
    }
    return 0;
}

}  // namespace
}  // namespace tamis

int main(int argc, char** argv) {
    if (argc < 3) {
        fmt::print(stderr, "usage: direct_bench RIVALS.o RIVALS.txt [FILTER...]\n");
        return 2;
    }
    return tamis::run(argv[1], argv[2], {argv + 3, argv + argc});
}
