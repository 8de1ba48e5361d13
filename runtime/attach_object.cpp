// Loaded programs to where their sections say.
#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/functions_like.h"
#include "runtime/kernel_names.h"
#include "runtime/kprobe_events.h"
#include "runtime/libbpf_words.h"
#include "runtime/links.h"
#include "runtime/object_handle.h"
#include "runtime/object_targets.h"
#include "runtime/tracefs.h"
#include "runtime/verifier_log.h"

namespace tamis::runtime {
namespace {

using Handle = Loaded::Handle;

Diagnostic input_error(std::string message, std::string note) {
    return {std::move(message), std::nullopt, {{std::move(note), std::nullopt}}};
}

Diagnostic refused(ProgramPlan const& plan, std::string_view where, int error) {
    auto out = system_error(fmt::format("cannot attach {} to {}", who(plan), where), error);
    if (std::string why = missing(*plan.place.row); !why.empty())
        out.notes.push_back({std::move(why), std::nullopt});
    return out;
}

// ---- Links

// Pins a link where that was asked for.
Result<void> pin(Handle& handle, ProgramPlan const& plan, int link) {
    return handle.pin ? handle.pin->add("link-" + plan.name, link) : Result<void>();
}

Result<void> keep(Handle& handle, ProgramPlan const& plan, bpf_link* link) {
    handle.links.push_back(link);
    return pin(handle, plan, bpf_link__fd(link));
}

Result<void> keep(Handle& handle, ProgramPlan const& plan, Fd link) {
    int const fd = link.get();
    handle.hold(std::move(link));
    return pin(handle, plan, fd);
}

class Attacher {
  public:
    Attacher(Handle& handle, ProgramPlan const& plan, bpf_program* program, Targets const& targets)
        : handle_(handle),
          plan_(plan),
          program_(program),
          targets_(targets),
          row_(*plan.place.row) {}

    // The place in words.
    Result<std::string> run() {
        switch (row_.by) {
            case AttachBy::kprobe:
                return kprobe();
            case AttachBy::kprobe_session:
                return kprobe_session();
            case AttachBy::uprobes:
                return uprobes();
            case AttachBy::uprobe:
                return uprobe();
            case AttachBy::usdt:
                return usdt();
            case AttachBy::libbpf:
                return linked(bpf_program__attach(program_), fmt::format("'{}'", tail()));
            case AttachBy::tracepoint:
                return tracepoint();
            case AttachBy::raw_tracepoint:
                return raw_tracepoint();
            case AttachBy::perf_event:
                return perf_event();
            case AttachBy::packet_socket:
                return packet_socket_on();
            case AttachBy::xdp:
                return xdp();
            case AttachBy::tcx:
                return tcx();
            case AttachBy::netkit:
                return netkit();
            case AttachBy::cgroup:
                return cgroup();
            case AttachBy::netns:
                return netns();
            case AttachBy::socket_map:
                return to_map();
            case AttachBy::netfilter:
                return netfilter();
            case AttachBy::iterator:
                return iterator();
            case AttachBy::nobody:
                break;
        }
        return std::string();
    }
    std::string note;

  private:
    std::string tail() const { return std::string(plan_.place.tail); }

    Result<std::string> kept(bpf_link* link, std::string place) {
        if (auto done = keep(handle_, plan_, link); !done) return fail(done.error());
        return place;
    }
    // For a link or null with errno.
    Result<std::string> linked(bpf_link* link, std::string place) {
        if (link) return kept(link, std::move(place));
        int const error = errno;
        auto diagnostic = refused(plan_, escape(place), error);
        note_last_lines(diagnostic, lines(words_.text()));
        return fail(std::move(diagnostic));
    }
    Result<std::string> linked(Fd link, std::string place) {
        if (!link) return fail(refused(plan_, escape(place), errno));
        if (auto done = keep(handle_, plan_, std::move(link)); !done) return fail(done.error());
        return place;
    }

