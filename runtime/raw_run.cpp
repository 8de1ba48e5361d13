// A program run in the kernel without an object: maps and instructions go in as they are.
#include <cerrno>

#include <bpf/bpf.h>
#include <fmt/core.h>

#include "runtime/kernel.h"
#include "runtime/verifier_log.h"

namespace tamis::runtime {
namespace {

Result<Fd> create_map(ebpf::MapSpec const& map) {
    bpf_map_create_opts options{};
    options.sz = sizeof options;
    options.map_flags = map.flags | (map.constant ? std::uint32_t{BPF_F_RDONLY_PROG} : 0U);
    // Names of sections begin with a dot and may be too long for a map; nobody looks at it.
    Fd fd(bpf_map_create(static_cast<bpf_map_type>(map.type), nullptr, map.key_size,
                         map.value_size(), map.max_entries, &options));
    if (!fd)
        return fail(system_error(fmt::format("cannot create map '{}'", escape(map.name)), errno));
    std::uint32_t const key = 0;
    if (!map.content.empty() &&
        bpf_map_update_elem(fd.get(), &key, map.content.data(), BPF_ANY) != 0)
        return fail(system_error(fmt::format("cannot fill map '{}'", escape(map.name)), errno));
    // The verifier takes what is in it for constants only when nobody can change it any more.
    if (map.constant && bpf_map_freeze(fd.get()) != 0)
        return fail(system_error(fmt::format("cannot freeze map '{}'", escape(map.name)), errno));
    return fd;
}

// Indices of maps become file descriptors.
void name_maps(std::vector<ebpf::Insn>& insns, std::span<Fd const> maps) {
    for (std::size_t i = 0; i < insns.size(); ++i) {
        if (!ebpf::is_ld_imm64(insns[i])) continue;
        auto const what = static_cast<ebpf::Pseudo>(insns[i].src);
        bool const value = what == ebpf::Pseudo::map_index_value;
        if (!value && what != ebpf::Pseudo::map_index) continue;
        insns[i].src =
            static_cast<unsigned>(value ? ebpf::Pseudo::map_value : ebpf::Pseudo::map_fd) & 15;
        insns[i].imm = maps[static_cast<std::size_t>(insns[i].imm)].get();
    }
}

}  // namespace

Result<TestRun> test_run(ebpf::Program const& program, HookRow const& hook,
                         std::span<std::uint8_t const> packet) {
    std::vector<Fd> maps;
    for (ebpf::MapSpec const& map : program.maps) {
        auto fd = create_map(map);
        if (!fd) return fail(fd.error());
        maps.push_back(std::move(*fd));
    }
    std::vector<ebpf::Insn> insns = program.insns;
    name_maps(insns, maps);
    std::vector<char> log((std::size_t{1} << 24) - 1);  // libbpf asks for it only after a failure
    bpf_prog_load_opts options{};
    options.sz = sizeof options;
    options.expected_attach_type = static_cast<bpf_attach_type>(hook.attach_type);
    options.prog_flags = hook.flags;
    options.log_buf = log.data();
    options.log_size = static_cast<std::uint32_t>(log.size());
    Fd const loaded(bpf_prog_load(static_cast<bpf_prog_type>(hook.prog_type), nullptr,
                                  "Dual BSD/GPL", reinterpret_cast<bpf_insn const*>(insns.data()),
                                  insns.size(), &options));
    if (!loaded) {
        int const error = errno;
        auto const text = lines(log.data());
        if (text.empty())
            return fail(system_error("cannot load the program into the kernel", error));
        return fail({fmt::format("the kernel refuses the program: {}", escape(reason(text))),
                     std::nullopt,
                     {},
                     Fault::system});
    }
    bpf_test_run_opts run{};
    run.sz = sizeof run;
    run.data_in = packet.data();
    run.data_size_in = static_cast<std::uint32_t>(packet.size());
    run.repeat = 1;
    if (bpf_prog_test_run_opts(loaded.get(), &run) != 0)
        return fail(system_error("the kernel refuses to run the program on a packet", errno));
    return TestRun{run.retval, run.duration};
}

}  // namespace tamis::runtime
