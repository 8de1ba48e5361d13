// Sources: perf_event_open(2), and linux/perf_event.h for the records PERF_RECORD_KSYMBOL and
// PERF_RECORD_BPF_EVENT.  A program's KSYMBOL records, one a function, come before its BPF_EVENT.
#include "runtime/program_events.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <unordered_map>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/perf_event.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/kernel.h"
#include "runtime/program_types.h"

namespace tamis::runtime {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t ring_pages = 256;  // some 6,000 loads that nobody has read yet

// What stands at the end of every record with sample_id_all and our sample_type.
struct SampleId {
    std::uint32_t process, thread;
    std::uint64_t time;
    std::uint32_t cpu, reserved;
};
struct BpfRecord {
    std::uint16_t type, flags;
    std::uint32_t id;
    std::array<std::uint8_t, 8> tag;
};
struct SymbolRecord {
    std::uint64_t address;
    std::uint32_t size;
    std::uint16_t type, flags;  // the name follows
};
struct CommandRecord {
    std::uint32_t process, thread;  // the name follows
};
struct LostRecord {
    std::uint64_t event, count;
};

struct Record {
    std::uint32_t type;
    SampleId id;
    std::vector<std::byte> body;  // between header and SampleId

    template <class T>
    T as() const {
        T out{};
        std::memcpy(&out, body.data(), std::min(sizeof out, body.size()));
        return out;
    }
    std::string text(std::size_t at) const {
        if (at >= body.size()) return {};
        auto const* begin = reinterpret_cast<char const*>(body.data()) + at;
        return {begin, strnlen(begin, body.size() - at)};
    }
};

// One event's ring buffer.
class Ring {
  public:
    static constexpr std::size_t size = ring_pages * page;

    Ring(Fd event, void* memory) : event_(std::move(event)), memory_(memory) {}
    Ring(Ring const&) = delete;
    Ring& operator=(Ring const&) = delete;
    ~Ring() { munmap(memory_, page + size); }
    int fd() const { return event_.get(); }

    void read(std::vector<Record>& out) {
        auto* control = static_cast<perf_event_mmap_page*>(memory_);
        std::uint64_t const head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
        std::uint64_t tail = control->data_tail;
        while (tail < head) {
            perf_event_header header;
            copy(tail, &header, sizeof header);
            if (header.size < sizeof header) break;  // never: the kernel wrote it
            if (header.size >= sizeof header + sizeof(SampleId))
                out.push_back(record(tail, header));
            tail += header.size;
        }
        __atomic_store_n(&control->data_tail, tail, __ATOMIC_RELEASE);
    }

  private:
    void copy(std::uint64_t from, void* to, std::size_t count) const {
        auto const* data = static_cast<std::byte const*>(memory_) + page;
        auto const begin = static_cast<std::size_t>(from % size);
        std::size_t const first = std::min(count, size - begin);
        std::memcpy(to, data + begin, first);
        std::memcpy(static_cast<std::byte*>(to) + first, data, count - first);
    }
    Record record(std::uint64_t at, perf_event_header const& header) const {
        Record out{header.type, {}, {}};
        out.body.resize(header.size - sizeof header - sizeof out.id);
        copy(at + sizeof header, out.body.data(), out.body.size());
        copy(at + header.size - sizeof out.id, &out.id, sizeof out.id);
        return out;
    }

    Fd event_;
    void* memory_;
};

std::string tag_text(std::array<std::uint8_t, 8> const& tag) {
    std::string out;
    for (std::uint8_t const byte : tag) out += fmt::format("{:02x}", byte);
    return out;
}

std::uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
}

std::string command_of(pid_t process) {
    std::string text;
    std::ifstream file(fmt::format("/proc/{}/comm", process));
    std::getline(file, text);
    return text;
}

std::optional<bpf_prog_info> info_of(std::uint32_t id) {
    Fd const program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return std::nullopt;
    return info;
}

std::string type_text(std::uint32_t type) {
    std::string_view const name = program_type(type).name;
    return name.empty() ? fmt::format("type {}", type) : std::string(name);
}

// `bpf_prog_TAG_NAME` or `bpf_prog_TAG`: the name.
std::string name_in(std::string const& symbol) {
    constexpr std::size_t before = sizeof("bpf_prog_") - 1 + 16 + 1;
    return symbol.size() > before ? symbol.substr(before) : "";
}

