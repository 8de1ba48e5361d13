// A filter as `tamis compile --hook` translates it.
#pragma once

#include <optional>
#include <string>

#include "bpf/hooks.h"
#include "bpf/link_types.h"
#include "frontend/compile.h"
#include "tests/support/translations.h"

namespace tamis::test {

// The filter as `tamis compile --hook` compiles it.
inline Result<cbpf::Program> compiled_at(HookRow const& hook, std::string const& text) {
    auto compiled =
        frontend::compile(text, {.link_type = default_link_type(hook),
                                 .context = frontend::Context::live,
                                 .tags = hook.vlan == VlanTag::packet ? frontend::Tags::in_packet
                                                                      : frontend::Tags::taken_out,
                                 .netmask = 0xffffff00});
    if (!compiled) return fail(compiled.error());
    return std::move(compiled->program);
}

// The same, or nothing where the link type has no such filter.
inline std::optional<cbpf::Program> compile_at(HookRow const& hook, std::string const& text) {
    auto compiled = compiled_at(hook, text);
    if (!compiled) return std::nullopt;
    return std::move(*compiled);
}

// Hooks whose programs the verifier sees in the same way are loaded once.
inline constexpr Hook distinct_hooks[] = {
    Hook::socket,         Hook::xdp,           Hook::xdp_frags, Hook::tc_ingress, Hook::tc_action,
    Hook::cgroup_ingress, Hook::cgroup_egress, Hook::lwt_in,    Hook::lwt_out,    Hook::lwt_xmit,
    Hook::netfilter_input};

}  // namespace tamis::test
