// What the running kernel makes of a packet that was found: a last look before it is reported.
#pragma once

#include <optional>
#include <string>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "verify/packet_model.h"

namespace tamis::verify {

// A line for a report: how many bytes a unix datagram socket with this filter keeps of the packet.
// None where the kernel cannot be asked: a packet with metadata, a program that it refuses.
std::optional<std::string> kernel_classic_run(cbpf::Program const& program,
                                              ConcretePacket const& packet);

// What a program of somebody else's object returns in BPF_PROG_TEST_RUN; an error with the kernel's
// reason where it refuses.  None as below.
std::optional<Result<std::uint32_t>> kernel_object_run(ebpf::Program const& program,
                                                       HookRow const& hook,
                                                       ConcretePacket const& packet);

// A line for a report: what the program returns in BPF_PROG_TEST_RUN, or that the verifier refuses
// it.  None without the privilege, and for packets that cannot be given to a test run.
std::optional<std::string> kernel_test_run(ebpf::Program const& program, HookRow const& hook,
                                           ConcretePacket const& packet);

}  // namespace tamis::verify