// The threads of a process; those that it starts later inherit the events.
std::vector<pid_t> threads(pid_t process) {
    std::vector<pid_t> out;
    std::error_code error;
    std::filesystem::directory_iterator const folder(fmt::format("/proc/{}/task", process), error);
    for (auto const& entry : folder) out.push_back(std::atoi(entry.path().filename().c_str()));
    return out;
}

}  // namespace

struct ProgramEvents::State {
    std::vector<std::unique_ptr<Ring>> rings;
    Fd epoll{epoll_create1(EPOLL_CLOEXEC)};
    std::vector<Record> waiting;
    std::uint64_t lost = 0;
    std::map<std::uint32_t, std::vector<Record>> symbols;      // by thread, of the next BPF_EVENT
    std::unordered_map<std::uint32_t, ProgramEvent> programs;  // that are loaded
    std::unordered_map<std::uint32_t, std::string> commands;   // by process

    Result<void> add(pid_t process, int cpu, unsigned long flags);
    void take(Record const& record, Sink const& sink);
    void take_event(Record const& record, Sink const& sink);
    std::string command(std::uint32_t process);
};

Result<void> ProgramEvents::State::add(pid_t process, int cpu, unsigned long flags) {
    perf_event_attr attributes{};
    attributes.size = sizeof attributes;
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.config = PERF_COUNT_SW_DUMMY;
    attributes.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU;
    attributes.sample_id_all = 1;
    attributes.bpf_event = 1;
    attributes.ksymbol = 1;
    attributes.comm = 1;
    attributes.inherit = process > 0 && flags == 0;
    attributes.use_clockid = 1;
    attributes.clockid = CLOCK_MONOTONIC;
    attributes.watermark = 1;  // wake the reader at every record
    attributes.wakeup_watermark = 1;
    Fd event(static_cast<int>(
        syscall(SYS_perf_event_open, &attributes, process, cpu, -1, flags | PERF_FLAG_FD_CLOEXEC)));
    if (!event && (errno == ENODEV || errno == ESRCH))
        return {};  // an offline CPU, an ended thread
    if (!event) {
        int const error = errno;
        auto diagnostic = system_error("cannot watch programs", error);
        if (error == EACCES || error == EPERM)
            diagnostic.notes.push_back({"this needs CAP_PERFMON", std::nullopt});
        else if (error == EINVAL)
            diagnostic.notes.push_back(
                {"the kernel may be older than 5.1, or not select by control group", std::nullopt});
        return fail(std::move(diagnostic));
    }
    void* memory =
        mmap(nullptr, page + Ring::size, PROT_READ | PROT_WRITE, MAP_SHARED, event.get(), 0);
    if (memory == MAP_FAILED)
        return fail(system_error("cannot map a ring buffer for events", errno));
    epoll_event interest{EPOLLIN, {}};
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.get(), &interest);
    rings.push_back(std::make_unique<Ring>(std::move(event), memory));
    return {};
}

