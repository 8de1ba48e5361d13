#include "tests/support/random_expr.h"

#include <iterator>

#include <fmt/core.h>

namespace tamis::test {
namespace {

// Few values, so that tests of one filter meet.
constexpr char const* ports[] = {"22",    "53",  "80",     "443",  "8080", "0",
                                 "65535", "ssh", "domain", "http", "0x50", "ntp"};
constexpr char const* numeric_ports[] = {"22", "53", "80", "443", "8080", "65535"};
constexpr char const* hosts4[] = {"10.0.0.1", "10.0.0.2", "192.168.1.7", "255.255.255.255",
                                  "0.0.0.0",  "10.1",     "172.16.3"};
constexpr char const* nets4[] = {"10.0.0.0/8",
                                 "10.0.0.0/31",
                                 "192.168.0.0/16",
                                 "10",
                                 "172.16",
                                 "192.168.1",
                                 "10.0.0.0 mask 255.255.0.0",
                                 "128.0.0.0/1"};
constexpr char const* hosts6[] = {"::1",         "fe80::1",         "2001:db8::1",
                                  "2001:db8::2", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1"};
constexpr char const* nets6[] = {"2001:db8::/32", "fe80::/10", "2001:db8::/127", "::1/128"};
constexpr char const* macs[] = {"0:1:2:3:4:5", "ff:ff:ff:ff:ff:ff", "00-11-22-aa-bb-cc",
                                "0011.22aa.bbcc", "001122aabbcc"};
constexpr char const* dirs[] = {
    "", "", "src ", "dst ", "src or dst ", "src and dst ", "dst and src "};
constexpr char const* words[] = {"ip",
                                 "ip6",
                                 "arp",
                                 "rarp",
                                 "tcp",
                                 "udp",
                                 "sctp",
                                 "icmp",
                                 "icmp6",
                                 "igmp",
                                 "igrp",
                                 "pim",
                                 "vrrp",
                                 "carp",
                                 "ah",
                                 "esp",
                                 "atalk",
                                 "aarp",
                                 "decnet",
                                 "lat",
                                 "sca",
                                 "moprc",
                                 "mopdl",
                                 "iso",
                                 "stp",
                                 "ipx",
                                 "netbeui",
                                 "broadcast",
                                 "multicast",
                                 "ether multicast",
                                 "ether broadcast",
                                 "ip6 multicast",
                                 "ip broadcast"};
constexpr char const* accessors[] = {"ether", "ip",   "ip6",  "arp",   "rarp", "tcp", "udp",
                                     "sctp",  "icmp", "igmp", "icmp6", "tcp",  "ip"};
constexpr char const* protos[] = {"6", "17", "1", "\\tcp", "\\udp", "58", "44", "132", "89", "255"};
constexpr char const* ethertypes[] = {"0x800",    "0x86dd", "0x806", "\\ip",    "\\arp",
                                      "\\stp",    "\\iso",  "\\ipx", "\\atalk", "\\aarp",
                                      "loopback", "0x88cc", "6",     "66"};
constexpr char const* operators[] = {"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "&", "+"};
constexpr char const* relations[] = {"=", "==", "!=", "<", "<=", ">", ">="};
constexpr char const* constants[] = {
    "0",   "1",       "2",       "4",         "5",        "6",          "0xf",        "0x0f", "64",
    "255", "tcp-syn", "tcp-ack", "icmp-echo", "tcpflags", "0x7fffffff", "4294967295", "017"};

}  // namespace

std::string RandomExpressions::next() { return chain(one_in(3) ? 0 : 2); }

std::string RandomExpressions::chain(unsigned depth) {
    std::string text = operand(depth);
    for (std::uint64_t more = depth == 0 ? 0 : below(4); more > 0; --more)
        text += (one_in(2) ? " and " : one_in(4) ? " || " : " or ") + operand(depth);
    return text;
}

std::string RandomExpressions::operand(unsigned depth) {
    if (one_in(8)) return (one_in(2) ? "not " : "! ") + operand(depth);
    if (depth > 0 && one_in(4)) return "(" + chain(depth - 1) + ")";
    return test();
}

std::string RandomExpressions::port() { return pick(numeric_ports); }
std::string RandomExpressions::host4() { return pick(hosts4); }
std::string RandomExpressions::net4() { return pick(nets4); }
std::string RandomExpressions::host6() { return pick(hosts6); }
std::string RandomExpressions::net6() { return pick(nets6); }
std::string RandomExpressions::mac() { return pick(macs); }
std::string RandomExpressions::range() {
    return fmt::format("{}-{}", pick(numeric_ports), pick(numeric_ports));
}

// Qualifiers, an identifier, and perhaps more that inherit the qualifiers.
std::string RandomExpressions::with_more(std::string const& qualifiers,
                                         std::string (RandomExpressions::*id)()) {
    std::string text = qualifiers + (this->*id)();
    if (one_in(6))
        return qualifiers + "(" + (this->*id)() + (one_in(2) ? " or " : " and ") + (this->*id)() +
               ")";
    while (one_in(5))
        text +=
            (one_in(3) ? " and " : " or ") + std::string(one_in(5) ? "not " : "") + (this->*id)();
    return text;
}

std::string RandomExpressions::test() {
    static constexpr char const* arpish[] = {"", "", "ip ", "arp ", "rarp "};
    static constexpr char const* transport[] = {"", "tcp ", "udp ", "sctp "};
    using Self = RandomExpressions;
    switch (below(16)) {
        case 0:
        case 1:
            return pick(words);
        case 2:
            return with_more(pick(arpish) + pick(dirs) + "host ", &Self::host4);
        case 3:
            return with_more(pick(arpish) + pick(dirs) + "net ", &Self::net4);
        case 4:
            return with_more((one_in(2) ? "" : "ip6 ") + pick(dirs) + "host ", &Self::host6);
        case 5:
            return with_more((one_in(2) ? "" : "ip6 ") + pick(dirs) + "net ", &Self::net6);
        case 6:
        case 7:
            return with_more(pick(transport) + pick(dirs) + "port ", &Self::port);
        case 8:
            return with_more(pick(transport) + pick(dirs) + "portrange ", &Self::range);
        case 9:
            return pick(dirs) + "port " + pick(ports);
        case 10:
            return with_more("ether " + std::string(one_in(2) ? "src " : "host "), &Self::mac);
        case 11:
            return "ether proto " + pick(ethertypes);
        case 12: {
            static constexpr char const* which[] = {"ip ", "ip6 ", ""};
            return pick(which) + "proto " + pick(protos);
        }
        case 13:
            return (one_in(2) ? "less " : "greater ") + std::to_string(40 + below(100));
        default:
            return relation();
    }
}

std::string RandomExpressions::number() { return pick(constants); }

std::string RandomExpressions::relation() {
    std::string const left = one_in(8) ? number() : arith(2);
    return fmt::format("{} {} {}", left, pick(relations), one_in(3) ? arith(1) : number());
}

std::string RandomExpressions::accessor(unsigned depth) {
    static constexpr char const* sizes[] = {"", ":1", ":2", ":4"};
    std::string const index =
        depth > 0 && one_in(6) ? arith(depth - 1) : std::to_string(below(one_in(4) ? 60 : 20));
    return fmt::format("{}[{}{}]", pick(accessors), index, pick(sizes));
}

std::string RandomExpressions::arith(unsigned depth) {
    if (depth == 0) return one_in(3) ? "len" : one_in(2) ? number() : accessor(0);
    switch (below(6)) {
        case 0:
        case 1:
            return accessor(depth);
        case 2:
            return one_in(2) ? "(" + arith(depth - 1) + ")" : "- " + arith(depth - 1);
        default:
            break;
    }
    std::string const op = pick(operators);
    // libpcap takes any right operand that begins with the number 0, or with one above 31, for a
    // divisor of 0 or a shift that is too far, so these get plain numbers.
    static constexpr char const* divisors[] = {"1", "2", "3", "16", "31"};
    bool const picky = op == "/" || op == "%" || op == "<<" || op == ">>";
    return fmt::format("{} {} {}", arith(depth - 1), op, picky ? pick(divisors) : arith(depth - 1));
}

}  // namespace tamis::test
