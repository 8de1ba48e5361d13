// Link types by name and number (libpcap's DLT_ values).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tamis {

struct LinkType {
    int number;                    // DLT_*
    std::string_view name;         // "EN10MB"
    std::string_view description;  // "Ethernet"
};

std::span<LinkType const> link_types();
LinkType const* find_link_type(int number);
LinkType const* find_link_type(
    std::string_view name);  // case-insensitive, with or without "DLT_", or a decimal number

// A few link types have a number of their own in capture files (LINKTYPE_*).
int link_type_of_file(std::uint32_t number);
std::uint32_t number_in_file(int link_type);

inline constexpr int en10mb = 1;
inline constexpr int dlt_null = 0, dlt_ppp = 9, dlt_raw = 12, dlt_ppp_serial = 50,
                     dlt_ppp_ether = 51, dlt_c_hdlc = 104, dlt_wlan = 105, dlt_loop = 108,
                     dlt_sll = 113, dlt_pflog = 117, dlt_prism = 119, dlt_sunatm = 123,
                     dlt_radiotap = 127, dlt_mtp2_with_phdr = 139, dlt_mtp2 = 140, dlt_avs = 163,
                     dlt_ppp_pppd = 166, dlt_ppi = 192, dlt_erf = 197, dlt_ipv4 = 228,
                     dlt_ipv6 = 229, dlt_netanalyzer = 240, dlt_netanalyzer_transparent = 241,
                     dlt_sll2 = 276;

}  // namespace tamis
