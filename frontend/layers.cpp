// The link types that filters are compiled for.  Facts: pcap-linktype(7), IEEE 802.3, RFC 1661.
#include "frontend/layers.h"

#include <algorithm>
#include <iterator>

#include "bpf/link_types.h"

namespace tamis::frontend {
namespace {

// clang-format off
constexpr LinkLayer table[] = {
    {.number = en10mb, .rule = TypeRule::ethernet, .link_type = 12, .payload = 14,
     .network_no_snap = 3, .mac_dst = 0, .mac_src = 6},
};
// clang-format on

}  // namespace

LinkLayer const* find_link_layer(int number) {
    auto const* at = std::find_if(std::begin(table), std::end(table),
                                  [&](LinkLayer const& row) { return row.number == number; });
    return at == std::end(table) ? nullptr : at;
}

}  // namespace tamis::frontend
