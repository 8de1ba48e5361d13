// What an object file is while it is open, loaded and attached: shared by the sources of
// object_file.h, and by nobody else.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "runtime/object_file.h"
#include "runtime/pins.h"

namespace tamis::runtime {

struct Records;  // readers of ring buffers and perf event arrays

struct Loaded::Handle {
    std::string name;
    std::vector<std::byte> bytes;
    bpf_object* object = nullptr;
    Plan plan;
    std::vector<bpf_program*> programs;  // as in the plan
    std::vector<Attachment> attachments;
    std::vector<bpf_link*> links;
    std::vector<std::shared_ptr<void>> holders;  // sockets, links of our own, and what else
    std::vector<bpf_link*> iterators;            // of `links`
    std::shared_ptr<Records> records;
    std::optional<Pin> pin;  // while it is filled

    Handle() = default;
    Handle(Handle const&) = delete;
    Handle& operator=(Handle const&) = delete;
    ~Handle();

    void hold(Fd fd) { holders.push_back(std::make_shared<Fd>(std::move(fd))); }
};

// Attaches a loaded program; the holder goes into the handle.
Result<Attachment> attach_program(Loaded::Handle& handle, ProgramPlan const& plan,
                                  bpf_program* program, Targets const& targets);

}  // namespace tamis::runtime
