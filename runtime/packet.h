// A packet as every engine sees it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace tamis::runtime {

struct Packet {
    std::span<std::uint8_t const> bytes;  // what was captured
    std::uint32_t length = 0;             // on the wire: what `len` reads; >= bytes.size()
    std::array<std::uint32_t, 16>
        ancillary{};  // value of ancillary 4*i (bpf/cbpf.h Anc), under the kernel's rule
    // Where offsets relative to the network and link header lead, from bytes[0]; none: such a load
    // fails.
    std::optional<std::uint32_t> network, link;
};

}  // namespace tamis::runtime
