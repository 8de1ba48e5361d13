// The registrations are IANA's; which protocols a service is known for follows Debian's netbase,
// because that decides what `port http` means.
#include "frontend/names.h"

#include <algorithm>
#include <iterator>

#include "bpf/spelling.h"

namespace tamis::frontend {
namespace {

constexpr bool yes = true, no = false;

// clang-format off
constexpr Service services[] = {
//   name               port  tcp  udp
    {"echo",               7, yes, yes},
    {"discard",            9, yes, yes},
    {"daytime",           13, yes, yes},
    {"chargen",           19, yes, yes},
    {"ftp-data",          20, yes, no },
    {"ftp",               21, yes, no },
    {"ssh",               22, yes, no },
    {"telnet",            23, yes, no },
    {"smtp",              25, yes, no },
    {"mail",              25, yes, no },
    {"time",              37, yes, yes},
    {"whois",             43, yes, no },
    {"tacacs",            49, yes, yes},
    {"domain",            53, yes, yes},
    {"bootps",            67, no , yes},
    {"bootpc",            68, no , yes},
    {"tftp",              69, no , yes},
    {"gopher",            70, yes, no },
    {"finger",            79, yes, no },
    {"http",              80, yes, no },
    {"www",               80, yes, no },
    {"kerberos",          88, yes, yes},
    {"kerberos5",         88, yes, yes},
    {"iso-tsap",         102, yes, no },
    {"pop3",             110, yes, no },
    {"pop-3",            110, yes, no },
    {"sunrpc",           111, yes, yes},
    {"auth",             113, yes, no },
    {"nntp",             119, yes, no },
    {"ntp",              123, no , yes},
    {"epmap",            135, yes, no },
    {"loc-srv",          135, yes, no },
    {"netbios-ns",       137, no , yes},
    {"netbios-dgm",      138, no , yes},
    {"netbios-ssn",      139, yes, no },
    {"imap",             143, yes, no },
    {"imap2",            143, yes, no },
    {"snmp",             161, yes, yes},
    {"snmp-trap",        162, yes, yes},
    {"snmptrap",         162, yes, yes},
    {"bgp",              179, yes, no },
    {"ptp-event",        319, no , yes},
    {"ptp-general",      320, no , yes},
    {"ldap",             389, yes, yes},
    {"https",            443, yes, yes},
    {"microsoft-ds",     445, yes, no },
    {"kpasswd",          464, yes, yes},
    {"submissions",      465, yes, no },
    {"isakmp",           500, no , yes},
    {"exec",             512, yes, no },
    {"login",            513, yes, no },
    {"shell",            514, yes, no },
    {"syslog",           514, yes, yes},
    {"printer",          515, yes, no },
    {"talk",             517, no , yes},
    {"ntalk",            518, no , yes},
    {"router",           520, no , yes},
    {"uucp",             540, yes, no },
    {"dhcpv6-client",    546, no , yes},
    {"dhcpv6-server",    547, no , yes},
    {"rtsp",             554, yes, yes},
    {"submission",       587, yes, no },
    {"ipp",              631, yes, no },
    {"ldaps",            636, yes, yes},
    {"domain-s",         853, yes, yes},
    {"rsync",            873, yes, no },
    {"ftps",             990, yes, no },
    {"telnets",          992, yes, no },
    {"imaps",            993, yes, no },
    {"pop3s",            995, yes, no },
    {"socks",           1080, yes, no },
    {"openvpn",         1194, yes, yes},
    {"ms-sql-s",        1433, yes, no },
    {"ms-sql-m",        1434, no , yes},
    {"l2f",             1701, no , yes},
    {"l2tp",            1701, no , yes},
    {"radius",          1812, yes, yes},
    {"radius-acct",     1813, yes, yes},
    {"nfs",             2049, yes, yes},
    {"iscsi-target",    3260, yes, no },
    {"mysql",           3306, yes, no },
    {"svn",             3690, yes, no },
    {"sip",             5060, yes, yes},
    {"sip-tls",         5061, yes, yes},
    {"xmpp-client",     5222, yes, no },
    {"xmpp-server",     5269, yes, no },
    {"mdns",            5353, no , yes},
    {"postgresql",      5432, yes, no },
    {"postgres",        5432, yes, no },
    {"amqp",            5672, yes, no },
    {"x11",             6000, yes, no },
    {"redis",           6379, yes, no },
    {"git",             9418, yes, no },
};

struct Named {
    std::string_view name;
    std::uint16_t number;
};

constexpr Named ip_protocols[] = {
    {"ip", 0}, {"IP", 0}, {"hopopt", 0}, {"HOPOPT", 0}, {"icmp", 1}, {"ICMP", 1}, {"igmp", 2},
    {"IGMP", 2}, {"ggp", 3}, {"GGP", 3}, {"ipencap", 4}, {"IP-ENCAP", 4}, {"st", 5}, {"ST", 5},
    {"tcp", 6}, {"TCP", 6}, {"egp", 8}, {"EGP", 8}, {"igp", 9}, {"IGP", 9}, {"pup", 12},
    {"PUP", 12}, {"udp", 17}, {"UDP", 17}, {"hmp", 20}, {"HMP", 20}, {"xns-idp", 22},
    {"XNS-IDP", 22}, {"rdp", 27}, {"RDP", 27}, {"iso-tp4", 29}, {"ISO-TP4", 29}, {"dccp", 33},
    {"DCCP", 33}, {"xtp", 36}, {"XTP", 36}, {"ddp", 37}, {"DDP", 37}, {"idpr-cmtp", 38},
    {"IDPR-CMTP", 38}, {"ipv6", 41}, {"IPv6", 41}, {"ipv6-route", 43}, {"IPv6-Route", 43},
    {"ipv6-frag", 44}, {"IPv6-Frag", 44}, {"idrp", 45}, {"IDRP", 45}, {"rsvp", 46}, {"RSVP", 46},
    {"gre", 47}, {"GRE", 47}, {"esp", 50}, {"IPSEC-ESP", 50}, {"ah", 51}, {"IPSEC-AH", 51},
    {"skip", 57}, {"SKIP", 57}, {"ipv6-icmp", 58}, {"IPv6-ICMP", 58}, {"ipv6-nonxt", 59},
    {"IPv6-NoNxt", 59}, {"ipv6-opts", 60}, {"IPv6-Opts", 60}, {"rspf", 73}, {"RSPF", 73},
    {"CPHB", 73}, {"vmtp", 81}, {"VMTP", 81}, {"eigrp", 88}, {"EIGRP", 88}, {"ospf", 89},
    {"OSPFIGP", 89}, {"ax.25", 93}, {"AX.25", 93}, {"ipip", 94}, {"IPIP", 94}, {"etherip", 97},
    {"ETHERIP", 97}, {"encap", 98}, {"ENCAP", 98}, {"pim", 103}, {"PIM", 103}, {"ipcomp", 108},
    {"IPCOMP", 108}, {"vrrp", 112}, {"VRRP", 112}, {"l2tp", 115}, {"L2TP", 115}, {"isis", 124},
    {"ISIS", 124}, {"sctp", 132}, {"SCTP", 132}, {"fc", 133}, {"FC", 133},
    {"mobility-header", 135}, {"Mobility-Header", 135}, {"udplite", 136}, {"UDPLite", 136},
    {"mpls-in-ip", 137}, {"MPLS-in-IP", 137}, {"manet", 138}, {"hip", 139}, {"HIP", 139},
    {"shim6", 140}, {"Shim6", 140}, {"wesp", 141}, {"WESP", 141}, {"rohc", 142}, {"ROHC", 142},
    {"ethernet", 143}, {"Ethernet", 143},
};

constexpr Named ether_types[] = {
    {"loopback", 0x9000}, {"lldp", 0x88cc}, {"slow", 0x8809},
};
// clang-format on

template <class Row, std::size_t size>
Row const* find(Row const (&rows)[size], std::string_view name) {
    auto const* at = std::find_if(std::begin(rows), std::end(rows),
                                  [&](Row const& row) { return row.name == name; });
    return at == std::end(rows) ? nullptr : at;
}

}  // namespace

Service const* find_service(std::string_view name) { return find(services, name); }

std::string_view nearest_service(std::string_view misspelt) {
    if (misspelt.size() < 3) return {};
    for (Service const& service : services)
        if (edit_distance(misspelt, service.name) == 1) return service.name;
    return {};
}

std::optional<std::uint8_t> find_ip_protocol(std::string_view name) {
    Named const* row = find(ip_protocols, name);
    if (row == nullptr) return std::nullopt;
    return static_cast<std::uint8_t>(row->number);
}

std::optional<std::uint16_t> find_ether_type(std::string_view name) {
    Named const* row = find(ether_types, name);
    if (row == nullptr) return std::nullopt;
    return row->number;
}

}  // namespace tamis::frontend
