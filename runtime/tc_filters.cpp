// tc's filters and actions.
#include <cerrno>
#include <memory>
#include <optional>

#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_bpf.h>
#include <net/if.h>

#include "runtime/libbpf_words.h"
#include "runtime/netlink.h"
#include "runtime/sticky.h"

namespace tamis::runtime {
namespace {

bpf_tc_hook clsact(std::uint32_t interface, bpf_tc_attach_point side) {
    bpf_tc_hook hook{};
    hook.sz = sizeof hook;
    hook.ifindex = static_cast<int>(interface);
    hook.attach_point = side;
    return hook;
}
bpf_tc_attach_point side(bool egress) { return egress ? BPF_TC_EGRESS : BPF_TC_INGRESS; }

// An empty one does nothing: it may stay where this fails.
void destroy_clsact(std::uint32_t interface) {
    bpf_tc_hook hook =
        clsact(interface, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
    bpf_tc_hook_destroy(&hook);
}

struct Filter {
    std::uint32_t handle, priority, program;  // 0: no eBPF program
    std::string name;
};
// What there is at one side; a chain that has no filter yet lists itself.
Result<std::vector<Filter>> filters(std::uint32_t interface, bool egress) {
    tcmsg where{};
    where.tcm_ifindex = static_cast<int>(interface);
    where.tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
    auto const answers =
        NetlinkRequest(RTM_GETTFILTER, NLM_F_DUMP).header(where).talk("cannot list tc's filters");
    if (!answers) return fail(answers.error());
    std::vector<Filter> out;
    for (Bytes const& answer : *answers) {
        if (answer.size() < sizeof(tcmsg)) continue;
        auto const* message = reinterpret_cast<tcmsg const*>(answer.data());
        if (message->tcm_handle == 0) continue;
        auto const all = attributes(std::span(answer).subspan(sizeof(tcmsg)));
        auto const options = attributes(find(all, TCA_OPTIONS));
        out.push_back({message->tcm_handle, message->tcm_info >> 16,
                       number(find(options, TCA_BPF_ID)), text(find(options, TCA_BPF_NAME))});
    }
    return out;
}

Diagnostic refused(std::string_view what, int error, LibbpfWords const& words) {
    auto out = system_error(what, error);
    if (error == EPERM) out.notes.push_back({"this needs CAP_NET_ADMIN", std::nullopt});
    if (!words.text().empty())
        out.notes.push_back({"libbpf: " + escape(words.text()), std::nullopt});
    return out;
}

}  // namespace

Result<void> add_tc_filter(int program, std::uint32_t interface, bool egress,
                           std::uint32_t priority) {
    LibbpfWords const words;
    bpf_tc_hook hook = clsact(interface, side(egress));
    int const made = -bpf_tc_hook_create(&hook);
    if (made != 0 && made != EEXIST)
        return fail(refused("cannot make the interface's clsact", made, words));
    bpf_tc_opts options{};
    options.sz = sizeof options;
    options.prog_fd = program;
    options.priority = priority;
    int const error = -bpf_tc_attach(&hook, &options);
    if (error == 0) return {};
    if (made == 0) destroy_clsact(interface);
    return fail(refused("cannot add a filter to clsact", error, words));
}

Result<void> remove_tc_filter(std::uint32_t program, std::uint32_t interface, bool egress) {
    LibbpfWords const words;
    auto const there = filters(interface, egress);
    if (!there) return fail(there.error());
    bpf_tc_hook hook = clsact(interface, side(egress));
    for (Filter const& filter : *there) {
        if (filter.program != program) continue;
        bpf_tc_opts options{};
        options.sz = sizeof options;
        options.handle = filter.handle;
        options.priority = filter.priority;
        if (int const error = -bpf_tc_detach(&hook, &options); error != 0 && error != ENOENT)
            return fail(refused("cannot remove the filter from clsact", error, words));
    }
    auto const left = filters(interface, egress), others = filters(interface, !egress);
    if (!left || !others || !left->empty() || !others->empty()) return {};
    destroy_clsact(interface);
    return {};
}

Result<std::vector<Sticky>> sticky_tc_filters() {
    std::unique_ptr<struct if_nameindex, decltype(&if_freenameindex)> const all(if_nameindex(),
                                                                                if_freenameindex);
    std::vector<Sticky> out;
    for (auto const* i = all.get(); i && i->if_name; ++i)
        for (bool const egress : {false, true}) {
            auto const there = filters(i->if_index, egress);
            if (!there) return fail(there.error());
            for (Filter const& filter : *there)
                if (filter.name.starts_with("tamis_") && filter.program != 0)
                    out.push_back({.name = filter.name,
                                   .program = filter.program,
                                   .place = fmt::format("tc-{} {}", egress ? "egress" : "ingress",
                                                        i->if_name),
                                   .interface = i->if_index,
                                   .egress = egress});
        }
    return out;
}

Result<void> remove(Sticky const& sticky) {
    if (sticky.interface == 0) return remove_from_route(sticky.prefix, sticky.name);
    return remove_tc_filter(sticky.program, sticky.interface, sticky.egress);
}

Result<void> add_tc_action(int program, std::uint32_t index, std::string const& name) {
    tc_act_bpf parameters{};
    parameters.index = index;
    parameters.action = TC_ACT_PIPE;
    NetlinkRequest request(RTM_NEWACTION, NLM_F_CREATE | NLM_F_EXCL);
    request.header(tcamsg{}).begin(TCA_ACT_TAB).begin(1).attribute(TCA_ACT_KIND, "bpf");
    request.begin(TCA_ACT_OPTIONS)
        .attribute(TCA_ACT_BPF_PARMS, std::as_bytes(std::span(&parameters, 1)))
        .attribute(TCA_ACT_BPF_FD, static_cast<std::uint32_t>(program))
        .attribute(TCA_ACT_BPF_NAME, name);
    auto const done = request.end().end().end().talk("cannot make an action of tc");
    if (done) return {};
    Diagnostic why = done.error();
    why.notes.push_back({"it needs a kernel with act_bpf (CONFIG_NET_ACT_BPF)", std::nullopt});
    return fail(std::move(why));
}

Result<void> remove_tc_action(std::uint32_t index) {
    NetlinkRequest request(RTM_DELACTION, 0);
    request.header(tcamsg{}).begin(TCA_ACT_TAB).begin(1).attribute(TCA_ACT_KIND, "bpf");
    request.attribute(TCA_ACT_INDEX, index);
    auto const done = request.end().end().talk("cannot remove the action of tc", ENOENT);
    if (!done) return fail(done.error());
    return {};
}

}  // namespace tamis::runtime
