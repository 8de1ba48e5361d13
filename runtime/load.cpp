// Objects into the kernel, and what the kernel says about them.
#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runtime/kernel.h"
#include "runtime/libbpf_words.h"
#include "runtime/privilege.h"
#include "runtime/verifier_log.h"

namespace tamis::runtime {
namespace {

thread_local std::string* listener = nullptr;
libbpf_print_fn_t previous_printer = nullptr;

[[gnu::format(printf, 2, 0)]] int print(libbpf_print_level level, char const* format,
                                        va_list arguments) {
    if (!listener) return previous_printer ? previous_printer(level, format, arguments) : 0;
    if (level == LIBBPF_DEBUG) return 0;
    va_list again;
    va_copy(again, arguments);
    int const size = std::vsnprintf(nullptr, 0, format, again);
    va_end(again);
    if (size <= 0) return size;
    std::string line(static_cast<std::size_t>(size) + 1, '\0');
    std::vsnprintf(line.data(), line.size(), format, arguments);
    line.pop_back();
    *listener += line;
    return size;
}

// `log` is the verifier's, empty when the kernel did not get that far; `words` are libbpf's.
Diagnostic refusal(int error, std::string_view log, std::string_view words, HookRow const& hook) {
    auto text = lines(log);
    if (text.empty()) {
        auto diagnostic = system_error("cannot load the program into the kernel", error);
        if (error == EPERM || error == EACCES)
            note_missing(diagnostic, hook.capabilities);
        else
            note_last_lines(diagnostic, lines(words));
        return diagnostic;
    }
    Diagnostic diagnostic{
        .message = fmt::format("the kernel refuses the program: {}", escape(reason(text))),
        .span = {},
        .notes = {},
        .fault = Fault::system};
    bool const privileged_only = log.find("prohibited for !root") != log.npos ||
                                 log.find("pointer arithmetic") != log.npos ||
                                 log.find("invalid read from stack") != log.npos ||
                                 log.find("pointer -= pointer prohibited") != log.npos;
    if ((error == EACCES || error == EPERM) && privileged_only)
        diagnostic.notes.push_back(
            {.message = "computing with packet pointers needs CAP_PERFMON, or --no-perfmon",
             .span = {}});
    if (log.find("BPF program is too large") != log.npos)
        diagnostic.notes.push_back(
            {.message =
                 fmt::format("its verifier walks through at most {} instructions, on all ways "
                             "together: make several filters, each with a part of the list",
                             ebpf::max_insns),
             .span = {}});
    note_last_lines(diagnostic, text);
    return diagnostic;
}

Diagnostic unusable(std::string message) {
    return {.message = std::move(message), .span = {}, .notes = {}, .fault = Fault::input};
}

}  // namespace

LibbpfWords::LibbpfWords() : outer_(listener) {
    static bool const installed = [] {
        previous_printer = libbpf_set_print(print);
        return true;
    }();
    static_cast<void>(installed);
    listener = &text_;
}

LibbpfWords::~LibbpfWords() { listener = outer_; }

Fd::~Fd() {
    if (fd_ >= 0) close(fd_);
}

constexpr std::uint32_t xdp_dev_bound_only = 1U << 6;  // BPF_F_XDP_DEV_BOUND_ONLY, Linux 6.3

struct LoadedProgram::Handle {
    bpf_object* object = nullptr;
    bpf_program* program = nullptr;
    bpf_prog_info info{};
    Handle() = default;
    Handle(Handle const&) = delete;
    Handle& operator=(Handle const&) = delete;
    ~Handle() { bpf_object__close(object); }
};

Result<LoadedProgram> LoadedProgram::load(std::span<std::byte const> object, HookRow const& hook,
                                          std::uint32_t device) {
    LibbpfWords words;
    auto handle = std::make_shared<Handle>();
    bpf_object_open_opts options{};
    options.sz = sizeof options;
    options.object_name = "tamis";
    handle->object = bpf_object__open_mem(object.data(), object.size(), &options);
    if (!handle->object) {
        auto diagnostic = system_error("cannot read the object", errno);
        diagnostic.fault = Fault::input;
        note_last_lines(diagnostic, lines(words.text()));
        return fail(std::move(diagnostic));
    }
    handle->program = bpf_object__next_program(handle->object, nullptr);
    if (!handle->program) return fail(unusable("the object has no program"));
    if (bpf_object__next_program(handle->object, handle->program))
        return fail(unusable("the object has more than one program"));
    bpf_program__set_type(handle->program, static_cast<bpf_prog_type>(hook.prog_type));
    bpf_program__set_expected_attach_type(handle->program,
                                          static_cast<bpf_attach_type>(hook.attach_type));
    bpf_program__set_flags(handle->program, bpf_program__flags(handle->program) | hook.flags |
                                                (device != 0 ? xdp_dev_bound_only : 0));
    if (device != 0) bpf_program__set_ifindex(handle->program, device);

    // libbpf asks for the log only after a failure, so that no page of this is touched otherwise;
    // the size is the most that every kernel takes.
    constexpr std::size_t log_size = (std::size_t{1} << 24) - 1;
    auto const log = std::make_unique_for_overwrite<char[]>(log_size);
    log[0] = '\0';
    bpf_program__set_log_buf(handle->program, log.get(), log_size);
    if (int const error = -bpf_object__load(handle->object); error != 0) {
        auto diagnostic = refusal(error, log.get(), words.text(), hook);
        if (!kernel_has(hook))
            diagnostic.notes.push_back(
                {.message = fmt::format("the hook '{}' needs Linux {}", hook.name, hook.since),
                 .span = {}});
        return fail(std::move(diagnostic));
    }
    bpf_program__set_log_buf(handle->program, nullptr, 0);

    std::uint32_t size = sizeof handle->info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(handle->program), &handle->info, &size) != 0)
        return fail(system_error("cannot ask the kernel about the program", errno));
    return LoadedProgram(std::move(handle));
}

