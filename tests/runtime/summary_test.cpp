// One line for a packet, per link type.
#include "runtime/summary.h"

#include <vector>

#include <gtest/gtest.h>

#include "bpf/link_types.h"

namespace {

using namespace tamis;
using Bytes = std::vector<std::uint8_t>;

Bytes const udp{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 1, 0};

TEST(Summary, OfPacketsThatBeginWithIp) {
    EXPECT_EQ(runtime::summary(udp, dlt_raw), "IP 10.0.0.1.53 > 10.0.0.2.256: udp");
    EXPECT_EQ(runtime::summary({}, dlt_raw), "IP truncated");
    EXPECT_EQ(runtime::summary(Bytes{0x60}, dlt_raw), "IP6 truncated");
}

TEST(Summary, OfCookedPackets) {
    Bytes packet(16);
    packet[14] = 8;
    packet.insert(packet.end(), udp.begin(), udp.end());
    EXPECT_EQ(runtime::summary(packet, dlt_sll), "IP 10.0.0.1.53 > 10.0.0.2.256: udp");
    EXPECT_EQ(runtime::summary(Bytes(15), dlt_sll), "cooked header truncated");
    EXPECT_EQ(runtime::summary(Bytes(16), dlt_sll), "cooked type 0x0000");
}

TEST(Summary, OfOtherLinkTypesNamesTheNumber) {
    EXPECT_EQ(runtime::summary(udp, 7), "link type 7");
}

}  // namespace
