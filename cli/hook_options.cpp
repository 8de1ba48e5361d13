#include "cli/hook_options.h"

#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <net/if.h>

namespace tamis::cli {
namespace {

template <class Rows>
std::string names(Rows const& rows) {
    std::string text;
    for (auto const& r : rows)
        text += text.empty() ? std::string(r.name) : fmt::format(", {}", r.name);
    return text;
}

Result<std::uint32_t> number(std::string_view text) {
    std::uint32_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value == 0)
        return fail({fmt::format("'{}' is no number from 1 to 4294967295", escape(text)),
                     std::nullopt,
                     {}});
    return value;
}

Result<std::uint32_t> interface(std::string const& name) {
    if (unsigned const index = if_nametoindex(name.c_str()); index != 0) return index;
    if (auto const index = number(name)) return index;
    return fail(
        {fmt::format("no interface '{}'", escape(name)),
         std::nullopt,
         {{"an index such as redirect:3 names an interface of another machine", std::nullopt}}});
}

// `drop`, `keep:96`, `redirect:eth0`.
Result<Action> parse_action(HookRow const& hook, std::string_view text) {
    std::size_t const colon = text.find(':');
    ActionName const* name = find_action(hook, text.substr(0, colon));
    if (!name)
        return fail({fmt::format("hook {} has no action '{}'", hook.name, escape(text)),
                     std::nullopt,
                     {{fmt::format("its actions are {}", names(hook.actions)), std::nullopt}}});
    bool const has_argument = colon != text.npos;
    std::string const argument(has_argument ? text.substr(colon + 1) : "");
    auto const with = [&](Result<std::uint32_t> value) -> Result<Action> {
        if (!value) return fail(value.error());
        return Action{name, *value};
    };
    switch (name->arg) {
        case Arg::none:
            if (has_argument)
                return fail({fmt::format("action '{}' takes nothing behind a colon", name->name),
                             std::nullopt,
                             {}});
            return Action{name};
        case Arg::bytes:
            return has_argument ? with(number(argument)) : Action{name};
        case Arg::interface:
            if (!has_argument)
                return fail({fmt::format("action '{0}' wants an interface: {0}:IF", name->name),
                             std::nullopt,
                             {}});
            return with(interface(argument));
    }
    return Action{name};
}

Result<translator::VlanOffload> parse_vlan_offload(HookRow const& hook, std::string_view text) {
    using translator::VlanOffload;
    if (text != "refuse" && hook.vlan != VlanTag::packet)
        return fail({"--vlan-offload is for XDP", std::nullopt, {}});
    if (text == "refuse") return VlanOffload::refuse;
    if (text == "ignore") return VlanOffload::ignore;
    return VlanOffload::metadata;
}

}  // namespace

void HookOptions::add_to(CLI::App& app) {
    app.option_defaults()->group("Hook");
    app.add_option("--hook", name, "where the filter will run: " + names(hooks()))
        ->type_name("HOOK");
    app.add_option("--match", match, "action for a packet that matches")->type_name("ACTION");
    app.add_option("--no-match", no_match, "action for one that does not")->type_name("ACTION");
    app.add_flag("--no-stats", no_stats, "leave the counters out");
    app.add_flag("--linear", linear,
                 "take what lies outside of a packet's linear part for missing: shorter code");
    app.add_option("--vlan-offload", vlan_offload,
                   "for XDP, where a driver may have taken VLAN tags out before: refuse filters "
                   "that this makes wrong, ignore it, or ask the driver (metadata)")
        ->type_name("HOW")
        ->check(CLI::IsMember({"refuse", "ignore", "metadata"}))
        ->capture_default_str();
    app.add_flag("--no-perfmon", no_perfmon, "a program that loads without CAP_PERFMON");
    app.option_defaults()->group("Options");
}

Result<translator::Options> HookOptions::resolve() const {
    HookRow const* hook = find_hook(name);
    if (!hook)
        return fail({fmt::format("unknown hook '{}'", escape(name)),
                     std::nullopt,
                     {{"the hooks are " + names(hooks()), std::nullopt}}});
    auto const on_match =
        parse_action(*hook, match.empty() ? hook->match : std::string_view(match));
    if (!on_match) return fail(on_match.error());
    auto const otherwise =
        parse_action(*hook, no_match.empty() ? hook->no_match : std::string_view(no_match));
    if (!otherwise) return fail(otherwise.error());
    auto const offload = parse_vlan_offload(*hook, vlan_offload);
    if (!offload) return fail(offload.error());
    if (no_stats && *on_match == *otherwise)
        return fail(
            {"the same action either way and no counters: such a filter does nothing",
             std::nullopt,
             {{"name another --match or --no-match, or leave --no-stats out", std::nullopt}}});
    return translator::Options{.hook = hook->hook,
                               .match = *on_match,
                               .no_match = *otherwise,
                               .shape = {.linear = linear, .no_perfmon = no_perfmon,
                                         .vlan_offload = *offload},
                               .stats = !no_stats};
}

}  // namespace tamis::cli
