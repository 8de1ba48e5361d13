// tamis features: what the running kernel, and our privileges, let us load.
#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/args.h"
#include "cli/verbs.h"
#include "runtime/kernel_features.h"
#include "runtime/sections.h"

namespace tamis::cli {
namespace {

using runtime::KernelType;
using runtime::Support;

struct FeatureOptions {
    std::string type;
    bool json = false;
};

std::string_view word_for(Support support) {
    switch (support) {
        case Support::yes:
            return "yes";
        case Support::no:
            return "no";
        case Support::unknown:
            return "unknown";
    }
    return {};
}

// `since` is empty where it is not known.
void show(FeatureOptions const& o, std::string_view what, std::string_view name,
          std::string const& since, Support here) {
    if (!o.json)
        return print(fmt::format("{:7} {:7} {:6} {}\n", word_for(here), what, since, name));
    Json line = object_of("feature");
    line["what"] = what;
    line["name"] = name;
    line["since"] = since.empty() ? Json() : Json(since);
    line["here"] = word_for(here);
    print_json(line);
}

void show_types(FeatureOptions const& o, std::string_view what, std::span<KernelType const> types,
                Support (*has)(std::uint32_t)) {
    for (std::uint32_t type = 1; type < types.size(); ++type)
        show(o, what, types[type].name,
             fmt::format("{}.{}", types[type].since.major, types[type].since.minor), has(type));
}

Exit show_helpers(FeatureOptions const& o) {
    auto const types = runtime::prog_types_known();
    auto const found = std::find_if(types.begin() + 1, types.end(),
                                    [&](KernelType const& type) { return type.name == o.type; });
    if (found == types.end())
        return report({fmt::format("unknown program type '{}'", escape(o.type)),
                       std::nullopt,
                       {{"`tamis features` lists them", std::nullopt}}});
    auto const type = static_cast<std::uint32_t>(found - types.begin());
    for (std::uint32_t helper = 1; helper < runtime::helper_count(); ++helper)
        show(o, "helper", runtime::helper_name(helper), "", runtime::has_helper(type, helper));
    return Exit::success;
}

Exit run(FeatureOptions const& o) {
    if (!o.type.empty()) return show_helpers(o);
    show_types(o, "program", runtime::prog_types_known(), runtime::has_program_type);
    show_types(o, "map", runtime::map_types_known(), runtime::has_map_type);
    return Exit::success;
}

}  // namespace

Exit features(std::vector<std::string> const& args) {
    FeatureOptions o;
    CLI::App app{
        "Lists the types of programs and maps: whether this kernel and our privileges allow\n"
        "them, and the first Linux that has each.",
        "tamis features"};
    app.add_option("--type", o.type, "the helpers that programs of this type may call")
        ->type_name("TYPE");
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer("Example: tamis features --type xdp");
    return parse_and_run(app, args, [&] { return run(o); });
}

}  // namespace tamis::cli
