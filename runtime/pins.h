// What stays attached when the process ends.  All its state is in the kernel, a folder of the BPF
// file system per name:
//
//     /sys/fs/bpf/tamis/NAME/about      a map with one value, which says what this is
//                            link       what holds the program at its hook, where a link does
//                            prog, counters, ...
//
// The files but `about` are the caller's choice: `attach` pins `prog`, `counters` and `link`; what
// has several programs, as `load` does, pins each under a name of its own, `link-NAME` and so on.
// Links and maps that are pinned here need nothing more to go away than the removal of the folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/result.h"
#include "runtime/kernel.h"

namespace tamis::runtime {

// Keys and values in order; values are any bytes but NUL.
using Facts = std::vector<std::pair<std::string, std::string>>;
// Empty where there is none.
std::string_view fact(Facts const& facts, std::string_view key);

// A name is letters, digits, `_` and `-`, at most 64: no `..` gets into a path.
Result<void> check_pin_name(std::string const& name);

// A folder while it is filled.  It is removed with everything in it unless keep() was called.
class Pin {
  public:
    // Mounts the BPF file system where it is missing.  A name that is taken is an error that says
    // how to free it.
    static Result<Pin> create(std::string const& name);
    Pin(Pin&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}
    Pin& operator=(Pin&&) = delete;
    ~Pin();

    // Pins a program, a map or a link.
    Result<void> add(std::string const& file, int fd);
    // Once.  Adds `since`; values longer than 1 MiB are cut.
    Result<void> describe(Facts const& about);
    void keep() { folder_.clear(); }

  private:
    explicit Pin(std::string folder) : folder_(std::move(folder)) {}
    std::string folder_;
};

// A folder that is there.
struct Pinned {
    std::string name{}, folder{};
    Facts about{};  // empty: whoever made it did not come to its end
    bool has(std::string const& file) const;
    Result<Fd> open(std::string const& file) const;
    std::uint32_t program() const;  // the ID of `prog`; 0: there is none
    // Of the map `counters`.
    Result<Counters> counters() const;
    // Seconds since it was described.
    std::optional<std::uint64_t> age() const;
};
// By name; none where there is no BPF file system.
Result<std::vector<Pinned>> all_pinned();
// An unknown name gets near matches in a note.
Result<Pinned> find_pinned(std::string const& name);
// Detaches the links (files whose names begin with `link`) and removes the folder.
Result<void> unpin(Pinned const& pinned);

}  // namespace tamis::runtime
