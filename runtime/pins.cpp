#include "runtime/pins.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <filesystem>

#include <bpf/bpf.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/spelling.h"
#include "runtime/bpf_fs.h"

namespace tamis::runtime {
namespace {

namespace fs = std::filesystem;

std::string root() { return std::string(bpf_fs_path) + "/tamis"; }

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    });
}

Diagnostic cannot(std::string_view what, std::string const& path, int error) {
    auto out = system_error(fmt::format("cannot {} '{}'", what, escape(path)), error);
    if (error == EPERM || error == EACCES)
        out.notes.push_back(
            {"the BPF file system belongs to root; pinning needs CAP_BPF too", std::nullopt});
    return out;
}

Result<void> make_folder(std::string const& path, bool may_exist) {
    if (mkdir(path.c_str(), 0700) == 0 || (may_exist && errno == EEXIST)) return {};
    return fail(cannot("make", path, errno));
}

// A link that nobody holds any more goes a moment later; this way it is gone when we say so.
void detach_link(std::string const& path) {
    Fd const link(bpf_obj_get(path.c_str()));
    if (link) bpf_link_detach(link.get());  // not of every type: then it is the moment later
}

// Links first: as long as a program is at its hook it can be found here.
Result<void> remove_folder(std::string const& folder) {
    std::error_code error;
    std::vector<std::string> files, links;
    for (fs::directory_entry const& entry : fs::directory_iterator(folder, error)) {
        bool const link = entry.path().filename().string().starts_with("link");
        (link ? links : files).push_back(entry.path().string());
    }
    std::for_each(links.begin(), links.end(), detach_link);
    files.insert(files.begin(), links.begin(), links.end());
    for (std::string const& file : files)
        if (unlink(file.c_str()) != 0 && errno != ENOENT)
            return fail(cannot("remove", file, errno));
    if (rmdir(folder.c_str()) != 0 && errno != ENOENT) return fail(cannot("remove", folder, errno));
    return {};
}

constexpr std::size_t longest_value = std::size_t{1} << 20;

std::uint64_t boot_seconds() {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec);
}

std::string encode(Facts const& facts) {
    std::string out;
    for (auto const& [key, value] : facts)
        out.append(key).append(1, '\0').append(value.substr(0, longest_value)).append(1, '\0');
    return out;
}

Facts decode(std::string_view bytes) {
    Facts out;
    auto const word = [&] {
        std::size_t const end = std::min(bytes.find('\0'), bytes.size());
        std::string const text(bytes.substr(0, end));
        bytes.remove_prefix(std::min(end + 1, bytes.size()));
        return text;
    };
    while (!bytes.empty()) {
        std::string key = word();
        out.emplace_back(std::move(key), word());
    }
    return out;
}

Result<Facts> read_about(Pinned const& pinned) {
    if (!pinned.has("about")) return Facts{};
    auto const map = pinned.open("about");
    if (!map) return fail(map.error());
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(map->get(), &info, &size) != 0 || info.type != BPF_MAP_TYPE_ARRAY ||
        info.max_entries != 1)
        return Facts{};
    std::string value(info.value_size, '\0');
    std::uint32_t const key = 0;
    if (bpf_map_lookup_elem(map->get(), &key, value.data()) != 0)
        return fail(cannot("read", pinned.folder + "/about", errno));
    return decode(value);
}

}  // namespace

std::string_view fact(Facts const& facts, std::string_view key) {
    for (auto const& [name, value] : facts)
        if (name == key) return value;
    return {};
}

Result<void> check_pin_name(std::string const& name) {
    if (is_name(name)) return {};
    return fail({fmt::format("'{}' is no name to pin under", escape(name)),
                 std::nullopt,
                 {{"a name is 1 to 64 letters, digits, '_' and '-'", std::nullopt}}});
}

