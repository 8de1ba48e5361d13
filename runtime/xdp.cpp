// XDP programs on interfaces, by bpf_link.
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <linux/if_link.h>

#include "runtime/kernel.h"
#include "runtime/libbpf_words.h"
#include "runtime/pins.h"
#include "runtime/privilege.h"

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

// Who has the interface's XDP hook, as much of it as we may know.
struct Holder {
    std::uint32_t program = 0;  // 0: nobody
    XdpMode mode = XdpMode::native;
    std::string name;        // of the program
    std::uint32_t link = 0;  // 0: it was attached by netlink
};
Holder holder(std::uint32_t interface) {
    LibbpfWords const words;
    Holder out;
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    if (bpf_xdp_query(static_cast<int>(interface), 0, &query) != 0) return out;
    if (query.skb_prog_id != 0) out = {query.skb_prog_id, XdpMode::generic, {}, 0};
    for (std::uint32_t const other : {query.hw_prog_id, query.drv_prog_id})
        if (other != 0) out = {other, XdpMode::native, {}, 0};
    if (out.program == 0) return out;

    Fd const program(bpf_prog_get_fd_by_id(out.program));  // only CAP_SYS_ADMIN may
    bpf_prog_info info{};
    std::uint32_t size = sizeof info;
    if (program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0) out.name = info.name;
    for (std::uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
        Fd const link(bpf_link_get_fd_by_id(id));
        bpf_link_info facts{};
        size = sizeof facts;
        if (link && bpf_obj_get_info_by_fd(link.get(), &facts, &size) == 0 &&
            facts.type == BPF_LINK_TYPE_XDP && facts.xdp.ifindex == interface)
            out.link = id;
    }
    return out;
}

// Who keeps a link: a name of ours, or the processes that have it open.
std::string keepers(std::uint32_t link) {
    if (auto const all = all_pinned())
        for (Pinned const& pinned : *all) {
            auto const fd = pinned.has("link") ? pinned.open("link") : Result<Fd>(Fd());
            bpf_link_info facts{};
            std::uint32_t size = sizeof facts;
            if (fd && *fd && bpf_obj_get_info_by_fd(fd->get(), &facts, &size) == 0 &&
                facts.id == link)
                return fmt::format("'{0}' of `tamis list`: `tamis detach {0}` ends it",
                                   pinned.name);
        }
    std::string out;
    std::error_code error;
    std::string const line = fmt::format("link_id:\t{}", link);
    for (auto const& process : std::filesystem::directory_iterator("/proc", error)) {
        std::string const number = process.path().filename().string();
        if (number.find_first_not_of("0123456789") != number.npos) continue;  // `self`, for one
        for (auto const& file :
             std::filesystem::directory_iterator(process.path() / "fdinfo", error)) {
            std::ifstream info(file.path());
            for (std::string text; std::getline(info, text);)
                if (text == line) {
                    std::string name;
                    std::getline(std::ifstream(process.path() / "comm"), name);
                    out += fmt::format("{}process {} '{}'", out.empty() ? "" : ", ", number,
                                       escape(name));
                }
        }
    }
    return out.empty() ? "a file in a BPF file system, or a process that we may not see" : out;
}

Diagnostic taken(std::string const& interface, Holder const& by) {
    std::string who = by.program == 0 ? "" : fmt::format(" by program {}", by.program);
    if (!by.name.empty()) who += fmt::format(" '{}'", escape(by.name));
    return {.message = fmt::format("XDP on '{}' is taken{}", escape(interface), who),
            .span = {},
            .notes = {{.message = by.link != 0
                                      ? fmt::format("link {} holds it, which is kept by {}",
                                                    by.link, keepers(by.link))
                                      : fmt::format("`tamis attach --replace {}` puts it aside; "
                                                    "`ip link set dev {} xdp off` removes it",
                                                    by.program, escape(interface)),
                       .span = {}}},
            .fault = Fault::system};
}

Diagnostic refusal(std::string const& interface, std::uint32_t index, XdpMode mode, int error) {
    if (error == EBUSY || error == EEXIST) return taken(interface, holder(index));
    auto diagnostic = system_error(
        fmt::format("cannot attach to '{}' in {} mode", escape(interface), name_of(mode)), error);
    if (error == EPERM) note_missing(diagnostic, row(Hook::xdp).capabilities);
    if (mode == XdpMode::native && error == EOPNOTSUPP)
        diagnostic.notes.push_back(
            {.message = "the driver has no XDP; generic mode works everywhere", .span = {}});
    if (mode == XdpMode::native && (error == EINVAL || error == ERANGE))
        diagnostic.notes.push_back(
            {.message = "the driver may refuse the interface's or its peer's MTU", .span = {}});
    return diagnostic;
}

// The old program's descriptor makes the kernel refuse when another one is there by then.
int set_by_netlink(std::uint32_t interface, int program, int old, XdpMode mode) {
    LibbpfWords const words;
    bpf_xdp_attach_opts options{};
    options.sz = sizeof options;
    options.old_prog_fd = old;
    std::uint32_t const flag = mode == XdpMode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    bool const expect = old >= 0;
    return -bpf_xdp_attach(static_cast<int>(interface), program,
                           flag | (expect ? XDP_FLAGS_REPLACE : XDP_FLAGS_UPDATE_IF_NOEXIST),
                           expect ? &options : nullptr);
}

}  // namespace

Result<XdpAttachment> replace_xdp(int program, std::string const& interface, XdpMode mode,
                                  std::uint32_t old_program) {
    auto const index = interface_index(interface);
    if (!index) return fail(index.error());
    Holder const by = holder(*index);
    if (by.program != old_program)
        return fail(
            {fmt::format("program {} is not at XDP of '{}'", old_program, escape(interface)),
             std::nullopt,
             {{by.program == 0 ? "there is none" : fmt::format("there is program {}", by.program),
               std::nullopt}},
             Fault::system});
    if (by.link != 0) return fail(taken(interface, by));
    XdpReplaced replaced{Fd(bpf_prog_get_fd_by_id(old_program)), *index, by.mode};
    if (!replaced.program) {
        auto out = system_error(
            fmt::format("cannot take program {} to put it back later", old_program), errno);
        note_missing(out, "CAP_SYS_ADMIN");
        return fail(std::move(out));
    }

    auto const begin = std::chrono::steady_clock::now();
    if (int const error = set_by_netlink(*index, -1, replaced.program.get(), by.mode); error != 0)
        return fail(system_error(fmt::format("cannot put program {} aside", old_program), error));
    auto attached = attach_xdp(program, interface, mode);
    if (!attached) {
        Diagnostic why = attached.error();
        if (auto const back = put_back(replaced); !back)
            why.notes.push_back({back.error().message, std::nullopt});
        return fail(std::move(why));
    }
    attached->gap = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - begin);
    attached->replaced = std::move(replaced);
    return attached;
}

Result<void> put_back(XdpReplaced const& old) {
    int const error = set_by_netlink(old.interface, old.program.get(), -1, old.mode);
    if (error == 0) return {};
    return fail(system_error("cannot put the replaced XDP program back", error));
}

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
    if (link) return XdpAttachment{std::move(link), first, {}, {}};
    // Generic mode would not help against these.
    bool const final = error == EBUSY || error == EEXIST || error == EPERM;
    if (mode != XdpMode::automatic || final) return fail(refusal(interface, *index, first, error));
    link = create_link(program, *index, XdpMode::generic, error);
    if (link) return XdpAttachment{std::move(link), XdpMode::generic, {}, {}};
    return fail(refusal(interface, *index, XdpMode::generic, error));
}

}  // namespace tamis::runtime
