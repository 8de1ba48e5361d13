#include "cli/describe.h"

#include <algorithm>
#include <cctype>
#include <regex>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bpf/hooks.h"
#include "bpf/link_types.h"

namespace tamis::cli {
namespace {

using Words = std::vector<std::string>;

Words hook_names() {
    Words out;
    for (HookRow const& hook : hooks()) out.emplace_back(hook.name);
    return out;
}

Words action_names() {
    Words out;
    for (HookRow const& hook : hooks())
        for (ActionName const& action : hook.actions)
            if (std::find(out.begin(), out.end(), action.name) == out.end())
                out.emplace_back(action.name);
    return out;
}

Words link_type_names() {
    Words out;
    for (LinkType const& type : link_types()) out.emplace_back(type.name);
    return out;
}

// What stands for an option's value in --help, and the words that it can be.  A value without a row
// is one of the words between its bars, or something that is no list: a file, a number.
struct ValueKind {
    std::string_view name;
    Words (*words)();
};
constexpr ValueKind value_kinds[] = {
    {"HOOK", hook_names},
    {"ACTION", action_names},
    {"DLT", link_type_names},
};

Words split(std::string const& text, char at) {
    Words out(1);
    for (char const c : text)
        if (c == at)
            out.emplace_back();
        else
            out.back() += c;
    return out;
}

bool is_literal(std::string const& word) {
    return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
        return std::islower(c) || std::isdigit(c) || c == '-';
    });
}

// CLI11 has the value's name and the words of its validators in one string: `N:UINT in [1 - 64]`,
// `TEXT:{a,b}`, each perhaps without the name that we gave.
struct Value {
    std::string name;
    Words words;
    std::string range;
};
Value value_of(CLI::Option const& option) {
    Value out;
    if (option.get_items_expected_max() == 0) return out;  // a flag
    out.name = option.get_type_name();
    std::smatch part;
    if (std::regex_search(out.name, part, std::regex(":\\{(.*)\\}$"))) {
        out.words = split(part[1], ',');
        out.name = part.prefix();
    } else if (std::regex_search(out.name, part, std::regex(":[A-Z]+ in \\[(\\S+) - (\\S+)\\]$"))) {
        out.range = fmt::format("{} to {}", part[1].str(), part[2].str());
        out.name = part.prefix();
    }
    bool const unnamed = out.name.empty() || out.name == "TEXT";
    if (unnamed && !out.words.empty()) out.name = fmt::format("{}", fmt::join(out.words, "|"));
    if (out.name == "UINT" || out.name == "INT" || out.name == "FLOAT") out.name = "N";
    if (out.words.empty())
        if (Words bars = split(out.name, '|'); std::all_of(bars.begin(), bars.end(), is_literal))
            out.words = std::move(bars);
    for (ValueKind const& kind : value_kinds)
        if (kind.name == out.name) out.words = kind.words();
    return out;
}

// What --help says of an option: its words, the range and the default.
std::string text_of(CLI::Option const& option) {
    std::string text = option.get_description();
    if (std::string const range = value_of(option).range; !range.empty()) text += "; " + range;
    if (std::string const standard = option.get_default_str(); !standard.empty())
        text += "; default: " + standard;
    return text;
}

Json object_for(CLI::Option const& option) {
    Value const value = value_of(option);
    Words names;
    for (std::string const& name : option.get_snames()) names.push_back("-" + name);
    for (std::string const& name : option.get_lnames()) names.push_back("--" + name);
    if (names.empty()) names.push_back(option.get_name(true));  // a positional's
    return {{"names", names},
            {"value", option.get_positional() ? names.front() : value.name},
            {"words", value.words},
            {"group", option.get_group()},
            {"help", text_of(option)}};
}

class Formatter : public CLI::Formatter {
  public:
    std::string make_help(CLI::App const* app, std::string name,
                          CLI::AppFormatMode mode) const override {
        std::string const text = CLI::Formatter::make_help(app, std::move(name), mode);
        return std::regex_replace(text, std::regex("\n{3,}"), "\n\n");
    }
    std::string make_option_opts(CLI::Option const* option) const override {
        std::string const name = option->get_positional() ? "" : value_of(*option).name;
        return name.empty() ? "" : " " + name;
    }
    std::string make_option_desc(CLI::Option const* option) const override {
        return wrapped(text_of(*option), 79 - get_column_width());
    }

  private:
    static std::string wrapped(std::string const& text, std::size_t width) {
        std::string out, line;
        for (std::string const& word : split(text, ' ')) {
            if (!line.empty() && line.size() + 1 + word.size() > width) {
                out += line + "\n";
                line.clear();
            }
            line += (line.empty() ? "" : " ") + word;
        }
        return out + line;
    }
};

}  // namespace

Exit describe(CLI::App const& app, bool takes_expression) {
    Json out = object_of("verb");
    std::string const name = app.get_name();  // "tamis match"
    out["name"] = name.substr(name.rfind(' ') + 1);
    out["description"] = app.get_description();
    out["expression"] = takes_expression;
    out["arguments"] = Json::array();
    out["options"] = Json::array();
    for (CLI::Option const* option : app.get_options())
        out[option->get_positional() ? "arguments" : "options"].push_back(object_for(*option));
    print_json(out);
    return Exit::success;
}

std::shared_ptr<CLI::FormatterBase> help_formatter() {
    auto formatter = std::make_shared<Formatter>();
    formatter->column_width(28);
    return formatter;
}

}  // namespace tamis::cli