bool kernel_has(HookRow const& hook) {
    auto const release_of = [](char const* text) {
        std::pair<int, int> release{0, 0};
        std::sscanf(text, "%d.%d", &release.first, &release.second);
        return release;
    };
    utsname name{};
    if (uname(&name) != 0) return true;
    return release_of(name.release) >= release_of(std::string(hook.since).c_str());
}

int LoadedProgram::fd() const { return bpf_program__fd(handle_->program); }

std::uint32_t LoadedProgram::id() const { return handle_->info.id; }

std::size_t LoadedProgram::verified_insns() const { return handle_->info.verified_insns; }

int LoadedProgram::counters_fd() const {
    bpf_map const* map = bpf_object__find_map_by_name(handle_->object, "counters");
    return map ? bpf_map__fd(map) : -1;
}

Result<Counters> LoadedProgram::counters() const { return read_counters(counters_fd()); }

Result<Counters> read_counters(int map) {
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (map < 0 || bpf_obj_get_info_by_fd(map, &info, &size) != 0 ||
        info.value_size != sizeof(Counter) || info.max_entries < 2)
        return fail(unusable("the program has no map 'counters' of packets and bytes"));
    int const cpus = info.type == BPF_MAP_TYPE_PERCPU_ARRAY ? libbpf_num_possible_cpus() : 1;
    if (cpus < 0) return fail(system_error("cannot count the CPUs", -cpus));
    std::vector<Counter> values(static_cast<std::size_t>(cpus));
    Counters sum;
    for (std::uint32_t key = 0; key < 2; ++key) {
        if (bpf_map_lookup_elem(map, &key, values.data()) != 0)
            return fail(system_error("cannot read the counters", errno));
        Counter& total = key == 0 ? sum.passed : sum.matched;
        for (Counter const& value : values) {
            total.packets += value.packets;
            total.bytes += value.bytes;
        }
    }
    return sum;
}

Result<TestRun> LoadedProgram::test_run(std::span<std::uint8_t const> packet,
                                        std::uint32_t repeat) const {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    options.repeat = static_cast<int>(std::max(1U, repeat));
    if (bpf_prog_test_run_opts(fd(), &options) != 0) {
        int const error = errno;
        auto diagnostic = system_error(
            fmt::format("cannot run the program on a packet of {} bytes", packet.size()), error);
        if (error == EINVAL)
            diagnostic.notes.push_back({.message = "the kernel takes from 14 bytes up to about "
                                                   "3,700, at least the header "
                                                   "that an EtherType announces",
                                        .span = {}});
        return fail(std::move(diagnostic));
    }
    return TestRun{.retval = options.retval, .nanoseconds = options.duration};
}

}  // namespace tamis::runtime
