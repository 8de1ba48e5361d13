// The classic filters of this machine as the running kernel holds them: in eBPF, its own
// translation.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include <sys/types.h>

#include "bpf/ebpf.h"
#include "bpf/result.h"
#include "verify/kernel_layout.h"
#include "verify/kernel_walk.h"

namespace tamis::verify {

// A program in the kernel.
struct KernelCopy {
    pid_t process = 0;
    int fd = -1;  // the socket in its process; meaningless for seccomp
    Holder holder = Holder::socket;
    bool classic = true;   // it was attached as a classic program
    bool blinded = false;  // its constants are hidden (net.core.bpf_jit_harden): no comparison
    std::uint32_t stack_depth = 0;
    std::vector<ebpf::Insn> insns;
};

class KernelPrograms {
  public:
    // Loads the iterators, which needs CAP_BPF and CAP_PERFMON; a refusal names them.
    static Result<KernelPrograms> open(KernelLayout const& layout);

    // The programs that sockets of a process hold; of one whose sockets share a program, one each.
    Result<std::vector<KernelCopy>> of_sockets(pid_t process, Holder holder = Holder::socket);
    // The seccomp filter `chain` places behind the process's newest one; none when there are fewer,
    // or 32 and more to walk over.
    Result<std::vector<KernelCopy>> of_seccomp(pid_t process, std::uint32_t chain = 0);

  private:
    struct State;
    explicit KernelPrograms(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

}  // namespace tamis::verify
