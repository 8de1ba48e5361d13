#include "verify/kernel_programs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <unistd.h>

#include "runtime/kernel.h"

namespace tamis::verify {
namespace {

using runtime::Fd;

constexpr auto iterator_attach_type = BPF_TRACE_ITER;

Diagnostic refusal(std::string_view what, int error) {
    auto diagnostic = system_error(what, error);
    if (error == EPERM || error == EACCES)
        diagnostic.notes.push_back(
            {"reading the kernel's programs needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN",
             std::nullopt});
    return diagnostic;
}

Result<Fd> load(ebpf::Program const& program, std::uint32_t iterator, char const* name) {
    bpf_prog_load_opts options{};
    options.sz = sizeof options;
    options.expected_attach_type = iterator_attach_type;
    options.attach_btf_id = iterator;
    static_assert(sizeof(bpf_insn) == sizeof(ebpf::Insn));
    Fd fd(bpf_prog_load(BPF_PROG_TYPE_TRACING, name, "GPL",
                        reinterpret_cast<bpf_insn const*>(program.insns.data()),
                        program.insns.size(), &options));
    if (!fd) return fail(refusal("cannot load the iterator over the kernel's sockets", errno));
    return fd;
}

bool bit(std::span<std::uint8_t const> bytes, std::uint32_t number) {
    return number / 8 < bytes.size() && (bytes[number / 8] >> number % 8 & 1) != 0;
}

std::uint32_t word(std::span<std::uint8_t const> bytes, std::uint32_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

}  // namespace

struct KernelPrograms::State {
    enum class Over : std::uint8_t { files, tasks };

    // A program of which so far only some windows have been seen.
    struct Partial {
        KernelCopy copy;
        std::uint32_t length;
        bool complete() const { return copy.insns.size() == length; }
    };

    WalkOffsets offsets{};
    Fd map, files, tasks;
    // The last link, which batches use again and again.
    pid_t linked_process = -1;
    Over linked_over = Over::files;
    bool link_chooses = false;
    Fd link;
    std::vector<char> buffer = std::vector<char>(std::size_t{1} << 18);

    Result<void> connect(Over over, pid_t process);
    Result<void> round(pid_t process, WalkOrder order, std::vector<Partial>& partials);
    std::size_t take(std::span<char const> bytes, WalkOrder const& order, pid_t process,
                     std::vector<Partial>& partials, std::size_t& next) const;
    Result<std::vector<KernelCopy>> walk(Over over, pid_t process, WalkOrder order);
};

Result<KernelPrograms> KernelPrograms::open(KernelLayout const& layout) {
    auto state = std::make_shared<State>();
    state->offsets = layout.walk;
    if (layout.walk.iter_task_file == 0 || layout.walk.prog_insns > most_header)
        return fail({.message = "this kernel has no iterator over the files of its tasks",
                     .span = {},
                     .notes = {{"kernels have it from 5.8 on", std::nullopt}},
                     .fault = Fault::system});
    state->map = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "tamis_walk", sizeof(std::uint32_t),
                                   walk_value_size, 1, nullptr));
    if (!state->map) return fail(refusal("cannot create a BPF map", errno));
    auto const program = file_walk(layout.walk, state->map.get());
    if (!program) return fail(program.error());
    auto files = load(*program, layout.walk.iter_task_file, "tamis_files");
    if (!files) return fail(files.error());
    state->files = std::move(*files);
    return KernelPrograms(std::move(state));
}

// From 6.1 on a link says which process the iterator visits; before that it visits all, and the
// order names the one that is wanted.
Result<void> KernelPrograms::State::connect(Over over, pid_t process) {
    if (link && linked_process == process && linked_over == over) return {};
    if (over == Over::tasks && !tasks) {
        auto const program = task_walk(offsets, map.get());
        if (!program) return fail(program.error());
        auto loaded = load(*program, offsets.iter_task, "tamis_tasks");
        if (!loaded) return fail(loaded.error());
        tasks = std::move(*loaded);
    }
    int const program = over == Over::files ? files.get() : tasks.get();
    bpf_iter_link_info info{};
    // A process's threads share its files, but each has its own seccomp filters.
    if (over == Over::files)
        info.task.pid = static_cast<std::uint32_t>(process);
    else
        info.task.tid = static_cast<std::uint32_t>(process);
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.iter_info = &info;
    options.iter_info_len = sizeof info;
    link = Fd(bpf_link_create(program, 0, iterator_attach_type, &options));
    link_chooses = static_cast<bool>(link);
    if (!link && errno == ESRCH)
        return fail(system_error("no process " + std::to_string(process), ESRCH));
    if (!link) {
        options.iter_info = nullptr;
        options.iter_info_len = 0;
        link = Fd(bpf_link_create(program, 0, iterator_attach_type, &options));
    }
    if (!link) return fail(refusal("cannot attach the iterator", errno));
    linked_process = process;
    linked_over = over;
    return {};
}

