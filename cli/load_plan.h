// What an object asks for, before anything is loaded: `tamis load --dry-run` and `--explain`.
#pragma once

#include <string>

#include "cli/output.h"
#include "runtime/object_file.h"

namespace tamis::cli {

// Maps and programs, with what they are attached to and what they refer to.
void show_plan(std::string const& file, runtime::Plan const& plan, bool json);

// A line per thing that a program needs of the kernel; nothing is loaded but what tries it.
// Exit::nothing when something is missing here.
Exit explain_plan(runtime::Plan const& plan, bool json);

}  // namespace tamis::cli
