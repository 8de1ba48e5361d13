#include "runtime/object_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/core.h>
#include <linux/bpf.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/spelling.h"
#include "runtime/bpf_fs.h"
#include "runtime/libbpf_words.h"
#include "runtime/object_handle.h"
#include "runtime/object_refusal.h"
#include "runtime/object_targets.h"
#include "runtime/verifier_log.h"

namespace tamis::runtime {
namespace {

Diagnostic input_error(std::string message, std::string note = {}) {
    Diagnostic out{std::move(message), std::nullopt, {}};
    if (!note.empty()) out.notes.push_back({std::move(note), std::nullopt});
    return out;
}

void add_note(Diagnostic& diagnostic, std::string text) {
    diagnostic.notes.push_back({std::move(text), std::nullopt});
}

// ---- Reading

std::string pin_of(bpf_map const* map) {
    char const* path = bpf_map__pin_path(map);
    return path ? path : "";
}

// A ring buffer or perf event array may name the type of its records as that of its values; the
// kernel wants other sizes.
void set_record_sizes(bpf_object const* object) {
    constexpr std::uint32_t number = sizeof(std::uint32_t);
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        std::uint32_t const type = bpf_map__type(map);
        if (type != BPF_MAP_TYPE_RINGBUF && type != BPF_MAP_TYPE_PERF_EVENT_ARRAY) continue;
        std::uint32_t const size = type == BPF_MAP_TYPE_RINGBUF ? 0 : number;
        bpf_map__set_key_size(map, size);
        bpf_map__set_value_size(map, size);
    }
}

std::vector<MapPlan> maps_of(bpf_object const* object, ElfObject const& elf) {
    std::vector<MapPlan> out;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        std::string const name = bpf_map__name(map);
        bool const legacy = std::any_of(elf.legacy_maps.begin(), elf.legacy_maps.end(),
                                        [&](LegacyMap const& m) { return m.name == name; });
        out.push_back({.name = name,
                       .type = bpf_map__type(map),
                       .key_size = bpf_map__key_size(map),
                       .value_size = bpf_map__value_size(map),
                       .max_entries = bpf_map__max_entries(map),
                       .flags = bpf_map__map_flags(map),
                       .pin = pin_of(map),
                       .internal = bpf_map__is_internal(map),
                       .value_type = bpf_map__btf_value_type_id(map),
                       .legacy = legacy});
    }
    return out;
}

ProgramPlan plan_of(bpf_program const* program, ElfObject const& elf) {
    ProgramPlan out{.name = bpf_program__name(program),
                    .section = bpf_program__section_name(program),
                    .place = {nullptr, {}},
                    .instructions = bpf_program__insn_cnt(program),
                    .relocations = {},
                    .needs = {},
                    .chosen = bpf_program__autoload(program)};
    std::string const section = (out.chosen ? "" : "?") + out.section;
    out.needs = needs_of(elf, section, out.name);
    std::copy_if(
        elf.relocations.begin(), elf.relocations.end(), std::back_inserter(out.relocations),
        [&](Relocation const& r) { return r.section == section && r.function == out.name; });
    return out;
}

// Where the section's name says something else to libbpf than to us, or nothing: its older names,
// and those that are newer than it is.
void set_type(bpf_program* program, SectionRow const& row) {
    if (bpf_program__type(program) != BPF_PROG_TYPE_UNSPEC) return;
    bpf_program__set_type(program, static_cast<bpf_prog_type>(row.prog_type));
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(row.attach_type));
    if (row.name.ends_with(".s")) bpf_program__set_flags(program, BPF_F_SLEEPABLE);
}

std::string near_sections(std::string_view name) {
    constexpr unsigned near = 2;
    std::string out;
    for (SectionRow const& row : sections())
        if (edit_distance(name.substr(0, name.find('/')), row.name) <= near)
            out += fmt::format("{}'{}'", out.empty() ? "" : ", ", row.name);
    return out;
}

Diagnostic unknown_section(ProgramPlan const& program) {
    auto out = input_error(fmt::format("section '{}' of program '{}' names no kind of program",
                                       escape(program.section), escape(program.name)));
    if (Section const whole = find_section(program.section + "/x"); whole.row)
        add_note(out, fmt::format("a name has to follow: '{}/FUNCTION'", whole.row->name));
    else if (std::string const near = near_sections(program.section); !near.empty())
        add_note(out, "there is " + near);
    return out;
}

