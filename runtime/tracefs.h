// The kernel's trace points, and its functions by name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/result.h"
#include "runtime/kernel.h"

namespace tamis::runtime {

// The root folder of tracefs: /sys/kernel/tracing where it is mounted, otherwise a mount that only
// this file descriptor knows and that goes with it.
Result<Fd> tracefs();

// The content of one of its files.
Result<std::string> read_tracefs(std::string const& file);

// The number of the trace point `category/name`, for perf_event_open; an unknown one is the input's
// fault and gets near matches in a note.
Result<std::uint64_t> tracepoint_number(std::string const& name);

// Up to five trace points whose names have words in common with the function's, best first, as
// `category/name`; empty where there are none or we may not look.
std::vector<std::string> tracepoints_near(std::string_view function);

// The function that the kernel calls by this name: the name itself, else its only clone by the
// compiler (`.constprop.0`, `.isra.0`, `.part.0`, in any order).  Several clones are the input's
// fault and are listed.  From /proc/kallsyms.
Result<std::string> kernel_function(std::string const& name);

// Whether this kernel was built with kprobes, by either of its interfaces.
bool has_kprobe_pmu();
bool has_kprobe_events();

// What bpf_trace_printk and bpf_trace_vprintk of all programs write.  Who reads takes it from other
// readers; since about Linux 6.8 there is only one at a time, and we wait for our turn.
class TracePipe {
  public:
    static Result<TracePipe> open();
    // Readable when there may be lines; -1 while another process reads: call read() from time to
    // time then.
    int fd() const { return pipe_.get(); }
    // Gives every whole line that is there, without its end, to the sink.
    Result<void> read(std::function<void(std::string_view)> const& sink);

  private:
    explicit TracePipe(Fd root) : root_(std::move(root)) {}
    Result<void> take_turn();
    Fd root_, pipe_;
    std::string rest_;
};

// The same in one call: lines until `stop` (a file descriptor) is readable.
Result<void> read_trace_pipe(std::function<void(std::string_view)> const& sink, int stop);

}  // namespace tamis::runtime