Result<Pin> Pin::create(std::string const& name) {
    if (auto good = check_pin_name(name); !good) return fail(good.error());
    if (auto mounted = mount_bpf_fs(); !mounted) return fail(mounted.error());
    if (auto made = make_folder(root(), true); !made) return fail(made.error());
    std::string folder = root() + "/" + name;
    if (auto made = make_folder(folder, false); !made) {
        if (access(folder.c_str(), F_OK) != 0) return fail(made.error());
        return fail({fmt::format("there is something pinned as '{}' already", name),
                     std::nullopt,
                     {{fmt::format("`tamis list` shows it, `tamis detach {}` ends it", name),
                       std::nullopt}},
                     Fault::system});
    }
    return Pin(std::move(folder));
}

Pin::~Pin() {
    if (!folder_.empty()) static_cast<void>(remove_folder(folder_));
}

Result<void> Pin::add(std::string const& file, int fd) {
    std::string const path = folder_ + "/" + file;
    if (bpf_obj_pin(fd, path.c_str()) != 0) return fail(cannot("pin", path, errno));
    return {};
}

Result<void> Pin::describe(Facts const& about) {
    std::string value = encode(about) + encode({{"since", std::to_string(boot_seconds())}});
    Fd const map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "tamis_about", sizeof(std::uint32_t),
                                static_cast<std::uint32_t>(value.size()), 1, nullptr));
    std::uint32_t const key = 0;
    if (!map || bpf_map_update_elem(map.get(), &key, value.data(), BPF_ANY) != 0 ||
        bpf_map_freeze(map.get()) != 0)
        return fail(cannot("describe", folder_, errno));
    return add("about", map.get());
}

bool Pinned::has(std::string const& file) const {
    return access((folder + "/" + file).c_str(), F_OK) == 0;
}

Result<Fd> Pinned::open(std::string const& file) const {
    std::string const path = folder + "/" + file;
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail(cannot("open", path, errno));
    return fd;
}

std::uint32_t Pinned::program() const {
    auto const fd = open("prog");
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!fd || bpf_obj_get_info_by_fd(fd->get(), &info, &size) != 0) return 0;
    return info.id;
}

Result<Counters> Pinned::counters() const {
    auto const map = open("counters");
    if (!map) return fail(map.error());
    return read_counters(map->get());
}

std::optional<std::uint64_t> Pinned::age() const {
    std::string_view const text = fact(about, "since");
    std::uint64_t since = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), since).ec != std::errc{})
        return std::nullopt;
    std::uint64_t const now = boot_seconds();
    return now > since ? now - since : 0;
}

Result<std::vector<Pinned>> all_pinned() {
    std::vector<Pinned> out;
    if (!has_bpf_fs()) return out;
    std::error_code error;
    fs::directory_iterator const folders(root(), error);
    if (error && error != std::errc::no_such_file_or_directory)
        return fail(cannot("read", root(), error.value()));
    if (error) return out;
    for (fs::directory_entry const& entry : folders) {
        std::string const name = entry.path().filename().string();
        if (!is_name(name)) continue;
        Pinned pinned{name, entry.path().string(), {}};
        auto about = read_about(pinned);
        if (!about) return fail(about.error());
        pinned.about = std::move(*about);
        out.push_back(std::move(pinned));
    }
    std::sort(out.begin(), out.end(),
              [](Pinned const& a, Pinned const& b) { return a.name < b.name; });
    return out;
}

Result<Pinned> find_pinned(std::string const& name) {
    if (auto good = check_pin_name(name); !good) return fail(good.error());
    auto all = all_pinned();
    if (!all) return fail(all.error());
    std::string near;
    for (Pinned& pinned : *all) {
        if (pinned.name == name) return std::move(pinned);
        if (edit_distance(name, pinned.name) <= 2)
            near += fmt::format("{}'{}'", near.empty() ? "" : ", ", pinned.name);
    }
    Diagnostic unknown{fmt::format("there is nothing pinned as '{}'", name), std::nullopt, {}};
    if (!near.empty()) unknown.notes.push_back({"there is " + near, std::nullopt});
    return fail(std::move(unknown));
}

Result<void> unpin(Pinned const& pinned) { return remove_folder(pinned.folder); }

}  // namespace tamis::runtime
