#include "tests/support/executed.h"

#include "runtime/ebpf_vm.h"

namespace tamis::test {
namespace {

// What the verifier makes of a load (kernel/bpf/verifier.c, bpf_gen_ld_abs): the offset, the index
// where there is one, the context, the call, and the test of what it returned, whose branch is
// taken.  And what the called function does for linear bytes, as the kernel writes the same out in
// its own conversion: data, len, data_len and their difference, three instructions that compare it
// with the offset, the load, its swap, and in and out of the function.
unsigned weight(ebpf::Insn const& insn) {
    if (ebpf::class_of(insn) != ebpf::Class::ld || ebpf::is_ld_imm64(insn)) return 1;
    bool const indexed = ebpf::mode_of(insn) == ebpf::Mode::ind;
    bool const swaps = ebpf::size_of(insn) != ebpf::Size::byte;
    unsigned const around = 4 + (indexed && insn.imm != 0 ? 1 : 0);
    return around + 10 + (swaps ? 1 : 0);
}

}  // namespace

Result<double> executed_per_packet(ebpf::Program const& program, HookRow const& hook,
                                   std::span<std::vector<std::uint8_t> const> packets) {
    std::vector<std::uint64_t> executed(program.insns.size());
    runtime::MapMemory maps = runtime::map_memory(program);
    for (std::vector<std::uint8_t> const& bytes : packets) {
        runtime::Packet packet{};
        packet.bytes = bytes;
        packet.length = static_cast<std::uint32_t>(bytes.size());
        auto const done = runtime::run(program, hook, packet, maps, executed);
        if (!done) return fail(done.error());
    }
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < executed.size(); ++i) sum += executed[i] * weight(program.insns[i]);
    return static_cast<double>(sum) / static_cast<double>(packets.size());
}

}  // namespace tamis::test
