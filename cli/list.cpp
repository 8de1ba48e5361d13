// tamis list and tamis detach: what stays attached under a name.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/args.h"
#include "cli/counters.h"
#include "cli/verbs.h"
#include "runtime/attach.h"
#include "runtime/bpf_fs.h"
#include "runtime/netns.h"
#include "runtime/pins.h"

namespace tamis::cli {
namespace {

using runtime::fact;
using runtime::Pinned;

// `3 d 4 h`: the two largest units.
std::string duration(std::uint64_t seconds) {
    struct Unit {
        std::uint64_t seconds;
        std::string_view name;
    };
    constexpr Unit units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    std::string text;
    for (Unit const& unit : units) {
        if (seconds < unit.seconds && unit.seconds > 1 && text.empty()) continue;
        bool const second = !text.empty();
        text += fmt::format("{}{} {}", second ? " " : "", seconds / unit.seconds, unit.name);
        seconds %= unit.seconds;
        if (second) break;
    }
    return text;
}

constexpr std::string_view shown[] = {"hook", "target", "mode", "netns"};

std::string paragraph(Pinned const& pinned) {
    if (pinned.about.empty())
        return fmt::format("{}: unfinished; `tamis detach {}` removes it\n", pinned.name,
                           pinned.name);
    std::string text = pinned.name + ":";
    for (std::string_view const key : shown)
        if (auto const value = fact(pinned.about, key); !value.empty())
            text += fmt::format(" {}{}", key == "netns" ? "in " : "", escape(value));
    if (runtime::target_is_gone(pinned)) text += " (which is gone)";
    if (auto const age = pinned.age()) text += fmt::format(", for {}", duration(*age));
    if (auto const filter = fact(pinned.about, "expression"); !filter.empty())
        text += fmt::format("\n  {}", escape(filter));
    if (auto const counters = pinned.counters()) text += fmt::format("\n  {}", text_of(*counters));
    return text + "\n";
}

Json json_of(Pinned const& pinned) {
    Json out = object_of("pinned");
    out["name"] = pinned.name;
    for (std::string_view const key : {"hook", "target", "mode", "netns", "expression"}) {
        auto const value = fact(pinned.about, key);
        out[std::string(key)] = value.empty() ? Json(nullptr) : Json(std::string(value));
    }
    out["gone"] = runtime::target_is_gone(pinned);
    auto const age = pinned.age();
    out["age"] = age ? Json(*age) : Json(nullptr);
    if (auto const counters = pinned.counters())
        add_to(out, *counters);
    else
        out["matched"] = out["passed"] = nullptr;
    return out;
}

void warn_of_private_pins() {
    if (runtime::has_bpf_fs() && runtime::bpf_fs_is_private())
        complain(
            "tamis: note: the BPF file system here is private to this mount namespace, as under "
            "`ip netns exec`\n");
}

std::string pin_of(runtime::Leftover const& leftover) {
    return leftover.name.substr(std::string_view("tamis_").size());
}

Exit list_all(bool json) {
    warn_of_private_pins();
    auto const all = runtime::all_pinned();
    if (!all) return report(all.error());
    for (Pinned const& pinned : *all) {
        if (json)
            print_json(json_of(pinned));
        else
            print(paragraph(pinned));
    }
    auto const left = runtime::leftovers();
    if (!left) return report(left.error());
    for (runtime::Leftover const& leftover : *left)
        complain(
            fmt::format("tamis: note: there is a '{}' at {} whose entry is gone; `tamis detach "
                        "{}` ends it\n",
                        escape(leftover.name), leftover.place, escape(pin_of(leftover))));
    return Exit::success;
}

Exit detach_one(Pinned const& pinned) {
    if (auto const done = runtime::detach(pinned); !done) return report(done.error());
    complain(fmt::format("detached {}\n", pinned.name));
    return Exit::success;
}

// Exit::nothing: there is none.
Exit detach_leftover(std::string const& name) {
    auto const removed = runtime::remove_leftovers(name);
    if (!removed) return report(removed.error());
    if (*removed == 0) return Exit::nothing;
    complain(fmt::format("detached {}\n", name));
    return Exit::success;
}

Exit detach_all() {
    warn_of_private_pins();
    auto const all = runtime::all_pinned();
    if (!all) return report(all.error());
    Exit worst = Exit::success;
    for (Pinned const& pinned : *all)
        if (Exit const code = detach_one(pinned); code != Exit::success) worst = code;
    auto const left = runtime::leftovers();
    if (!left) return report(left.error());
    for (runtime::Leftover const& leftover : *left)
        if (Exit const code = detach_leftover(pin_of(leftover)); code != Exit::success)
            worst = code;
    return worst;
}

}  // namespace

Exit list(std::vector<std::string> const& args) {
    CLI::App app{"Lists what stays attached under a name, with its counters.", "tamis list"};
    bool json = false;
    app.add_flag("--json", json, "one JSON object per line");
    return parse_and_run(app, args, [&] { return list_all(json); });
}

Exit detach(std::vector<std::string> const& args) {
    CLI::App app{"Ends what was attached with --pin NAME, and puts back what that had replaced.",
                 "tamis detach"};
    std::string name;
    bool all = false;
    auto* const flag = app.add_flag("--all", all, "everything that `tamis list` shows");
    app.add_option("NAME", name, "as `tamis list` shows it")->excludes(flag);
    return parse_and_run(app, args, [&] {
        if (all) return detach_all();
        if (name.empty())
            return report({"nothing is named",
                           std::nullopt,
                           {{"`tamis detach NAME`, or --all", std::nullopt}}});
        auto const pinned = runtime::find_pinned(name);
        if (pinned) return detach_one(*pinned);
        Exit const code = detach_leftover(name);
        return code == Exit::nothing ? report(pinned.error()) : code;
    });
}

}  // namespace tamis::cli
