// tamis inject: a filter in place of a function of somebody else's object.
#include "backend/inject.h"

#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "backend/file.h"
#include "bpf/hooks.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/input.h"
#include "cli/verbs.h"
#include "runtime/sections.h"
#include "translator/translate.h"

namespace tamis::cli {
namespace {

struct InjectOptions {
    InputOptions input;
    std::string object, at, output, hook, access, arguments, link_type;
    bool strip = false;
};

// The hook whose programs are in a section; null where it is none of the table.
HookRow const* hook_of_section(std::string_view section) {
    runtime::SectionRow const* known = runtime::find_section(section).row;
    if (!known) return nullptr;
    auto const rows = hooks();
    auto const at = std::find_if(rows.begin(), rows.end(), [&](HookRow const& h) {
        return h.section == section || h.prog_type == known->prog_type;
    });
    return at == rows.end() ? nullptr : &*at;
}

// A hook by its name, or the one that the object's programs are for.
Result<HookRow const*> choose_hook(InjectOptions const& o, backend::Stub const& stub) {
    if (!o.hook.empty()) {
        HookRow const* named = find_hook(o.hook);
        if (!named)
            return fail({fmt::format("unknown hook '{}'", escape(o.hook)), std::nullopt, {}});
        return named;
    }
    HookRow const* found = nullptr;
    for (std::string const& section : stub.sections)
        if (HookRow const* hook = hook_of_section(section); hook && !found) found = hook;
    return found;
}

// Whether all that could call the function have packet pointers, or none.
Result<Access> choose_access(InjectOptions const& o, backend::Stub const& stub) {
    if (!o.access.empty()) return o.access == "probe" ? Access::probe : Access::pointer;
    bool pointers = false, others = false;
    for (std::string const& section : stub.sections) {
        HookRow const* hook = hook_of_section(section);
        bool const has_pointers = hook && hook->access == Access::pointer;
        (has_pointers ? pointers : others) = true;
    }
    if (pointers != others) return pointers ? Access::pointer : Access::probe;
    return fail({"programs of this object have packet pointers, and others have none",
                 std::nullopt,
                 {{"--access pointer or --access probe says which of them call the function",
                   std::nullopt}}});
}

std::optional<std::size_t> find_parameter(backend::Stub const& stub, std::string_view name) {
    for (std::size_t i = 0; i < stub.parameters.size(); ++i)
        if (stub.parameters[i].name == name && stub.parameters[i].pointer) return i;
    return std::nullopt;
}

std::optional<std::size_t> find_context(backend::Stub const& stub, std::string_view context) {
    for (std::size_t i = 0; i < stub.parameters.size(); ++i)
        if (stub.parameters[i].structure == context) return i;
    return std::nullopt;
}

ebpf::Reg argument(std::size_t index) { return static_cast<ebpf::Reg>(index + 1); }

// What a filter at that function has to be like.
struct Fit {
    HookRow hook;
    translator::Parameters parameters;
};

Result<Fit> fit_to(InjectOptions const& o, backend::Stub const& stub) {
    auto const chosen = choose_hook(o, stub);
    if (!chosen) return fail(chosen.error());
    if (stub.parameters.size() > 5)
        return fail({fmt::format("function '{}' has more than five parameters", escape(o.at)),
                     std::nullopt,
                     {}});
    auto const data = find_parameter(stub, "data"), end = find_parameter(stub, "data_end");
    if (data && end && o.arguments != "context") {
        auto const access = choose_access(o, stub);
        if (!access) return fail(access.error());
        HookRow const& hook =
            *chosen && (*chosen)->access == Access::pointer ? **chosen : row(Hook::xdp);
        return Fit{bounds_only(hook, *access), {argument(*data), argument(*end)}};
    }
    HookRow const* hook = *chosen;
    auto const context = hook ? find_context(stub, hook->context) : std::nullopt;
    if (context && hook->access != Access::dynptr && o.arguments != "data")
        return Fit{*hook, {argument(*context), ebpf::Reg::r2}};
    std::string const wanted = hook ? fmt::format("'struct {} *', or ", hook->context) : "";
    return fail(
        {fmt::format("function '{}' is not given the packet", escape(o.at)),
         std::nullopt,
         {{fmt::format("it has to have a parameter of type {}two pointers called 'data' and "
                       "'data_end'",
                       wanted),
           std::nullopt}}});
}

Exit run(InjectOptions const& o) {
    if (o.object.empty() || o.at.empty() || o.output.empty())
        return report(
            {"inject wants an object, --at FUNC and -o FILE",
             std::nullopt,
             {{"for example tamis inject prog.o --at filter -o out.o tcp port 80", std::nullopt}}});
    auto const about_object = [&](Diagnostic error) {
        error.message = fmt::format("'{}': {}", escape(o.object), error.message);
        return report(error);
    };
    auto const object = read_object(o.object);
    if (!object) return report(object.error());
    auto const stub = backend::find_stub(*object, o.at);
    if (!stub) return about_object(stub.error());
    auto const fit = fit_to(o, *stub);
    if (!fit) return about_object(fit.error());

    LinkType const* link = o.link_type.empty() ? find_link_type(default_link_type(fit->hook))
                                               : find_link_type(o.link_type);
    if (!link)
        return report({fmt::format("unknown link type '{}'", escape(o.link_type)),
                       std::nullopt,
                       {{"`tamis compile -L` lists the link types", std::nullopt}}});
    auto const input = compile_input(o.input, link->number, frontend::Context::live,
                                     tags_at(fit->hook, translator::Shape{}.vlan_offload));
    if (!input) return input.error();
    auto const program =
        translator::translate_predicate(input->program, fit->hook, {}, o.at, fit->parameters);
    if (!program) return report(program.error(), input->source);
    Source const lines = line_source(o.input, input->source);
    auto const injected = backend::inject(*object, o.at, *program, o.strip ? nullptr : &lines);
    if (!injected) return about_object(injected.error());
    auto const written = backend::write_file(o.output, *injected);
    return written ? Exit::success : report(written.error());
}

}  // namespace

Exit inject(std::vector<std::string> const& args) {
    InjectOptions o;
    CLI::App app{
        "Puts a filter in place of a function of an object: tamis inject IN.o --at FUNC -o OUT.o "
        "EXPR",
        "tamis inject"};
    o.input.add_to(app);
    app.add_option("--at", o.at, "the function; its type tells how it is given the packet")
        ->type_name("FUNC");
    app.add_option("-o", o.output, "write to FILE, whole or not at all; also behind the expression")
        ->type_name("FILE");
    app.add_option("--args", o.arguments,
                   "go by the function's context, or by its 'data' and 'data_end' (default: these, "
                   "if it has them)")
        ->check(CLI::IsMember({"context", "data"}));
    app.add_option("--access", o.access,
                   "how 'data' is read: as a packet pointer, or by bpf_probe_read_kernel; default: "
                   "by the sections of the object's programs")
        ->check(CLI::IsMember({"pointer", "probe"}));
    app.add_option("--hook", o.hook,
                   "where the programs that call it run; default: by their sections")
        ->type_name("HOOK");
    app.add_option("-y", o.link_type,
                   "what packets begin with; default: EN10MB, or RAW where the hook's packets "
                   "begin with the IP header")
        ->type_name("DLT");
    app.add_flag("--strip", o.strip, "leave the filter's text out");
    app.footer("Example:\n  tamis inject pwru.o --at filter_pcap_ebpf_l2 -o out.o 'tcp port 80'");
    std::vector<std::string> rest = args;
    if (!rest.empty() && !rest[0].starts_with('-')) {
        o.object = rest[0];
        rest.erase(rest.begin());
    }
    // No filter ends in these two words.
    if (rest.size() > 2 && rest[rest.size() - 2] == "-o" && rest[rest.size() - 3] != "--") {
        std::rotate(rest.begin(), rest.end() - 2, rest.end());
    }
    return parse_and_run(app, rest, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
