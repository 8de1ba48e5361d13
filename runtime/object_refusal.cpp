#include "runtime/object_refusal.h"

#include <cerrno>
#include <fstream>

#include <fmt/core.h>
#include <unistd.h>

#include "runtime/kernel_names.h"
#include "runtime/object_targets.h"
#include "runtime/program_types.h"
#include "runtime/tracefs.h"
#include "runtime/verifier_log.h"

namespace tamis::runtime {
namespace {

void add_note(Diagnostic& diagnostic, std::string text) {
    diagnostic.notes.push_back({std::move(text), std::nullopt});
}

// The name that libbpf put in quotes behind the first `what`.
std::string_view quoted(std::string_view words, std::string_view what, std::string_view before) {
    std::size_t const end = words.find(before);
    if (end == words.npos) return {};
    std::size_t const begin = words.rfind(what, end);
    if (begin == words.npos) return {};
    std::string_view const name = words.substr(begin + what.size());
    return name.substr(0, name.find('\''));
}

Diagnostic map_refusal(MapPlan const& map, int error, std::string_view words) {
    KernelType const type = map_type(map.type);
    std::string const what =
        fmt::format("cannot create map '{}' ({}, {} entries of {} + {} bytes)", escape(map.name),
                    type.name.empty() ? fmt::format("type {}", map.type) : std::string(type.name),
                    map.max_entries, map.key_size, map.value_size);
    auto out = system_error(what, error);
    if (error == ENOMEM || error == E2BIG)
        add_note(out, fmt::format("that is more than the kernel gives; `--map {}:max_entries=N` "
                                  "makes it smaller",
                                  escape(map.name)));
    else if (running_kernel() < type.since)
        add_note(out, fmt::format("such maps are in Linux {}; this is {}", text_of(type.since),
                                  text_of(running_kernel())));
    else if (error == EINVAL && type.name.empty())
        add_note(out, fmt::format("the kernel may be older than map type {}", map.type));
    else if (error == EPERM)
        add_note(out, "this needs CAP_BPF, for some types CAP_NET_ADMIN too");
    else
        note_last_lines(out, lines(words));
    return out;
}

bool is_lockdown() {
    std::string text;
    std::getline(std::ifstream("/sys/kernel/security/lockdown"), text);
    return !text.empty() && text.find("[none]") == text.npos;
}

void note_what_is_missing(Diagnostic& out, ProgramPlan const& program, int error) {
    SectionRow const& row = *program.place.row;
    if (std::string const why = missing(row); !why.empty()) add_note(out, why);
    if (error == EAGAIN)  // libbpf asks five times
        add_note(out, "signals interrupted the kernel, each time that it was asked");
    if (error != EPERM && error != EACCES) return;
    if (geteuid() != 0)
        add_note(out, "this needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN by the program's type");
    else if (row.part == Part::trampolines || row.part == Part::lsm)
        add_note(out, is_lockdown() ? "the kernel is locked down"
                                    : "this kernel refuses programs at functions altogether");
}

// `log` is the verifier's, empty when the kernel did not get that far.
Diagnostic program_refusal(ProgramPlan const& program, int error, std::string_view log,
                           std::string_view words) {
    auto text = lines(log);
    if (text.empty() && words.find("failed to find kernel BTF type ID") != words.npos)
        return no_such_place(*program.place.row, program.place.tail);
    if (text.empty()) {
        auto out = system_error("cannot load " + who(program), error);
        note_what_is_missing(out, program, error);
        note_last_lines(out, lines(words));
        return out;
    }
    Diagnostic out{fmt::format("the kernel refuses {}: {}", who(program), escape(reason(text))),
                   std::nullopt,
                   {},
                   Fault::system};
    note_what_is_missing(out, program, error);
    note_last_lines(out, text);
    return out;
}

}  // namespace

Diagnostic load_refusal(Plan const& plan, std::string const& object, int error,
                        std::string_view log, std::string_view words) {
    std::string_view const map = quoted(words, "map '", "': failed to create");
    for (MapPlan const& refused : plan.maps)
        if (refused.name == map) return map_refusal(refused, error, words);
    // libbpf: prog 'NAME': BPF program load failed
    std::string_view name = quoted(words, "prog '", "': BPF program load failed");
    if (name.empty()) name = quoted(words, "prog '", "': failed to");
    for (ProgramPlan const& refused : plan.programs)
        if (refused.name == name) return program_refusal(refused, error, log, words);
    auto out = system_error(fmt::format("cannot load '{}'", escape(object)), error);
    note_last_lines(out, lines(words));
    return out;
}

std::string missing(SectionRow const& row) {
    if (running_kernel() < row.since)
        return fmt::format("'{}' can be attached from Linux {} on; this is {}", row.name,
                           text_of(row.since), text_of(running_kernel()));
    auto const there = [](char const* path) { return access(path, F_OK) == 0; };
    switch (row.part) {
        case Part::none:
        case Part::tracepoints:
            return {};
        case Part::kprobes:
            return has_kprobe_pmu() || has_kprobe_events()
                       ? ""
                       : "this kernel was built without kprobes";
        case Part::fprobes:
            return kernel_function("register_fprobe_ips") ? ""
                                                          : "this kernel was built without fprobes";
        case Part::uprobes:
            return there("/sys/bus/event_source/devices/uprobe/type")
                       ? ""
                       : "this kernel was built without uprobes";
        case Part::trampolines:
            return there("/sys/kernel/btf/vmlinux") ? "" : "this kernel was built without BTF";
        case Part::lsm: {
            std::ifstream file("/sys/kernel/security/lsm");
            std::string text;
            std::getline(file, text);
            return text.empty() || text.find("bpf") != text.npos
                       ? ""
                       : "this kernel was started without `bpf` in lsm=";
        }
    }
    return {};
}

}  // namespace tamis::runtime
