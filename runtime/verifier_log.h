// What the verifier and libbpf said about a refusal, cut down to what helps.
#pragma once

#include <string_view>
#include <vector>

#include "bpf/diagnostic.h"

namespace tamis::runtime {

// The lines of a text that are not empty.
std::vector<std::string_view> lines(std::string_view text);

// The line of a log that says why: the last, or the one before the verifier's statistics.
// Wants at least one line.
std::string_view reason(std::vector<std::string_view> const& log);

// The last ten lines as notes, escaped; of a verifier's log as many more as it takes to show the
// source line that the last instruction came from (`; text`).
void note_last_lines(Diagnostic& diagnostic, std::vector<std::string_view> const& text);

}  // namespace tamis::runtime