    Result<std::string> kprobe() {
        bool const on_return = row_.name.find("ret") != row_.name.npos;
        bool const system_call = row_.name.find("syscall") != row_.name.npos;
        auto [function, offset] = split_offset(plan_.place.tail);
        bool const events_only = targets_.kprobe_events || !has_kprobe_pmu();
        if (events_only && !has_kprobe_events()) return fail(no_kprobes(function));
        if (system_call) function = "__x64_sys_" + function;
        auto const symbol = kernel_function(function);
        if (!symbol) return fail(symbol.error());
        if (*symbol != function)
            note = fmt::format("'{}' is only there as its clone '{}'", escape(function),
                               escape(*symbol));
        std::string const where = offset ? fmt::format("{}+{}", *symbol, offset) : *symbol;
        std::string const place =
            fmt::format("{} of '{}'", on_return ? "the return" : "the entry", where);
        if (events_only) return kprobe_event(where, on_return, place);
        bpf_kprobe_opts options{};
        options.sz = sizeof options;
        options.offset = offset;
        options.retprobe = on_return;
        return linked(bpf_program__attach_kprobe_opts(program_, symbol->c_str(), &options), place);
    }

    Diagnostic no_kprobes(std::string const& function) const {
        Diagnostic out{
            fmt::format("cannot attach {}: this kernel was built without kprobes", who(plan_)),
            std::nullopt,
            {},
            Fault::system};
        for (std::string const& name : tracepoints_near(function))
            out.notes.push_back(
                {fmt::format("trace point near it: SEC(\"tracepoint/{}\")", escape(name)),
                 std::nullopt});
        return out;
    }

    Result<std::string> kprobe_event(std::string const& where, bool on_return,
                                     std::string const& place) {
        auto event = KprobeEvent::create(where, on_return);
        if (!event) return fail(event.error());
        std::uint64_t const id = event->number();
        // Held by what is destroyed last: behind the link to it.
        handle_.holders.push_back(std::make_shared<KprobeEvent>(std::move(*event)));
        return trace_event(id, place + " by kprobe_events");
    }

    Result<std::string> raw_tracepoint() {
        bpf_link* link = bpf_program__attach_raw_tracepoint(program_, tail().c_str());
        if (!link && errno == ENOENT) return fail(no_such_place(row_, tail()));
        return linked(link, fmt::format("trace point '{}'", tail()));
    }

    Result<std::string> tracepoint() {
        auto const id = tracepoint_number(tail());
        if (!id) return fail(id.error());
        return trace_event(*id, fmt::format("trace point '{}'", tail()));
    }

    Result<std::string> trace_event(std::uint64_t id, std::string const& place) {
        perf_event_attr attributes{};
        attributes.size = sizeof attributes;
        attributes.type = PERF_TYPE_TRACEPOINT;
        attributes.config = id;
        // On one CPU: programs at trace points run on all of them.
        Fd event = open_event(attributes, -1, 0);
        if (!event) return fail(refused(plan_, escape(place), errno));
        return on_event(std::move(event), place);
    }