// Takes the whole records at the beginning of `bytes` and returns where they end.  `next` is where
// the program of the next record may be found: walks go by ascending descriptors.
std::size_t KernelPrograms::State::take(std::span<char const> bytes, WalkOrder const& order,
                                        pid_t process, std::vector<Partial>& partials,
                                        std::size_t& next) const {
    std::size_t at = 0;
    WalkRecord record;
    while (bytes.size() - at >= sizeof record) {
        std::memcpy(&record, bytes.data() + at, sizeof record);
        char const* const insns = bytes.data() + at + sizeof record;
        std::size_t const size = 8 * std::size_t{record.count};
        if (bytes.size() - at < sizeof record + size) break;
        at += sizeof record + size;
        int const fd = static_cast<int>(record.fd);
        if (order.skip == 0) {
            next = partials.size();
            partials.push_back({{.process = process,
                                 .fd = fd,
                                 .holder = record.holder,
                                 .classic = word(record.header, offsets.prog_type) == 0,
                                 .blinded = bit(record.header, offsets.prog_blinded_bit),
                                 .stack_depth = record.stack_depth,
                                 .insns = {}},
                                word(record.header, offsets.prog_len)});
        }
        while (next < partials.size() && partials[next].copy.fd != fd) ++next;
        if (next == partials.size()) break;
        auto& known = partials[next].copy.insns;
        if (known.size() != order.skip) continue;
        known.resize(known.size() + record.count);
        std::memcpy(static_cast<void*>(known.data() + order.skip), insns, size);
    }
    return at;
}

// One walk, which adds one window to every program that it finds.
Result<void> KernelPrograms::State::round(pid_t process, WalkOrder order,
                                          std::vector<Partial>& partials) {
    order.tgid = link_chooses ? 0 : static_cast<std::uint32_t>(process);
    std::vector<std::uint8_t> value(walk_value_size);
    std::memcpy(value.data(), &order, sizeof order);
    std::uint32_t const key = 0;
    if (bpf_map_update_elem(map.get(), &key, value.data(), BPF_ANY) != 0)
        return fail(system_error("cannot write a BPF map", errno));
    Fd const iterator(bpf_iter_create(link.get()));
    if (!iterator) return fail(refusal("cannot start the iterator", errno));

    std::size_t kept = 0, next = 0;
    while (true) {
        ssize_t const got = read(iterator.get(), buffer.data() + kept, buffer.size() - kept);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got < 0) return fail(system_error("cannot read the iterator", errno));
        if (got == 0) return {};
        std::size_t const end = kept + static_cast<std::size_t>(got);
        std::size_t const taken = take({buffer.data(), end}, order, process, partials, next);
        kept = end - taken;
        std::memmove(buffer.data(), buffer.data() + taken, kept);
    }
}

Result<std::vector<KernelCopy>> KernelPrograms::State::walk(Over over, pid_t process,
                                                            WalkOrder order) {
    if (auto connected = connect(over, process); !connected) return fail(connected.error());
    std::vector<Partial> partials;
    bool more = true;
    for (; more; order.skip += window) {
        if (auto done = round(process, order, partials); !done) return fail(done.error());
        more = std::any_of(partials.begin(), partials.end(), [&](Partial const& p) {
            return !p.complete() && p.copy.insns.size() > order.skip;
        });
    }
    std::vector<KernelCopy> copies;
    for (Partial& partial : partials)
        if (partial.complete()) copies.push_back(std::move(partial.copy));
    return copies;
}

Result<std::vector<KernelCopy>> KernelPrograms::of_sockets(pid_t process, Holder holder) {
    return state_->walk(State::Over::files, process,
                        {.tgid = 0, .holder = holder, .skip = 0, .chain = 0, .unused = 0});
}

Result<std::vector<KernelCopy>> KernelPrograms::of_seccomp(pid_t process, std::uint32_t chain) {
    return state_->walk(
        State::Over::tasks, process,
        {.tgid = 0, .holder = Holder::seccomp, .skip = 0, .chain = chain, .unused = 0});
}

}  // namespace tamis::verify
