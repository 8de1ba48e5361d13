// Packets as a busy Ethernet interface sees them, to measure programs with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tamis::test {

// `count` packets of 60 to 1,514 bytes, no two of them equal: three quarters IPv4, a sixth IPv6,
// the rest ARP, VLAN-tagged or something else; TCP more often than UDP, some ICMP and SCTP;
// options, fragments, small hop limits.  Addresses and ports come from small sets, so that ordinary
// filters match some packets.  The order is random; the same count gives the same packets.
std::vector<std::vector<std::uint8_t>> traffic(std::size_t count);

}  // namespace tamis::test
