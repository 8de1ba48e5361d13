#include "verify/kernel_replay.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "backend/object.h"
#include "runtime/kernel.h"
#include "verify/engines.h"

namespace tamis::verify {
namespace {

// Nothing but bytes: no metadata, no headers elsewhere, nothing cut off.
bool plain(ConcretePacket const& packet) {
    return packet.start == 0 && !packet.network && !packet.link &&
           packet.length == packet.bytes.size() && packet.linear == packet.bytes.size() &&
           std::all_of(packet.ancillary.begin(), packet.ancillary.end(),
                       [](std::uint32_t value) { return value == 0; });
}

constexpr std::size_t ethernet_header = 14, largest_test_frame = 3500;

// The bytes that a test run takes for this packet; none where it cannot be given to one, and
// without the privilege.
std::optional<std::vector<std::uint8_t>> test_frame(HookRow const& hook, ConcretePacket packet) {
    if (hook.hook == Hook::xdp)  // every packet there has a device; which is the kernel's choice
        packet.ancillary[static_cast<std::size_t>(cbpf::Anc::ifindex) / 4] = 0;
    if (geteuid() != 0 || !plain(packet)) return std::nullopt;
    // A socket filter's test packet begins behind its Ethernet header.
    std::vector<std::uint8_t> frame(hook.hook == Hook::socket ? ethernet_header : 0, 0);
    frame.insert(frame.end(), packet.bytes.begin(), packet.bytes.end());
    if (frame.size() < ethernet_header || frame.size() > largest_test_frame) return std::nullopt;
    return frame;
}

}  // namespace

std::optional<std::string> kernel_classic_run(cbpf::Program const& program,
                                              ConcretePacket const& packet) {
    if (!plain(packet)) return std::nullopt;
    auto const engine = kernel_classic();
    auto const prepared = engine->prepare(program);
    if (!prepared || !*prepared) return std::nullopt;
    auto const kept = engine->verdict(packet.bytes);
    if (!kept || !*kept) return std::nullopt;
    return fmt::format("kernel, on a unix datagram socket: {} of {} bytes kept", **kept,
                       packet.bytes.size());
}

std::optional<std::string> kernel_test_run(ebpf::Program const& program, HookRow const& hook,
                                           ConcretePacket const& found) {
    auto const frame = test_frame(hook, found);
    auto const object = backend::object(program, hook);
    if (!frame || !object) return std::nullopt;
    auto loaded = runtime::LoadedProgram::load(*object, hook);
    if (!loaded) return "kernel: " + loaded.error().message;
    auto const run = loaded->test_run(*frame);
    if (!run) return std::nullopt;
    return fmt::format("kernel, test run: {}", run->retval);
}

std::optional<Result<std::uint32_t>> kernel_object_run(ebpf::Program const& program,
                                                       HookRow const& hook,
                                                       ConcretePacket const& packet) {
    auto const frame = test_frame(hook, packet);
    if (!frame) return std::nullopt;
    return runtime::test_run(program, hook, *frame).map([](auto const& run) { return run.retval; });
}

}  // namespace tamis::verify
