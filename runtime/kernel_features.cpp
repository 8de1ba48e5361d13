#include "runtime/kernel_features.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <span>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "bpf/ebpf.h"
#include "runtime/kernel.h"
#include "runtime/libbpf_words.h"
#include "runtime/program_types.h"
#include "runtime/sections.h"

namespace tamis::runtime {
namespace {

using Types = std::unique_ptr<btf, decltype(&btf__free)>;

// Callers take libbpf's words.
btf* kernel_types() {
    static Types const types(btf__load_vmlinux_btf(), btf__free);
    return types.get();
}

// The number of that name in the kernel's BTF; 0 where there is none.
std::uint32_t kernel_type(char const* name, std::uint32_t kind) {
    LibbpfWords const words;
    int const id = kernel_types() ? btf__find_by_name_kind(kernel_types(), name, kind) : 0;
    return id > 0 ? static_cast<std::uint32_t>(id) : 0;
}

// Whether a module that is loaded has the function.
bool is_in_module(char const* function) {
    LibbpfWords const words;
    std::error_code error;
    for (auto const& file : std::filesystem::directory_iterator("/sys/kernel/btf", error)) {
        if (file.path().filename() == "vmlinux") continue;
        Types const types(btf__load_module_btf(file.path().filename().c_str(), kernel_types()),
                          btf__free);
        if (types && btf__find_by_name_kind(types.get(), function, BTF_KIND_FUNC) > 0) return true;
    }
    return false;
}

// Programs that are at something in the kernel are loaded with its number in BTF.  Any will do that
// every kernel has.
struct Place {
    ProgramKind kind;
    char const* name;
    std::uint32_t btf_kind;
};
constexpr Place places[] = {
    {{BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP}, "btf_trace_sched_switch", BTF_KIND_TYPEDEF},
    {{BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY}, "vfs_read", BTF_KIND_FUNC},
    {{BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT}, "vfs_read", BTF_KIND_FUNC},
    {{BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN}, "security_file_open", BTF_KIND_FUNC},
    {{BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER}, "bpf_iter_task", BTF_KIND_FUNC},
    {{BPF_PROG_TYPE_LSM, BPF_LSM_MAC}, "bpf_lsm_file_open", BTF_KIND_FUNC},
    {{BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP}, "bpf_lsm_socket_bind", BTF_KIND_FUNC},
    // The attach type is the function's number in the struct.
    {{BPF_PROG_TYPE_STRUCT_OPS, 0}, "tcp_congestion_ops", BTF_KIND_STRUCT},
};

std::uint32_t place_of(ProgramKind kind) {
    for (Place const& place : places)
        if (place.kind == kind) return kernel_type(place.name, place.btf_kind);
    return 0;
}

bool needs_place(std::uint32_t type) {
    return type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_LSM ||
           type == BPF_PROG_TYPE_STRUCT_OPS || type == BPF_PROG_TYPE_EXT;
}

struct Trial {
    bool loaded;
    int error;
    std::string log;  // empty: the verifier was not asked
    bool says(std::initializer_list<std::string_view> refusals) const {
        for (std::string_view const refusal : refusals)
            if (log.find(refusal) != log.npos) return true;
        return false;
    }
};

Trial try_program(ProgramKind kind, std::span<ebpf::Insn const> program) {
    std::uint32_t const place = place_of(kind);
    if (place == 0 && needs_place(kind.type)) return {false, ENOENT, {}};
    std::array<char, 4096> log{};
    bpf_prog_load_opts options{};
    options.sz = sizeof options;
    options.log_buf = log.data();
    options.log_size = static_cast<std::uint32_t>(log.size());
    options.log_level = 1;
    options.expected_attach_type = static_cast<bpf_attach_type>(kind.attach_type);
    options.attach_btf_id = place;
    if (kind.type == BPF_PROG_TYPE_SYSCALL) options.prog_flags = BPF_F_SLEEPABLE;
    LibbpfWords const words;
    Fd const fd(bpf_prog_load(static_cast<bpf_prog_type>(kind.type), nullptr, "GPL",
                              reinterpret_cast<bpf_insn const*>(program.data()), program.size(),
                              &options));
    return {static_cast<bool>(fd), fd ? 0 : errno, log.data()};
}

// A program that is refused for another reason than these, such as missing arguments, shows that
// there was nothing against what it tried.
Support verdict(Trial const& trial, std::initializer_list<std::string_view> refusals) {
    if (trial.loaded) return Support::yes;
    if (trial.log.empty()) {
        if (trial.error == EPERM || trial.error == EACCES) return Support::denied;
        // The kernel knows no such type of program, or of attachment.
        return trial.error == EINVAL ? Support::no : Support::unknown;
    }
    return trial.says(refusals) ? Support::no : Support::yes;
}

ebpf::Insn result(std::int32_t value) { return {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value}; }
constexpr ebpf::Insn r2_is_0{BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0};
constexpr ebpf::Insn exit_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

std::int32_t good_return(ProgramKind kind) {
    auto const range = returns(kind.type, kind.attach_type);
    return range ? range->low : 0;
}

std::uint8_t width(std::uint32_t size) {
    switch (size) {
        case 1:
            return BPF_B;
        case 2:
            return BPF_H;
        case 4:
            return BPF_W;
        default:
            return BPF_DW;
    }
}

}  // namespace

std::string_view word_for(Support support) {
    switch (support) {
        case Support::yes:
            return "yes";
        case Support::no:
            return "no";
        case Support::denied:
            return "denied";
        case Support::unknown:
            return "unknown";
    }
    return {};
}

ProgramKind some_kind(std::uint32_t program_type) {
    for (SectionRow const& row : sections())
        if (row.prog_type == program_type) return {program_type, row.attach_type};
    return {program_type, 0};
}

ProgramKind some_kind(Context const& context) {
    for (SectionRow const& row : sections())
        if (find_context(row.prog_type, row.attach_type) == &context)
            return {row.prog_type, row.attach_type};
    return {context.program_type, 0};
}

Support has_program_type(std::uint32_t type) {
    ProgramKind const kind = some_kind(type);
    Trial const trial = try_program(kind, std::array{result(good_return(kind)), exit_insn});
    if (trial.loaded) return Support::yes;
    if (trial.error == EPERM) return Support::denied;
    if (!needs_place(type)) return Support::no;
    // libbpf knows what the kernel says to such a program without what it is at.
    LibbpfWords const words;
    int const answer = libbpf_probe_bpf_prog_type(static_cast<bpf_prog_type>(type), nullptr);
    return answer > 0 ? Support::yes : answer == 0 ? Support::no : Support::unknown;
}

Support has_map_type(std::uint32_t type) {
    LibbpfWords const words;
    constexpr std::uint32_t arena = 33;  // newer than libbpf 1.1
    if (type == arena) {
        bpf_map_create_opts options{};
        options.sz = sizeof options;
        options.map_flags = BPF_F_MMAPABLE;
        Fd const map(bpf_map_create(static_cast<bpf_map_type>(type), nullptr, 0, 0, 1, &options));
        return map ? Support::yes : errno == EPERM ? Support::denied : Support::no;
    }
    int const answer = libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(type), nullptr);
    return answer > 0 ? Support::yes : answer == 0 ? Support::no : Support::unknown;
}