    static Fd open_event(perf_event_attr& attributes, pid_t process, int cpu) {
        return Fd(static_cast<int>(
            syscall(SYS_perf_event_open, &attributes, process, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
    }

    // The link owns the event from here on.
    Result<std::string> on_event(Fd event, std::string place) {
        int const fd = fcntl(event.get(), F_DUPFD_CLOEXEC, 0);
        bpf_link* link = bpf_program__attach_perf_event(program_, fd);
        int const error = errno;
        if (!link) {
            close(fd);
            errno = error;
        }
        return linked(link, std::move(place));
    }

    Result<std::string> kprobe_session() {
        auto const functions = kernel_functions_like(tail());
        if (!functions) {
            Diagnostic out = functions.error();
            if (std::string why = missing(row_); !why.empty())
                out.notes.push_back({std::move(why), std::nullopt});
            return fail(std::move(out));
        }
        return linked(link_kprobes(bpf_program__fd(program_), row_.attach_type, *functions),
                      fmt::format("the entries and returns of '{}'", tail()));
    }

    Result<std::string> uprobes() {
        auto const [file, function] = user_function(plan_.place.tail, targets_.binary);
        auto offsets = user_functions_like(file, function.name);
        if (!offsets) return fail(offsets.error());
        bool const on_return = row_.name.starts_with("uretprobe");
        return linked(link_uprobes(bpf_program__fd(program_), row_.attach_type,
                                   {file, std::move(*offsets), on_return, targets_.pid}),
                      fmt::format("{} of '{}' in '{}'", on_return ? "the returns" : "the entries",
                                  function.name, file));
    }

    Result<std::string> uprobe() {
        UserFunction const place = user_function(tail(), targets_.binary);
        bpf_uprobe_opts options{};
        options.sz = sizeof options;
        options.retprobe = row_.name.find("ret") != row_.name.npos;
        options.func_name = place.function.name.c_str();
        return linked_to_file(
            bpf_program__attach_uprobe_opts(program_, targets_.pid, place.file.c_str(),
                                            place.function.offset, &options),
            fmt::format("{} of '{}' in '{}'", options.retprobe ? "the return" : "the entry",
                        place.function.name, place.file));
    }

    Result<std::string> usdt() {
        auto const [file, provider, name] = user_tracepoint(plan_.place.tail, targets_.binary);
        return linked_to_file(bpf_program__attach_usdt(program_, targets_.pid, file.c_str(),
                                                       provider.c_str(), name.c_str(), nullptr),
                              fmt::format("trace point '{}:{}' in '{}'", provider, name, file));
    }

    // That the file, or what is to be in it, is not there is the user's mistake.
    Result<std::string> linked_to_file(bpf_link* link, std::string place) {
        bool const absent = !link && errno == ENOENT;
        auto out = linked(link, std::move(place));
        if (absent) out.error().fault = Fault::input;
        return out;
    }

    Result<std::string> perf_event() {
        auto const choice = parse_event(targets_.event);
        if (!choice) return fail(choice.error());
        perf_event_attr attributes{};
        attributes.size = sizeof attributes;
        attributes.type = choice->type;
        attributes.config = choice->config;
        attributes.freq = choice->frequency != 0;
        if (choice->frequency != 0)
            attributes.sample_freq = choice->frequency;
        else
            attributes.sample_period = 1;
        std::string const place = fmt::format("event '{}'", targets_.event);
        int const cpus = libbpf_num_possible_cpus();
        bool any = false;
        for (int cpu = 0; cpu < cpus; ++cpu) {
            Fd event = open_event(attributes, targets_.pid, cpu);
            if (!event && errno == ENODEV) continue;  // this CPU is offline
            if (!event) return fail(refused(plan_, escape(place), errno));
            if (any && !targets_.pin.empty())
                return fail(input_error(
                    fmt::format("{} cannot be pinned: it has a link per CPU", who(plan_)),
                    "leave --pin out"));
            if (auto done = on_event(std::move(event), place); !done) return done;
            any = true;
        }
        return place;
    }

    Result<std::string> packet_socket_on() {
        if (!targets_.pin.empty())
            return fail(
                input_error(fmt::format("{} cannot be pinned: sockets have no links", who(plan_)),
                            "leave --pin out"));
        auto socket = packet_socket(targets_.interface, bpf_program__fd(program_));
        if (!socket) return fail(socket.error());
        handle_.hold(std::move(*socket));
        return fmt::format("a packet socket on '{}'", targets_.interface);
    }

    Result<std::string> xdp() {
        auto attached = attach_xdp(bpf_program__fd(program_), targets_.interface, targets_.mode);
        if (!attached) return fail(attached.error());
        auto const* mode = attached->mode == XdpMode::native ? "native" : "generic";
        return linked(std::move(attached->link),
                      fmt::format("xdp on '{}', {}", targets_.interface, mode));
    }

    Result<std::string> tcx() {
        constexpr std::uint32_t egress = 47;  // BPF_TCX_EGRESS
        auto const index = interface_index(targets_.interface);
        if (!index) return fail(index.error());
        bool const out =
            row_.attach_type == egress || (row_.attach_type == 0 && targets_.direction == "egress");
        std::string const place =
            fmt::format("tc {} of '{}'", out ? "egress" : "ingress", targets_.interface);
        Fd link = link_tcx(bpf_program__fd(program_), *index, out);
        if (link || errno == EPERM) return linked(std::move(link), place);
        auto diagnostic = refused(plan_, escape(place), errno);
        diagnostic.notes.push_back(
            {fmt::format("older kernels: `tc qdisc add dev {0} clsact; tc filter add dev {0} {1} "
                         "bpf direct-action object-file FILE section {2}`",
                         escape(targets_.interface), out ? "egress" : "ingress",
                         escape(plan_.section)),
             std::nullopt});
        return fail(std::move(diagnostic));
    }

    Result<std::string> netkit() {
        auto const index = interface_index(targets_.interface);
        if (!index) return fail(index.error());
        return linked(link_netkit(bpf_program__fd(program_), *index, row_.attach_type),
                      fmt::format("{} of '{}'", row_.name, targets_.interface));
    }

    Result<std::string> cgroup() {
        Fd const folder(open(targets_.cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!folder) {
            auto diagnostic = system_error(
                fmt::format("cannot open control group '{}'", escape(targets_.cgroup)), errno);
            diagnostic.fault = Fault::input;
            return fail(std::move(diagnostic));
        }
        auto out = linked(bpf_program__attach_cgroup(program_, folder.get()),
                          fmt::format("control group '{}'", targets_.cgroup));
        if (!out && handle_.links.empty())
            out.error().notes.push_back(
                {"it has to be a folder of cgroup version 2", std::nullopt});
        return out;
    }

    Result<std::string> netns() {
        Fd const ns(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
        return linked(bpf_program__attach_netns(program_, ns.get()), "this network namespace");
    }

    Result<std::string> to_map() {
        MapPlan const* map = socket_map(handle_.plan, targets_.map);
        std::string const place = fmt::format("map '{}'", map->name);
        bpf_map const* target = bpf_object__find_map_by_name(handle_.object, map->name.c_str());
        auto const type = row_.attach_type != 0 ? static_cast<bpf_attach_type>(row_.attach_type)
                                                : BPF_SK_SKB_VERDICT;
        if (bpf_prog_attach(bpf_program__fd(program_), bpf_map__fd(target), type, 0) != 0)
            return fail(refused(plan_, escape(place), errno));
        return place;
    }

    Result<std::string> netfilter() {
        auto const hook = parse_netfilter(targets_.netfilter);
        if (!hook)
            return fail(
                input_error(fmt::format("'{}' is no netfilter hook", escape(targets_.netfilter)),
                            "such as --nf ipv4:prerouting or --nf ipv6:input:-100"));
        return linked(link_netfilter(bpf_program__fd(program_), *hook),
                      fmt::format("netfilter {}", targets_.netfilter));
    }

    Result<std::string> iterator() {
        bpf_iter_link_info info{};
        bpf_iter_attach_opts options{};
        options.sz = sizeof options;
        options.link_info = &info;
        options.link_info_len = sizeof info;
        if (targets_.pid > 0) info.task.pid = static_cast<std::uint32_t>(targets_.pid);
        if (!targets_.map.empty()) {
            bpf_map const* map = bpf_object__find_map_by_name(handle_.object, targets_.map.c_str());
            if (!map)
                return fail(input_error(fmt::format("there is no map '{}'", escape(targets_.map)),
                                        "see --dry-run"));
            info.map.map_fd = static_cast<std::uint32_t>(bpf_map__fd(map));
        }
        bool const narrowed = targets_.pid > 0 || !targets_.map.empty();
        bpf_link* link = bpf_program__attach_iter(program_, narrowed ? &options : nullptr);
        if (link) handle_.iterators.push_back(link);
        return linked(link, fmt::format("iterator '{}'", tail()));
    }

    Handle& handle_;
    ProgramPlan const& plan_;
    bpf_program* program_;
    Targets const& targets_;
    SectionRow const& row_;
    LibbpfWords words_;
};

}  // namespace

Result<Attachment> attach_program(Handle& handle, ProgramPlan const& plan, bpf_program* program,
                                  Targets const& targets) {
    Attacher attacher(handle, plan, program, targets);
    auto place = attacher.run();
    if (!place) return fail(place.error());
    return Attachment{.program = plan.name,
                      .section = plan.section,
                      .id = 0,
                      .place = std::move(*place),
                      .note = std::move(attacher.note)};
}

}  // namespace tamis::runtime
