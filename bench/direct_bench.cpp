// The direct form beside careful C, both compiled from the same filters (bench/rivals):
// instructions in the program, instructions executed, and time.
//
// Time is that of BPF_PROG_TEST_RUN over 8,192 different packets: one repeated packet would be
// predicted perfectly by every branch, and every program would cost the same.  A program of ours
// picks packet after packet from a map's value and calls the XDP program as a function; its context
// is two pointers on the stack.  The same instructions are around both rivals.  "Mixed" takes a new
// packet each time, "trains" takes each eight times.  Both sides and a program that does nothing
// take turns, thread CPU time; each figure is the median of many rounds, and the quartiles of the
// rounds' net ratios say how much it is worth: of a filter that costs a nanosecond, little.
//
// The socket form is counted in three ways (tests/support/executed.h).  Its loads are calls, so
// only the third tells what is executed.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string_view>

#include <fmt/core.h>
#include <unistd.h>

#include "bpf/builder.h"
#include "frontend/compile.h"
#include "tests/support/executed.h"
#include "tests/support/rivals.h"
#include "tests/support/traffic.h"
#include "tests/support/verifier.h"
#include "translator/translate.h"

namespace tamis {
namespace {

using ebpf::Alu;
using ebpf::Cond;
using ebpf::Insn;
using ebpf::Reg;
using ebpf::Size;

constexpr std::uint32_t packet_count = 8192;
// Of one run, so that what surrounds a run counts little.
constexpr std::int32_t batch = 32;
// Of a packet in the map's value: its length in two bytes, and where its bytes begin.
constexpr std::uint32_t slot = 256, bytes_at = 16;
// Behind the last one there is room for every offset that the verifier thinks possible.
constexpr std::uint32_t value_size = packet_count * slot + 2 * 65536;

[[noreturn]] void die(std::string_view why) {
    fmt::print(stderr, "{}\n", why);
    std::exit(1);
}

int make_array(std::uint32_t size) {
    bpf_attr attr{};
    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = 4;
    attr.value_size = size;
    attr.max_entries = 1;
    int const fd = test::sys_bpf(BPF_MAP_CREATE, attr);
    if (fd < 0) die("cannot create a map: this needs root");
    return fd;
}

void write_array(int map, void const* value) {
    std::uint32_t const key = 0;
    bpf_attr attr{};
    attr.map_fd = static_cast<std::uint32_t>(map);
    attr.key = test::address(&key);
    attr.value = test::address(value);
    if (test::sys_bpf(BPF_MAP_UPDATE_ELEM, attr) != 0) die("cannot fill a map");
}

class Kernel {
  public:
    explicit Kernel(std::vector<std::vector<std::uint8_t>> const& packets)
        : packets_(make_array(value_size)), position_(make_array(16)) {
        std::vector<std::uint8_t> value(value_size);
        for (std::size_t i = 0; i < packets.size(); ++i) {
            std::uint8_t* const at = &value[i * slot];
            auto const length = static_cast<std::uint16_t>(packets[i].size());
            std::memcpy(at, &length, sizeof length);
            // More than any of the filters reads; what a driver has just written is in the cache.
            std::size_t const kept = std::min<std::size_t>(packets[i].size(), slot - bytes_at);
            std::copy_n(packets[i].begin(), kept, at + bytes_at);
        }
        write_array(packets_, value.data());
    }

