#include "runtime/object_targets.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include <fmt/core.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>

namespace tamis::runtime {
namespace {

Diagnostic input_error(std::string message, std::string note) {
    return {std::move(message), std::nullopt, {{std::move(note), std::nullopt}}};
}

using Halves = std::pair<std::string_view, std::string_view>;
Halves at_last_colon(std::string_view text) {
    std::size_t const colon = text.rfind(':');
    return colon == text.npos ? Halves{text, {}}
                              : Halves{text.substr(0, colon), text.substr(colon + 1)};
}

struct Event {
    std::string_view name;
    std::uint32_t type;
    std::uint64_t config;
    bool clock;  // by itself it counts time, not occurrences
};
constexpr Event events[] = {
    {"cpu-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, true},
    {"task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, true},
    {"page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, false},
    {"minor-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN, false},
    {"major-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MAJ, false},
    {"context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, false},
    {"cpu-migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS, false},
    {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, true},
    {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, true},
};

}  // namespace

Result<EventChoice> parse_event(std::string_view text) {
    std::size_t const colon = text.find(':');
    std::string_view const name = text.substr(0, colon);
    for (Event const& event : events) {
        if (event.name != name) continue;
        EventChoice out{event.type, event.config, event.clock ? 99U : 0U};
        if (colon == text.npos) return out;
        auto const frequency = parse_number(text.substr(colon + 1));
        if (frequency && *frequency > 0) {
            out.frequency = *frequency;
            return out;
        }
        return fail(input_error(
            fmt::format("'{}' is no number of times a second", escape(text.substr(colon + 1))),
            "such as --event cpu-clock:99"));
    }
    std::string known;
    for (Event const& event : events) known += fmt::format("{} ", event.name);
    return fail(input_error(fmt::format("unknown event '{}'", escape(name)), "there is " + known));
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    int const base = text.starts_with("0x") ? 16 : 10;
    if (base == 16) text.remove_prefix(2);
    std::uint64_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

FunctionPlace split_offset(std::string_view text) {
    std::size_t const plus = text.rfind('+');
    auto const offset = plus == text.npos ? std::nullopt : parse_number(text.substr(plus + 1));
    return offset ? FunctionPlace{std::string(text.substr(0, plus)), *offset}
                  : FunctionPlace{std::string(text), 0};
}

UserFunction user_function(std::string_view tail, std::string_view binary) {
    bool const has_file = tail.find(':') != tail.npos;
    auto [file, function] = at_last_colon(tail);
    if (!has_file) function = file, file = {};
    auto const [named, also] = at_last_colon(binary);
    if (!named.empty()) file = named;
    if (!also.empty()) function = also;
    return {std::string(file), split_offset(function)};
}

UserTracepoint user_tracepoint(std::string_view tail, std::string_view binary) {
    auto const [front, name] = at_last_colon(tail);
    bool const has_file = front.find(':') != front.npos;
    auto const [file, provider] = has_file ? at_last_colon(front) : std::pair{binary, front};
    return {std::string(binary.empty() ? file : binary), std::string(provider), std::string(name)};
}

std::optional<NetfilterPlace> parse_netfilter(std::string_view text) {
    constexpr std::string_view hooks[] = {"prerouting", "input", "forward", "output",
                                          "postrouting"};
    std::size_t const first = std::min(text.find(':'), text.size());
    std::size_t const second = std::min(text.find(':', first + 1), text.size());
    auto place = parse_netfilter_family(std::string(text.substr(0, first)) +
                                        std::string(text.substr(second)));
    auto const* hook =
        std::find(std::begin(hooks), std::end(hooks),
                  first < second ? text.substr(first + 1, second - first - 1) : std::string_view());
    if (!place || hook == std::end(hooks)) return std::nullopt;
    place->hook = static_cast<std::uint32_t>(hook - std::begin(hooks));
    return place;
}

MapPlan const* socket_map(Plan const& plan, std::string const& name) {
    MapPlan const* found = nullptr;
    for (MapPlan const& map : plan.maps) {
        bool const is_one = map.type == BPF_MAP_TYPE_SOCKMAP || map.type == BPF_MAP_TYPE_SOCKHASH;
        if (!is_one || (!name.empty() && map.name != name)) continue;
        if (found) return nullptr;
        found = &map;
    }
    return found;
}

namespace {

bool is_named(Target target, ProgramPlan const& program, Plan const& plan, Targets const& t) {
    switch (target) {
        case Target::none:
            return true;
        case Target::interface:
            return !t.interface.empty();
        case Target::cgroup:
            return !t.cgroup.empty();
        case Target::map:
            return socket_map(plan, t.map) != nullptr;
        case Target::event:
            return !t.event.empty();
        case Target::binary: {
            auto const place = user_function(program.place.tail, t.binary);
            return !place.file.empty() && !place.function.name.empty();
        }
        case Target::file:
            return !user_tracepoint(program.place.tail, t.binary).file.empty();
        case Target::netfilter:
            return !t.netfilter.empty();
    }
    return false;
}

}  // namespace

std::string who(ProgramPlan const& plan) {
    return fmt::format("program '{}' ({})", escape(plan.name), escape(plan.section));
}

Result<void> check_target(ProgramPlan const& program, Plan const& plan, Targets const& targets) {
    SectionRow const& section = *program.place.row;
    if (section.by == AttachBy::nobody)
        return fail({fmt::format("{} is not attached by tamis: {}", who(program), section.reason),
                     std::nullopt,
                     {{"--no-attach only loads", std::nullopt}}});
    if (is_named(section.target, program, plan, targets)) return {};
    TargetRow const& target = row(section.target);
    return fail(input_error(fmt::format("{} needs {}", who(program), target.what),
                            fmt::format("name it with {}", target.option)));
}

}  // namespace tamis::runtime