// libbpf 1.1 believes what it reads, and some broken objects lead it beyond its memory.  A child
// opens the object first, and dies in our place.
bool can_be_opened(std::span<std::byte const> bytes) {
    pid_t const child = fork();
    if (child < 0) return true;
    if (child == 0) {
        rlimit const no_core{0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        bpf_object_open_opts options{};
        options.sz = sizeof options;
        options.object_name = "object";
        bpf_object__open_mem(bytes.data(), bytes.size(), &options);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// ---- Loading

// An interface has one XDP program.
Result<void> check_single(Plan const& plan) {
    ProgramPlan const* first = nullptr;
    for (ProgramPlan const& program : plan.programs) {
        if (!program.chosen || program.place.row->by != AttachBy::xdp) continue;
        if (first)
            return fail(input_error(
                fmt::format("{} and {} cannot both be attached: an interface has one XDP program",
                            who(*first), who(program)),
                "--program NAME chooses one"));
        first = &program;
    }
    return {};
}

Result<void> check_targets(Loaded::Handle const& handle, Targets const& targets) {
    for (ProgramPlan const& program : handle.plan.programs) {
        if (!program.chosen) continue;
        if (!program.place.row) return fail(unknown_section(program));
        if (!targets.attach) continue;
        if (auto checked = check_target(program, handle.plan, targets); !checked) return checked;
    }
    return targets.attach ? check_single(handle.plan) : Result<void>();
}

void find_places(Loaded::Handle& handle) {
    for (ProgramPlan& program : handle.plan.programs) program.place = find_section(program.section);
}

// What is not chosen is as if it were not there.
void drop_others(Loaded::Handle& handle) {
    auto& plans = handle.plan.programs;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        bpf_program__set_autoload(handle.programs[i], plans[i].chosen);
        if (plans[i].chosen) handle.programs[kept++] = handle.programs[i];
    }
    handle.programs.resize(kept);
    std::erase_if(plans, [](ProgramPlan const& program) { return !program.chosen; });
    find_places(handle);  // they have moved
}

// Where maps have names to be pinned under, a file system for them.
Result<void> mount_for_pins(Plan const& plan) {
    for (MapPlan const& map : plan.maps)
        if (map.pin.starts_with(bpf_fs_path)) return mount_bpf_fs();
    return {};
}

Result<void> load_object(Loaded::Handle& handle) {
    if (auto mounted = mount_for_pins(handle.plan); !mounted) return mounted;
    LibbpfWords words;
    constexpr std::size_t log_size =
        (std::size_t{1} << 24) - 1;  // the most that every kernel takes
    auto const log = std::make_unique_for_overwrite<char[]>(log_size);
    log[0] = '\0';
    for (bpf_program* program : handle.programs)
        bpf_program__set_log_buf(program, log.get(), log_size);
    int const error = -bpf_object__load(handle.object);
    for (bpf_program* program : handle.programs) bpf_program__set_log_buf(program, nullptr, 0);
    if (error != 0)
        return fail(load_refusal(handle.plan, handle.name, error, log.get(), words.text()));
    return {};
}

std::uint32_t id_of(bpf_program const* program) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0 ? info.id : 0;
}

// What was attached stays from here on, under its name: links are there already, programs and maps
// are for those who look at them, or take the maps (`--reuse`).
Result<void> keep_pins(Loaded::Handle& handle) {
    if (!handle.pin) return {};
    std::string places;
    for (std::size_t i = 0; i < handle.programs.size(); ++i) {
        Attachment const& done = handle.attachments[i];
        if (auto added =
                handle.pin->add("prog-" + done.program, bpf_program__fd(handle.programs[i]));
            !added)
            return added;
        places += fmt::format("{}{} {}", places.empty() ? "" : "; ", done.program,
                              done.place.empty() ? "loaded" : "at " + done.place);
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, handle.object) {
        if (bpf_map__is_internal(map)) continue;
        if (auto added =
                handle.pin->add(std::string("map-") + bpf_map__name(map), bpf_map__fd(map));
            !added)
            return added;
    }
    std::error_code error;
    std::string const path = std::filesystem::absolute(handle.name, error).string();
    if (auto described =
            handle.pin->describe({{"hook", "load"}, {"target", path}, {"expression", places}});
        !described)
        return described;
    // Otherwise libbpf would switch the events of kprobes off when it closes them.
    for (bpf_link* link : handle.links) bpf_link__disconnect(link);
    handle.pin->keep();
    return {};
}

Result<void> set(bpf_map* map, MapPlan& plan, MapSetting const& setting) {
    auto const refuse = [&](std::string_view what, int error) {
        return fail(
            system_error(fmt::format("cannot {} map '{}'", what, escape(plan.name)), error));
    };
    if (setting.max_entries) {
        if (int const error = -bpf_map__set_max_entries(map, *setting.max_entries); error != 0)
            return refuse("resize", error);
        plan.max_entries = *setting.max_entries;
    }
    if (!setting.pin.empty()) {
        if (int const error = -bpf_map__set_pin_path(map, setting.pin.c_str()); error != 0)
            return refuse("pin", error);
        plan.pin = setting.pin;
    }
    if (!setting.reuse.empty()) {
        Fd const pinned(bpf_obj_get(setting.reuse.c_str()));
        if (!pinned) return refuse(fmt::format("take '{}' for", escape(setting.reuse)), errno);
        if (int const error = -bpf_map__reuse_fd(map, pinned.get()); error != 0)
            return refuse(fmt::format("take '{}' for", escape(setting.reuse)), error);
        plan.pin = setting.reuse;
        plan.max_entries = bpf_map__max_entries(map);
    }
    return {};
}

}  // namespace

