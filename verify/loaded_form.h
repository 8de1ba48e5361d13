// Two more looks at a translation, through the socket form, which can be loaded: what the verifier
// makes of it, and its verdicts beside the classic program's on the same packets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/result.h"
#include "runtime/kernel.h"
#include "verify/kernel_layout.h"

namespace tamis::verify {

// The instructions that the verifier leaves of a loaded socket form: LD_ABS and LD_IND become
// calls, context fields become the sk_buff's, divisions get their test for 0.  It also removes what
// it proves unreachable, which is not foretold.  None where the program calls something that
// kernels rewrite in more than one way.
std::optional<std::vector<ebpf::Insn>> predict_xlated(ebpf::Program const& form,
                                                      KernelLayout const& layout);

struct LoadedForm {
    std::size_t insns = 0;           // of the socket form
    std::vector<ebpf::Insn> xlated;  // the kernel's dump of it
    std::optional<std::vector<ebpf::Insn>> predicted;
    // The dump is shorter than the prediction: the verifier removed dead code.
    bool shortened() const { return predicted && xlated.size() < predicted->size(); }
    std::optional<std::size_t> difference;  // index of the first instruction that differs

    std::size_t packets = 0, accepted = 0;  // on which both were run; by the classic program
    struct Verdicts {
        std::vector<std::uint8_t> packet;
        std::optional<std::size_t> classic, extended;  // bytes that arrived
    };
    std::optional<Verdicts> differing;  // the first packet that tells them apart
    bool same() const { return !difference && !differing; }
};

// Loads the socket form and looks.  None when it cannot express the program (ancillary values that
// only classic filters read); an error is about the machine.
Result<std::optional<LoadedForm>> compare_loaded(cbpf::Program const& program,
                                                 KernelLayout const& layout, std::uint64_t seed,
                                                 std::size_t packets);

}  // namespace tamis::verify
