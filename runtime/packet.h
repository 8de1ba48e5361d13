// A packet as every engine sees it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "bpf/cbpf.h"

namespace tamis::runtime {

struct Packet {
    std::span<std::uint8_t const> bytes;  // what was captured
    std::uint32_t length = 0;             // on the wire, from `start` on: what `len` reads
    // How many of the bytes lie between a program's data and data_end; the others are in pages of
    // their own, where only the kernel's loads reach.  None: all of them.
    std::optional<std::uint32_t> linear{};
    // Value of ancillary 4*i (bpf/cbpf.h Anc), under the kernel's rule.  An interface index of 0 is
    // a packet without a device: reading that or the device's type ends a program with its A.
    std::array<std::uint32_t, 16> ancillary{};
    // Where, in bytes, offset 0 of a program is.  More than 0 where a socket sits above the link
    // layer.
    std::uint32_t start = 0;
    // Where the headers are that negative offsets count from, likewise; none: such a load fails.
    std::optional<std::uint32_t> network, link;
};

// Where in packet.bytes a program's 32-bit offset leads under the kernel's rule: it is a signed
// number there, and below 0 it counts from a header (net/core/filter.c,
// bpf_internal_load_pointer_neg_helper).
constexpr std::optional<std::uint64_t> kernel_index(Packet const& packet, std::uint32_t offset) {
    auto const from = [](std::optional<std::uint32_t> header, std::uint32_t distance) {
        return header ? std::optional(std::uint64_t{*header} + distance) : std::nullopt;
    };
    if (offset < 0x80000000) return std::uint64_t{packet.start} + offset;
    if (offset >= cbpf::network_base) return from(packet.network, offset - cbpf::network_base);
    if (offset >= cbpf::link_base) return from(packet.link, offset - cbpf::link_base);
    return std::nullopt;
}

}  // namespace tamis::runtime
