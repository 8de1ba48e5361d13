// The direct form beside careful C, both compiled from the same filters (bench/rivals):
// instructions in the program, instructions executed, and time.
//
// Time is that of BPF_PROG_TEST_RUN over 8,192 different packets: one repeated packet would be
// predicted perfectly by every branch, and every program would cost the same.  A program of ours
// picks the next packet from a map's value and calls the XDP program as a function; its context is
// two pointers on the stack.  The same instructions are around both rivals.  "Mixed" takes a new
// packet each time, "trains" takes each eight times.  Both sides take turns, thread CPU time, the
// median of several rounds.
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

    // An XDP program that runs the other one on the next packet.
    int load(ebpf::Program const& filter) const {
        ebpf::Builder b;
        ebpf::Builder::Label const function = b.label();
        b.load_imm64(Reg::r6, static_cast<std::uint32_t>(position_)).load_imm64(Reg::r7, 0);
        b.load(Size::dword, Reg::r8, Reg::r6, 0).load(Size::dword, Reg::r9, Reg::r6, 8);
        b.mov(Reg::r1, Reg::r8).alu(Alu::add, Reg::r8, 1).store(Size::dword, Reg::r6, 0, Reg::r8);
        b.alu(Alu::rsh, Reg::r1, Reg::r9).alu(Alu::and_, Reg::r1, packet_count - 1);
        b.alu(Alu::mul, Reg::r1, slot).alu(Alu::add, Reg::r7, Reg::r1);
        b.load(Size::half, Reg::r2, Reg::r7, 0);
        b.alu(Alu::and_, Reg::r2, 2047).mov(Reg::r1, Reg::r7).alu(Alu::add, Reg::r1, bytes_at);
        b.alu(Alu::add, Reg::r2, Reg::r1);
        b.store(Size::dword, Reg::r10, -16, Reg::r1).store(Size::dword, Reg::r10, -8, Reg::r2);
        b.mov(Reg::r1, Reg::r10).alu(Alu::add, Reg::r1, -16).call(function);
        b.mov32(Reg::r0, 2).exit();
        b.bind(function);
        auto program = b.finish();
        std::vector<Insn> insns = program->insns;
        insns[0].src = insns[2].src = static_cast<std::uint8_t>(ebpf::Pseudo::map_value) & 15;
        insns[2].imm = packets_;
        std::vector<Insn> const called = on_two_pointers(filter.insns);
        insns.insert(insns.end(), called.begin(), called.end());
        test::Loaded loaded = test::load_insns(insns, BPF_PROG_TYPE_XDP, 0);
        if (loaded.fd < 0)
            die(fmt::format("the kernel refuses {}:\n{}", filter.functions[0].name,
                            test::load_insns(insns, BPF_PROG_TYPE_XDP, 1).log));
        return std::exchange(loaded.fd, -1);
    }

    // Nanoseconds of one run.
    double time(int program, std::uint64_t train_shift) const {
        constexpr std::uint32_t repeat = 20 * packet_count;
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
        return (now() - start) / repeat;
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

double median(std::vector<double> values) {
    auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// Figures of one filter, ours first.
struct Times {
    double ours, theirs, empty;
    double total() const { return ours / theirs; }
};

// The sides take turns, so that what else the machine does hits both; each round loads them anew,
// since where a program lies in memory matters as much as a few instructions.
Times measure(Kernel const& kernel, std::array<ebpf::Program const*, 3> const& programs,
              unsigned train_shift) {
    std::array<std::vector<double>, 3> rounds;
    for (int round = 0; round < 15; ++round)
        for (std::size_t i = 0; i < programs.size(); ++i) {
            int const fd = kernel.load(*programs[i]);
            rounds[i].push_back(kernel.time(fd, train_shift));
            close(fd);
        }
    return {median(rounds[0]), median(rounds[1]), median(rounds[2])};
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

int run(char const* object, char const* list) {
    auto const rivals = test::rivals(object, list);
    if (!rivals) die(rivals.error().message);
    auto const packets = test::traffic(packet_count);
    Kernel const kernel(packets);
    ebpf::Builder nothing;
    nothing.mov32(Reg::r0, 0).exit();
    ebpf::Program idle = *nothing.finish();
    idle.functions = {{"empty", 0}};

    fmt::print("{:18} {:>15} {:>20} {:>8} {:>21} {:>21}\n", "", "instructions", "executed",
               "socket", "ns mixed (net)", "ns trains (net)");
    fmt::print("{:18} {:>4} {:>4} {:>5} {:>6} {:>6} {:>6} {:>8}", "filter", "ours", "C", "limit",
               "ours", "C", "ratio", "ratio");
    for (int i = 0; i < 2; ++i) fmt::print(" {:>9} {:>9}  ", "ours", "C");
    fmt::print("\n");
    Summary executed{"executed, ours / C"}, socket{"executed, socket form / ours"},
        mixed{"time mixed, ours / C"}, trains{"time trains, ours / C"};
    double net_ours[2] = {}, net_theirs[2] = {};
    for (test::Rival const& rival : *rivals) {
        frontend::Options options{.context = frontend::Context::live};
        auto const live = frontend::compile(rival.expression, options);
        options.tags = frontend::Tags::in_packet;
        auto const classic = frontend::compile(rival.expression, options);
        if (!classic || !live) die("does not compile: " + rival.expression);
        auto const direct = translate(classic->program, pass_or_drop);
        if (!direct) die("does not translate: " + rival.expression);
        auto const count = [&](ebpf::Program const& p, HookRow const& hook) {
            auto const steps = test::executed_per_packet(p, hook, packets);
            if (!steps) die(steps.error().message);
            return steps->with_calls;
        };
        double const mine = count(*direct, xdp), theirs = count(rival.xdp, xdp);
        auto const at = [&](Hook hook) {
            return count(*translator::translate_filter(live->program, row(hook)), row(hook));
        };
        executed.ratios.push_back(mine / theirs);
        socket.ratios.push_back(at(Hook::socket) / at(Hook::tc_ingress));
        std::array<ebpf::Program const*, 3> const programs = {&*direct, &rival.xdp, &idle};
        Times const mix = measure(kernel, programs, 0), train = measure(kernel, programs, 3);
        mixed.ratios.push_back(mix.total());
        trains.ratios.push_back(train.total());
        fmt::print("{:18} {:4} {:4} {:5} {:6.2f} {:6.2f} {:6.2f} {:8.2f}", rival.name,
                   direct->insns.size(), rival.xdp.insns.size(), rival.at_most, mine, theirs,
                   mine / theirs, socket.ratios.back());
        int which = 0;
        for (Times const& t : {mix, train}) {
            fmt::print(" {:4.1f}({:4.1f}) {:4.1f}({:4.1f}) {:4.2f}", t.ours, t.ours - t.empty,
                       t.theirs, t.theirs - t.empty, t.total());
            net_ours[which] += t.ours - t.empty;
            net_theirs[which++] += t.theirs - t.empty;
        }
        fmt::print("\n");
    }
    for (Summary const& s : {executed, mixed, trains, socket})
        fmt::print("{}: median {:.2f}, least {:.2f}, most {:.2f}\n", s.name, median(s.ratios),
                   *std::min_element(s.ratios.begin(), s.ratios.end()),
                   *std::max_element(s.ratios.begin(), s.ratios.end()));
    fmt::print(
        "time less that of an empty program, all filters, ours / C: mixed {:.2f}, trains {:.2f}\n",
        net_ours[0] / net_theirs[0], net_ours[1] / net_theirs[1]);
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
