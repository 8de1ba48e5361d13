#include "cli/filter_list.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/input.h"

namespace tamis::cli {
namespace {

constexpr std::size_t max_name = 15;  // BPF_OBJ_NAME_LEN - 1

constexpr std::string_view keywords[] = {
    "auto",     "break",    "case",     "char",   "const",  "continue", "default",
    "do",       "double",   "else",     "enum",   "extern", "float",    "for",
    "goto",     "if",       "inline",   "int",    "long",   "return",   "short",
    "register", "restrict", "signed",   "sizeof", "static", "struct",   "switch",
    "typedef",  "union",    "unsigned", "void",   "while",  "_Bool",    "volatile",
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

Diagnostic no_definition(std::string_view text) {
    return {fmt::format("'{}' is no NAME=EXPR", escape(text.substr(0, 60))),
            std::nullopt,
            {{"for example web='tcp port 80'", std::nullopt}}};
}

// The text of a definition: everything up to the expression is blanked out, so that places in it
// are places in the whole.
Result<NamedFilter> parse(std::string text, std::size_t begin, std::string const& file) {
    std::string_view const whole(text);
    std::size_t const equals = whole.find('=', begin);
    if (equals == whole.npos) return fail(no_definition(whole.substr(begin)));
    std::size_t end = equals;
    while (end > begin && is_blank(text[end - 1])) --end;
    std::string const name(whole.substr(begin, end - begin));
    if (auto checked = check_name(name); !checked) return fail(checked.error());
    if (file.empty()) return NamedFilter{name, {name, text.substr(equals + 1)}, false};
    for (std::size_t i = 0; i <= equals; ++i)
        if (text[i] != '\n') text[i] = ' ';
    return NamedFilter{name, {file, std::move(text)}, true};
}

Result<void> add_file(std::vector<NamedFilter>& out, std::string const& path) {
    auto const source = read_text(path);
    if (!source) return fail(source.error());
    std::string const& text = source->text;
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t const end = std::min(text.find('\n', begin), text.size());
        std::size_t first = begin;
        while (first < end && is_blank(text[first])) ++first;
        if (first < end) {
            auto filter = parse(text.substr(0, end), first, source->name);
            if (!filter) {
                auto error = filter.error();
                error.notes.push_back(
                    {fmt::format(
                         "on line {} of '{}'",
                         1 + std::count(text.begin(),
                                        text.begin() + static_cast<std::ptrdiff_t>(begin), '\n'),
                         escape(source->name)),
                     std::nullopt});
                return fail(std::move(error));
            }
            out.push_back(std::move(*filter));
        }
        begin = end + 1;
    }
    return {};
}

// The names of programs and of their maps are one space: both are symbols of the object.
Result<void> check_collisions(std::vector<NamedFilter> const& filters) {
    std::set<std::string> names{"_license"};
    for (NamedFilter const& f : filters)
        if (!names.insert(f.name).second)
            return fail({fmt::format("two filters called '{}'", f.name), std::nullopt, {}});
    for (NamedFilter const& f : filters)
        if (!names.insert(counters_name(f.name)).second)
            return fail({fmt::format("'{}' is the name of a filter and of the counters of '{}'",
                                     counters_name(f.name), f.name),
                         std::nullopt,
                         {}});
    return {};
}

}  // namespace

std::string counters_name(std::string const& filter) { return filter + "_counters"; }

Result<void> check_name(std::string const& name) {
    Diagnostic const wrong{
        fmt::format("'{}' cannot be a program's name", escape(name.substr(0, 60))),
        std::nullopt,
        {{"a name has letters, digits and '_', no digit first", std::nullopt}}};
    if (name.empty() || is_digit(name[0]) ||
        !std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); }))
        return fail(wrong);
    if (name.size() > max_name)
        return fail({fmt::format("the name '{}' has more than {} characters",
                                 escape(name.substr(0, 60)), max_name),
                     std::nullopt,
                     {{"the kernel keeps no longer ones", std::nullopt}}});
    if (std::find(std::begin(keywords), std::end(keywords), name) != std::end(keywords))
        return fail({fmt::format("'{}' is a keyword of C", name), std::nullopt, {}});
    if (name == "classic")
        return fail({"'classic' is the name of a function in every object", std::nullopt, {}});
    return {};
}

Result<std::vector<NamedFilter>> named_filters(std::vector<std::string> const& definitions,
                                               std::string const& file) {
    std::vector<NamedFilter> out;
    for (std::string const& text : definitions) {
        auto filter = parse(text, 0, {});
        if (!filter) return fail(filter.error());
        out.push_back(std::move(*filter));
    }
    if (!file.empty())
        if (auto added = add_file(out, file); !added) return fail(added.error());
    if (out.empty())
        return fail({fmt::format("no filter in '{}'", escape(file)), std::nullopt, {}});
    if (auto checked = check_collisions(out); !checked) return fail(checked.error());
    return out;
}

}  // namespace tamis::cli
