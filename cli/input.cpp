#include "cli/input.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"

namespace tamis::cli {
namespace {

using frontend::Context;

Result<std::string> read_all(std::string const& path) {
    bool const from_stdin = path == "-";
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(
        from_stdin ? stdin : std::fopen(path.c_str(), "rb"),
        from_stdin ? [](std::FILE*) { return 0; } : &std::fclose);
    auto const cannot = [&] {
        Diagnostic error = system_error("cannot read '" + escape(path) + "'", errno);
        error.fault = Fault::input;
        return fail(std::move(error));
    };
    if (!file) return cannot();
    std::string text;
    char chunk[65536];
    while (std::size_t const got = std::fread(chunk, 1, sizeof chunk, file.get())) {
        text.append(chunk, got);
        if (text.size() > frontend::max_text)
            return fail(
                {fmt::format("'{}' is longer than {} bytes", escape(path), frontend::max_text),
                 std::nullopt,
                 {}});
    }
    if (std::ferror(file.get())) return cannot();
    return text;
}

// tcpdump's -F files may hold comments from `#` to the end of the line; blanks keep every column
// where it was.
void blank_comments(std::string& text) {
    bool comment = false;
    for (char& c : text) {
        comment = c != '\n' && (comment || c == '#');
        if (comment) c = ' ';
    }
}

Result<std::optional<std::uint32_t>> parse_netmask(std::string const& text) {
    if (text.empty()) return std::nullopt;
    std::uint32_t mask = 0;
    auto const number = [&](std::string_view digits, std::uint64_t max,
                            int base) -> std::optional<std::uint32_t> {
        std::uint64_t value = 0;
        auto const [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
        if (error != std::errc{} || end != digits.data() + digits.size() || value > max)
            return std::nullopt;
        return static_cast<std::uint32_t>(value);
    };
    Diagnostic const wrong{
        "'" + escape(text) + "' is no netmask",
        std::nullopt,
        {{"-m takes a dotted quad such as 255.255.255.0, or a 32-bit number", std::nullopt}}};
    if (text.find('.') == text.npos) {
        bool const hex = text.starts_with("0x") || text.starts_with("0X");
        auto const value =
            number(std::string_view(text).substr(hex ? 2 : 0), 0xffffffff, hex ? 16 : 10);
        if (!value) return fail(wrong);
        return value;
    }
    std::string_view rest = text;
    for (int part = 0; part < 4; ++part) {
        std::size_t const dot = rest.find('.');
        auto const byte = number(rest.substr(0, dot), 255, 10);
        if (!byte || (dot == rest.npos) != (part == 3)) return fail(wrong);
        mask = mask << 8 | *byte;
        rest.remove_prefix(dot == rest.npos ? rest.size() : dot + 1);
    }
    return mask;
}

Result<Context> parse_context(std::string const& name, Context otherwise) {
    if (name.empty()) return otherwise;
    if (name == "dead") return Context::dead;
    if (name == "savefile") return Context::savefile;
    if (name == "live") return Context::live;
    return fail({"unknown context '" + escape(name) + "'",
                 std::nullopt,
                 {{"--context takes dead, savefile or live", std::nullopt}}});
}

std::string shown_name(std::string const& path) { return path == "-" ? "<stdin>" : path; }

}  // namespace

Result<Source> read_text(std::string const& path) {
    auto text = read_all(path);
    if (!text) return fail(text.error());
    blank_comments(*text);
    return Source{shown_name(path), std::move(*text)};
}

Result<std::vector<std::byte>> read_object(std::string const& path) {
    return read_all(path).map([](std::string const& text) {
        auto const bytes = std::as_bytes(std::span(text));
        return std::vector(bytes.begin(), bytes.end());
    });
}

Source line_source(InputOptions const& options, Source const& source) {
    bool const words = options.file.empty() && options.cbpf.empty();
    return {words ? "<" + source.name + ">" : source.name, source.text};
}

namespace {

Result<Source> read_source(InputOptions const& options) {
    bool const words = !options.words.empty();
    if (int{words} + int{!options.file.empty()} + int{!options.cbpf.empty()} > 1)
        return fail({"more than one of EXPR, -F and --cbpf", std::nullopt, {}});
    if (!options.cbpf.empty()) {
        auto text = read_all(options.cbpf);
        if (!text) return fail(text.error());
        return Source{shown_name(options.cbpf), std::move(*text)};
    }
    if (!options.file.empty()) return read_text(options.file);
    return Source{"filter", fmt::format("{}", fmt::join(options.words, " "))};
}

Result<cbpf::Program> read_classic(std::string const& text, bool unchecked) {
    auto program = cbpf::read(text);
    if (!program || unchecked) return program;
    if (auto const checked = cbpf::check(*program); !checked) return fail(checked.error());
    return program;
}

}  // namespace

void InputOptions::add_to(CLI::App& app) {
    app.option_defaults()->group("Filter");
    app.add_option("-F", file,
                   "read the expression from FILE ('-': standard input); # begins a comment")
        ->type_name("FILE");
    app.add_option(
           "--cbpf", cbpf,
           "instead of an expression: a classic program (-ddd, bytecode line or bpf_asm text)")
        ->type_name("FILE");
    app.add_option("-s", snaplen, "bytes of a packet that a match keeps")
        ->type_name("BYTES")
        ->capture_default_str();
    app.add_option("-m", netmask, "netmask for 'ip broadcast': dotted quad or number")
        ->type_name("MASK");
    app.add_option("--context", context, "what the program will look at; the verb knows")
        ->type_name("dead|savefile|live");
    app.add_flag("-O", unoptimised, "do not optimise (-O0 too; -O1 is the default)");
    auto* const none =
        app.add_flag("--no-names", no_names, "no names but the built-in ones: ask nobody");
    app.add_flag("--system-names", system_names,
                 "names as this machine has them; the built-in tables come last")
        ->excludes(none);
    app.add_option("--protochain-max", protochain_max, "headers that 'protochain' goes through")
        ->type_name("N")
        ->check(CLI::Range(1U, frontend::max_protochain))
        ->capture_default_str();
    app.add_flag("-q", quiet, "no warnings");
    app.add_flag("--werror", strict, "warnings are errors");
    app.option_defaults()->group("Options");
}

namespace {

Result<frontend::Options> frontend_options(InputOptions const& options, int link_type,
                                           Context context, frontend::Tags tags) {
    auto const netmask = parse_netmask(options.netmask);
    if (!netmask) return fail(netmask.error());
    auto const chosen = parse_context(options.context, context);
    if (!chosen) return fail(chosen.error());
    return frontend::Options{.link_type = link_type,
                             .context = *chosen,
                             .tags = tags,
                             .snaplen = options.snaplen,
                             .netmask = *netmask,
                             .optimise = !options.unoptimised,
                             .protochain_max = options.protochain_max,
                             .names = options.no_names ? nullptr : &frontend::system_names(),
                             .names_first = options.system_names};
}

}  // namespace

tl::expected<Input, Exit> compile_input(InputOptions const& options, int link_type, Context context,
                                        frontend::Tags tags) {
    auto source = read_source(options);
    if (!source) return tl::unexpected(report(source.error()));

    Input input{std::move(*source), {}, {}, {}};
    if (!options.cbpf.empty()) {
        auto program = read_classic(input.source.text, options.unchecked);
        if (!program) return tl::unexpected(report(program.error(), input.source));
        input.program = std::move(*program);
        return input;
    }
    return compile_text(options, std::move(input.source), link_type, context, tags);
}

tl::expected<Input, Exit> compile_text(InputOptions const& options, Source source, int link_type,
                                       Context context, frontend::Tags tags) {
    auto const chosen = frontend_options(options, link_type, context, tags);
    if (!chosen) return tl::unexpected(report(chosen.error()));
    Input input{std::move(source), {}, {}};
    auto compiled = frontend::compile(input.source.text, *chosen);
    if (!compiled)
        return tl::unexpected(options.silent ? Exit::usage
                                             : report(compiled.error(), input.source));
    input.program = std::move(compiled->program);
    input.warnings = std::move(compiled->warnings);
    input.graph = std::move(compiled->graph);
    for (Diagnostic const& warning : input.warnings)
        if (auto const end = warn(options, input.source, warning)) return tl::unexpected(*end);
    return input;
}

std::optional<Exit> warn(InputOptions const& options, Source const& source,
                         Diagnostic const& warning) {
    if (options.strict) return report(warning, source);
    if (!options.quiet) complain(render(warning, source, Severity::warning));
    return std::nullopt;
}

frontend::Tags tags_at(HookRow const& hook, translator::VlanOffload offload) {
    using translator::VlanOffload;
    if (hook.vlan != VlanTag::packet || offload == VlanOffload::metadata)
        return frontend::Tags::taken_out;
    return offload == VlanOffload::ignore ? frontend::Tags::in_packet : frontend::Tags::unsure;
}

tl::expected<frontend::Formula, Exit> read_formula(InputOptions const& options,
                                                   Source const& source, int link_type,
                                                   Context context, frontend::Tags tags) {
    auto const chosen = frontend_options(options, link_type, context, tags);
    if (!chosen) return tl::unexpected(report(chosen.error()));
    auto formula = frontend::formula(source.text, *chosen);
    if (!formula) return tl::unexpected(report(formula.error(), source));
    return std::move(*formula);
}

}  // namespace tamis::cli
