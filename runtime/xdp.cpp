// XDP programs on interfaces, by bpf_link.
#include <cerrno>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <linux/if_link.h>

#include "runtime/kernel.h"
#include "runtime/libbpf_words.h"

namespace tamis::runtime {
namespace {

std::string_view name_of(XdpMode mode) {
    switch (mode) {
        case XdpMode::automatic:
            return "automatic";
        case XdpMode::native:
            return "native";
        case XdpMode::generic:
            return "generic";
    }
    return {};
}

// The file descriptor of the link; the errno in `error` when there is none.
Fd create_link(int program, std::uint32_t interface, XdpMode mode, int& error) {
    bpf_link_create_opts options{};
    options.sz = sizeof options;
    options.flags = mode == XdpMode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    int const fd = bpf_link_create(program, static_cast<int>(interface), BPF_XDP, &options);
    error = fd < 0 ? -fd : 0;
    return Fd(fd);
}

// ` by program 17 'name'`, as much of it as we may know.
std::string holder(std::uint32_t interface) {
    LibbpfWords const words;
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    if (bpf_xdp_query(static_cast<int>(interface), 0, &query) != 0) return {};
    std::uint32_t id = query.prog_id;
    for (std::uint32_t const other : {query.drv_prog_id, query.skb_prog_id, query.hw_prog_id})
        if (id == 0) id = other;
    if (id == 0) return {};

    Fd const program(bpf_prog_get_fd_by_id(id));  // only CAP_SYS_ADMIN may
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0 || !info.name[0])
        return fmt::format(" by program {}", id);
    return fmt::format(" by program {} '{}'", id, escape(info.name));
}

Diagnostic refusal(std::string const& interface, std::uint32_t index, XdpMode mode, int error) {
    if (error == EBUSY || error == EEXIST)
        return {.message = fmt::format("XDP on '{}' is taken{}", escape(interface), holder(index)),
                .span = {},
                .notes = {{.message = fmt::format("`ip link set dev {} xdp off` removes it unless "
                                                  "a link of another process holds it",
                                                  escape(interface)),
                           .span = {}}},
                .fault = Fault::system};
    auto diagnostic = system_error(
        fmt::format("cannot attach to '{}' in {} mode", escape(interface), name_of(mode)), error);
    if (error == EPERM)
        diagnostic.notes.push_back(
            {.message = fmt::format("this needs {}", row(Hook::xdp).capabilities), .span = {}});
    if (mode == XdpMode::native && error == EOPNOTSUPP)
        diagnostic.notes.push_back(
            {.message = "the driver has no XDP; generic mode works everywhere", .span = {}});
    if (mode == XdpMode::native && (error == EINVAL || error == ERANGE))
        diagnostic.notes.push_back(
            {.message = "the driver may refuse the interface's or its peer's MTU", .span = {}});
    return diagnostic;
}

}  // namespace

Result<XdpAttachment> attach_xdp(LoadedProgram const& program, std::string const& interface,
                                 XdpMode mode) {
    return attach_xdp(program.fd(), interface, mode);
}

Result<XdpAttachment> attach_xdp(int program, std::string const& interface, XdpMode mode) {
    auto const index = interface_index(interface);
    if (!index) return fail(index.error());

    int error = 0;
    XdpMode const first = mode == XdpMode::generic ? XdpMode::generic : XdpMode::native;
    Fd link = create_link(program, *index, first, error);
    if (link) return XdpAttachment{std::move(link), first};
    // Generic mode would not help against these.
    bool const final = error == EBUSY || error == EEXIST || error == EPERM;
    if (mode != XdpMode::automatic || final) return fail(refusal(interface, *index, first, error));
    link = create_link(program, *index, XdpMode::generic, error);
    if (link) return XdpAttachment{std::move(link), XdpMode::generic};
    return fail(refusal(interface, *index, XdpMode::generic, error));
}

}  // namespace tamis::runtime
