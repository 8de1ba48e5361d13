#include "cli/load_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/args.h"
#include "cli/output.h"
#include "runtime/object_needs.h"
#include "runtime/program_types.h"

namespace tamis::cli {
namespace {

using runtime::MapPlan;
using runtime::Plan;
using runtime::ProgramPlan;

// ---- The plan

std::string type_name(MapPlan const& map) {
    auto const name = runtime::map_type(map.type).name;
    return name.empty() ? fmt::format("type {}", map.type) : std::string(name);
}

std::string_view type_name(runtime::SectionRow const& row) {
    return runtime::program_type(row.prog_type).name;
}

std::string_view word_for(runtime::Refers to) {
    switch (to) {
        case runtime::Refers::map:
            return "map";
        case runtime::Refers::function:
            return "function";
        case runtime::Refers::data:
            return "data";
        case runtime::Refers::kernel_function:
            return "kernel function";
        case runtime::Refers::external:
            return "external";
    }
    return {};
}

// What a program refers to, each once, with how often.
std::vector<std::pair<std::string, std::size_t>> references(ProgramPlan const& program) {
    std::vector<std::pair<std::string, std::size_t>> out;
    for (runtime::Relocation const& r : program.relocations) {
        std::string const text = fmt::format("{} {}", word_for(r.to), escape(r.symbol));
        auto const seen =
            std::find_if(out.begin(), out.end(), [&](auto const& e) { return e.first == text; });
        if (seen == out.end())
            out.emplace_back(text, 1);
        else
            ++seen->second;
    }
    return out;
}

std::string target_of(ProgramPlan const& program) {
    auto const& section = *program.place.row;
    if (section.by == runtime::AttachBy::nobody) return std::string(section.reason);
    std::string const tail = escape(program.place.tail);
    if (section.target == runtime::Target::none) return tail.empty() ? "no target" : tail;
    auto const& target = row(section.target);
    return fmt::format("{} ({})", target.what, target.option);
}

std::string text_of(ProgramPlan const& program) {
    std::string const head =
        fmt::format("program {} in section {}", escape(program.name), escape(program.section));
    auto const* section = program.place.row;
    if (!section) return head + ": the section names no kind of program\n";
    if (!program.chosen) return head + ": not loaded (--program NAME)\n";
    std::string out = fmt::format("{}: {}, {} instructions, Linux {}\n    attached to: {}\n", head,
                                  type_name(*section), program.instructions,
                                  runtime::text_of(section->since), target_of(program));
    for (auto const& [what, times] : references(program))
        out += fmt::format("    refers to {}{}\n", what,
                           times == 1 ? "" : fmt::format(", {} times", times));
    if (auto const missing = runtime::missing(*section); !missing.empty())
        out += fmt::format("    missing here: {}\n", missing);
    return out;
}

std::string text_of(MapPlan const& map) {
    std::string out = fmt::format("map {}: {}, {} entries of {} + {} bytes", escape(map.name),
                                  type_name(map), map.max_entries, map.key_size, map.value_size);
    if (map.flags != 0) out += fmt::format(", flags {:#x}", map.flags);
    if (map.internal) out += ", the program's data";
    if (map.legacy) out += ", from a section 'maps'";
    if (!map.pin.empty()) out += fmt::format(", pinned at {}", escape(map.pin));
    return out + "\n";
}

Json json_of(MapPlan const& map) {
    return {{"name", map.name},
            {"type", type_name(map)},
            {"key_size", map.key_size},
            {"value_size", map.value_size},
            {"max_entries", map.max_entries},
            {"flags", map.flags},
            {"pin", map.pin.empty() ? Json() : Json(map.pin)},
            {"legacy", map.legacy}};
}

Json json_of(ProgramPlan const& program) {
    Json out = {{"name", program.name}, {"section", program.section}};
    auto const* section = program.place.row;
    out["chosen"] = program.chosen;
    out["type"] = section ? Json(type_name(*section)) : Json();
    out["instructions"] = program.instructions;
    out["target"] = section ? Json(target_of(program)) : Json();
    out["since"] = section ? Json(runtime::text_of(section->since)) : Json();
    std::string const missing = section ? runtime::missing(*section) : "";
    out["missing"] = missing.empty() ? Json() : Json(missing);
    Json refers = Json::array();
    for (auto const& [what, times] : references(program)) refers.push_back(what);
    out["refers_to"] = refers;
    return out;
}

// ---- What the programs need

std::string_view word_for(runtime::Need::What what) {
    switch (what) {
        case runtime::Need::What::helper:
            return "calls";
        case runtime::Need::What::function:
            return "calls kernel function";
        case runtime::Need::What::read:
            return "reads";
        case runtime::Need::What::write:
            return "writes";
    }
    return {};
}

void show(bool json, ProgramPlan const& program, std::string_view type, runtime::Need const& need) {
    std::string const since = need.since ? runtime::text_of(*need.since) : "";
    if (!json)
        return print(fmt::format("    {:7} {:5} {} {}\n", word_for(need.here), since,
                                 word_for(need.what), escape(need.name)));
    Json line = object_of("need");
    line["program"] = program.name;
    line["type"] = type.empty() ? Json() : Json(type);
    line["what"] = word_for(need.what);
    line["name"] = need.name;
    line["since"] = since.empty() ? Json() : Json(since);
    line["here"] = word_for(need.here);
    print_json(line);
}

}  // namespace

void show_plan(std::string const& file, Plan const& plan, bool json) {
    if (!json) {
        for (MapPlan const& map : plan.maps) print(text_of(map));
        for (ProgramPlan const& program : plan.programs) print(text_of(program));
        return;
    }
    Json out = object_of("load_plan");
    out["file"] = file;
    out["btf"] = plan.has_btf;
    out["maps"] = Json::array();
    for (MapPlan const& map : plan.maps) out["maps"].push_back(json_of(map));
    out["programs"] = Json::array();
    for (ProgramPlan const& program : plan.programs) out["programs"].push_back(json_of(program));
    print_json(out);
}

Exit explain_plan(Plan const& plan, bool json) {
    bool all = true;
    for (ProgramPlan const& program : plan.programs) {
        if (!program.chosen) continue;
        auto const* section = program.place.row;
        std::string_view const type = section ? type_name(*section) : "";
        if (!json)
            print(
                fmt::format("program {} ({})\n", escape(program.name), type.empty() ? "?" : type));
        for (runtime::Need const& need : runtime::hold_against_kernel(program.needs, section)) {
            all = all && need.here != runtime::Support::no;
            show(json, program, type, need);
        }
    }
    return all ? Exit::success : Exit::nothing;
}

}  // namespace tamis::cli
