#include "cli/args.h"

#include <algorithm>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/describe.h"

namespace tamis::cli {
namespace {

// tcpdump's -O means no optimisation; compilers' spellings of the levels are understood too.
std::map<std::string, std::string> const levels = {{"-O0", "-O"}, {"-O1", ""}};

// How many arguments an option takes, each time that it is given.
unsigned values_of(CLI::Option const& option) {
    return static_cast<unsigned>(std::max(0, option.get_items_expected_min()));
}

Diagnostic unknown(std::string const& arg) {
    return {"unknown option '" + escape(arg) + "'",
            std::nullopt,
            {{"an expression that begins with '-' goes behind '--'", std::nullopt}}};
}

// Whether the argument is one or more known options, and how many of the next arguments are the
// last one's values.
struct Reading {
    bool known;
    unsigned wants_next;
};
Reading read_option(CLI::App const& app, std::string const& arg) {
    if (arg.starts_with("--")) {
        auto const equals = arg.find('=');
        CLI::Option const* option = app.get_option_no_throw(arg.substr(0, equals));
        if (!option) return {false, 0};
        return {true, equals == arg.npos ? values_of(*option) : 0};
    }
    for (std::size_t i = 1; i < arg.size(); ++i) {
        CLI::Option const* option = app.get_option_no_throw(std::string("-") + arg[i]);
        if (!option) return {false, 0};
        if (values_of(*option) > 0) return {true, i + 1 == arg.size() ? 1U : 0U};
    }
    return {true, 0};
}

Exit parse(CLI::App& app, std::vector<std::string> args, std::function<Exit()> const& body) {
    std::reverse(args.begin(), args.end());  // CLI11 reads a vector from its end
    try {
        app.parse(std::move(args));
    } catch (CLI::CallForHelp const&) {
        print(app.help());
        return Exit::success;
    } catch (CLI::ParseError const& error) {
        return report({escape(error.what()), std::nullopt, {}});
    }
    return body();
}

void prepare(CLI::App& app) {
    app.formatter(help_formatter());
    app.set_help_flag("-h,--help", "print this help");
}

bool asks_for_description(std::vector<std::string> const& args) {
    return args.size() == 1 && args[0] == "--help-json";
}

}  // namespace

Result<SplitArgs> split(CLI::App const& app, std::vector<std::string> const& args) {
    SplitArgs out;
    std::size_t i = 0;
    for (; i < args.size(); ++i) {
        std::string const& arg = args[i];
        if (arg == "--") {
            ++i;
            break;
        }
        if (arg.size() < 2 || arg[0] != '-') break;
        if (auto const spelt = levels.find(arg);
            spelt != levels.end() && app.get_option_no_throw("-O")) {
            if (!spelt->second.empty()) out.options.push_back(spelt->second);
            continue;
        }
        auto const [known, wants_next] = read_option(app, arg);
        if (!known) return fail(unknown(arg));
        out.options.push_back(arg);
        for (unsigned n = 0; n < wants_next; ++n) {
            if (++i == args.size())
                return fail({fmt::format("option '{}' wants {}", escape(arg),
                                         wants_next == 1 ? "a value" : "two values"),
                             std::nullopt,
                             {}});
            out.options.push_back(args[i]);
        }
    }
    out.words.assign(args.begin() + static_cast<std::ptrdiff_t>(std::min(i, args.size())),
                     args.end());
    return out;
}

Exit parse_and_run(CLI::App& app, std::vector<std::string> const& args,
                   std::vector<std::string>& words, std::function<Exit()> const& body) {
    prepare(app);
    app.get_formatter()->label("OPTIONS", "OPTIONS] [EXPR");  // in the line of usage
    if (asks_for_description(args)) return describe(app, true);
    auto parts = split(app, args);
    if (!parts) return report(parts.error());
    words = std::move(parts->words);
    return parse(app, std::move(parts->options), body);
}

Exit parse_and_run(CLI::App& app, std::vector<std::string> args,
                   std::function<Exit()> const& body) {
    prepare(app);
    if (asks_for_description(args)) return describe(app, false);
    return parse(app, std::move(args), body);
}

}  // namespace tamis::cli
