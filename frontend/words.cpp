#include "frontend/words.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "bpf/spelling.h"

namespace tamis::frontend {
namespace {

// clang-format off
constexpr WordRow table[] = {
    {"ether",   Kind::keyword, Word::link},
    {"link",    Kind::keyword, Word::link},
    {"ppp",     Kind::keyword, Word::link},
    {"slip",    Kind::keyword, Word::link},
    {"fddi",    Kind::keyword, Word::link},
    {"tr",      Kind::keyword, Word::link},
    {"wlan",    Kind::keyword, Word::link},
    {"ip",      Kind::keyword, Word::ip},
    {"ip6",     Kind::keyword, Word::ip6},
    {"arp",     Kind::keyword, Word::arp},
    {"rarp",    Kind::keyword, Word::rarp},
    {"tcp",     Kind::keyword, Word::tcp},
    {"udp",     Kind::keyword, Word::udp},
    {"sctp",    Kind::keyword, Word::sctp},
    {"icmp",    Kind::keyword, Word::icmp},
    {"icmp6",   Kind::keyword, Word::icmp6},
    {"igmp",    Kind::keyword, Word::igmp},
    {"igrp",    Kind::keyword, Word::igrp},
    {"pim",     Kind::keyword, Word::pim},
    {"vrrp",    Kind::keyword, Word::vrrp},
    {"carp",    Kind::keyword, Word::vrrp},
    {"ah",      Kind::keyword, Word::ah},
    {"esp",     Kind::keyword, Word::esp},
    {"atalk",   Kind::keyword, Word::atalk},
    {"aarp",    Kind::keyword, Word::aarp},
    {"decnet",  Kind::keyword, Word::decnet},
    {"lat",     Kind::keyword, Word::lat},
    {"sca",     Kind::keyword, Word::sca},
    {"moprc",   Kind::keyword, Word::moprc},
    {"mopdl",   Kind::keyword, Word::mopdl},
    {"iso",     Kind::keyword, Word::iso},
    {"stp",     Kind::keyword, Word::stp},
    {"ipx",     Kind::keyword, Word::ipx},
    {"netbeui", Kind::keyword, Word::netbeui},

    {"src",       Kind::direction, Word::src},
    {"dst",       Kind::direction, Word::dst},
    {"host",      Kind::keyword, Word::host},
    {"net",       Kind::keyword, Word::net},
    {"port",      Kind::keyword, Word::port},
    {"portrange", Kind::keyword, Word::portrange},
    {"proto",     Kind::keyword, Word::proto},
    {"mask",      Kind::keyword, Word::mask},

    {"broadcast", Kind::keyword,  Word::broadcast},
    {"multicast", Kind::keyword,  Word::multicast},
    {"less",      Kind::keyword,  Word::less},
    {"greater",   Kind::keyword,  Word::greater},
    {"byte",      Kind::compares, Word::byte},

    {"len",    Kind::length, Word::len},
    {"length", Kind::length, Word::len},
    {"and",    Kind::and_,   Word::and_},
    {"or",     Kind::or_,    Word::or_},
    {"not",    Kind::not_,   Word::not_},

    // link layers, tunnels and what the kernel knows
    {"protochain", Kind::keyword, Word::protochain}, {"gateway", Kind::keyword, Word::gateway},
    {"vlan",       Kind::keyword, Word::vlan}, {"mpls",    Kind::keyword, Word::mpls},
    {"pppoed",     Kind::keyword, Word::pppoed}, {"pppoes",  Kind::keyword, Word::pppoes},
    {"geneve",     Kind::keyword, Word::geneve}, {"vxlan",   Kind::keyword, Word::vxlan},
    {"llc",        Kind::keyword, Word::llc}, {"radio",   Kind::keyword, Word::radio},
    {"inbound",    Kind::keyword, Word::inbound}, {"outbound", Kind::keyword, Word::outbound},
    {"ifindex",    Kind::keyword, Word::ifindex},
    // OSI
    {"esis", Kind::keyword, Word::esis}, {"es-is", Kind::keyword, Word::esis},
    {"isis", Kind::keyword, Word::isis}, {"is-is", Kind::keyword, Word::isis},
    {"clnp", Kind::keyword, Word::clnp}, {"l1",    Kind::keyword, Word::l1},
    {"l2",   Kind::keyword, Word::l2}, {"iih",   Kind::keyword, Word::iih},
    {"lsp",  Kind::keyword, Word::lsp}, {"snp",   Kind::keyword, Word::snp},
    {"csnp", Kind::keyword, Word::csnp}, {"psnp",  Kind::keyword, Word::psnp},
    // 802.11
    {"type",     Kind::keyword, Word::type}, {"subtype",   Kind::keyword, Word::subtype},
    {"dir",      Kind::keyword, Word::dir}, {"direction", Kind::keyword, Word::dir},
    {"addr1",    Kind::keyword, Word::addr1}, {"address1",  Kind::keyword, Word::addr1},
    {"addr2",    Kind::keyword, Word::addr2}, {"address2",  Kind::keyword, Word::addr2},
    {"addr3",    Kind::keyword, Word::addr3}, {"address3",  Kind::keyword, Word::addr3},
    {"addr4",    Kind::keyword, Word::addr4}, {"address4",  Kind::keyword, Word::addr4},
    {"ra",       Kind::keyword, Word::ra}, {"ta",        Kind::keyword, Word::ta},
    // PF
    {"on",      Kind::keyword, Word::ifname}, {"ifname",     Kind::keyword, Word::ifname},
    {"rset",    Kind::keyword, Word::ruleset}, {"ruleset",    Kind::keyword, Word::ruleset},
    {"rnr",     Kind::keyword, Word::rulenum}, {"rulenum",    Kind::keyword, Word::rulenum},
    {"srnr",    Kind::keyword, Word::subrulenum}, {"subrulenum", Kind::keyword, Word::subrulenum},
    {"reason",  Kind::keyword, Word::reason}, {"action",     Kind::keyword, Word::action},
    // ATM
    {"vpi",  Kind::compares, Word::atm}, {"vci",     Kind::compares, Word::atm},
    {"lane", Kind::keyword,  Word::atm}, {"metac",   Kind::keyword, Word::atm},
    {"bcc",  Kind::keyword,  Word::atm}, {"oam",     Kind::keyword, Word::atm},
    {"sc",   Kind::keyword,  Word::atm}, {"oamf4",   Kind::keyword, Word::atm},
    {"ilmic", Kind::keyword, Word::atm}, {"oamf4ec", Kind::keyword, Word::atm},
    {"oamf4sc", Kind::keyword, Word::atm}, {"connectmsg", Kind::keyword, Word::atm},
    {"metaconnect", Kind::keyword, Word::atm},
    // SS7
    {"fisu",  Kind::keyword,  Word::ss7}, {"hfisu", Kind::keyword,  Word::ss7},
    {"lssu",  Kind::keyword,  Word::ss7}, {"hlssu", Kind::keyword,  Word::ss7},
    {"lsu",   Kind::keyword,  Word::ss7}, {"msu",   Kind::keyword,  Word::ss7},
    {"hmsu",  Kind::keyword,  Word::ss7},
    {"sio",   Kind::compares, Word::ss7}, {"hsio",  Kind::compares, Word::ss7},
    {"opc",   Kind::compares, Word::ss7}, {"hopc",  Kind::compares, Word::ss7},
    {"dpc",   Kind::compares, Word::ss7}, {"hdpc",  Kind::compares, Word::ss7},
    {"sls",   Kind::compares, Word::ss7}, {"hsls",  Kind::compares, Word::ss7},

    // named constants: offsets first, then values
    {"icmptype",  Kind::number, Word::none, 0}, {"icmpcode",  Kind::number, Word::none, 1},
    {"icmp6type", Kind::number, Word::none, 0}, {"icmp6code", Kind::number, Word::none, 1},
    {"tcpflags",  Kind::number, Word::none, 13},
    {"tcp-fin",  Kind::number, Word::none, 0x01}, {"tcp-syn", Kind::number, Word::none, 0x02},
    {"tcp-rst",  Kind::number, Word::none, 0x04}, {"tcp-push", Kind::number, Word::none, 0x08},
    {"tcp-ack",  Kind::number, Word::none, 0x10}, {"tcp-urg", Kind::number, Word::none, 0x20},
    {"tcp-ece",  Kind::number, Word::none, 0x40}, {"tcp-cwr", Kind::number, Word::none, 0x80},
    {"icmp-echoreply",     Kind::number, Word::none, 0},
    {"icmp-unreach",       Kind::number, Word::none, 3},
    {"icmp-sourcequench",  Kind::number, Word::none, 4},
    {"icmp-redirect",      Kind::number, Word::none, 5},
    {"icmp-echo",          Kind::number, Word::none, 8},
    {"icmp-routeradvert",  Kind::number, Word::none, 9},
    {"icmp-routersolicit", Kind::number, Word::none, 10},
    {"icmp-timxceed",      Kind::number, Word::none, 11},
    {"icmp-paramprob",     Kind::number, Word::none, 12},
    {"icmp-tstamp",        Kind::number, Word::none, 13},
    {"icmp-tstampreply",   Kind::number, Word::none, 14},
    {"icmp-ireq",          Kind::number, Word::none, 15},
    {"icmp-ireqreply",     Kind::number, Word::none, 16},
    {"icmp-maskreq",       Kind::number, Word::none, 17},
    {"icmp-maskreply",     Kind::number, Word::none, 18},
    {"icmp6-destinationunreach",           Kind::number, Word::none, 1},
    {"icmp6-packettoobig",                 Kind::number, Word::none, 2},
    {"icmp6-timeexceeded",                 Kind::number, Word::none, 3},
    {"icmp6-parameterproblem",             Kind::number, Word::none, 4},
    {"icmp6-echo",                         Kind::number, Word::none, 128},
    {"icmp6-echoreply",                    Kind::number, Word::none, 129},
    {"icmp6-multicastlistenerquery",       Kind::number, Word::none, 130},
    {"icmp6-multicastlistenerreportv1",    Kind::number, Word::none, 131},
    {"icmp6-multicastlistenerdone",        Kind::number, Word::none, 132},
    {"icmp6-routersolicit",                Kind::number, Word::none, 133},
    {"icmp6-routeradvert",                 Kind::number, Word::none, 134},
    {"icmp6-neighborsolicit",              Kind::number, Word::none, 135},
    {"icmp6-neighboradvert",               Kind::number, Word::none, 136},
    {"icmp6-redirect",                     Kind::number, Word::none, 137},
    {"icmp6-routerrenum",                  Kind::number, Word::none, 138},
    {"icmp6-nodeinformationquery",         Kind::number, Word::none, 139},
    {"icmp6-nodeinformationresponse",      Kind::number, Word::none, 140},
    {"icmp6-ineighbordiscoverysolicit",    Kind::number, Word::none, 141},
    {"icmp6-ineighbordiscoveryadvert",     Kind::number, Word::none, 142},
    {"icmp6-multicastlistenerreportv2",    Kind::number, Word::none, 143},
    {"icmp6-homeagentdiscoveryrequest",    Kind::number, Word::none, 144},
    {"icmp6-homeagentdiscoveryreply",      Kind::number, Word::none, 145},
    {"icmp6-mobileprefixsolicit",          Kind::number, Word::none, 146},
    {"icmp6-mobileprefixadvert",           Kind::number, Word::none, 147},
    {"icmp6-certpathsolicit",              Kind::number, Word::none, 148},
    {"icmp6-certpathadvert",               Kind::number, Word::none, 149},
    {"icmp6-multicastrouteradvert",        Kind::number, Word::none, 151},
    {"icmp6-multicastroutersolicit",       Kind::number, Word::none, 152},
    {"icmp6-multicastrouterterm",          Kind::number, Word::none, 153},
};
// clang-format on

constexpr auto by_spelling = [] {
    std::array<WordRow, std::size(table)> rows{};
    std::copy(std::begin(table), std::end(table), rows.begin());
    std::sort(rows.begin(), rows.end(),
              [](WordRow const& a, WordRow const& b) { return a.spelling < b.spelling; });
    return rows;
}();

constexpr std::size_t longest = [] {
    std::size_t n = 0;
    for (WordRow const& row : table) n = std::max(n, row.spelling.size());
    return n;
}();

}  // namespace

WordRow const* find_word(std::string_view spelling) {
    if (spelling.size() > longest) return nullptr;
    auto const* at = std::lower_bound(
        by_spelling.begin(), by_spelling.end(), spelling,
        [](WordRow const& row, std::string_view text) { return row.spelling < text; });
    return at != by_spelling.end() && at->spelling == spelling ? at : nullptr;
}

std::string_view spelling(Word word) {
    auto const* at = std::find_if(std::begin(table), std::end(table),
                                  [&](WordRow const& row) { return row.word == word; });
    return at == std::end(table) ? "" : at->spelling;
}

std::string_view nearest_word(std::string_view misspelt) {
    std::string_view best;
    // One slip in a short word, two in a longer one: more would suggest words nobody meant.
    unsigned limit = misspelt.size() < 3 ? 0 : misspelt.size() < 6 ? 1 : 2;
    for (WordRow const& row : table) {
        unsigned const distance = edit_distance(misspelt, row.spelling);
        if (distance > limit || (distance == limit && !best.empty())) continue;
        best = row.spelling;
        limit = distance;
    }
    return best;
}

}  // namespace tamis::frontend
