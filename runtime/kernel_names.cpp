#include "runtime/kernel_names.h"

#include <memory>
#include <string>
#include <vector>

#include <bpf/btf.h>
#include <fmt/core.h>
#include <linux/bpf.h>

#include "bpf/spelling.h"
#include "runtime/tracefs.h"

namespace tamis::runtime {
namespace {

// How the kernel's BTF names what programs are attached to by it.
struct Prefix {
    std::uint32_t attach_type;
    std::string_view text;
};
constexpr Prefix prefixes[] = {
    {BPF_LSM_MAC, "bpf_lsm_"}, {BPF_LSM_CGROUP, "bpf_lsm_"}, {BPF_TRACE_ITER, "bpf_iter_"}};

std::string_view prefix_of(SectionRow const& row) {
    for (Prefix const& prefix : prefixes)
        if (prefix.attach_type == row.attach_type) return prefix.text;
    return {};
}

std::vector<std::string> functions_near(SectionRow const& row, std::string_view name) {
    constexpr unsigned near = 2;
    constexpr std::size_t shown = 5;
    std::unique_ptr<btf, decltype(&btf__free)> const types(btf__load_vmlinux_btf(), btf__free);
    std::string const wanted = std::string(prefix_of(row)) + std::string(name);
    std::vector<std::string> out;
    for (std::uint32_t id = 1; types && id < btf__type_cnt(types.get()); ++id) {
        btf_type const* type = btf__type_by_id(types.get(), id);
        if (!btf_is_func(type) || out.size() == shown) continue;
        std::string_view found = btf__name_by_offset(types.get(), type->name_off);
        if (!found.starts_with(prefix_of(row)) || edit_distance(found, wanted) > near) continue;
        found.remove_prefix(prefix_of(row).size());
        out.emplace_back(found);
    }
    return out;
}

}  // namespace

Diagnostic no_such_place(SectionRow const& row, std::string_view tail) {
    bool const is_tracepoint = row.part == Part::tracepoints;
    std::vector<std::string> near;
    if (is_tracepoint) {
        for (std::string const& name : tracepoints_near(tail))
            near.push_back(name.substr(name.find('/') + 1));
    } else {
        near = functions_near(row, tail);
    }
    Diagnostic out{fmt::format("this kernel has no {} '{}' for '{}'",
                               is_tracepoint ? "trace point" : "function", escape(tail), row.name),
                   std::nullopt,
                   {}};
    std::string listed;
    for (std::string const& name : near)
        listed +=
            fmt::format("{}'{}/{}'", listed.empty() ? "there is " : ", ", row.name, escape(name));
    if (!listed.empty()) out.notes.push_back({std::move(listed), std::nullopt});
    return out;
}

}  // namespace tamis::runtime
