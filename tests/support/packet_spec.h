// Packets in a few words, for tests: `Ethernet / Ipv4 src=10.0.0.1 / Tcp dport=80`.
//
// Layers from the outside in, separated by ` / `, each with the fields that matter; all others
// have values of an ordinary packet.  Types, protocol numbers, header lengths and length fields
// follow from the layers unless they are given; checksums are zero.  `cut=N` with any layer leaves
// the first N bytes of the whole packet captured.  tests/cases/packets.txt shows every layer.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bpf/result.h"

namespace tamis::test {

struct SpecPacket {
    std::vector<std::uint8_t> bytes;  // what was captured
    std::uint32_t length = 0;         // on the wire
};

// Spans of the diagnostic point into `spec`.
Result<SpecPacket> packet(std::string_view spec);

}  // namespace tamis::test
