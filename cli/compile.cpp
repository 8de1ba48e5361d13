// tamis compile: an expression as classic BPF, eBPF or an object file.
#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <net/if.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "backend/c_source.h"
#include "backend/file.h"
#include "backend/object.h"
#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "bpf/hooks.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/filter_list.h"
#include "cli/hook_options.h"
#include "cli/input.h"
#include "cli/kernel_hook.h"
#include "cli/prove.h"
#include "cli/verbs.h"
#include "frontend/graph_text.h"

namespace tamis::cli {
namespace {

enum class Emit : std::uint8_t {
    listing,
    initialisers,
    decimal,
    bytecode,
    graph,
    c,
    ebpf,
    object,
    raw,
};

// What --emit takes, whether it needs a hook, and whether a terminal should not see it.
struct EmitName {
    std::string_view name;
    Emit emit;
    bool extended, binary;
};
constexpr EmitName emit_names[] = {
    {"classic", Emit::listing, false, false},
    {"bytecode", Emit::bytecode, false, false},
    {"graph", Emit::graph, false, false},
    {"ebpf", Emit::ebpf, true, false},
    {"c", Emit::c, false, false},
    {"object", Emit::object, true, true},
    {"raw", Emit::raw, true, true},
};
constexpr EmitName dump_levels[] = {
    {"-d", Emit::listing, false, false},
    {"-dd", Emit::initialisers, false, false},
    {"-ddd", Emit::decimal, false, false},
};

struct CompileOptions {
    InputOptions input;
    HookOptions hook;
    std::string link_type, emit, format = "text", output, filter_file, chain;
    std::string function, arguments = "context", header;
    std::vector<std::string> filters;
    std::uint32_t priority = backend::RunConfig{}.priority;
    int dump = 0;
    double timeout = default_timeout;
    bool list_link_types = false, json = false, strip = false, prove = false;

