#include "tests/support/corpus.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/core.h>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"

namespace tamis::test {
namespace {

tl::expected<std::string, std::string> read(std::filesystem::path const& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) return tl::unexpected("cannot read " + path.string());
    return text.str();
}

}  // namespace

tl::expected<frontend::Options, std::string> options_of(Case const& c) {
    frontend::Options options{.optimise = false};
    std::istringstream words(c.input("options").value_or(""));
    for (std::string word; words >> word;) {
        auto const equals = word.find('=');
        std::string const key = word.substr(0, equals);
        std::string const value = equals == word.npos ? "" : word.substr(equals + 1);
        LinkType const* const link = find_link_type(value);
        std::uint32_t number = 0;
        bool const numeric =
            std::from_chars(value.data(), value.data() + value.size(), number, 10).ptr ==
            value.data() + value.size();
        if (key == "optimised" && value.empty())
            options.optimise = true;
        else if (key == "link" && link)
            options.link_type = link->number;
        else if (key == "snaplen" && numeric)
            options.snaplen = number;
        else if (key == "protochain" && numeric)
            options.protochain_max = number;
        else if (key == "prefix" && numeric && number >= 1 && number <= 32)
            options.netmask = ~std::uint32_t{0} << (32 - number);
        else
            return tl::unexpected(fmt::format(
                "unknown option '{}': optimised, link=NAME, snaplen=N, prefix=N, protochain=N",
                word));
    }
    return options;
}

tl::expected<std::vector<CorpusFilter>, std::string> corpus(std::string const& source) {
    std::vector<CorpusFilter> out;
    std::vector<std::filesystem::path> paths;
    for (auto const& entry : std::filesystem::directory_iterator(source + "/tests/cases"))
        if (entry.path().extension() == ".txt") paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    for (std::filesystem::path const& path : paths) {
        auto const text = read(path);
        if (!text) return tl::unexpected(text.error());
        auto const file = parse_cases(*text);
        if (!file) return tl::unexpected(path.string() + ": " + file.error());
        for (Case const& c : file->cases) {
            auto const options = options_of(c);
            if (!options) return tl::unexpected(c.name + ": " + options.error());
            for (char const* const section : {"asm", "filter"}) {
                auto const filter = c.input(section);
                if (filter)
                    out.push_back({path.stem().string() + ": " + c.name, *filter, *options,
                                   std::string_view(section) == "asm"});
            }
        }
    }
    auto const list = read(source + "/tests/frontend/expressions.txt");
    if (!list) return tl::unexpected(list.error());
    std::istringstream lines(*list);
    for (std::string line; std::getline(lines, line);)
        if (!line.empty() && line[0] != '#')
            out.push_back({"expressions", line, {.netmask = 0xffffff00}, false});
    return out;
}

std::optional<cbpf::Program> program_of(CorpusFilter const& filter) {
    if (filter.assembly) {
        auto program = cbpf::read(filter.text);
        if (!program || !cbpf::check(*program)) return std::nullopt;
        return *program;
    }
    auto compiled = frontend::compile(filter.text, filter.options);
    if (!compiled) return std::nullopt;
    return std::move(compiled->program);
}

}  // namespace tamis::test