Support may_call(ProgramKind kind, std::uint32_t helper) {
    ebpf::Insn const call{BPF_JMP | BPF_CALL, 0, 0, 0, static_cast<std::int32_t>(helper)};
    return verdict(try_program(kind, std::array{call, exit_insn}),
                   {"invalid func ", "unknown func ", "program of this type cannot use helper "});
}

Support may_call(ProgramKind kind, std::string const& function) {
    if (kernel_type("int", BTF_KIND_INT) == 0) return Support::unknown;  // it has no BTF
    std::uint32_t const id = kernel_type(function.c_str(), BTF_KIND_FUNC);
    if (id == 0) return is_in_module(function.c_str()) ? Support::unknown : Support::no;
    ebpf::Insn const call{BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0,
                          static_cast<std::int32_t>(id)};
    return verdict(try_program(kind, std::array{call, result(good_return(kind)), exit_insn}),
                   {"is not allowed", "is not a kernel function", "kernel function call"});
}

Support may_read(ProgramKind kind, std::uint32_t offset, std::uint32_t size) {
    ebpf::Insn const load{static_cast<std::uint8_t>(BPF_LDX | width(size) | BPF_MEM), 2, 1,
                          static_cast<std::int16_t>(offset), 0};
    return verdict(try_program(kind, std::array{load, result(good_return(kind)), exit_insn}),
                   {"invalid bpf_context access", "doesn't have"});
}

Support may_write(ProgramKind kind, std::uint32_t offset, std::uint32_t size) {
    ebpf::Insn const store{static_cast<std::uint8_t>(BPF_STX | width(size) | BPF_MEM), 1, 2,
                           static_cast<std::int16_t>(offset), 0};
    return verdict(
        try_program(kind, std::array{r2_is_0, store, result(good_return(kind)), exit_insn}),
        {"invalid bpf_context access", "doesn't have"});
}

Support may_return(ProgramKind kind, std::int32_t value) {
    return verdict(try_program(kind, std::array{result(value), exit_insn}),
                   {"At program exit the register R0"});
}

}  // namespace tamis::runtime
