#include "bench/packet_loop.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/core.h>
#include <unistd.h>

#include "bpf/builder.h"
#include "tests/support/verifier.h"

namespace tamis::bench {
namespace {

using ebpf::Alu;
using ebpf::Cond;
using ebpf::Insn;
using ebpf::Reg;
using ebpf::Size;

// Packets of one run, so that what surrounds a run counts little.
constexpr std::int32_t batch = 64;
// Of a packet in the map's value: its length in two bytes, and where its bytes begin.
constexpr std::int32_t slot_shift = 8, slot = 1 << slot_shift, bytes_at = 16;
// Behind the last one there is room for every offset that the verifier thinks possible.
constexpr std::int32_t slack = 2 * 65536;
// On the stack, where no filter keeps anything.
constexpr std::int32_t data = -512, data_end = data + 8, first = data + 16, done = data + 24,
                       sum = data + 32;

// The context is not read.  Each test run of an XDP program would wait for RCU twice.
constexpr std::uint32_t loop_type = BPF_PROG_TYPE_SCHED_CLS;
constexpr std::uint8_t double_word = 0x79, exit_code = 0x95, jump_code = 0x05;

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

// struct xdp_md has the bounds in two words, which the verifier turns into pointers.
Insn on_two_pointers(Insn insn) {
    insn.code = double_word;
    insn.off = static_cast<std::int16_t>(2 * insn.off);
    return insn;
}

// Until something else is in r1 it is the context.
bool reads_context(Insn const& insn) {
    return ebpf::class_of(insn) == ebpf::Class::ldx && insn.src == static_cast<unsigned>(Reg::r1);
}

bool overwrites_context(Insn const& insn) {
    ebpf::Class const c = ebpf::class_of(insn);
    bool const writes = c == ebpf::Class::ldx || c == ebpf::Class::alu || c == ebpf::Class::alu64;
    return writes && insn.dst == static_cast<unsigned>(Reg::r1);
}

bool jumps(Insn const& insn) {
    ebpf::Class const c = ebpf::class_of(insn);
    return (c == ebpf::Class::jmp || c == ebpf::Class::jmp32) && insn.code != exit_code;
}

std::size_t first_exit(std::span<Insn const> filter) {
    return static_cast<std::size_t>(std::ranges::find(filter, exit_code, &Insn::code) -
                                    filter.begin());
}

int as_int(std::size_t n) { return static_cast<int>(n); }

// The filter on two pointers, with the loop's end in the place of its first exit, where a JIT
// writes the end of a function, too; other exits go there.
std::vector<Insn> as_body(std::span<Insn const> filter, std::span<Insn const> end) {
    std::size_t const ends_at = first_exit(filter);
    std::vector<Insn> out;
    bool begins = true;
    for (std::size_t pc = 0; pc < filter.size(); ++pc) {
        Insn insn = filter[pc];
        if (pc == ends_at) {
            std::ranges::copy(end, std::back_inserter(out));
            continue;
        }
        bool const is_bound = begins && reads_context(insn);
        begins = begins && !overwrites_context(insn);
        if (is_bound) {
            insn = on_two_pointers(insn);
        } else if (insn.code == exit_code) {
            insn = ebpf::make_insn(jump_code, 0, 0, as_int(ends_at) - as_int(out.size()) - 1);
        } else if (jumps(insn)) {
            bool const from_behind = pc > ends_at;
            bool const to_behind = as_int(pc) + 1 + insn.off > as_int(ends_at);
            int const grown = as_int(end.size()) - 1;
            if (from_behind != to_behind)
                insn.off = static_cast<std::int16_t>(insn.off + (to_behind ? grown : -grown));
        }
        out.push_back(insn);
    }
    return out;
}

double thread_time() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

}  // namespace

PacketLoop::PacketLoop(std::vector<std::vector<std::uint8_t>> const& packets)
    : count_(static_cast<std::uint32_t>(packets.size())),
      packets_(make_array(count_ * slot + slack)),
      position_(make_array(8)) {
    if (!std::has_single_bit(count_)) die("not a power of two");
    std::vector<std::uint8_t> value(count_ * slot + slack);
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

PacketLoop::~PacketLoop() {
    close(packets_);
    close(position_);
}

test::Loaded PacketLoop::load(std::span<Insn const> filter, unsigned train_shift) const {
    return load_loop(filter, train_shift, false);
}

std::uint64_t PacketLoop::verdicts(std::span<Insn const> filter) const {
    test::Loaded const program = load_loop(filter, 0, true);
    start_at(0);
    std::uint64_t all = 0;
    for (std::uint32_t i = 0; i < 4 * count_; i += batch) all = 31 * all + run(program.fd, 1);
    return all;
}

test::Loaded PacketLoop::load_loop(std::span<Insn const> filter, unsigned train_shift,
                                   bool adds_up) const {
    constexpr std::uint64_t position = 0, packets = 1;  // instead of the maps' values
    ebpf::Builder b;
    b.load_imm64(Reg::r2, position).load(Size::dword, Reg::r1, Reg::r2, 0);
    b.store(Size::dword, Reg::r10, first, Reg::r1).store(Size::dword, Reg::r10, done, 0);
    b.alu(Alu::add, Reg::r1, batch).store(Size::dword, Reg::r2, 0, Reg::r1);
    if (adds_up) b.store(Size::dword, Reg::r10, sum, 0);
    std::size_t const again = b.size();
    b.load_imm64(Reg::r1, packets);
    b.load(Size::dword, Reg::r2, Reg::r10, done).load(Size::dword, Reg::r3, Reg::r10, first);
    b.alu(Alu::add, Reg::r2, Reg::r3).alu(Alu::rsh, Reg::r2, as_int(train_shift));
    // A hash of the number: the predictor would remember an order that comes again.
    b.alu(Alu::mul, Reg::r2, 0x5bd1e995).mov(Reg::r3, Reg::r2).alu(Alu::rsh, Reg::r3, 15);
    b.alu(Alu::xor_, Reg::r2, Reg::r3).alu(Alu::mul, Reg::r2, 0x2c1b3c6d);
    b.alu(Alu::rsh, Reg::r2, 24).alu(Alu::and_, Reg::r2, as_int(count_ - 1));
    b.alu(Alu::lsh, Reg::r2, slot_shift);
    b.alu(Alu::add, Reg::r1, Reg::r2).load(Size::half, Reg::r2, Reg::r1, -bytes_at);
    b.alu(Alu::add, Reg::r2, Reg::r1);
    b.store(Size::dword, Reg::r10, data, Reg::r1).store(Size::dword, Reg::r10, data_end, Reg::r2);
    b.mov(Reg::r1, Reg::r10).alu(Alu::add, Reg::r1, data);
    std::vector<Insn> insns = b.finish()->insns;
    for (std::size_t i = 0; i + 1 < insns.size(); ++i) {
        if (!ebpf::is_ld_imm64(insns[i])) continue;
        insns[i].src = static_cast<std::uint8_t>(ebpf::Pseudo::map_value) & 15;
        insns[i + 1].imm = insns[i].imm == position ? 0 : bytes_at;
        insns[i].imm = insns[i].imm == position ? position_ : packets_;
    }
    ebpf::Builder end;
    ebpf::Builder::Label const here = end.label();
    end.bind(here);
    if (adds_up) {
        end.load(Size::dword, Reg::r1, Reg::r10, sum).alu(Alu::mul, Reg::r1, 3);
        end.alu(Alu::add, Reg::r1, Reg::r0).store(Size::dword, Reg::r10, sum, Reg::r1);
    }
    end.load(Size::dword, Reg::r1, Reg::r10, done).alu(Alu::add, Reg::r1, 1);
    end.store(Size::dword, Reg::r10, done, Reg::r1).jump(Cond::lt, Reg::r1, batch, here);
    if (adds_up)
        end.load(Size::dword, Reg::r0, Reg::r10, sum).exit();
    else
        end.mov32(Reg::r0, 0).exit();
    std::vector<Insn> tail = end.finish()->insns;
    std::size_t const before_tail = insns.size() + first_exit(filter);
    for (Insn& insn : tail)
        if (jumps(insn))
            insn.off = static_cast<std::int16_t>(insn.off - as_int(before_tail - again));
    std::ranges::copy(as_body(filter, tail), std::back_inserter(insns));
    test::Loaded loaded = test::load_insns(insns, loop_type, 0);
    if (loaded.fd < 0)
        die(fmt::format("the kernel refuses a filter in a loop:\n{}",
                        test::load_insns(insns, loop_type, 1).log));
    return loaded;
}

void PacketLoop::start_at(std::uint32_t number) const {
    std::uint64_t const position = number;
    write_array(position_, &position);
}

std::uint32_t PacketLoop::run(int program, std::uint32_t repeat) {
    std::array<std::uint8_t, 64> const packet{};
    bpf_attr attr{};
    attr.test.prog_fd = static_cast<std::uint32_t>(program);
    attr.test.data_in = test::address(packet.data());
    attr.test.data_size_in = packet.size();
    attr.test.repeat = repeat;
    if (test::sys_bpf(BPF_PROG_TEST_RUN, attr) != 0) die("cannot run a program");
    return attr.test.retval;
}

double PacketLoop::time(int program, std::uint32_t number) const {
    std::uint32_t const repeat = 8 * count_ / batch;
    start_at(number);
    double const start = thread_time();
    run(program, repeat);
    return (thread_time() - start) / (repeat * batch);
}

test::Loaded load_padding(std::size_t insns) {
    ebpf::Builder b;
    for (std::size_t i = 0; i <= insns; ++i) b.mov(Reg::r0, 0);
    b.exit();
    test::Loaded loaded = test::load_insns(b.finish()->insns, loop_type, 0);
    if (loaded.fd < 0) die("cannot load a program");
    return loaded;
}

void die(std::string_view why) {
    fmt::print(stderr, "{}\n", why);
    std::exit(1);
}

}  // namespace tamis::bench
