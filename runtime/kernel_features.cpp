#include "runtime/kernel_features.h"

#include <array>
#include <iterator>
#include <memory>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "runtime/kernel.h"
#include "runtime/libbpf_words.h"
#include "runtime/sections.h"

namespace tamis::runtime {
namespace {

// linux/bpf.h lists the helpers in a macro.
#define TAMIS_NAME(name) "bpf_" #name
constexpr std::string_view helpers[] = {__BPF_FUNC_MAPPER(TAMIS_NAME)};
#undef TAMIS_NAME

// Programs at functions want one to be at.
bool can_be_tried(std::uint32_t type) {
    return type != BPF_PROG_TYPE_TRACING && type != BPF_PROG_TYPE_EXT &&
           type != BPF_PROG_TYPE_LSM && type != BPF_PROG_TYPE_STRUCT_OPS;
}

// One of those that programs of the type may have; the kernel wants one of some types.
std::uint32_t some_attach_type(std::uint32_t type) {
    for (SectionRow const& row : sections())
        if (row.prog_type == type && row.by != AttachBy::nobody) return row.attach_type;
    return 0;
}

Support support(int answer) {
    if (answer < 0) return Support::unknown;
    return answer > 0 ? Support::yes : Support::no;
}

}  // namespace

Support has_program_type(std::uint32_t type) {
    LibbpfWords const words;
    if (can_be_tried(type) && type > BPF_PROG_TYPE_SYSCALL) {  // newer than libbpf 1.1
        bpf_insn insns[2] = {};                                // r0 = 1; exit
        insns[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
        insns[0].imm = 1;
        insns[1].code = BPF_JMP | BPF_EXIT;
        bpf_prog_load_opts options{};
        options.sz = sizeof options;
        options.expected_attach_type = static_cast<bpf_attach_type>(some_attach_type(type));
        Fd const program(bpf_prog_load(static_cast<bpf_prog_type>(type), nullptr, "GPL", insns,
                                       std::size(insns), &options));
        return program ? Support::yes : Support::no;
    }
    return support(libbpf_probe_bpf_prog_type(static_cast<bpf_prog_type>(type), nullptr));
}

Support has_map_type(std::uint32_t type) {
    LibbpfWords const words;
    return support(libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(type), nullptr));
}

// Not libbpf_probe_bpf_helper: libbpf 1.1 does not know how newer kernels say no (the last words
// below).
Support has_helper(std::uint32_t program_type, std::uint32_t helper) {
    if (!can_be_tried(program_type)) return Support::unknown;
    bpf_insn insns[2] = {};
    insns[0].code = BPF_JMP | BPF_CALL;
    insns[0].imm = static_cast<std::int32_t>(helper);
    insns[1].code = BPF_JMP | BPF_EXIT;
    std::array<char, 4096> log{};
    bpf_prog_load_opts options{};
    options.sz = sizeof options;
    options.log_buf = log.data();
    options.log_size = static_cast<std::uint32_t>(log.size());
    options.log_level = 1;
    options.expected_attach_type = static_cast<bpf_attach_type>(some_attach_type(program_type));
    if (program_type == BPF_PROG_TYPE_SYSCALL) options.prog_flags = BPF_F_SLEEPABLE;
    LibbpfWords const words;
    Fd const program(bpf_prog_load(static_cast<bpf_prog_type>(program_type), nullptr, "GPL", insns,
                                   std::size(insns), &options));
    if (program) return Support::yes;
    std::string_view const said(log.data());
    if (said.empty()) return Support::unknown;  // the verifier was not asked
    for (std::string_view const refusal :
         {"invalid func ", "unknown func ", "program of this type cannot use helper "})
        if (said.find(refusal) != said.npos) return Support::no;
    return Support::yes;  // it only misses its arguments
}

Support has_kernel_function(std::string const& name) {
    LibbpfWords const words;
    static std::unique_ptr<btf, decltype(&btf__free)> const types(btf__load_vmlinux_btf(),
                                                                  btf__free);
    if (!types) return Support::unknown;
    return btf__find_by_name_kind(types.get(), name.c_str(), BTF_KIND_FUNC) > 0 ? Support::yes
                                                                                : Support::no;
}

std::string_view helper_name(std::uint32_t helper) {
    return helper > 0 && helper < std::size(helpers) ? helpers[helper] : std::string_view{};
}

std::uint32_t helper_count() { return std::size(helpers); }

}  // namespace tamis::runtime
