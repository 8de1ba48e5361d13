// Tests that are data.  A case file is a list of cases:
//
//     == tcp port 80
//     -- filter
//     tcp port 80
//     -- cbpf
//     (000) ldh      [12]
//     ...
//
// A section is what a row of the table says: an input, an output that the program gives, or a claim
// that is checked.  With UPDATE=1 in the environment, outputs (and nothing else) are rewritten with
// what the program says now; then read the diff.  tests/cases/README.txt explains itself.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace tamis::test {

struct Section {
    std::string name, text;  // whole lines
};

struct Case {
    std::string name;
    std::vector<Section> sections;
    // The section's text without its last newline; none when the case has no such section.
    std::optional<std::string> input(std::string_view section) const;
};

struct CaseFile {
    std::string preamble;  // before the first case
    std::vector<Case> cases;
};

// The file's cases, or what is wrong with it and in which line.
tl::expected<CaseFile, std::string> parse_cases(std::string_view text);
std::string print_cases(CaseFile const& file);

enum class Role : std::uint8_t { input, output, claim };

// What the program says to a section of a case; an error ends the test and rewrites nothing.  A
// claim gives its own text back when it holds.
using Produce = std::function<tl::expected<std::string, std::string>(Case const&, Section const&)>;

struct SectionRow {
    std::string name;
    Role role;
    Produce produce;  // empty for inputs
};

// What is wrong with the cases, if anything: an unknown section, a case that asserts nothing, a
// name or a section twice.
std::optional<std::string> fault_of(CaseFile const& file, std::span<SectionRow const> rows);

// Registers one gtest per case of every .txt file in `folder`, named after file and case; a file
// that cannot be read is a failing test.  `rows` outlives the tests.  Call before RUN_ALL_TESTS.
void register_cases(std::string const& folder, std::span<SectionRow const> rows);

}  // namespace tamis::test
