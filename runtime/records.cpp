// What programs say through maps: records of ring buffers and perf event arrays, and entries.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include <bpf/btf.h>
#include <fmt/core.h>
#include <sys/epoll.h>

#include "runtime/libbpf_words.h"
#include "runtime/object_handle.h"

namespace tamis::runtime {
namespace {

Diagnostic input_error(std::string message, std::string note) {
    return {std::move(message), std::nullopt, {{std::move(note), std::nullopt}}};
}

std::string hexadecimal(std::span<std::byte const> bytes) {
    std::string out;
    for (std::byte const byte : bytes)
        out += fmt::format("{}{:02x}", out.empty() ? "" : " ", std::to_integer<unsigned>(byte));
    return out;
}

[[gnu::format(printf, 2, 0)]] void append(void* text, char const* format, va_list arguments) {
    std::array<char, 512> buffer;
    int const size = std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
    if (size > 0)
        static_cast<std::string*>(text)->append(
            buffer.data(), std::min(static_cast<std::size_t>(size), buffer.size() - 1));
}

// Values of one type of an object's BTF as text; type 0 is unknown, its values are bytes.
class Printer {
  public:
    Printer(btf const* types, std::uint32_t type)
        : type_(type),
          dump_(types && type ? btf_dump__new(types, append, &text_, nullptr) : nullptr,
                btf_dump__free) {
        if (dump_) scalar_ = !has_members(types, type);
    }
    Printer(Printer const&) = delete;  // the dump writes to text_, wherever that is
    Printer& operator=(Printer const&) = delete;
    std::string text(std::span<std::byte const> bytes) {
        if (!dump_) return hexadecimal(bytes);
        text_.clear();
        btf_dump_type_data_opts options{};
        options.sz = sizeof options;
        options.compact = true;
        options.emit_zeroes = true;
        options.skip_names = scalar_;  // a number is just a number
        int const done =
            btf_dump__dump_type_data(dump_.get(), type_, bytes.data(), bytes.size(), &options);
        return done < 0 ? hexadecimal(bytes) : text_;
    }

  private:
    static bool has_members(btf const* types, std::uint32_t id) {
        btf_type const* type = btf__type_by_id(types, id);
        for (int depth = 0; depth < 32 && type; ++depth) {
            if (!btf_is_mod(type) && !btf_is_typedef(type)) return btf_is_composite(type);
            type = btf__type_by_id(types, type->type);
        }
        return false;
    }

    std::uint32_t type_;
    bool scalar_ = false;
    std::string text_;
    std::unique_ptr<btf_dump, decltype(&btf_dump__free)> dump_;
};

std::uint32_t find_type(btf const* types, std::string const& name) {
    for (std::uint32_t const kind :
         {BTF_KIND_STRUCT, BTF_KIND_UNION, BTF_KIND_TYPEDEF, BTF_KIND_INT, BTF_KIND_ENUM})
        if (int const id = types ? btf__find_by_name_kind(types, name.c_str(), kind) : 0; id > 0)
            return static_cast<std::uint32_t>(id);
    return 0;
}

}  // namespace

// The readers of the maps that are watched, behind one file descriptor.
struct Records {
    struct Reader {
        Records* all;
        std::string map;
        Printer printer;
        Loaded::RecordSink sink;
        ring_buffer* ring = nullptr;
        perf_buffer* perf = nullptr;
        Reader(Records* records, std::string name, btf const* types, std::uint32_t type,
               Loaded::RecordSink to)
            : all(records), map(std::move(name)), printer(types, type), sink(std::move(to)) {}
        Reader(Reader const&) = delete;
        Reader& operator=(Reader const&) = delete;
        ~Reader() {
            ring_buffer__free(ring);
            perf_buffer__free(perf);
        }
        void take(int cpu, void* data, std::size_t size) {
            std::span const bytes(static_cast<std::byte const*>(data), size);
            sink({map, cpu, printer.text(bytes)});
        }
    };
    Fd epoll{epoll_create1(EPOLL_CLOEXEC)};
    std::uint64_t lost = 0;
    std::vector<std::unique_ptr<Reader>> readers;

