#include "tests/support/golden.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace tamis::test {
namespace {

namespace fs = std::filesystem;
using Rows = std::span<SectionRow const>;

std::string slurp(fs::path const& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

SectionRow const* find(Rows rows, std::string_view name) {
    auto const found = std::find_if(rows.begin(), rows.end(),
                                    [&](SectionRow const& row) { return row.name == name; });
    return found == rows.end() ? nullptr : &*found;
}

class CaseTest : public testing::Test {
  public:
    CaseTest(fs::path path, std::size_t index, Rows rows)
        : path_(std::move(path)), index_(index), rows_(rows) {}

    void TestBody() override {
        auto file = parse_cases(slurp(path_));
        ASSERT_TRUE(file.has_value()) << path_.string() << ": " << file.error();
        Case& c = file->cases.at(index_);
        bool changed = false;
        for (Section& section : c.sections) {
            SCOPED_TRACE(fmt::format("{}: == {} -- {}", path_.string(), c.name, section.name));
            changed |= check(c, section);
        }
        if (changed) std::ofstream(path_, std::ios::binary) << print_cases(*file);
    }

  private:
    // True when the section's text was rewritten.
    bool check(Case const& c, Section& section) {
        SectionRow const& row = *find(rows_, section.name);
        if (row.role == Role::input) return false;
        auto const said = row.produce(c, section);
        if (!said) {
            ADD_FAILURE() << said.error();
            return false;
        }
        if (*said == section.text) return false;
        if (row.role == Role::output && std::getenv("UPDATE") != nullptr) {
            section.text = *said;
            return true;
        }
        EXPECT_EQ(section.text, *said);
        return false;
    }

    fs::path path_;
    std::size_t index_;
    Rows rows_;
};

class BrokenFile : public testing::Test {
  public:
    explicit BrokenFile(std::string fault) : fault_(std::move(fault)) {}
    void TestBody() override { FAIL() << fault_; }

  private:
    std::string fault_;
};

std::string identifier(std::string name) {
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    return name;
}

void register_test(fs::path const& path, std::string const& name,
                   std::function<testing::Test*()> make) {
    testing::RegisterTest(path.stem().c_str(), identifier(name).c_str(), nullptr, nullptr,
                          path.c_str(), 1, std::move(make));
}

void register_file(fs::path const& path, Rows rows) {
    auto const file = parse_cases(slurp(path));
    auto const fault = file ? fault_of(*file, rows) : std::optional(file.error());
    if (fault) {
        std::string const message = fmt::format("{}: {}", path.string(), *fault);
        register_test(path, "file", [message] { return new BrokenFile(message); });
        return;
    }
    for (std::size_t i = 0; i < file->cases.size(); ++i)
        register_test(path, file->cases[i].name,
                      [path, i, rows] { return new CaseTest(path, i, rows); });
}

}  // namespace

std::optional<std::string> Case::input(std::string_view section) const {
    for (Section const& s : sections)
        if (s.name == section) return s.text.substr(0, s.text.empty() ? 0 : s.text.size() - 1);
    return std::nullopt;
}

tl::expected<CaseFile, std::string> parse_cases(std::string_view text) {
    CaseFile file;
    std::size_t number = 0;
    while (!text.empty()) {
        ++number;
        std::size_t const end = std::min(text.find('\n'), text.size());
        std::string_view const line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.starts_with("== ")) {
            file.cases.push_back({std::string(line.substr(3)), {}});
        } else if (file.cases.empty()) {
            file.preamble += fmt::format("{}\n", line);
        } else if (line.starts_with("-- ")) {
            file.cases.back().sections.push_back({std::string(line.substr(3)), {}});
        } else if (!file.cases.back().sections.empty()) {
            file.cases.back().sections.back().text += fmt::format("{}\n", line);
        } else if (!line.empty()) {
            return tl::unexpected(fmt::format("line {}: expected `-- SECTION`", number));
        }
    }
    if (file.cases.empty()) return tl::unexpected(std::string("no `== CASE` in this file"));
    // Blank lines at a section's end are for the reader.
    for (Case& c : file.cases)
        for (Section& section : c.sections) {
            while (section.text.ends_with("\n\n")) section.text.pop_back();
            if (section.text == "\n") section.text.clear();
        }
    return file;
}

std::string print_cases(CaseFile const& file) {
    std::string out = file.preamble;
    for (std::string_view gap; Case const& c : file.cases) {
        out += fmt::format("{}== {}\n", gap, c.name);
        for (Section const& section : c.sections)
            out += fmt::format("-- {}\n{}", section.name, section.text);
        gap = "\n";
    }
    return out;
}

std::optional<std::string> fault_of(CaseFile const& file, Rows rows) {
    std::set<std::string> names;
    for (Case const& c : file.cases) {
        if (auto const name = identifier(c.name); !names.insert(name).second)
            return fmt::format("two cases are called '{}'", name);
        bool asserts = false;
        std::set<std::string> sections;
        for (Section const& section : c.sections) {
            SectionRow const* row = find(rows, section.name);
            if (!row) return fmt::format("case '{}': unknown section '{}'", c.name, section.name);
            if (!sections.insert(section.name).second)
                return fmt::format("case '{}': two sections '{}'", c.name, section.name);
            asserts |= row->role != Role::input;
        }
        if (!asserts) return fmt::format("case '{}' asserts nothing", c.name);
    }
    return std::nullopt;
}

void register_cases(std::string const& folder, std::span<SectionRow const> rows) {
    std::set<fs::path> paths;  // in order, so that runs are alike
    for (auto const& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".txt") paths.insert(entry.path());
    for (fs::path const& path : paths) register_file(path, rows);
}

}  // namespace tamis::test
