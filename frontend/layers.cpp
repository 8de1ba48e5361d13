// The link types that filters are compiled for.  Facts: pcap-linktype(7), IEEE 802.3, RFC 1661,
// IEEE 802.11.
#include "frontend/layers.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "bpf/link_types.h"

namespace tamis::frontend {
namespace {

// clang-format off
constexpr LinkLayer table[] = {
    {.number = en10mb, .rule = TypeRule::ethernet, .link_type = 12, .payload = 14,
     .network_no_snap = 3, .mac_dst = 0, .mac_src = 6},
    {.number = dlt_netanalyzer, .rule = TypeRule::ethernet, .link = 4, .link_type = 16,
     .payload = 18, .network_no_snap = 3, .mac_dst = 0, .mac_src = 6},
    {.number = dlt_netanalyzer_transparent, .rule = TypeRule::ethernet, .link = 12,
     .link_type = 24, .payload = 26, .network_no_snap = 3, .mac_dst = 0, .mac_src = 6},
    {.number = dlt_null,       .rule = TypeRule::family,  .payload = 4},
    {.number = dlt_loop,       .rule = TypeRule::family,  .payload = 4},
    {.number = dlt_ppp,        .rule = TypeRule::ppp,     .link_type = 2,  .payload = 4},
    {.number = dlt_ppp_serial, .rule = TypeRule::ppp,     .link_type = 2,  .payload = 4},
    {.number = dlt_ppp_ether,  .rule = TypeRule::ppp,     .link_type = 6,  .payload = 8},
    {.number = dlt_ppp_pppd,   .rule = TypeRule::ppp,     .link_type = 2,  .payload = 4},
    {.number = dlt_c_hdlc,     .rule = TypeRule::hdlc,    .link_type = 2,  .payload = 4,
     .network_no_snap = 1},  // a byte of padding before ISO protocols
    {.number = dlt_sll,        .rule = TypeRule::cooked,  .link_type = 14, .payload = 16},
    {.number = dlt_sll2,       .rule = TypeRule::number,  .payload = 20},
    {.number = dlt_wlan,     .rule = TypeRule::wlan, .network = 8, .network_no_snap = 3},
    {.number = dlt_radiotap, .rule = TypeRule::wlan, .network = 8, .network_no_snap = 3,
     .before = Before::radiotap},
    {.number = dlt_avs,      .rule = TypeRule::wlan, .network = 8, .network_no_snap = 3,
     .before = Before::avs},
    {.number = dlt_prism,    .rule = TypeRule::wlan, .network = 8, .network_no_snap = 3,
     .before = Before::prism},
    {.number = dlt_ppi,      .rule = TypeRule::wlan, .network = 8, .network_no_snap = 3,
     .before = Before::ppi},
    {.number = dlt_pflog,    .rule = TypeRule::pflog},
    {.number = dlt_raw,        .rule = TypeRule::version},
    {.number = dlt_ipv4,       .rule = TypeRule::ip4},
    {.number = dlt_ipv6,       .rule = TypeRule::ip6},
};
// clang-format on

}  // namespace

LinkLayer const* find_link_layer(int number) {
    auto const find = [&](auto const& rows) {
        auto const at = std::find_if(std::begin(rows), std::end(rows),
                                     [&](LinkLayer const& row) { return row.number == number; });
        return at == std::end(rows) ? nullptr : &*at;
    };
    static std::vector<LinkLayer> const others = [] {
        std::vector<LinkLayer> rows;
        for (LinkType const& type : link_types())
            rows.push_back({.number = type.number, .rule = TypeRule::unknown});
        return rows;
    }();
    LinkLayer const* const known = find(table);
    return known != nullptr ? known : find(others);
}

}  // namespace tamis::frontend
