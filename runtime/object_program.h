// One program of an object, with the functions and maps that it uses: instructions that can be
// looked at, and nothing is loaded.  The bytes are not trusted: a broken file is an error.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/result.h"
#include "runtime/sections.h"

namespace tamis::runtime {

struct ObjectProgram {
    std::string name, section;
    SectionRow const* row;  // of the section's name
    // The function and those that it calls, one behind the other.  Maps are the object's, global
    // variables are arrays of one entry; calls and maps are resolved as libbpf would.  Fields of
    // kernel types are where they were when the object was compiled (CO-RE is not applied).
    ebpf::Program program;
};

// The program of that name; without a name the only one.  Errors, all the input's fault: what
// read_elf() refuses, no such program, one whose section's name says no type, calls and references
// that lead nowhere or out of the object.
Result<ObjectProgram> read_program(std::span<std::byte const> file, std::string_view name);

}  // namespace tamis::runtime
