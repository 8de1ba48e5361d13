// Ways to run a classic program, each held against the classic interpreter under that engine's
// rule.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "runtime/cbpf_vm.h"
#include "runtime/packet.h"

namespace tamis::verify {

class Engine {
  public:
    virtual ~Engine() = default;
    virtual std::string_view name() const = 0;
    virtual runtime::Rules rules() const { return runtime::Rules::kernel; }

    // Takes the program that the following verdicts are about.  False: the program holds something
    // that this engine does not have (metadata, jumps backwards ...).  An error is a fault of ours
    // or of the system.
    virtual Result<bool> prepare(cbpf::Program const& program) = 0;

    // The verdict on a packet of these bytes; none where the engine cannot be given such a packet.
    virtual Result<std::optional<std::uint32_t>> verdict(std::span<std::uint8_t const> bytes) = 0;

    // The packet as the interpreter has to see it for a fair comparison.
    virtual runtime::Packet model(std::span<std::uint8_t const> bytes) {
        runtime::Packet packet;
        packet.bytes = bytes;
        packet.length = static_cast<std::uint32_t>(bytes.size());
        return packet;
    }
    // What the engine can tell of the interpreter's verdict.
    virtual std::uint32_t visible(std::uint32_t verdict, std::size_t) const { return verdict; }
};

// A form, as the hook's row says, interpreted.  Where a hook's packets need not be linear, part of
// each packet is not.
std::unique_ptr<Engine> interpreter(Hook hook);
// The function for programs that give it the packet's bounds, interpreted.
std::unique_ptr<Engine> bounds_interpreter(Hook hook, Access access);
// In the running kernel, by BPF_PROG_TEST_RUN.
std::unique_ptr<Engine> in_kernel(Hook hook);
// The kernel's own translation: the classic program on a pair of unix datagram sockets.  Needs no
// privilege.
std::unique_ptr<Engine> kernel_classic();

// All that need no privilege beyond an ordinary user's, and all that do: one hook of each kind that
// the kernel has.
std::vector<std::unique_ptr<Engine>> unprivileged_engines();
std::vector<std::unique_ptr<Engine>> kernel_engines();

// Where an engine and the interpreter part.
struct Difference {
    std::string_view engine;
    std::uint32_t expected = 0, got = 0;
};
// Runs the prepared engine and the interpreter on one packet; nothing when they agree or the engine
// cannot take the packet.
Result<std::optional<Difference>> compare(Engine& engine, cbpf::Program const& program,
                                          std::span<std::uint8_t const> bytes);

}  // namespace tamis::verify
