// tamis features: what the running kernel, and our privileges, let us load.
#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/args.h"
#include "cli/verbs.h"
#include "runtime/helpers.h"
#include "runtime/kernel_features.h"
#include "runtime/object_file.h"
#include "runtime/privilege.h"
#include "runtime/program_types.h"
#include "runtime/sections.h"

namespace tamis::cli {
namespace {

using runtime::KernelType;
using runtime::Support;

struct FeatureOptions {
    std::string type;
    bool json = false;
};

// What a line is about; `since` is none where it is not known.
struct Feature {
    std::string_view what;
    std::string name;
    std::optional<runtime::Release> since;
    Support here;
    std::string note = {};
};

void show(FeatureOptions const& o, Feature const& feature) {
    std::string const since = feature.since ? runtime::text_of(*feature.since) : "";
    if (!o.json)
        return print(fmt::format("{:7} {:8} {:6} {}{}\n", word_for(feature.here), feature.what,
                                 since, feature.name,
                                 feature.note.empty() ? "" : "  " + feature.note));
    Json line = object_of("feature");
    line["what"] = feature.what;
    line["name"] = feature.name;
    line["since"] = since.empty() ? Json() : Json(since);
    line["here"] = word_for(feature.here);
    line["note"] = feature.note.empty() ? Json() : Json(feature.note);
    print_json(line);
}

void show_types(FeatureOptions const& o, std::string_view what, std::span<KernelType const> types,
                Support (*has)(std::uint32_t)) {
    for (std::uint32_t type = 1; type < types.size(); ++type) {
        Support const here = has(type);
        std::string note;
        if (here == Support::denied) {
            auto const needed = runtime::missing_capabilities(runtime::capabilities(types[type]));
            note = needed.empty() ? "this kernel refuses them to everybody" : "needs " + needed;
        }
        show(o, {what, std::string(types[type].name), types[type].since, here, note});
    }
}

std::string text_of(std::optional<runtime::Returns> const& returns) {
    if (!returns) return "anything";
    return returns->low == returns->high ? fmt::format("{}", returns->low)
                                         : fmt::format("{} to {}", returns->low, returns->high);
}

// Programs of a type are alike but for the sections that say where they are attached.
void show_sections(FeatureOptions const& o, std::uint32_t type) {
    for (runtime::SectionRow const& row : runtime::sections())
        if (row.prog_type == type)
            show(o, {"section", std::string(row.name), row.since,
                     runtime::missing(row).empty() ? Support::yes : Support::no,
                     "returns " + text_of(runtime::returns(type, row.attach_type))});
}

// The sections whose programs see the context so; nothing where all of the type do.
std::string sections_with(runtime::Context const& context) {
    if (context.attach_types == 0) return {};
    std::string out;
    for (runtime::SectionRow const& row : runtime::sections())
        if (runtime::find_context(row.prog_type, row.attach_type) == &context)
            out += (out.empty() ? "in " : ", ") + std::string(row.name);
    return out;
}

void show_context(FeatureOptions const& o, std::uint32_t type) {
    for (runtime::Context const& context : runtime::contexts()) {
        if (context.program_type != type) continue;
        runtime::ProgramKind const kind = runtime::some_kind(context);
        std::string const where = sections_with(context);
        for (runtime::ContextField const& field : context.fields) {
            auto const since = context.since(field);
            std::string const name = fmt::format("{}->{}", context.type, field.name);
            // Of an array, its first element.
            std::uint32_t const size = field.size > 8 ? 4 : field.size;
            if (context.reads(field))
                show(o, {"read", name, since, may_read(kind, field.offset, size), where});
            if (context.writes(field))
                show(o, {"write", name, since, may_write(kind, field.offset, size), where});
        }
    }
}

void show_helpers(FeatureOptions const& o, std::uint32_t type) {
    runtime::ProgramKind const kind = runtime::some_kind(type);
    for (std::uint32_t helper = 1; helper < runtime::helper_count(); ++helper)
        show(o, {"helper",
                 std::string(runtime::helper_name(helper)),
                 runtime::helper_since(type, helper),
                 may_call(kind, helper),
                 {}});
}

Exit show_type(FeatureOptions const& o) {
    auto const types = runtime::program_types();
    auto const found = std::find_if(types.begin() + 1, types.end(),
                                    [&](KernelType const& type) { return type.name == o.type; });
    if (found == types.end())
        return report({fmt::format("unknown program type '{}'", escape(o.type)),
                       std::nullopt,
                       {{"`tamis features` lists them", std::nullopt}}});
    auto const type = static_cast<std::uint32_t>(found - types.begin());
    show_sections(o, type);
    show_context(o, type);
    show_helpers(o, type);
    return Exit::success;
}

Exit run(FeatureOptions const& o) {
    if (!o.type.empty()) return show_type(o);
    show_types(o, "program", runtime::program_types(), runtime::has_program_type);
    show_types(o, "map", runtime::map_types(), runtime::has_map_type);
    return Exit::success;
}

}  // namespace

Exit features(std::vector<std::string> const& args) {
    FeatureOptions o;
    CLI::App app{
        "Lists the types of programs and maps: whether this kernel and our privileges allow\n"
        "them, and the first Linux that has each.",
        "tamis features"};
    app.add_option(
           "--type", o.type,
           "of one type: its sections, what it may return, the fields of its context, and helpers")
        ->type_name("TYPE");
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer("Example: tamis features --type xdp");
    return parse_and_run(app, args, [&] { return run(o); });
}

}  // namespace tamis::cli
