// Names of ports, IP protocols and EtherTypes.  They come from here and from nowhere else, so that
// a filter means the same on every machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tamis::frontend {

struct Service {
    std::string_view name;
    std::uint16_t port;
    bool tcp, udp;
};
Service const* find_service(std::string_view name);
// The service somebody who wrote `misspelt` probably meant; empty when none is near.
std::string_view nearest_service(std::string_view misspelt);

std::optional<std::uint8_t> find_ip_protocol(std::string_view name);

// EtherTypes that are not keywords: `loopback`.
std::optional<std::uint16_t> find_ether_type(std::string_view name);

}  // namespace tamis::frontend