    bool several() const { return !filters.empty() || !filter_file.empty(); }
};

Result<EmitName> choose_emit(CompileOptions const& o) {
    if (o.dump > 3) return fail({"at most -ddd", std::nullopt, {}});
    if (o.dump > 0 && !o.emit.empty())
        return fail({"-d and --emit exclude each other", std::nullopt, {}});
    if (o.dump > 0) return dump_levels[o.dump - 1];
    std::string_view const wanted = !o.emit.empty() ? std::string_view(o.emit)
                                    : o.several() || o.output.ends_with(".o") ? "object"
                                    : o.hook.name.empty()                     ? "classic"
                                                                              : "ebpf";
    std::string known;
    for (EmitName const& e : emit_names) {
        if (e.name == wanted) {
            if (e.extended && o.hook.name.empty())
                return fail({fmt::format("'{}' is for a hook", e.name),
                             std::nullopt,
                             {{"name one with --hook, for example --hook xdp", std::nullopt}}});
            return e;
        }
        known += known.empty() ? std::string(e.name) : fmt::format(", {}", e.name);
    }
    return fail({fmt::format("unknown form '{}'", escape(wanted)),
                 std::nullopt,
                 {{"--emit takes " + known, std::nullopt}}});
}

// What -y names, or what packets at the hook begin with.
Result<LinkType> choose_link_type(std::string const& name, HookRow const* hook) {
    if (name.empty()) return *find_link_type(hook ? default_link_type(*hook) : en10mb);
    LinkType const* type = find_link_type(name);
    if (!type)
        return fail({fmt::format("unknown link type '{}'", escape(name)),
                     std::nullopt,
                     {{"-L lists the link types", std::nullopt}}});
    bool const is_ip =
        type->number == dlt_raw || type->number == dlt_ipv4 || type->number == dlt_ipv6;
    if (hook && hook->start == Start::network && !is_ip)
        return fail({fmt::format("no link type '{}' at hook {}", type->name, hook->name),
                     std::nullopt,
                     {{"packets begin with the IP header there, link type RAW", std::nullopt}}});
    return *type;
}

Exit list_link_types() {
    for (LinkType const& type : link_types())
        print(fmt::format("{:<24} {:>3}  {}\n", type.name, type.number, type.description));
    return Exit::success;
}

Json json_of(Input const& input, LinkType const& link, HookRow const* hook,
             ebpf::Program const* extended) {
    Json out = object_of("program");
    out["expression"] = input.source.text;
    out["link_type"] = link.name;
    out["hook"] = hook ? Json(hook->name) : Json(nullptr);
    out["classic"] = Json::array();
    for (std::size_t i = 0; i < input.program.insns.size(); ++i) {
        cbpf::Insn const& insn = input.program.insns[i];
        Json row = {{"code", insn.code}, {"jt", insn.jt}, {"jf", insn.jf}, {"k", insn.k}};
        row["text"] = cbpf::disassemble(insn, i);
        if (!input.program.origin.empty())
            row["span"] = {input.program.origin[i].begin, input.program.origin[i].end};
        out["classic"].push_back(std::move(row));
    }
    if (!extended) return out;
    out["ebpf"] = Json::array();
    std::span<ebpf::Insn const> const insns = extended->insns;
    for (std::size_t i = 0; i < insns.size(); i += ebpf::is_ld_imm64(insns[i]) ? 2U : 1U) {
        Json row = {{"index", i}, {"text", ebpf::disassemble(insns.subspan(i), extended)}};
        std::uint32_t const classic = extended->origin[i].classic;
        row["classic"] = classic == ebpf::Origin::none ? Json(nullptr) : Json(classic);
        out["ebpf"].push_back(std::move(row));
    }
    return out;
}

std::string text_of(std::vector<std::byte> const& bytes) {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

// --priority and --chain.
Result<backend::RunConfig> run_config(CompileOptions const& o, HookRow const& hook) {
    backend::RunConfig config{.priority = o.priority};
    bool const asked = !o.chain.empty() || config != backend::RunConfig{};
    if (asked && hook.context != "xdp_md")
        return fail({"--priority and --chain are for XDP", std::nullopt, {}});
    if (o.chain.empty()) return config;
    config.chain = 0;
    for (std::string_view rest = o.chain; !rest.empty();) {
        std::string_view const name = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(name.size() + 1, rest.size()));
        ActionName const* const action = find_action(hook, name);
        if (!action)
            return fail({fmt::format("XDP has no action '{}'", escape(name)),
                         std::nullopt,
                         {{"--chain takes some of abort,drop,pass,tx,redirect", std::nullopt}}});
        config.chain |= 1U << action->code;
    }
    return config;
}

// The chosen form as bytes.
Result<std::string> produce(Emit emit, cbpf::Program const& classic, ebpf::Program const* extended,
                            HookRow const* hook, backend::ObjectEntry const& entry,
                            backend::RunConfig const& config) {
    switch (emit) {
        case Emit::listing:
            return cbpf::listing(classic);
        case Emit::initialisers:
            return cbpf::c_initialisers(classic);
        case Emit::decimal:
            return cbpf::decimal(classic);
        case Emit::bytecode:
            return cbpf::bytecode(classic) + "\n";
        case Emit::graph:
        case Emit::c:
            break;  // not of the program alone
        case Emit::ebpf:
            return ebpf::listing(*extended);
        case Emit::raw:
            return text_of(backend::raw(*extended));
        case Emit::object: {
            auto const object = backend::object(std::span(&entry, 1), *hook, config);
            if (!object) return fail(object.error());
            return text_of(*object);
        }
    }
    return std::string();
}

Result<std::string> graph_text(Input const& input, std::string_view format) {
    if (!input.graph)
        return fail({"this filter has no graph",
                     std::nullopt,
                     {{"the optimiser makes them: not with -O, nor where an expression reads what "
                       "changes by "
                       "itself, such as the interface, or has too many cases",
                       std::nullopt}}});
    return format == "dot" ? frontend::dot(*input.graph, input.source.text)
                           : frontend::listing(*input.graph, input.source.text);
}

// The filter as C: a program of the hook, or a function of bytes in memory.
Result<std::string> c_text(Input const& input, int link_type, HookRow const* hook,
                           translator::Options const& translation) {
    backend::COptions options{.link_type = link_type};
    if (hook)
        options = {hook,      translation.match, translation.no_match, translation.stats,
                   link_type, translation.name};
    return backend::c_source(input.program, input.source, options);
}

Exit write(std::string const& path, std::string const& bytes) {
    if (path.empty() || path == "-") {
        print(bytes);
        return Exit::success;
    }
    auto const written = backend::write_file(path, std::as_bytes(std::span(bytes)));
    return written ? Exit::success : report(written.error());
}

// One object with a program for each filter.
Exit run_several(CompileOptions const& o, translator::Options translation, int link_type) {
    HookRow const& hook = row(translation.hook);
    auto const filters = named_filters(o.filters, o.filter_file);
    if (!filters) return report(filters.error());
    auto const config = run_config(o, hook);
    if (!config) return report(config.error());
    std::vector<ebpf::Program> programs;
    std::vector<Source> sources;
    for (NamedFilter const& filter : *filters) {
        auto const input = compile_text(o.input, filter.source, link_type, frontend::Context::live,
                                        tags_at(hook, translation.shape.vlan_offload));
        if (!input) return input.error();
        translation.name = filter.name;
        auto program = translator::translate(input->program, translation);
        if (!program) return report(program.error(), input->source);
        if (o.prove) {
            Exit const proved = prove_compiled(o.input, *input, link_type, &hook, &*program,
                                               translation, o.timeout);
            if (proved != Exit::success) return proved;
        }
        if (!program->maps.empty()) program->maps[0].name = counters_name(filter.name);
        programs.push_back(std::move(*program));
        sources.push_back(
            {filter.from_file ? filter.source.name : "<" + filter.name + ">", filter.source.text});
    }
    std::vector<backend::ObjectEntry> entries;
    for (std::size_t i = 0; i < programs.size(); ++i)
        entries.push_back({&programs[i], o.strip ? nullptr : &sources[i]});
    auto const object = backend::object(entries, hook, *config);
    return object ? write(o.output, text_of(*object)) : report(object.error());
}

// What --function cannot go with, or wants.
std::optional<Diagnostic> refuse_function(CompileOptions const& o, EmitName const& emit) {
    auto const refusal = [](std::string_view option) {
        return Diagnostic{fmt::format("{} is for programs, not for a function", option),
                          std::nullopt,
                          {{"the function returns 1 for a match and 0 for none; what calls it "
                            "decides and counts",
                            std::nullopt}}};
    };
    if (o.function.empty()) {
        if (o.header.empty() && o.arguments == "context") return std::nullopt;
        return Diagnostic{"--args and --header are for --function", std::nullopt, {}};
    }
    if (auto const checked = check_name(o.function); !checked) return checked.error();
    if (!(emit.extended || emit.emit == Emit::c) || o.hook.name == kernel_hook)
        return Diagnostic{"--function wants the hook of the programs that will call it",
                          std::nullopt,
                          {{"for example --hook xdp --function is_web -o is_web.o", std::nullopt}}};
    if (!o.hook.match.empty() || !o.hook.no_match.empty())
        return refusal(o.hook.match.empty() ? "--no-match" : "--match");
    if (o.hook.no_stats) return refusal("--no-stats");
    if (o.several()) return refusal(o.filters.empty() ? "--filters" : "-f");
    if (!o.chain.empty() || o.priority != backend::RunConfig{}.priority)
        return refusal(o.chain.empty() ? "--priority" : "--chain");
    if (o.prove) return refusal("--prove");
    if (emit.emit == Emit::c) return refusal("--emit c");
    if (o.json) return refusal("--json");
    if (o.arguments == "data" && o.hook.no_perfmon)
        return Diagnostic{
            "--no-perfmon wants a context to call with, not --args data", std::nullopt, {}};
    return std::nullopt;
}

// The hook as the function sees it.
Result<HookRow> function_hook(HookRow const& hook, std::string const& arguments) {
    if (arguments == "context") return hook;
    if (hook.access == Access::pointer) return bounds_only(hook, Access::pointer);
    return fail({fmt::format("programs at hook {} have no packet pointers", hook.name),
                 std::nullopt,
                 {{"leave --args out: the function then takes the context", std::nullopt}}});
}

// The filter as a function for other programs.
Exit run_function(CompileOptions const& o, Emit emit, Input const& input,
                  translator::Options const& translation) {
    auto const hook = function_hook(row(translation.hook), o.arguments);
    if (!hook) return report(hook.error());
    auto const program =
        translator::translate_predicate(input.program, *hook, translation.shape, o.function);
    if (!program) return report(program.error(), input.source);
    Source const lines = line_source(o.input, input.source);
    Result<std::string> bytes = ebpf::listing(*program);
    if (emit == Emit::raw) bytes = text_of(backend::raw(*program));
    if (emit == Emit::object)
        bytes = backend::function_object({&*program, o.strip ? nullptr : &lines}, *hook)
                    .map([](auto const& object) { return text_of(object); });
    if (!bytes) return report(bytes.error(), input.source);
    Exit const written = write(o.output, *bytes);
    if (written != Exit::success || o.header.empty()) return written;
    return write(o.header, backend::function_header(o.function, *hook, input.source.text));
}

// Why these options cannot go with several filters, if so.
std::optional<Diagnostic> refuse_several(CompileOptions const& o, Emit emit) {
    if (!o.input.words.empty() || !o.input.file.empty() || !o.input.cbpf.empty())
        return Diagnostic{"a filter beside those of -f and --filters", std::nullopt, {}};
    if (emit != Emit::object || o.json || o.hook.name == kernel_hook)
        return Diagnostic{"-f and --filters are for objects",
                          std::nullopt,
                          {{"for example --hook xdp -f web='tcp port 80' -o f.o", std::nullopt}}};
    return std::nullopt;
}

// A classic program that no socket takes: it can still be read, and be made into eBPF.
Diagnostic too_long_for_sockets(std::size_t instructions) {
    return {fmt::format("{} instructions: sockets take classic programs of at most {}",
                        instructions, cbpf::max_socket_insns),
            std::nullopt,
            {{"as eBPF it fits: `--hook socket` and the other hooks have room for a million",
              std::nullopt}}};
}

Exit run(CompileOptions const& o) {
    if (o.list_link_types) return list_link_types();
    auto const emit = choose_emit(o);
    if (!emit) return report(emit.error());
    bool const to_stdout = o.output.empty() || o.output == "-";
    if (emit->binary && to_stdout && !o.json && isatty(STDOUT_FILENO))
        return report({"not writing an object to a terminal",
                       std::nullopt,
                       {{"name a file with -o", std::nullopt}}});
    if (o.hook.name == kernel_hook && o.prove)
        return report(
            {"--prove is for programs that can be loaded",
             std::nullopt,
             {{"`tamis check` compares the kernel form with the kernel's own", std::nullopt}}});
    if (auto const refused = refuse_function(o, *emit)) return report(*refused);
    if (o.several())
        if (auto const refused = refuse_several(o, emit->emit)) return report(*refused);
    HookRow const* hook = nullptr;
    translator::Options translation;
    bool const as_kernel = o.hook.name == kernel_hook;
    if (!o.hook.name.empty() && !as_kernel) {
        auto chosen = o.hook.resolve();
        if (!chosen) return report(chosen.error());
        translation = std::move(*chosen);
        hook = &row(translation.hook);
    }

    auto const link = choose_link_type(o.link_type, hook);
    if (!link) return report(link.error());
    if (o.several()) return run_several(o, std::move(translation), link->number);
    if (as_kernel) {
        auto const input = compile_input(o.input, link->number, frontend::Context::live);
        if (!input) return input.error();
        auto const bytes = kernel_form(*input, o.hook, emit->name, o.json);
        return bytes ? write(o.output, *bytes) : report(bytes.error(), input->source);
    }
    auto const input = hook ? compile_input(o.input, link->number, frontend::Context::live,
                                            tags_at(*hook, translation.shape.vlan_offload))
                            : compile_input(o.input, link->number, frontend::Context::dead);
    if (!input) return input.error();
    if (!hook && input->program.insns.size() > cbpf::max_socket_insns)
        if (auto const bad =
                warn(o.input, input->source, too_long_for_sockets(input->program.insns.size())))
            return *bad;
    if (!o.function.empty()) return run_function(o, emit->emit, *input, translation);
    std::optional<ebpf::Program> extended;
    if (hook) {
        auto translated = translator::translate(input->program, translation);
        if (!translated) return report(translated.error(), input->source);
        extended = std::move(*translated);
    }
    if (o.prove) {
        Exit const proved = prove_compiled(o.input, *input, link->number, hook,
                                           extended ? &*extended : nullptr, translation, o.timeout);
        if (proved != Exit::success) return proved;
    }
    if (o.json) {
        print_json(json_of(*input, *link, hook, extended ? &*extended : nullptr));
        return Exit::success;
    }
    if (emit->emit == Emit::graph) {
        auto const text = graph_text(*input, o.format);
        return text ? write(o.output, *text) : report(text.error());
    }
    if (emit->emit == Emit::c) {
        auto const text = c_text(*input, link->number, hook, translation);
        return text ? write(o.output, *text) : report(text.error(), input->source);
    }
    backend::RunConfig config;
    if (hook) {
        auto const chosen = run_config(o, *hook);
        if (!chosen) return report(chosen.error());
        config = *chosen;
    }
    Source const lines = line_source(o.input, input->source);
    auto const bytes =
        produce(emit->emit, input->program, extended ? &*extended : nullptr, hook,
                {extended ? &*extended : nullptr, o.strip ? nullptr : &lines}, config);
    if (!bytes) return report(bytes.error(), input->source);
    return write(o.output, *bytes);
}

}  // namespace

Exit compile(std::vector<std::string> const& args) {
    CompileOptions o;
    CLI::App app{"Compiles a tcpdump expression.", "tamis compile"};
    o.input.add_to(app);
    o.hook.add_to(app);
    app.add_option(
           "-y", o.link_type,
           "link type, by name or number; default: EN10MB, or RAW where packets at the hook "
           "begin with the IP header")
        ->type_name("DLT");
    app.add_flag("-L", o.list_link_types, "list the link types");
    app.add_flag("-d", o.dump,
                 "print classic BPF as tcpdump does: -d listing, -dd C, -ddd decimal");
    app.add_option(
           "--emit", o.emit,
           "bytecode is the one line that tc and xt_bpf take, c a program for the hook or, without "
           "one, a function, graph what the optimiser made of the "
           "expression, raw 8 bytes an instruction; default: classic without --hook, ebpf with "
           "it, object when -o ends in .o")
        ->type_name("classic|bytecode|c|graph|ebpf|object|raw");
    app.add_option("--format", o.format, "of --emit graph; dot is Graphviz's")
        ->check(CLI::IsMember({"text", "dot"}))
        ->capture_default_str();
    app.add_option("-o", o.output, "write to FILE, whole or not at all")->type_name("FILE");
    app.add_option("-f", o.filters,
                   "a program of its own for this filter; several of them make one object")
        ->type_name("NAME=EXPR")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option("--filters", o.filter_file, "more of them: one NAME=EXPR on each line of FILE")
        ->type_name("FILE");
    app.add_option("--function", o.function,
                   "the filter as a function of this name that other programs call: returns 1 or 0")
        ->type_name("NAME");
    app.add_option("--args", o.arguments,
                   "what that function takes: the program's context, or the packet's bounds (data)")
        ->check(CLI::IsMember({"context", "data"}))
        ->capture_default_str();
    app.add_option("--header", o.header, "write the header that declares it to C programs")
        ->type_name("FILE");
    app.add_option("--priority", o.priority, "for libxdp: programs with smaller numbers run first")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--chain", o.chain,
                   "for libxdp: actions after which the next program runs; default: pass")
        ->type_name("ACTION,...");
    app.add_flag("--strip", o.strip,
                 "leave the filter's text out of an object; bpftool and the verifier's log show it "
                 "beside the instructions otherwise");
    app.add_flag("--prove", o.prove, "write nothing that is not proved to be right");
    add_timeout(app, o.timeout);
    app.get_option("--timeout")->needs("--prove");
    app.add_flag("--json", o.json, "print one JSON object");
    app.footer(
        "Examples:\n"
        "  tamis compile -d 'tcp port 80'\n"
        "  tamis compile --hook xdp 'udp port 53'\n"
        "  tamis compile --hook kernel 'ip'    what Linux makes of a classic filter\n"
        "  tamis compile --hook xdp -o f.o 'tcp port 80' && bpftool prog load f.o /sys/fs/bpf/f");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
