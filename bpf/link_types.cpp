// Link types that people meet.  Numbers are Linux's DLT_ values (pcap/dlt.h).
#include "bpf/link_types.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace tamis {
namespace {

// clang-format off
constexpr LinkType table[] = {
    {0,   "NULL",               "BSD loopback"},
    {1,   "EN10MB",             "Ethernet"},
    {9,   "PPP",                "PPP"},
    {12,  "RAW",                "Raw IP"},
    {50,  "PPP_SERIAL",         "PPP over serial"},
    {51,  "PPP_ETHER",          "PPPoE"},
    {104, "C_HDLC",             "Cisco HDLC"},
    {105, "IEEE802_11",         "802.11"},
    {108, "LOOP",               "OpenBSD loopback"},
    {113, "LINUX_SLL",          "Linux cooked v1"},
    {117, "PFLOG",              "OpenBSD pflog file"},
    {119, "PRISM_HEADER",       "802.11 plus Prism header"},
    {127, "IEEE802_11_RADIO",   "802.11 plus radiotap header"},
    {163, "IEEE802_11_RADIO_AVS", "802.11 plus AVS radio information header"},
    {166, "PPP_PPPD",           "PPP for pppd, with direction flag"},
    {192, "PPI",                "Per-Packet Information"},
    {228, "IPV4",               "Raw IPv4"},
    {229, "IPV6",               "Raw IPv6"},
    {240, "NETANALYZER",        "Ethernet with NETANALYZER header"},
    {241, "NETANALYZER_TRANSPARENT", "Transparent Ethernet with NETANALYZER header"},
    {276, "LINUX_SLL2",         "Linux cooked v2"},
};
// clang-format on

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

template <class Predicate>
LinkType const* find_if(Predicate const& matches) {
    auto const* at = std::find_if(std::begin(table), std::end(table), matches);
    return at == std::end(table) ? nullptr : at;
}

}  // namespace

std::span<LinkType const> link_types() { return table; }

LinkType const* find_link_type(int number) {
    return find_if([&](LinkType const& t) { return t.number == number; });
}

LinkType const* find_link_type(std::string_view name) {
    int number = 0;
    auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size()) return find_link_type(number);
    if (same_word(name.substr(0, 4), "DLT_")) name.remove_prefix(4);
    return find_if([&](LinkType const& t) { return same_word(t.name, name); });
}

}  // namespace tamis
