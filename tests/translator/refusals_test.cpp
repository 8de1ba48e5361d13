// Which filters are refused at which hooks, and why: tests/translator/refusals.txt is the whole
// list. What it does not have is translated, and everywhere_test loads that.
//
// UPDATE=1 writes the list anew.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "tests/support/corpus.h"
#include "tests/translator/at_hook.h"

namespace tamis {
namespace {

using test::distinct_hooks;

// Words of the filter itself do not make another reason.
std::string reason(Diagnostic const& why) {
    std::string const text = std::regex_replace(why.message, std::regex("'[^']*'"), "'...'");
    return std::regex_replace(text, std::regex(" at hook [a-z-]+| \\(instruction [0-9]+\\)"), "");
}

// The filter's refusal at a hook; none where it is translated.
std::optional<std::string> refusal(test::CorpusFilter const& filter, HookRow const& hook) {
    Result<cbpf::Program> const program = filter.assembly
                                              ? Result<cbpf::Program>(*test::program_of(filter))
                                              : test::compiled_at(hook, filter.text);
    if (!program) return reason(program.error());
    auto const translated = translator::translate(*program, test::options_for(hook));
    return translated ? std::nullopt : std::optional(reason(translated.error()));
}

// By reason and hooks: the filters, or the names of the cases that they are in.
using Table = std::map<std::string, std::vector<std::string>>;

Table refusals() {
    auto const corpus = test::corpus(TAMIS_SOURCE_ROOT);
    EXPECT_TRUE(corpus);
    Table out;
    for (test::CorpusFilter const& filter : *corpus) {
        if (filter.assembly ? !test::program_of(filter) : filter.text.size() >= 4000) continue;
        std::map<std::string, std::string> hooks;
        bool translated = false;
        for (Hook const which : distinct_hooks) {
            auto const why = refusal(filter, row(which));
            if (why) hooks[*why] += fmt::format(" {}", row(which).name);
            translated |= !why;
        }
        if (!translated) continue;  // no filter for Linux at all
        for (auto const& [why, where] : hooks) {
            auto& filters = out[fmt::format("{}\n   {}\n", why, where)];
            std::string const name = filter.assembly ? filter.name : filter.text;
            if (std::find(filters.begin(), filters.end(), name) == filters.end())
                filters.push_back(name);
        }
    }
    return out;
}

TEST(Refusals, AreThoseOfTheTable) {
    std::string const path = TAMIS_SOURCE_ROOT "/tests/translator/refusals.txt";
    std::ifstream file(path);
    std::string head, line, body;
    while (std::getline(file, line))
        (line.starts_with('#') || line.starts_with("kernel") ? head : body) += line + "\n";
    std::string now;
    for (auto const& [why, filters] : refusals()) {
        now += "\n" + why;
        for (std::string const& filter : filters) now += fmt::format("        {}\n", filter);
    }
    if (std::getenv("UPDATE"))
        std::ofstream(path) << head << now;
    else
        EXPECT_EQ(now, body) << "UPDATE=1 refusals_test writes it anew; then read the difference";
}

}  // namespace
}  // namespace tamis
