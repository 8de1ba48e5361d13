#include "tests/support/executed.h"

#include "bpf/bytes.h"
#include "runtime/ebpf_vm.h"

namespace tamis::test {
namespace {

bool is_packet_load(ebpf::Insn const& insn) {
    return ebpf::class_of(insn) == ebpf::Class::ld && !ebpf::is_ld_imm64(insn);
}

// What bpf_skb_load_helper_8, _16 and _32 (net/core/filter.c) do for linear bytes: they ask for the
// offset's sign; then, as convert_bpf_ld_abs writes it out, data, len, data_len and the difference
// of these two, three instructions that compare it with the offset, the load and its swap; and the
// way in and out of the function.
unsigned behind_the_call(ebpf::Insn const& load) {
    return 11 + (ebpf::size_of(load) != ebpf::Size::byte ? 1 : 0);
}

}  // namespace

Replaced replaced(ebpf::Insn const& load) {
    bool const adds = ebpf::mode_of(load) == ebpf::Mode::ind && load.imm != 0;
    // The offset (an index and what is added), the context, the call, and a test that jumps over
    // what ends the program.
    unsigned const executed = 4 + (adds ? 1 : 0);
    return {executed + 2, executed};
}

runtime::Packet seen_at(HookRow const& hook, std::vector<std::uint8_t> const& frame,
                        std::vector<std::uint8_t>& shortened) {
    auto const set = [](runtime::Packet& packet, cbpf::Anc number, std::uint32_t value) {
        packet.ancillary[static_cast<std::size_t>(number) / 4] = value;
    };
    runtime::Packet packet{};
    packet.bytes = frame;
    if (hook.vlan == VlanTag::metadata && frame.size() >= 18 && load_be(frame, 12, 2) == 0x8100) {
        shortened.assign(frame.begin(), frame.begin() + 12);
        shortened.insert(shortened.end(), frame.begin() + 16, frame.end());
        packet.bytes = shortened;
        set(packet, cbpf::Anc::vlan_tag_present, 1);
        set(packet, cbpf::Anc::vlan_tag, load_be(frame, 14, 2));
        set(packet, cbpf::Anc::vlan_tpid, 0x8100);
    }
    packet.length = static_cast<std::uint32_t>(packet.bytes.size());
    return packet;
}

Result<Executed> executed_per_packet(ebpf::Program const& program, HookRow const& hook,
                                     std::span<std::vector<std::uint8_t> const> packets) {
    std::vector<std::uint64_t> executed(program.insns.size());
    runtime::MapMemory maps = runtime::map_memory(program);
    std::vector<std::uint8_t> shortened;
    for (std::vector<std::uint8_t> const& frame : packets) {
        auto const done =
            runtime::run(program, hook, seen_at(hook, frame, shortened), maps, executed);
        if (!done) return fail(done.error());
    }
    Executed sum;
    for (std::size_t i = 0; i < executed.size(); ++i) {
        ebpf::Insn const& insn = program.insns[i];
        auto const times = static_cast<double>(executed[i]);
        unsigned const loaded = is_packet_load(insn) ? replaced(insn).executed : 1;
        sum.emitted += times;
        sum.loaded += times * loaded;
        sum.with_calls += times * (loaded + (is_packet_load(insn) ? behind_the_call(insn) : 0));
    }
    auto const count = static_cast<double>(packets.size());
    return Executed{sum.emitted / count, sum.loaded / count, sum.with_calls / count};
}

}  // namespace tamis::test
