// Times of XDP programs on many different packets, in one run of BPF_PROG_TEST_RUN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bpf/ebpf.h"
#include "tests/support/verifier.h"

namespace tamis::bench {

// Packets in a map's value, and programs that run a filter on one after the other, in an order that
// does not come again: branch predictors remember thousands of packets.
//
// The filter is a loop's body, and the loop ends where the filter has its first exit (as_body): no
// call is paid for, and no return, which on many machines is made to be mispredicted each time (a
// return thunk).  What the loop needs is on the stack, so the filter has all registers; its context
// is two pointers there.  What is around a filter is the same around all.
class PacketLoop {
  public:
    // 2^n packets; ends the process where that fails, like all that follows.
    explicit PacketLoop(std::vector<std::vector<std::uint8_t>> const& packets);
    ~PacketLoop();
    PacketLoop(PacketLoop const&) = delete;
    PacketLoop& operator=(PacketLoop const&) = delete;

    // The loop around an XDP filter, which begins with loads of its context's bounds, in the
    // kernel; each packet is taken 2^train_shift times in a row.
    test::Loaded load(std::span<ebpf::Insn const> filter, unsigned train_shift) const;

    // Nanoseconds of this thread's time for one packet, over eight times as many as there are. From
    // each number on the packets come in another order.
    double time(int program, std::uint32_t number) const;

    // A number made of what the filter returns for packet after packet: filters that differ hardly
    // ever have the same.
    std::uint64_t verdicts(std::span<ebpf::Insn const> filter) const;

  private:
    test::Loaded load_loop(std::span<ebpf::Insn const> filter, unsigned train_shift,
                           bool adds_up) const;
    void start_at(std::uint32_t number) const;
    static std::uint32_t run(int program, std::uint32_t repeat);

    std::uint32_t count_;
    int packets_, position_;
};

// A program that takes up that many instructions, for what is loaded after it to lie elsewhere.
test::Loaded load_padding(std::size_t insns);

// Says why, and ends the process.
[[noreturn]] void die(std::string_view why);

}  // namespace tamis::bench
