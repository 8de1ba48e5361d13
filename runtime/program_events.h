// eBPF programs that come and go on this machine, by perf's records of them.  Classic programs are
// not announced by the kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <sys/types.h>

#include "bpf/result.h"

namespace tamis::runtime {

struct ProgramEvent {
    enum class What : std::uint8_t { present, load, unload };
    What what;
    std::uint32_t id;
    std::string type;  // as bpftool names it; empty: it was gone before it could be asked
    std::string name;  // empty: as `type`
    std::string tag;   // 16 hexadecimal digits
    // Who loaded it, also when it goes: that may be the work of a kernel thread.  Unknown for what
    // was there before.
    std::optional<pid_t> process;
    std::string command;
    // Of its machine code, all functions together; 0 where it is interpreted or we may not know.
    std::uint64_t address = 0, size = 0;
};

// Whose programs: perf_event_open's choices.
struct ProgramSelection {
    std::optional<int> cpu;  // loaded on this CPU
    std::string cgroup;      // by members of this control group
    std::optional<pid_t> process;
};

class ProgramEvents {
  public:
    using Sink = std::function<void(ProgramEvent const&)>;

    // Watches from here on.  Needs CAP_PERFMON; types and names CAP_SYS_ADMIN.
    static Result<ProgramEvents> open(ProgramSelection const& selection);

    // Those that are loaded already.  Wants CAP_SYS_ADMIN.
    Result<void> present(Sink const& sink);

    int fd() const;  // readable when there are records
    // Gives what happened until about a millisecond ago, in the order of time: what is younger may
    // not have been written on every CPU.  True when something younger waits.
    bool read(Sink const& sink);
    std::uint64_t lost() const;  // records for which there was no room

  private:
    struct State;
    explicit ProgramEvents(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

}  // namespace tamis::runtime