    static int on_ring(void* reader, void* data, std::size_t size) {
        static_cast<Reader*>(reader)->take(-1, data, size);
        return 0;
    }
    static void on_perf(void* reader, int cpu, void* data, std::uint32_t size) {
        static_cast<Reader*>(reader)->take(cpu, data, size);
    }
    static void on_lost(void* reader, int, unsigned long long count) {
        static_cast<Reader*>(reader)->all->lost += count;
    }
    // The errno, 0 when all is well.
    int watch(Reader& reader, bool is_ring, int map) {
        constexpr std::size_t pages = 64;
        if (is_ring)
            reader.ring = ring_buffer__new(map, on_ring, &reader, nullptr);
        else
            reader.perf = perf_buffer__new(map, pages, on_perf, on_lost, &reader, nullptr);
        if (!reader.ring && !reader.perf) return errno;
        epoll_event event{EPOLLIN, {}};
        int const fd =
            is_ring ? ring_buffer__epoll_fd(reader.ring) : perf_buffer__epoll_fd(reader.perf);
        return epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
    }
};

Result<void> Loaded::watch_records(std::string const& name, std::string const& type,
                                   RecordSink sink) {
    bpf_map const* map = bpf_object__find_map_by_name(handle_->object, name.c_str());
    if (!map)
        return fail(input_error(fmt::format("there is no map '{}'", escape(name)),
                                "--dry-run lists the maps"));
    bool const is_ring = bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF;
    if (!is_ring && bpf_map__type(map) != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
        return fail(input_error(
            fmt::format("map '{}' is neither a ring buffer nor a perf event array", escape(name)),
            "--dump prints the entries of other maps"));
    btf const* types = bpf_object__btf(handle_->object);
    // libbpf forgets the type of what the kernel does not want to know it.
    auto const plan = std::find_if(handle_->plan.maps.begin(), handle_->plan.maps.end(),
                                   [&](MapPlan const& m) { return m.name == name; });
    std::uint32_t const id = type.empty() ? plan->value_type : find_type(types, type);
    if (!type.empty() && id == 0)
        return fail(input_error(fmt::format("the object's BTF has no type '{}'", escape(type)),
                                "without a type records are printed in hexadecimal"));
    if (!handle_->records) handle_->records = std::make_shared<Records>();
    Records& records = *handle_->records;
    records.readers.push_back(
        std::make_unique<Records::Reader>(&records, name, types, id, std::move(sink)));
    LibbpfWords const words;
    if (int const error = records.watch(*records.readers.back(), is_ring, bpf_map__fd(map));
        error != 0)
        return fail(system_error(fmt::format("cannot read map '{}'", escape(name)), error));
    return {};
}

int Loaded::records_fd() const { return handle_->records ? handle_->records->epoll.get() : -1; }

Result<void> Loaded::read_records() {
    if (!handle_->records) return {};
    for (auto const& reader : handle_->records->readers) {
        int const done =
            reader->ring ? ring_buffer__consume(reader->ring) : perf_buffer__consume(reader->perf);
        if (done < 0)
            return fail(
                system_error(fmt::format("cannot read map '{}'", escape(reader->map)), -done));
    }
    return {};
}

std::uint64_t Loaded::lost_records() const { return handle_->records ? handle_->records->lost : 0; }

bool has_keys(MapPlan const& map) {
    constexpr std::uint32_t arena = 33;  // newer than Debian's linux/bpf.h
    constexpr std::uint32_t without[] = {BPF_MAP_TYPE_QUEUE,
                                         BPF_MAP_TYPE_STACK,
                                         BPF_MAP_TYPE_BLOOM_FILTER,
                                         BPF_MAP_TYPE_RINGBUF,
                                         BPF_MAP_TYPE_USER_RINGBUF,
                                         BPF_MAP_TYPE_PERF_EVENT_ARRAY,
                                         arena};
    return std::find(std::begin(without), std::end(without), map.type) == std::end(without);
}

Result<std::vector<Loaded::Entry>> Loaded::entries(std::string const& name) const {
    bpf_map const* map = bpf_object__find_map_by_name(handle_->object, name.c_str());
    if (!map)
        return fail(input_error(fmt::format("there is no map '{}'", escape(name)),
                                "--dry-run lists the maps"));
    std::uint32_t const type = bpf_map__type(map);
    bool const per_cpu = type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
                         type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
    std::size_t const size = bpf_map__value_size(map);
    constexpr std::size_t slot = 8;  // values of CPUs stand at multiples of this
    std::size_t const stride = per_cpu ? (size + slot - 1) / slot * slot : size;
    auto const copies =
        per_cpu ? static_cast<std::size_t>(std::max(1, libbpf_num_possible_cpus())) : 1;

    btf const* types = bpf_object__btf(handle_->object);
    Printer keys(types, bpf_map__btf_key_type_id(map));
    Printer values(types, bpf_map__btf_value_type_id(map));
    std::vector<std::byte> key(std::max<std::size_t>(bpf_map__key_size(map), 1)), next(key);
    std::vector<std::byte> value(std::max<std::size_t>(stride * copies, 1));
    std::vector<Entry> out;
    bool first = true;
    // Keys may come and go meanwhile; no walk is longer than this.
    for (std::uint64_t i = 0; i < std::uint64_t{2} * bpf_map__max_entries(map); ++i) {
        if (bpf_map_get_next_key(bpf_map__fd(map), first ? nullptr : key.data(), next.data()) != 0)
            break;
        first = false;
        key = next;
        if (bpf_map_lookup_elem(bpf_map__fd(map), key.data(), value.data()) != 0) {
            if (errno == ENOENT) continue;
            return fail(system_error(fmt::format("cannot read map '{}'", escape(name)), errno));
        }
        Entry entry{keys.text({key.data(), bpf_map__key_size(map)}), {}};
        for (std::size_t cpu = 0; cpu < copies; ++cpu)
            entry.values.push_back(values.text({value.data() + cpu * stride, size}));
        out.push_back(std::move(entry));
    }
    return out;
}

}  // namespace tamis::runtime
