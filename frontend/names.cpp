// Names as Debian's netbase 6.4 has them (/etc/services, /etc/protocols, /etc/ethertypes), aliases
// included.  Where a name stands twice the first one counts, as for the C library.
#include "frontend/names.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "bpf/spelling.h"

namespace tamis::frontend {
namespace {

enum class Over : std::uint8_t { tcp, udp, both };
using enum Over;

struct ServiceRow {
    std::string_view name;
    std::uint16_t port;
    Over over;
};

// clang-format off
constexpr ServiceRow services[] = {
    {"tcpmux", 1, tcp}, {"echo", 7, both}, {"discard", 9, both}, {"sink", 9, both},
    {"null", 9, both}, {"systat", 11, tcp}, {"users", 11, tcp}, {"daytime", 13, both},
    {"netstat", 15, tcp}, {"qotd", 17, tcp}, {"quote", 17, tcp}, {"chargen", 19, both},
    {"ttytst", 19, both}, {"source", 19, both}, {"ftp-data", 20, tcp}, {"ftp", 21, tcp},
    {"fsp", 21, udp}, {"fspd", 21, udp}, {"ssh", 22, tcp}, {"telnet", 23, tcp}, {"smtp", 25, tcp},
    {"mail", 25, tcp}, {"time", 37, both}, {"timserver", 37, both}, {"whois", 43, tcp},
    {"nicname", 43, tcp}, {"tacacs", 49, both}, {"domain", 53, both}, {"bootps", 67, udp},
    {"bootpc", 68, udp}, {"tftp", 69, udp}, {"gopher", 70, tcp}, {"finger", 79, tcp},
    {"http", 80, tcp}, {"www", 80, tcp}, {"kerberos", 88, both}, {"kerberos5", 88, both},
    {"krb5", 88, both}, {"kerberos-sec", 88, both}, {"iso-tsap", 102, tcp}, {"tsap", 102, tcp},
    {"acr-nema", 104, tcp}, {"dicom", 104, tcp}, {"pop3", 110, tcp}, {"pop-3", 110, tcp},
    {"sunrpc", 111, both}, {"portmapper", 111, both}, {"auth", 113, tcp},
    {"authentication", 113, tcp}, {"tap", 113, tcp}, {"ident", 113, tcp}, {"nntp", 119, tcp},
    {"readnews", 119, tcp}, {"untp", 119, tcp}, {"ntp", 123, udp}, {"epmap", 135, tcp},
    {"loc-srv", 135, tcp}, {"netbios-ns", 137, udp}, {"netbios-dgm", 138, udp},
    {"netbios-ssn", 139, tcp}, {"imap2", 143, tcp}, {"imap", 143, tcp}, {"snmp", 161, both},
    {"snmp-trap", 162, both}, {"snmptrap", 162, both}, {"cmip-man", 163, both},
    {"cmip-agent", 164, both}, {"mailq", 174, tcp}, {"xdmcp", 177, udp}, {"bgp", 179, tcp},
    {"smux", 199, tcp}, {"qmtp", 209, tcp}, {"z3950", 210, tcp}, {"wais", 210, tcp},
    {"ipx", 213, udp}, {"ptp-event", 319, udp}, {"ptp-general", 320, udp}, {"pawserv", 345, tcp},
    {"zserv", 346, tcp}, {"rpc2portmap", 369, both}, {"codaauth2", 370, both},
    {"clearcase", 371, udp}, {"Clearcase", 371, udp}, {"ldap", 389, both}, {"svrloc", 427, both},
    {"https", 443, both}, {"snpp", 444, tcp}, {"microsoft-ds", 445, tcp}, {"kpasswd", 464, both},
    {"submissions", 465, tcp}, {"ssmtp", 465, tcp}, {"smtps", 465, tcp}, {"urd", 465, tcp},
    {"saft", 487, tcp}, {"isakmp", 500, udp}, {"rtsp", 554, both}, {"nqs", 607, tcp},
    {"asf-rmcp", 623, udp}, {"qmqp", 628, tcp}, {"ipp", 631, tcp}, {"ldp", 646, both},
    {"exec", 512, tcp}, {"biff", 512, udp}, {"comsat", 512, udp}, {"login", 513, tcp},
    {"who", 513, udp}, {"whod", 513, udp}, {"shell", 514, tcp}, {"cmd", 514, tcp},
    {"syslog", 514, both}, {"printer", 515, tcp}, {"spooler", 515, tcp}, {"talk", 517, udp},
    {"ntalk", 518, udp}, {"route", 520, udp}, {"router", 520, udp}, {"routed", 520, udp},
    {"gdomap", 538, both}, {"uucp", 540, tcp}, {"uucpd", 540, tcp}, {"klogin", 543, tcp},
    {"kshell", 544, tcp}, {"krcmd", 544, tcp}, {"dhcpv6-client", 546, udp},
    {"dhcpv6-server", 547, udp}, {"afpovertcp", 548, tcp}, {"nntps", 563, tcp}, {"snntp", 563, tcp},
    {"submission", 587, tcp}, {"ldaps", 636, both}, {"tinc", 655, both}, {"silc", 706, tcp},
    {"kerberos-adm", 749, tcp}, {"domain-s", 853, both}, {"rsync", 873, tcp},
    {"ftps-data", 989, tcp}, {"ftps", 990, tcp}, {"telnets", 992, tcp}, {"imaps", 993, tcp},
    {"pop3s", 995, tcp}, {"socks", 1080, tcp}, {"proofd", 1093, tcp}, {"rootd", 1094, tcp},
    {"openvpn", 1194, both}, {"rmiregistry", 1099, tcp}, {"lotusnote", 1352, tcp},
    {"lotusnotes", 1352, tcp}, {"ms-sql-s", 1433, tcp}, {"ms-sql-m", 1434, udp},
    {"ingreslock", 1524, tcp}, {"datametrics", 1645, both}, {"old-radius", 1645, both},
    {"sa-msg-port", 1646, both}, {"old-radacct", 1646, both}, {"kermit", 1649, tcp},
    {"groupwise", 1677, tcp}, {"l2f", 1701, udp}, {"l2tp", 1701, udp}, {"radius", 1812, both},
    {"radius-acct", 1813, both}, {"radacct", 1813, both}, {"cisco-sccp", 2000, tcp},
    {"nfs", 2049, both}, {"gnunet", 2086, both}, {"rtcm-sc104", 2101, both},
    {"gsigatekeeper", 2119, tcp}, {"gris", 2135, tcp}, {"cvspserver", 2401, tcp},
    {"venus", 2430, both}, {"venus-se", 2431, both}, {"codasrv", 2432, both},
    {"codasrv-se", 2433, both}, {"mon", 2583, both}, {"dict", 2628, tcp},
    {"f5-globalsite", 2792, tcp}, {"gsiftp", 2811, tcp}, {"gpsd", 2947, tcp}, {"gds-db", 3050, tcp},
    {"gds_db", 3050, tcp}, {"icpv2", 3130, udp}, {"icp", 3130, udp}, {"isns", 3205, both},
    {"iscsi-target", 3260, tcp}, {"mysql", 3306, tcp}, {"ms-wbt-server", 3389, tcp},
    {"nut", 3493, both}, {"distcc", 3632, tcp}, {"daap", 3689, tcp}, {"svn", 3690, tcp},
    {"subversion", 3690, tcp}, {"suucp", 4031, tcp}, {"sysrqd", 4094, tcp}, {"sieve", 4190, tcp},
    {"epmd", 4369, tcp}, {"remctl", 4373, tcp}, {"f5-iquery", 4353, tcp}, {"ntske", 4460, tcp},
    {"ipsec-nat-t", 4500, udp}, {"iax", 4569, udp}, {"mtn", 4691, tcp}, {"radmin-port", 4899, tcp},
    {"sip", 5060, both}, {"sip-tls", 5061, both}, {"xmpp-client", 5222, tcp},
    {"jabber-client", 5222, tcp}, {"xmpp-server", 5269, tcp}, {"jabber-server", 5269, tcp},
    {"cfengine", 5308, tcp}, {"mdns", 5353, udp}, {"postgresql", 5432, tcp},
    {"postgres", 5432, tcp}, {"freeciv", 5556, tcp}, {"rptp", 5556, tcp}, {"amqps", 5671, tcp},
    {"amqp", 5672, tcp}, {"x11", 6000, tcp}, {"x11-0", 6000, tcp}, {"x11-1", 6001, tcp},
    {"x11-2", 6002, tcp}, {"x11-3", 6003, tcp}, {"x11-4", 6004, tcp}, {"x11-5", 6005, tcp},
    {"x11-6", 6006, tcp}, {"x11-7", 6007, tcp}, {"gnutella-svc", 6346, both},
    {"gnutella-rtr", 6347, both}, {"redis", 6379, tcp}, {"sge-qmaster", 6444, tcp},
    {"sge_qmaster", 6444, tcp}, {"sge-execd", 6445, tcp}, {"sge_execd", 6445, tcp},
    {"mysql-proxy", 6446, tcp}, {"babel", 6696, udp}, {"ircs-u", 6697, tcp}, {"bbs", 7000, tcp},
    {"afs3-fileserver", 7000, udp}, {"afs3-callback", 7001, udp}, {"afs3-prserver", 7002, udp},
    {"afs3-vlserver", 7003, udp}, {"afs3-kaserver", 7004, udp}, {"afs3-volser", 7005, udp},
    {"afs3-bos", 7007, udp}, {"afs3-update", 7008, udp}, {"afs3-rmtsys", 7009, udp},
    {"font-service", 7100, tcp}, {"xfs", 7100, tcp}, {"http-alt", 8080, tcp},
    {"webcache", 8080, tcp}, {"puppet", 8140, tcp}, {"bacula-dir", 9101, tcp},
    {"bacula-fd", 9102, tcp}, {"bacula-sd", 9103, tcp}, {"xmms2", 9667, tcp}, {"nbd", 10809, tcp},
    {"zabbix-agent", 10050, tcp}, {"zabbix-trapper", 10051, tcp}, {"amanda", 10080, tcp},
    {"hkp", 11371, tcp}, {"db-lsp", 17500, tcp}, {"dcap", 22125, tcp}, {"gsidcap", 22128, tcp},
    {"wnn6", 22273, tcp}, {"kerberos4", 750, both}, {"kerberos-iv", 750, both}, {"kdc", 750, both},
    {"kerberos-master", 751, both}, {"kerberos_master", 751, udp}, {"passwd-server", 752, udp},
    {"passwd_server", 752, udp}, {"krb-prop", 754, tcp}, {"krb_prop", 754, tcp},
    {"krb5_prop", 754, tcp}, {"hprop", 754, tcp}, {"zephyr-srv", 2102, udp},
    {"zephyr-clt", 2103, udp}, {"zephyr-hm", 2104, udp}, {"iprop", 2121, tcp},
    {"supfilesrv", 871, tcp}, {"supfiledbg", 1127, tcp}, {"poppassd", 106, tcp},
    {"moira-db", 775, tcp}, {"moira_db", 775, tcp}, {"moira-update", 777, tcp},
    {"moira_update", 777, tcp}, {"moira-ureg", 779, udp}, {"moira_ureg", 779, udp},
    {"spamd", 783, tcp}, {"skkserv", 1178, tcp}, {"predict", 1210, udp}, {"rmtcfg", 1236, tcp},
    {"xtel", 1313, tcp}, {"xtelw", 1314, tcp}, {"zebrasrv", 2600, tcp}, {"zebra", 2601, tcp},
    {"ripd", 2602, tcp}, {"ripngd", 2603, tcp}, {"ospfd", 2604, tcp}, {"bgpd", 2605, tcp},
    {"ospf6d", 2606, tcp}, {"ospfapi", 2607, tcp}, {"isisd", 2608, tcp}, {"fax", 4557, tcp},
    {"hylafax", 4559, tcp}, {"munin", 4949, tcp}, {"lrrd", 4949, tcp}, {"rplay", 5555, udp},
    {"nrpe", 5666, tcp}, {"nsca", 5667, tcp}, {"canna", 5680, tcp}, {"syslog-tls", 6514, tcp},
    {"sane-port", 6566, tcp}, {"sane", 6566, tcp}, {"saned", 6566, tcp}, {"ircd", 6667, tcp},
    {"zope-ftp", 8021, tcp}, {"tproxy", 8081, tcp}, {"omniorb", 8088, tcp},
    {"clc-build-daemon", 8990, tcp}, {"xinetd", 9098, tcp}, {"git", 9418, tcp}, {"zope", 9673, tcp},
    {"webmin", 10000, tcp}, {"kamanda", 10081, tcp}, {"amandaidx", 10082, tcp},
    {"amidxtape", 10083, tcp}, {"sgi-cmsd", 17001, udp}, {"sgi-crsd", 17002, udp},
    {"sgi-gcd", 17003, udp}, {"sgi-cad", 17004, tcp}, {"binkp", 24554, tcp}, {"asp", 27374, both},
    {"csync2", 30865, tcp}, {"dircproxy", 57000, tcp}, {"tfido", 60177, tcp}, {"fido", 60179, tcp},
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
    {"ethernet", 143}, {"Ethernet", 143}, {"mptcp", 262}, {"MPTCP", 262},
};

constexpr Named ether_types[] = {
    {"loopback", 0x9000}, {"lldp", 0x88cc}, {"slow", 0x8809},  // libpcap's own
    {"IPv4", 0x0800}, {"ip", 0x0800}, {"ip4", 0x0800}, {"X25", 0x0805}, {"ARP", 0x0806},
    {"ether-arp", 0x0806}, {"FR_ARP", 0x0808}, {"BPQ", 0x08ff}, {"TRILL", 0x22f3},
    {"L2-IS-IS", 0x22f4}, {"TEB", 0x6558}, {"RAW_FR", 0x6559}, {"RARP", 0x8035}, {"ATALK", 0x809b},
    {"AARP", 0x80f3}, {"802_1Q", 0x8100}, {"8021q", 0x8100}, {"1q", 0x8100}, {"802.1q", 0x8100},
    {"dot1q", 0x8100}, {"IPX", 0x8137}, {"NetBEUI", 0x8191}, {"IPv6", 0x86dd}, {"ip6", 0x86dd},
    {"PPP", 0x880b}, {"MPLS", 0x8847}, {"MPLS_MULTI", 0x8848}, {"ATMMPOA", 0x884c},
    {"PPP_DISC", 0x8863}, {"PPP_SES", 0x8864}, {"ATMFATE", 0x8884}, {"EAPOL", 0x888e},
    {"S-TAG", 0x88a8}, {"EAP_PREAUTH", 0x88c7}, {"LLDP", 0x88cc}, {"MACSEC", 0x88e5},
    {"PBB", 0x88e7}, {"macinmac", 0x88e7}, {"MVRP", 0x88f5}, {"PTP", 0x88f7}, {"FCOE", 0x8906},
    {"FIP", 0x8914}, {"ROCE", 0x8915}, {"LoWPAN", 0xa0ed},
};
// clang-format on

template <class Row, std::size_t size>
constexpr auto sorted(Row const (&rows)[size]) {
    std::array<Row, size> out{};
    std::copy(std::begin(rows), std::end(rows), out.begin());
    std::sort(out.begin(), out.end(), [](Row const& a, Row const& b) { return a.name < b.name; });
    return out;
}
constexpr auto services_by_name = sorted(services);
constexpr auto ip_protocols_by_name = sorted(ip_protocols);
constexpr auto ether_types_by_name = sorted(ether_types);

template <class Row, std::size_t size>
Row const* find(std::array<Row, size> const& rows, std::string_view name) {
    auto const* at =
        std::lower_bound(rows.begin(), rows.end(), name,
                         [](Row const& row, std::string_view text) { return row.name < text; });
    return at != rows.end() && at->name == name ? at : nullptr;
}

}  // namespace

std::optional<Service> find_service(std::string_view name) {
    ServiceRow const* const row = find(services_by_name, name);
    if (row == nullptr) return std::nullopt;
    return Service{row->port, row->over != udp, row->over != tcp};
}

std::string_view nearest_service(std::string_view misspelt) {
    if (misspelt.size() < 3) return {};
    for (ServiceRow const& service : services)
        if (edit_distance(misspelt, service.name) == 1) return service.name;
    return {};
}

std::optional<std::uint32_t> find_ip_protocol(std::string_view name) {
    Named const* const row = find(ip_protocols_by_name, name);
    if (row == nullptr) return std::nullopt;
    return row->number;
}

std::optional<std::uint16_t> find_ether_type(std::string_view name) {
    Named const* const row = find(ether_types_by_name, name);
    if (row == nullptr) return std::nullopt;
    return row->number;
}

}  // namespace tamis::frontend
