// The repository's filters: every case file's, and the lines of tests/frontend/expressions.txt.
#pragma once

#include <string>
#include <vector>

#include "bpf/cbpf.h"
#include "frontend/compile.h"
#include "tests/support/golden.h"

namespace tamis::test {

// A case's `options`: words as `tamis compile` has options.  Unoptimised without the word
// `optimised`, so that cases about the language stay as they are when the optimiser learns
// something.
tl::expected<frontend::Options, std::string> options_of(Case const& c);

struct CorpusFilter {
    std::string name;  // of the case or the list it comes from
    std::string text;
    frontend::Options options;
    bool assembly = false;  // the text is a classic program
};

// All of them, those that are meant to be refused included.  `source` is the top of the repository;
// a file that cannot be read is an error.
tl::expected<std::vector<CorpusFilter>, std::string> corpus(std::string const& source);

// The classic program of a filter; none where it is refused.
std::optional<cbpf::Program> program_of(CorpusFilter const& filter);

}  // namespace tamis::test
