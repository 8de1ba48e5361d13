// Kprobes through tracefs' kprobe_events, for kernels without the kprobe PMU (before 4.17).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bpf/result.h"

namespace tamis::runtime {

// One trace event of kprobe_events.  The kernel keeps such events whoever dies; this one is removed
// with the value, and by a process of its own should this one be killed.
class KprobeEvent {
  public:
    // `place` is FUNCTION or FUNCTION+OFFSET.
    static Result<KprobeEvent> create(std::string const& place, bool on_return);
    std::uint64_t number() const;  // for perf_event_open with PERF_TYPE_TRACEPOINT

  private:
    struct Guard;
    explicit KprobeEvent(std::shared_ptr<Guard> guard) : guard_(std::move(guard)) {}
    std::shared_ptr<Guard> guard_;
};

}  // namespace tamis::runtime
