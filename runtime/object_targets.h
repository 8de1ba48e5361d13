// What the names of an object's sections leave open, read from the words of the options that say it
// (Targets).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/links.h"
#include "runtime/object_file.h"

namespace tamis::runtime {

// `cpu-clock:99`: an event, and how often a second; without, clocks tick 99 times a second and
// every occurrence of another event runs the program.
struct EventChoice {
    std::uint32_t type;       // PERF_TYPE_*
    std::uint64_t config;     // PERF_COUNT_*
    std::uint64_t frequency;  // 0: every occurrence
};
Result<EventChoice> parse_event(std::string_view text);

// `FUNCTION` or `FUNCTION+OFFSET`; where no number follows the sign it is part of the name.
struct FunctionPlace {
    std::string name;
    std::uint64_t offset;
};
FunctionPlace split_offset(std::string_view text);

// Where a uprobe goes: from the section (`uprobe/FILE:FUNCTION`, `uprobe/FUNCTION`) and --binary
// (`FILE`, `FILE:FUNCTION`), whose words count first.  What neither says is empty.
struct UserFunction {
    std::string file;
    FunctionPlace function;
};
UserFunction user_function(std::string_view tail, std::string_view binary);

// The same for `usdt/FILE:PROVIDER:NAME` or `usdt/PROVIDER:NAME`.
struct UserTracepoint {
    std::string file, provider, name;
};
UserTracepoint user_tracepoint(std::string_view tail, std::string_view binary);

// `ipv4:prerouting` or `ipv6:input:-100`.
std::optional<NetfilterPlace> parse_netfilter(std::string_view text);

// The map that was named, or the only socket map there is.
MapPlan const* socket_map(Plan const& plan, std::string const& name);

// Whether the targets say what the program's section leaves open; the error names the option.
Result<void> check_target(ProgramPlan const& program, Plan const& plan, Targets const& targets);

// For messages: "program 'NAME' (SECTION)".
std::string who(ProgramPlan const& plan);

// All of the text as a number, with `0x` in front in hexadecimal.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace tamis::runtime