    // An XDP program that runs the other one on the next packets.
    int load(ebpf::Program const& filter) const {
        ebpf::Builder b;
        ebpf::Builder::Label const function = b.label(), again = b.label();
        b.load_imm64(Reg::r1, 0).load(Size::dword, Reg::r6, Reg::r1, 0);
        b.load(Size::dword, Reg::r8, Reg::r1, 8).mov(Reg::r9, 0);
        b.bind(again).load_imm64(Reg::r7, 1);
        b.mov(Reg::r1, Reg::r6).alu(Alu::add, Reg::r6, 1);
        b.alu(Alu::rsh, Reg::r1, Reg::r8).alu(Alu::and_, Reg::r1, packet_count - 1);
        b.alu(Alu::mul, Reg::r1, slot).alu(Alu::add, Reg::r7, Reg::r1);
        b.load(Size::half, Reg::r2, Reg::r7, 0);
        b.alu(Alu::and_, Reg::r2, 2047).mov(Reg::r1, Reg::r7).alu(Alu::add, Reg::r1, bytes_at);
        b.alu(Alu::add, Reg::r2, Reg::r1);
        b.store(Size::dword, Reg::r10, -16, Reg::r1).store(Size::dword, Reg::r10, -8, Reg::r2);
        b.mov(Reg::r1, Reg::r10).alu(Alu::add, Reg::r1, -16).call(function);
        b.alu(Alu::add, Reg::r9, 1).jump(Cond::lt, Reg::r9, batch, again);
        b.load_imm64(Reg::r1, 0).store(Size::dword, Reg::r1, 0, Reg::r6);
        b.mov32(Reg::r0, 2).exit();
        b.bind(function);
        auto program = b.finish();
        std::vector<Insn> insns = program->insns;
        for (std::size_t i = 0; i + 1 < insns.size(); ++i) {
            if (!ebpf::is_ld_imm64(insns[i])) continue;
            insns[i].src = static_cast<std::uint8_t>(ebpf::Pseudo::map_value) & 15;
            insns[i].imm = insns[i].imm == 0 ? position_ : packets_;
        }
        std::vector<Insn> const called = on_two_pointers(filter.insns);
        insns.insert(insns.end(), called.begin(), called.end());
        test::Loaded loaded = test::load_insns(insns, BPF_PROG_TYPE_XDP, 0);
        if (loaded.fd < 0)
            die(fmt::format("the kernel refuses {}:\n{}", filter.functions[0].name,
                            test::load_insns(insns, BPF_PROG_TYPE_XDP, 1).log));
        return std::exchange(loaded.fd, -1);
    }

    // Nanoseconds of one packet.
    double time(int program, std::uint64_t train_shift) const {
        constexpr std::uint32_t repeat = 8 * packet_count / batch;
        std::array<std::uint64_t, 2> const position = {0, train_shift};
        write_array(position_, position.data());
        std::array<std::uint8_t, 64> const packet{};
        bpf_attr attr{};
        attr.test.prog_fd = static_cast<std::uint32_t>(program);
        attr.test.data_in = test::address(packet.data());
        attr.test.data_size_in = packet.size();
        attr.test.repeat = repeat;
        double const start = now();
        if (test::sys_bpf(BPF_PROG_TEST_RUN, attr) != 0) die("cannot run a program");
        return (now() - start) / (repeat * batch);
    }

  private:
    // struct xdp_md has the bounds in two words, which the verifier turns into pointers.
    static std::vector<Insn> on_two_pointers(std::vector<Insn> insns) {
        for (Insn& insn : insns) {
            bool const reads = ebpf::class_of(insn) == ebpf::Class::ldx &&
                               insn.src == static_cast<unsigned>(Reg::r1);
            if (!reads) continue;
            insn.code = 0x79;  // a double word
            insn.off = static_cast<std::int16_t>(2 * insn.off);
            if (insn.dst == 1) break;
        }
        return insns;
    }