Loaded::Handle::~Handle() {
    records.reset();
    for (bpf_link* link : links) bpf_link__destroy(link);
    holders.clear();
    bpf_object__close(object);
}

Result<ObjectFile> ObjectFile::read(std::span<std::byte const> bytes, std::string const& name) {
    auto const prefixed = [&](Diagnostic diagnostic) {
        diagnostic.message =
            fmt::format("cannot read object '{}': {}", escape(name), diagnostic.message);
        return fail(std::move(diagnostic));
    };
    auto const elf = read_elf(bytes);
    if (!elf) return prefixed(elf.error());
    auto modern = modernised(bytes);
    if (!modern) return prefixed(modern.error());

    auto handle = std::make_shared<Loaded::Handle>();
    handle->name = name;
    handle->bytes = std::move(*modern);
    LibbpfWords const words;
    if (!can_be_opened(handle->bytes))
        return prefixed(input_error("libbpf cannot read it: its types or tables are broken"));
    bpf_object_open_opts options{};
    options.sz = sizeof options;
    std::string const object_name = std::filesystem::path(name).stem().string();
    options.object_name = object_name.c_str();
    handle->object = bpf_object__open_mem(handle->bytes.data(), handle->bytes.size(), &options);
    if (!handle->object) {
        auto diagnostic = input_error("libbpf refuses it");
        note_last_lines(diagnostic, lines(words.text()));
        if (words.text().find("extern ") != std::string::npos)
            add_note(diagnostic, "`bpftool gen object` joins objects that need each other");
        return prefixed(std::move(diagnostic));
    }
    set_record_sizes(handle->object);
    handle->plan.maps = maps_of(handle->object, *elf);
    handle->plan.has_btf = bpf_object__btf(handle->object) != nullptr;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, handle->object) {
        handle->programs.push_back(program);
        handle->plan.programs.push_back(plan_of(program, *elf));
    }
    if (handle->programs.empty()) return prefixed(input_error("it has no program"));
    find_places(*handle);
    for (std::size_t i = 0; i < handle->programs.size(); ++i)
        if (auto const* row = handle->plan.programs[i].place.row)
            set_type(handle->programs[i], *row);
    return ObjectFile(std::move(handle));
}

Result<std::vector<std::byte>> read_object(std::string const& path) {
    constexpr std::uintmax_t most = std::uintmax_t{256} << 20;
    std::error_code error;
    auto const size = std::filesystem::file_size(path, error);
    std::ifstream file(path, std::ios::binary);
    if (error || !file || size > most) {
        auto diagnostic = system_error(fmt::format("cannot read object '{}'", escape(path)),
                                       error         ? error.value()
                                       : size > most ? EFBIG
                                                     : EACCES);
        diagnostic.fault = Fault::input;
        return fail(std::move(diagnostic));
    }
    std::vector<std::byte> bytes(size);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(file.gcount()));
    return bytes;
}

Result<ObjectFile> ObjectFile::open(std::string const& path) {
    auto const bytes = read_object(path);
    if (!bytes) return fail(bytes.error());
    return read(*bytes, path);
}

Plan const& ObjectFile::plan() const { return handle_->plan; }

