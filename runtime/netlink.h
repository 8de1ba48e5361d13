// Requests to the kernel's rtnetlink: what libbpf has no call for (routes, tc's actions, and the
// list of tc's filters).  A message is a header, a fixed struct and attributes, which nest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/result.h"

namespace tamis::runtime {

using Bytes = std::vector<std::byte>;

// An attribute of a message, without its header.
struct NetlinkAttribute {
    std::uint16_t type;
    std::span<std::byte const> value;
};
// The attributes in `bytes`; what is cut off is left out.
std::vector<NetlinkAttribute> attributes(std::span<std::byte const> bytes);
// The first of a type; empty where there is none.
std::span<std::byte const> find(std::span<NetlinkAttribute const> all, std::uint16_t type);
// A 32-bit value in host order; 0 where it is shorter.
std::uint32_t number(std::span<std::byte const> value);
// Up to its NUL.
std::string text(std::span<std::byte const> value);

class NetlinkRequest {
  public:
    NetlinkRequest(std::uint16_t type, std::uint16_t flags);
    template <class Struct>
    NetlinkRequest& header(Struct const& fixed) {
        return append(std::as_bytes(std::span(&fixed, 1)));
    }
    NetlinkRequest& attribute(std::uint16_t type, std::span<std::byte const> value);
    NetlinkRequest& attribute(std::uint16_t type, std::uint32_t value);
    NetlinkRequest& attribute(std::uint16_t type, std::string_view text);  // and a NUL
    // What is added until the matching end() lies in this attribute.
    NetlinkRequest& begin(std::uint16_t type);
    NetlinkRequest& end();

    // Sends it and returns the answers: each message's fixed struct and attributes.  `what` begins
    // the error, which has the kernel's own words where it gives some; `fine` is an errno that is
    // none.
    Result<std::vector<Bytes>> talk(std::string_view what, int fine = 0);

  private:
    NetlinkRequest& append(std::span<std::byte const> bytes);  // padded
    Bytes message_;
    std::vector<std::size_t> open_;
};

}  // namespace tamis::runtime