    static double now() {
        timespec t{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
    }

    int packets_, position_;
};

// Figures of one filter, ours first.
struct Times {
    double ours, theirs, empty;
    std::array<double, 2> quartiles;  // of the rounds' net ratios
    double total() const { return ours / theirs; }
    double net() const { return (ours - empty) / (theirs - empty); }
};

double quantile(std::vector<double> values, double q) {
    auto const at = values.begin() +
                    static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1) + 0.5);
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

// The sides take turns, so that what else the machine does hits both; each round loads them anew,
// since where a program lies in memory matters as much as a few instructions.
Times measure(Kernel const& kernel, std::array<ebpf::Program const*, 3> const& programs,
              unsigned train_shift) {
    std::array<std::vector<double>, 3> rounds;
    std::vector<double> net;
    for (int round = 0; round < 51; ++round) {
        for (std::size_t i = 0; i < programs.size(); ++i) {
            // Nobody is first in each round.
            std::size_t const which = (i + static_cast<std::size_t>(round)) % programs.size();
            int const fd = kernel.load(*programs[which]);
            rounds[which].push_back(kernel.time(fd, train_shift));
            close(fd);
        }
        double const empty = rounds[2].back();
        net.push_back((rounds[0].back() - empty) / (rounds[1].back() - empty));
    }
    return {quantile(rounds[0], 0.5),
            quantile(rounds[1], 0.5),
            quantile(rounds[2], 0.5),
            {quantile(net, 0.25), quantile(net, 0.75)}};
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
    double ours = 0, theirs = 0;
    unsigned train_shift;

    void add(Times const& t) {
        total.ratios.push_back(t.total());
        net.ratios.push_back(t.net());
        ours += t.ours - t.empty;
        theirs += t.theirs - t.empty;
        fmt::print(" {:5.1f} {:5.1f} {:4.2f} {:5.2f} ({:4.2f}-{:4.2f})", t.ours, t.theirs,
                   t.total(), t.net(), t.quartiles[0], t.quartiles[1]);
    }
};

int run(char const* object, char const* list) {
    auto const rivals = test::rivals(object, list);
    if (!rivals) die(rivals.error().message);
    auto const packets = test::traffic(packet_count);
    Kernel const kernel(packets);
    ebpf::Builder nothing;
    nothing.mov32(Reg::r0, 0).exit();
    ebpf::Program idle = *nothing.finish();
    idle.functions = {{"empty", 0}};

    fmt::print("{:17} {:>15} {:>18} {:>15} {:>33} {:>33}\n", "", "instructions", "executed",
               "socket / ours", "ns mixed", "ns trains");
    fmt::print("{:17} {:>4} {:>4} {:>5} {:>6} {:>6} {:>4} {:>5} {:>4} {:>4}", "filter", "ours", "C",
               "limit", "ours", "C", "", "as is", "dump", "work");
    for (int i = 0; i < 2; ++i)
        fmt::print(" {:>5} {:>5} {:>4} {:>5} {:>11}", "ours", "C", "", "net", "(quartiles)");
    fmt::print("\n");
    Summary counted{"executed, ours / C"},
        as_is{"executed, socket form / ours, LD_ABS and LD_IND as one instruction each"},
        dumped{"executed, socket form / ours, as the kernel dumps it: calls as one each"},
        worked{"executed, socket form / ours, with what is executed behind the calls"};
    std::array<Column, 2> columns = {
        Column{{"time mixed, ours / C"}, {"time mixed less an empty program's, ours / C"}, 0, 0, 0},
        Column{
            {"time trains, ours / C"}, {"time trains less an empty program's, ours / C"}, 0, 0, 3}};
    for (test::Rival const& rival : *rivals) {
        frontend::Options options{.context = frontend::Context::live};
        auto const live = frontend::compile(rival.expression, options);
        options.tags = frontend::Tags::in_packet;
        auto const classic = frontend::compile(rival.expression, options);
        if (!classic || !live) die("does not compile: " + rival.expression);
        auto const direct = translate(classic->program, pass_or_drop);
        if (!direct) die("does not translate: " + rival.expression);
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
            column.add(measure(kernel, {&*direct, &rival.xdp, &idle}, column.train_shift));
        fmt::print("\n");
        std::fflush(stdout);
    }
    for (Summary const& s : {counted, as_is, dumped, worked}) print(s);
    for (Column const& c : columns) {
        print(c.total);
        print(c.net);
        fmt::print("  all filters together {:.2f}\n", c.ours / c.theirs);
    }
    return 0;
}

}  // namespace
}  // namespace tamis

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: direct_bench RIVALS.o RIVALS.txt\n");
        return 2;
    }
    return tamis::run(argv[1], argv[2]);
}
