// Any eBPF object into the kernel: its maps created, its programs loaded and attached by the names
// of their sections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "bpf/result.h"
#include "runtime/elf_object.h"
#include "runtime/kernel.h"
#include "runtime/object_needs.h"
#include "runtime/sections.h"

namespace tamis::runtime {

struct MapPlan {
    std::string name;
    std::uint32_t type, key_size, value_size, max_entries, flags;
    std::string pin;           // where it will be pinned, or is taken from; empty: nowhere
    bool internal;             // libbpf's own: .bss, .rodata, ...
    std::uint32_t value_type;  // in the object's BTF; 0: none
    bool legacy;               // it was defined in the section `maps`
};

// Whether its entries have keys, so that they can be listed: not those of queues and buffers.
bool has_keys(MapPlan const& map);

struct ProgramPlan {
    std::string name, section;
    Section place;  // the section's row, and what follows its name there
    std::size_t instructions;
    std::vector<Relocation> relocations;
    Needs needs;
    bool chosen;  // will be loaded: not where the section begins with `?`, unless it is named
};

// What an object asks for.
struct Plan {
    std::vector<MapPlan> maps;
    std::vector<ProgramPlan> programs;
    bool has_btf;
};

// What the sections leave open.  Empty: not said.
struct Targets {
    std::string interface;
    XdpMode mode = XdpMode::automatic;
    std::string cgroup;     // path of a control group's folder (version 2)
    std::string map;        // name of the object's socket map
    pid_t pid = -1;         // for uprobes and perf events: this process only
    std::string event;      // `cpu-clock:99`: name, and how often a second
    std::string binary;     // `FILE` or `FILE:FUNCTION`
    std::string netfilter;  // `ipv4:prerouting` or `ipv6:input:-100`: family, hook, priority
    std::string direction = "ingress";  // for sections tc and classifier: or egress
    bool kprobe_events = false;         // through tracefs even where the kernel has the kprobe PMU
    std::string pin;  // a name: what is attached stays under it (pins.h), and so do the maps
    bool attach = true;
};

// Says what is special about a map before it is created: the samples' fixup_map_cb.
struct MapSetting {
    std::optional<std::uint32_t> max_entries;
    std::string pin;    // pin it there
    std::string reuse;  // take the map that is pinned there
};
// Where a map of that name is pinned: in a folder, or under a name of pins.h; empty: nowhere.
std::string find_pinned_map(std::string const& folder_or_name, std::string const& map);
using Fixup = std::function<Result<MapSetting>(MapPlan const&)>;

struct Attachment {
    std::string program, section;
    std::uint32_t id;   // of the program
    std::string place;  // "xdp on v0, native"; empty: not attached
    std::string note;   // what the user should know, such as a clone's name; or empty
};

// What is loaded and attached.  It leaves the kernel with this value, and with the process however
// that ends, unless it was pinned.
class Loaded {
  public:
    std::span<Attachment const> attachments() const;
    // Whether a program writes to the trace pipe.
    bool prints() const;
    // What the iterators of the object say: each is read once, to its end.
    Result<void> read_iterators(std::function<void(std::string_view)> const& sink) const;
    bool only_iterators() const;  // so that all is said when they are read

    // Prepares reading a ring buffer or perf event array.  Its records are given to the sink as
    // text: the fields of `type` (a struct or union of the object's BTF; empty: the map's value
    // type, if it has one), else hexadecimal.
    struct Record {
        std::string map;
        int cpu;  // -1: of a ring buffer
        std::string text;
    };
    using RecordSink = std::function<void(Record const&)>;
    Result<void> watch_records(std::string const& map, std::string const& type, RecordSink sink);
    int records_fd() const;  // readable when there are records; -1 before watch_records
    Result<void> read_records();
    std::uint64_t lost_records() const;

    // The entries of a map, key and value each as text.  Values of per-CPU maps are one text per
    // CPU.
    struct Entry {
        std::string key;
        std::vector<std::string> values;
    };
    Result<std::vector<Entry>> entries(std::string const& map) const;

    struct Handle;

  private:
    friend class ObjectFile;
    explicit Loaded(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Handle> handle_;
};

// The bytes of a file, at most 256 MiB.
Result<std::vector<std::byte>> read_object(std::string const& path);

// An object that was read, with nothing in the kernel yet.
class ObjectFile {
  public:
    // Maps of the old era are rewritten in memory.  Not for objects of people you do not trust:
    // libbpf reads them.  `name` is for messages.
    static Result<ObjectFile> read(std::span<std::byte const> bytes, std::string const& name);
    static Result<ObjectFile> open(std::string const& path);

    Plan const& plan() const;
    // The settings are those of load; an unknown map name in none of them can be noticed here.
    Result<void> apply(Fixup const& fixup);
    // Only these programs are loaded, by name; a name that no program has is refused.
    Result<void> choose(std::span<std::string const> names);
    // Once.  Refused before anything is created: a program whose section says nothing, that is not
    // attached by us, or whose target is not given (the message names the option).
    Result<Loaded> load(Targets const& targets);

  private:
    explicit ObjectFile(std::shared_ptr<Loaded::Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Loaded::Handle> handle_;
};

// All of it in one call, as the kernel's samples had it: open, create maps, relocate, load, attach.
Result<Loaded> load_bpf_file(std::string const& path, Fixup const& fixup = {},
                             Targets const& targets = {});

// Why the running kernel may not be able to attach programs of this kind; empty: nothing is known.
std::string missing(SectionRow const& row);

}  // namespace tamis::runtime
