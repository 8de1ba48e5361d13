// Names of ports, IP protocols and EtherTypes that are built in, and where all others come from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tamis::frontend {

struct Service {
    std::uint16_t port;
    bool tcp, udp;  // what it is known for
};

// The built-in tables: a filter means the same on every machine.
std::optional<Service> find_service(std::string_view name);
std::optional<std::uint32_t> find_ip_protocol(std::string_view name);
std::optional<std::uint16_t> find_ether_type(std::string_view name);
// The service somebody who wrote `misspelt` probably meant; empty when none is near.
std::string_view nearest_service(std::string_view misspelt);

// Someone who knows names.  What it does not know is empty; it never fails otherwise.
class Names {
  public:
    struct Hosts {
        std::vector<std::uint32_t> ip4;                 // host order, ascending
        std::vector<std::array<std::uint32_t, 4>> ip6;  // ascending
    };

    Names() = default;
    Names(Names const&) = delete;
    Names& operator=(Names const&) = delete;
    virtual ~Names() = default;

    virtual Hosts hosts(std::string_view name) const = 0;
    // As it is written: 10 is 10.0.0.0/8.
    virtual std::optional<std::uint32_t> network(std::string_view name) const = 0;
    virtual std::optional<std::uint64_t> ether(std::string_view name) const = 0;
    virtual std::optional<Service> service(std::string_view name) const = 0;
    virtual std::optional<std::uint32_t> ip_protocol(std::string_view name) const = 0;
};

// The C library's: hosts(5), DNS and whatever nsswitch.conf(5) names.  Asking may take as long as
// the network does.
Names const& system_names();

}  // namespace tamis::frontend
