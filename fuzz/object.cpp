// libFuzzer target: what the object writer writes, libbpf reads back, instruction by instruction.
#include "backend/object.h"

#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <bpf/libbpf.h>

#include "fuzz/random_program.h"
#include "translator/translate.h"

namespace {

using namespace tamis;

int silent(libbpf_print_level, char const*, std::va_list) { return 0; }

void reads_back(ebpf::Program const& program, HookRow const& hook) {
    auto const bytes = backend::object(program, hook);
    if (!bytes) std::abort();
    std::unique_ptr<bpf_object, decltype(&bpf_object__close)> const object(
        bpf_object__open_mem(bytes->data(), bytes->size(), nullptr), bpf_object__close);
    if (!object) std::abort();
    bpf_program const* const read = bpf_object__next_program(object.get(), nullptr);
    if (!read || bpf_program__name(read) != program.functions[0].name) std::abort();
    // The entry function comes first; the others follow only when the program is loaded.
    std::size_t const entry =
        program.functions.size() > 1 ? program.functions[1].begin : program.insns.size();
    if (bpf_program__insn_cnt(read) != entry) std::abort();
    bpf_insn const* const insns = bpf_program__insns(read);
    for (std::size_t i = 0; i < entry; ++i)
        if (insns[i].code != program.insns[i].code) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    libbpf_set_print(silent);
    auto const [program, packet] = fuzz::program_and_packet({data, size});
    if (!cbpf::check(program)) return 0;
    HookRow const& hook = hooks()[size % hooks().size()];
    translator::Options options;
    options.hook = hook.hook;
    options.match.name = find_action(hook, hook.match);
    options.no_match.name = find_action(hook, hook.no_match);
    if (auto const translated = translator::translate(program, options))
        reads_back(*translated, hook);
    return 0;
}
