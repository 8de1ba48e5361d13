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

inline constexpr int en10mb = 1;

}  // namespace tamis
