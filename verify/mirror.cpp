#include "verify/mirror.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/core.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "verify/mirror_programs.h"

namespace tamis::verify {
namespace {

using runtime::Fd;
using translator::KernelModel;
using translator::Layout;

// The bare error number is what is to be compared.
int attach(int socket, cbpf::Program const& program) {
    static_assert(sizeof(cbpf::Insn) == sizeof(sock_filter));
    // The length has 16 bits.
    if (program.insns.size() > 0xffff) return EINVAL;
    sock_fprog filter{};
    filter.len = static_cast<unsigned short>(program.insns.size());
    filter.filter =
        const_cast<sock_filter*>(reinterpret_cast<sock_filter const*>(program.insns.data()));
    bool const done = setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
    return done ? 0 : errno;
}

// The old program goes first: while both are there, both count against the socket's memory.
void detach(int socket) {
    int const ignored = 0;
    static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored));
}

std::optional<Reflection::Difference> difference_of(Reflection const& r) {
    if (!r.ours && r.accepted())
        return Reflection::Difference{
            0, "the kernel takes what should be refused: " + r.ours.error().rule};
    if (r.ours && !r.accepted())
        return Reflection::Difference{
            0, fmt::format("the kernel refuses it: {}", std::strerror(r.kernel_error))};
    if (!r.ours && r.ours.error().error != r.kernel_error)
        return Reflection::Difference{
            0, fmt::format("the kernel refuses it with '{}' rather than '{}'",
                           std::strerror(r.kernel_error), std::strerror(r.ours.error().error))};
    if (!r.ours) return std::nullopt;
    auto const [mine, theirs] = std::mismatch(r.bound.begin(), r.bound.end(),
                                              r.kernels.insns.begin(), r.kernels.insns.end());
    auto const index = static_cast<std::size_t>(mine - r.bound.begin());
    if (mine != r.bound.end() && theirs != r.kernels.insns.end())
        return Reflection::Difference{index, "another instruction"};
    if (r.bound.size() != r.kernels.insns.size())
        return Reflection::Difference{index, fmt::format("{} instructions, and the kernel has {}",
                                                         r.bound.size(), r.kernels.insns.size())};
    if (r.ours->stack_depth != r.kernels.stack_depth)
        return Reflection::Difference{
            index, fmt::format("{} bytes of stack, and the kernel has {}", r.ours->stack_depth,
                               r.kernels.stack_depth)};
    return std::nullopt;
}

Diagnostic blinded() {
    return {.message = "the kernel hides the constants of its programs",
            .span = {},
            .notes = {{"with the sysctl net.core.bpf_jit_harden at 2 (at 1: for users without "
                       "CAP_BPF) it replaces every constant before anyone can read it",
                       std::nullopt}},
            .fault = Fault::system};
}

}  // namespace

Result<Reflection> reflect(cbpf::Program const& program, KernelCopy kernels,
                           KernelModel const& model, Layout const& symbols) {
    if (kernels.blinded) return fail(blinded());
    Reflection r{.ours = translator::kernel_form(program, model),
                 .bound = {},
                 .kernel_error = 0,
                 .kernels = std::move(kernels),
                 .difference = {}};
    if (r.ours) {
        auto bound = translator::bind(*r.ours, symbols);
        if (!bound) return fail(bound.error());
        r.bound = std::move(*bound);
    }
    r.difference = difference_of(r);
    return r;
}

Result<Mirror> Mirror::open(std::optional<KernelModel> model) {
    auto layout = running_kernel();
    if (!layout) return fail(layout.error());
    if (model) layout->model = *model;
    auto programs = KernelPrograms::open(*layout);
    if (!programs) return fail(programs.error());
    return Mirror(std::move(*layout), std::move(*programs));
}

Result<std::vector<Reflection>> Mirror::reflect(std::span<cbpf::Program const> programs) {
    while (sockets_.size() < programs.size()) {
        Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (!socket) return fail(system_error("cannot open a unix socket", errno));
        sockets_.push_back(std::move(socket));
    }
    std::vector<int> errors;
    for (std::size_t i = 0; i < programs.size(); ++i)
        errors.push_back(attach(sockets_[i].get(), programs[i]));
    auto copies = programs_.of_sockets(getpid());
    for (std::size_t i = 0; i < programs.size(); ++i) detach(sockets_[i].get());
    if (!copies) return fail(copies.error());

    std::vector<Reflection> out;
    for (std::size_t i = 0; i < programs.size(); ++i) {
        if (errors[i] != 0) {
            Reflection r{.ours = translator::kernel_form(programs[i], layout_.model),
                         .bound = {},
                         .kernel_error = errors[i],
                         .kernels = {},
                         .difference = {}};
            // Before 6.8 network namespaces but the first do not show the limit.
            bool const unknown_limit = layout_.model.optmem_max == 0 && errors[i] == ENOMEM;
            if (!r.ours || !unknown_limit) r.difference = difference_of(r);
            out.push_back(std::move(r));
            continue;
        }
        auto const copy = std::lower_bound(copies->begin(), copies->end(), sockets_[i].get(),
                                           [](KernelCopy const& c, int fd) { return c.fd < fd; });
        if (copy == copies->end() || copy->fd != sockets_[i].get())
            return fail({.message = "the kernel's iterator did not show one of our sockets",
                         .span = {},
                         .notes = {},
                         .fault = Fault::system});
        auto r = verify::reflect(programs[i], std::move(*copy), layout_.model, layout_.symbols);
        if (!r) return fail(r.error());
        out.push_back(std::move(*r));
    }
    return out;
}

Result<RandomCheck> check_random(Mirror& mirror, std::uint64_t seed, std::size_t count) {
    auto const start = std::chrono::steady_clock::now();
    MirrorPrograms source(seed);
    RandomCheck check;
    std::vector<cbpf::Program> programs;
    while (check.accepted < count) {
        programs.clear();
        std::size_t const wanted = std::min(Mirror::batch, count - check.accepted);
        while (programs.size() < wanted) programs.push_back(source.next());
        auto reflections = mirror.reflect(programs);
        if (!reflections) return fail(reflections.error());
        for (std::size_t i = 0; i < programs.size(); ++i) {
            Reflection& r = (*reflections)[i];
            (r.accepted() ? check.accepted : check.refused) += 1;
            if (r.accepted()) {
                check.classic_insns += programs[i].insns.size();
                check.kernel_insns += r.kernels.insns.size();
            }
            if (!r.difference) continue;
            if (check.differing++ == 0) {
                check.program = programs[i];
                check.reflection = std::move(r);
            }
        }
    }
    check.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return check;
}

}  // namespace tamis::verify
