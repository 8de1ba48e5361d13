// The classic interpreter under the kernel's rule against the running kernel, as the filter of a
// unix datagram socket.  Needs no privilege.
//
// Such a datagram is payload from byte 0; it has its network header there too (nobody sets one, and
// the offset is 0 in a new sk_buff), no link header and no device.  Its metadata is 0 throughout,
// except for what this test leaves out: cpu and random are different each time, nla and nlan walk
// the payload.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "bpf/cbpf_text.h"
#include "runtime/cbpf_vm.h"
#include "tests/support/filtered_socket.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/random_cbpf.h"

namespace tamis::runtime {
namespace {

using cbpf::Anc;

constexpr std::uint32_t network_header = 0;

TEST(CbpfVmKernel, Agrees) {
    TAMIS_NEED_KERNEL("socket filters",
                      test::FilteredSocket().attach(std::vector<cbpf::Insn>{{0x16, 0, 0, 0}}) == 0);
    test::RandomPrograms::Options plain;
    plain.max_length = 60;
    test::RandomPrograms::Options options = plain;
    options.junk_fields = true;
    options.header_offsets = true;
    options.ancillaries = {Anc::protocol,
                           Anc::pkttype,
                           Anc::mark,
                           Anc::queue,
                           Anc::rxhash,
                           Anc::vlan_tag,
                           Anc::vlan_tag_present,
                           Anc::vlan_tpid,
                           Anc::pay_offset,
                           Anc::alu_xor_x,
                           Anc::ifindex,
                           Anc::hatype};
    test::RandomPrograms everything(10, options), deep(11, plain);

    constexpr int programs = 10000, packets = 8;
    ExecutionCounts counts{};
    int passed = 0;
    for (int i = 0; i < programs; ++i) {
        test::RandomPrograms& random = i % 2 == 0 ? everything : deep;
        cbpf::Program const program = random.next();
        test::FilteredSocket socket;
        ASSERT_EQ(socket.attach(program.insns), 0) << cbpf::listing(program);
        for (int j = 0; j < packets; ++j) {
            auto const bytes = random.packet(random.one_in(4) ? random.below(80) : 64);
            Packet packet;
            packet.bytes = bytes;
            packet.length = static_cast<std::uint32_t>(bytes.size());
            packet.network = network_header;
            std::uint32_t const verdict = run(program.insns, packet, Rules::kernel, &counts);
            auto const arrived = socket.send(bytes);
            ASSERT_TRUE(arrived) << "send or recv failed";
            ASSERT_EQ(std::min<std::size_t>(verdict, bytes.size()), *arrived)
                << "program " << i << ", " << bytes.size() << " bytes\n"
                << cbpf::listing(program);
            passed += verdict != 0;
        }
    }
    EXPECT_GT(passed, programs * packets / 4);
    EXPECT_LT(passed, programs * packets * 3 / 4);
    for (cbpf::Op const& op : cbpf::ops())
        EXPECT_GT(counts[op.code], 2000u) << op.name << ' ' << op.operands;
}

}  // namespace
}  // namespace tamis::runtime