Result<ProgramEvents> ProgramEvents::open(ProgramSelection const& selection) {
    auto state = std::make_shared<State>();
    Fd cgroup;
    unsigned long flags = 0;
    std::vector<pid_t> tasks = {-1};
    if (selection.process) {
        tasks = threads(*selection.process);
        if (tasks.empty())
            return fail(
                {fmt::format("there is no process {}", *selection.process), std::nullopt, {}});
    } else if (!selection.cgroup.empty()) {
        cgroup = Fd(::open(selection.cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!cgroup) {
            auto diagnostic = system_error(
                fmt::format("cannot open control group '{}'", escape(selection.cgroup)), errno);
            diagnostic.fault = Fault::input;
            return fail(std::move(diagnostic));
        }
        tasks = {cgroup.get()};
        flags = PERF_FLAG_PID_CGROUP;
    }
    int const cpus = libbpf_num_possible_cpus();
    for (int cpu = 0; cpu < cpus; ++cpu) {
        if (selection.cpu && *selection.cpu != cpu) continue;
        for (pid_t const task : tasks)
            if (auto added = state->add(task, cpu, flags); !added) return fail(added.error());
    }
    if (state->rings.empty())
        return fail({selection.cpu ? fmt::format("there is no CPU {}", *selection.cpu)
                                   : "there is nothing to watch",
                     std::nullopt,
                     {}});
    return ProgramEvents(std::move(state));
}

Result<void> ProgramEvents::present(Sink const& sink) {
    std::uint32_t id = 0;
    while (bpf_prog_get_next_id(id, &id) == 0) {
        auto const info = info_of(id);
        if (!info) continue;  // gone meanwhile
        ProgramEvent event{.what = ProgramEvent::What::present,
                           .id = id,
                           .type = type_text(info->type),
                           .name = info->name,
                           .tag = {},
                           .process = {},
                           .command = {},
                           .size = info->jited_prog_len};
        std::array<std::uint8_t, 8> tag{};
        std::copy(std::begin(info->tag), std::end(info->tag), tag.begin());
        event.tag = tag_text(tag);
        sink(event);
        state_->programs.emplace(id, std::move(event));
    }
    if (errno != ENOENT) {
        auto diagnostic = system_error("cannot list the programs that are loaded", errno);
        diagnostic.notes.push_back({"this needs CAP_SYS_ADMIN", std::nullopt});
        return fail(std::move(diagnostic));
    }
    return {};
}

int ProgramEvents::fd() const { return state_->epoll.get(); }

std::uint64_t ProgramEvents::lost() const { return state_->lost; }

bool ProgramEvents::read(Sink const& sink) {
    constexpr std::uint64_t settle = 1'000'000;  // nanoseconds
    std::uint64_t const until = now() - settle;
    auto& waiting = state_->waiting;
    for (auto const& ring : state_->rings) ring->read(waiting);
    std::stable_sort(waiting.begin(), waiting.end(),
                     [](Record const& a, Record const& b) { return a.id.time < b.id.time; });
    auto const young = std::find_if(waiting.begin(), waiting.end(),
                                    [&](Record const& r) { return r.id.time >= until; });
    for (auto record = waiting.begin(); record != young; ++record) state_->take(*record, sink);
    waiting.erase(waiting.begin(), young);
    return !waiting.empty();
}

void ProgramEvents::State::take(Record const& record, Sink const& sink) {
    switch (record.type) {
        case PERF_RECORD_LOST:
            lost += record.as<LostRecord>().count;
            return;
        case PERF_RECORD_COMM: {
            constexpr std::size_t most = 65'536;  // forgotten names can be asked for again
            if (commands.size() > most) commands.clear();
            commands[record.as<CommandRecord>().process] = record.text(sizeof(CommandRecord));
            return;
        }
        case PERF_RECORD_KSYMBOL:
            if (record.as<SymbolRecord>().type == PERF_RECORD_KSYMBOL_TYPE_BPF)
                symbols[record.id.thread].push_back(record);
            return;
        case PERF_RECORD_BPF_EVENT:
            return take_event(record, sink);
        default:  // the kernel's numbers, not ours
            return;
    }
}

std::string ProgramEvents::State::command(std::uint32_t process) {
    auto const known = commands.find(process);
    if (known != commands.end()) return known->second;
    std::string name = command_of(static_cast<pid_t>(process));
    if (!name.empty()) commands[process] = name;
    return name;
}

void ProgramEvents::State::take_event(Record const& record, Sink const& sink) {
    auto const body = record.as<BpfRecord>();
    auto const code = symbols.extract(record.id.thread);
    if (body.type == PERF_BPF_EVENT_PROG_UNLOAD) {
        ProgramEvent event{.what = ProgramEvent::What::unload,
                           .id = body.id,
                           .type = {},
                           .name = {},
                           .tag = tag_text(body.tag),
                           .process = {},
                           .command = {}};
        if (auto const known = programs.extract(body.id)) event = known.mapped();
        event.what = ProgramEvent::What::unload;
        return sink(event);
    }
    if (body.type != PERF_BPF_EVENT_PROG_LOAD) return;
    auto const process = static_cast<pid_t>(record.id.process);
    ProgramEvent event{.what = ProgramEvent::What::load,
                       .id = body.id,
                       .type = {},
                       .name = {},
                       .tag = tag_text(body.tag),
                       .process = process,
                       .command = command(record.id.process)};
    if (code)
        for (Record const& symbol : code.mapped()) {
            auto const part = symbol.as<SymbolRecord>();
            std::string const name = symbol.text(sizeof(SymbolRecord));
            if (event.name.empty() || name.find(event.tag) != name.npos) event.name = name_in(name);
            if (event.address == 0) event.address = part.address;
            event.size += part.size;
        }
    if (auto const info = info_of(body.id)) {
        event.type = type_text(info->type);
        // The kernel's name ends after 15 characters, its symbol's goes on.
        if (!event.name.starts_with(info->name)) event.name = info->name;
    }
    bool const listed = programs.contains(body.id);  // by present(), a moment ago
    programs.insert_or_assign(body.id, event);
    if (!listed) sink(event);
}

}  // namespace tamis::runtime