Result<void> ObjectFile::apply(Fixup const& fixup) {
    LibbpfWords const words;
    for (MapPlan& plan : handle_->plan.maps) {
        if (plan.internal) continue;
        auto const setting = fixup(plan);
        if (!setting) return fail(setting.error());
        bpf_map* map = bpf_object__find_map_by_name(handle_->object, plan.name.c_str());
        if (auto done = set(map, plan, *setting); !done) return done;
    }
    return {};
}

Result<void> ObjectFile::choose(std::span<std::string const> names) {
    auto& programs = handle_->plan.programs;
    for (ProgramPlan& program : programs)
        program.chosen = std::find(names.begin(), names.end(), program.name) != names.end();
    for (std::string const& name : names)
        if (std::none_of(programs.begin(), programs.end(),
                         [&](ProgramPlan const& program) { return program.name == name; }))
            return fail(input_error(fmt::format("there is no program '{}' in '{}'", escape(name),
                                                escape(handle_->name)),
                                    "--dry-run lists the programs"));
    return {};
}

Result<Loaded> ObjectFile::load(Targets const& targets) {
    Loaded::Handle& handle = *handle_;
    if (auto checked = check_targets(handle, targets); !checked) return fail(checked.error());
    drop_others(handle);
    if (handle.programs.empty())
        return fail(
            input_error(fmt::format("no program of '{}' is loaded by itself", escape(handle.name)),
                        "--program NAME chooses one"));
    if (!targets.pin.empty()) {
        auto pin = Pin::create(targets.pin);  // before anything is attached that could not stay
        if (!pin) return fail(pin.error());
        handle.pin.emplace(std::move(*pin));
    }
    if (auto loaded = load_object(handle); !loaded) return fail(loaded.error());
    for (std::size_t i = 0; i < handle.programs.size(); ++i) {
        ProgramPlan const& plan = handle.plan.programs[i];
        Attachment attachment{
            .program = plan.name, .section = plan.section, .id = 0, .place = {}, .note = {}};
        if (targets.attach) {
            auto attached = attach_program(handle, plan, handle.programs[i], targets);
            if (!attached) return fail(attached.error());
            attachment = std::move(*attached);
        }
        attachment.id = id_of(handle.programs[i]);
        handle.attachments.push_back(std::move(attachment));
    }
    if (auto kept = keep_pins(handle); !kept) return fail(kept.error());
    return Loaded(handle_);
}

std::span<Attachment const> Loaded::attachments() const { return handle_->attachments; }

bool Loaded::prints() const {
    constexpr std::int32_t trace_printk = 6, trace_vprintk = 177;
    auto const calls_print = [](bpf_insn const& insn) {
        return insn.code == (BPF_JMP | BPF_CALL) && insn.src_reg == 0 &&
               (insn.imm == trace_printk || insn.imm == trace_vprintk);
    };
    return std::any_of(handle_->programs.begin(), handle_->programs.end(), [&](bpf_program* p) {
        bpf_insn const* insns = bpf_program__insns(p);
        return std::any_of(insns, insns + bpf_program__insn_cnt(p), calls_print);
    });
}

bool Loaded::only_iterators() const {
    return !handle_->programs.empty() && handle_->iterators.size() == handle_->programs.size();
}

Result<void> Loaded::read_iterators(std::function<void(std::string_view)> const& sink) const {
    for (bpf_link* link : handle_->iterators) {
        Fd const iterator(bpf_iter_create(bpf_link__fd(link)));
        if (!iterator) return fail(system_error("cannot start an iterator", errno));
        std::string text;
        std::array<char, 4096> buffer;
        ssize_t n = 0;
        while ((n = ::read(iterator.get(), buffer.data(), buffer.size())) > 0 ||
               (n < 0 && errno == EAGAIN))
            text.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        if (n < 0) return fail(system_error("cannot read an iterator", errno));
        for (std::string_view const line : lines(text)) sink(line);
    }
    return {};
}

std::string find_pinned_map(std::string const& folder_or_name, std::string const& map) {
    bool const is_name = folder_or_name.find('/') == folder_or_name.npos;
    std::string const path =
        is_name ? fmt::format("{}/tamis/{}/map-{}", bpf_fs_path, folder_or_name, map)
                : folder_or_name + "/" + map;
    return access(path.c_str(), F_OK) == 0 ? path : "";
}

Result<Loaded> load_bpf_file(std::string const& path, Fixup const& fixup, Targets const& targets) {
    auto file = ObjectFile::open(path);
    if (!file) return fail(file.error());
    if (fixup)
        if (auto applied = file->apply(fixup); !applied) return fail(applied.error());
    return file->load(targets);
}

}  // namespace tamis::runtime
