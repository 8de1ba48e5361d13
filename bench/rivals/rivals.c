// What a careful programmer writes for these filters: the rivals of the direct form.  rivals.txt
// says which function stands for which expression.  Each is compiled twice, as an XDP program and,
// in the section `bounds`, as a function of the packet's bounds.
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#define section(name) __attribute__((section(name), used))
#define inlined static inline __attribute__((always_inline))

#define htons(x) ((__be16)__builtin_bswap16(x))
#define htonl(x) ((__be32)__builtin_bswap32(x))

struct xdp_md {
    __u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
enum { XDP_DROP = 1, XDP_PASS = 2 };

// True where the packet holds the field, to its last byte.  A programmer who asks for whole headers
// rejects truncated packets that the expression accepts.
#define holds(field) ((void *)(&(field) + 1) <= end)

#define RIVAL(name)                                                       \
    inlined int name(void *data, void *end);                              \
    section("xdp") int xdp_##name(struct xdp_md *ctx) {                   \
        void *data = (void *)(long)ctx->data;                             \
        return name(data, (void *)(long)ctx->data_end) ? XDP_PASS : XDP_DROP; \
    }                                                                     \
    section("bounds") int bounds_##name(void *data, void *end) { return name(data, end); } \
    inlined int name(void *data, void *end)

enum { fragment_offset = 0x1fff, sctp = 132 };

// Like the kernel's own, which are packed: clang reads the members of those byte by byte.
struct ethernet {
    __u8 h_dest[6], h_source[6];
    __be16 h_proto;
};
struct vlan_header {
    __be16 control, protocol;
};
struct arp {
    __be16 hardware, protocol;
    __u8 hardware_size, protocol_size;
    __be16 operation;
    __u8 sender[6], sender_ip[4], target[6], target_ip[4];
};
struct ports {
    __be16 source, dest;
};

// There is a transport header in all fragments but the later ones.
inlined int is_later_fragment(struct iphdr *ip) { return ip->frag_off & htons(fragment_offset); }
inlined void *ip4_payload(struct iphdr *ip) { return (void *)ip + 4 * ip->ihl; }

inlined int is_tcp_udp_sctp(__u8 protocol) {
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == sctp;
}

// Any IP protocol, IPv6 behind a fragment header included.
inlined int protocol_is(void *data, void *end, __u8 protocol) {
    struct ethernet *eth = data;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        return holds(ip->protocol) && ip->protocol == protocol;
    }
    if (eth->h_proto != htons(ETH_P_IPV6)) return 0;
    struct ipv6hdr *ip6 = (void *)(eth + 1);
    if (!holds(ip6->nexthdr)) return 0;
    if (ip6->nexthdr != IPPROTO_FRAGMENT) return ip6->nexthdr == protocol;
    __u8 *next = (void *)(ip6 + 1);
    return holds(*next) && *next == protocol;
}

RIVAL(ip) {
    struct ethernet *eth = data;
    return holds(eth->h_proto) && eth->h_proto == htons(ETH_P_IP);
}

RIVAL(tcp) { return protocol_is(data, end, IPPROTO_TCP); }

RIVAL(host) {
    struct ethernet *eth = data;
    __be32 *sender, *target;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        sender = &ip->saddr;
        target = &ip->daddr;
    } else if (eth->h_proto == htons(ETH_P_ARP) || eth->h_proto == htons(ETH_P_RARP)) {
        struct arp *arp = (void *)(eth + 1);
        sender = (void *)arp->sender_ip;
        target = (void *)arp->target_ip;
    } else {
        return 0;
    }
    if (!holds(*sender)) return 0;
    return *sender == htonl(0x0a000001) || (holds(*target) && *target == htonl(0x0a000001));
}

inlined int tcp4_to(struct iphdr *ip, void *end, __u16 port) {
    if (ip->protocol != IPPROTO_TCP || is_later_fragment(ip)) return 0;
    struct ports *ports = ip4_payload(ip);
    return holds(ports->dest) && ports->dest == htons(port);
}

RIVAL(net_and_port) {
    struct ethernet *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    if (!holds(ip->saddr) || eth->h_proto != htons(ETH_P_IP)) return 0;
    if ((ip->saddr & htonl(0xff000000)) != htonl(0x0a000000)) return 0;
    return tcp4_to(ip, end, 80);
}

// Finds the ports of a packet of TCP, or of any protocol that has some.
inlined int find_ports(void *data, void *end, int any, struct ports **ports) {
    struct ethernet *eth = data;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        if (!holds(ip->protocol)) return 0;
        if (!(any ? is_tcp_udp_sctp(ip->protocol) : ip->protocol == IPPROTO_TCP)) return 0;
        if (is_later_fragment(ip)) return 0;
        *ports = ip4_payload(ip);
        return 1;
    }
    if (eth->h_proto != htons(ETH_P_IPV6)) return 0;
    struct ipv6hdr *ip6 = (void *)(eth + 1);
    if (!holds(ip6->nexthdr)) return 0;
    if (!(any ? is_tcp_udp_sctp(ip6->nexthdr) : ip6->nexthdr == IPPROTO_TCP)) return 0;
    *ports = (void *)(ip6 + 1);
    return 1;
}

RIVAL(tcp_dst_port) {
    struct ports *ports;
    return find_ports(data, end, 0, &ports) && holds(ports->dest) && ports->dest == htons(80);
}

RIVAL(port) {
    struct ports *ports;
    if (!find_ports(data, end, 1, &ports) || !holds(ports->source)) return 0;
    if (ports->source == htons(53)) return 1;
    return holds(ports->dest) && ports->dest == htons(53);
}

inlined int is_web(__be16 port) {
    return port == htons(80) || port == htons(443) || port == htons(8080);
}

RIVAL(three_ports) {
    struct ports *ports;
    if (!find_ports(data, end, 0, &ports) || !holds(ports->source)) return 0;
    return is_web(ports->source) || (holds(ports->dest) && is_web(ports->dest));
}

inlined int between(__be16 port, __u16 from, __u16 to) {
    __u16 const number = htons(port);
    return number >= from && number <= to;
}

RIVAL(port_range) {
    struct ports *ports;
    if (!find_ports(data, end, 1, &ports) || !holds(ports->source)) return 0;
    return between(ports->source, 20, 1024) ||
           (holds(ports->dest) && between(ports->dest, 20, 1024));
}

// A packet that is too short to say is no match either.
RIVAL(not_ssh) {
    struct ethernet *eth = data;
    struct ports *ports;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        if (!holds(ip->protocol)) return 0;
        if (ip->protocol != IPPROTO_TCP || is_later_fragment(ip)) return 1;
        ports = ip4_payload(ip);
    } else if (eth->h_proto == htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip6 = (void *)(eth + 1);
        if (!holds(ip6->nexthdr)) return 0;
        if (ip6->nexthdr != IPPROTO_TCP) return 1;
        ports = (void *)(ip6 + 1);
    } else {
        return 1;
    }
    return holds(ports->dest) && ports->source != htons(22) && ports->dest != htons(22);
}

// Finds the payload of an IPv4 packet of that protocol.
inlined int find_ip4(void *data, void *end, __u8 protocol, __u8 **payload) {
    struct ethernet *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    if (!holds(ip->protocol) || eth->h_proto != htons(ETH_P_IP)) return 0;
    *payload = ip4_payload(ip);
    return ip->protocol == protocol && !is_later_fragment(ip);
}

enum { flags_at = 13, fin = 1, syn = 2 };

RIVAL(syn_or_fin) {
    __u8 *tcp;
    return find_ip4(data, end, IPPROTO_TCP, &tcp) && holds(tcp[flags_at]) && (tcp[flags_at] & (syn | fin));
}

inlined int has_port(struct ports *ports, void *end, __u16 port) {
    if (!holds(ports->source)) return 0;
    if (ports->source == htons(port)) return 1;
    return holds(ports->dest) && ports->dest == htons(port);
}

RIVAL(syn_or_https) {
    struct ethernet *eth = data;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        if (!holds(ip->protocol) || !is_tcp_udp_sctp(ip->protocol)) return 0;
        if (is_later_fragment(ip)) return 0;
        struct ports *ports = ip4_payload(ip);
        if (ip->protocol != IPPROTO_TCP) return has_port(ports, end, 443);
        __u8 *tcp = (void *)ports;
        if (!holds(tcp[flags_at])) return 0;
        if ((tcp[flags_at] & syn) || ports->source == htons(443)) return ports->dest != htons(80);
        return ports->dest == htons(443);
    }
    if (eth->h_proto != htons(ETH_P_IPV6)) return 0;
    struct ipv6hdr *ip6 = (void *)(eth + 1);
    struct ports *ports = (void *)(ip6 + 1);
    if (!holds(ports->source) || !is_tcp_udp_sctp(ip6->nexthdr)) return 0;
    if (ip6->nexthdr == IPPROTO_TCP && (!holds(ports->dest) || ports->dest == htons(80))) return 0;
    return has_port(ports, end, 443);
}

inlined __u32 header_size(__u8 *tcp) { return (tcp[12] & 0xf0) >> 2; }

RIVAL(http_get) {
    __u8 *tcp;
    if (!find_ip4(data, end, IPPROTO_TCP, &tcp) || !holds(tcp[12])) return 0;
    struct ports *ports = (void *)tcp;
    if (ports->source != htons(80) && ports->dest != htons(80)) return 0;
    __be32 *payload = (void *)(tcp + header_size(tcp));
    return holds(*payload) && *payload == htonl(0x47455420);
}

RIVAL(http_with_payload) {
    struct iphdr *ip = data + sizeof(struct ethernet);
    __u8 *tcp;
    if (!find_ip4(data, end, IPPROTO_TCP, &tcp) || !holds(tcp[12])) return 0;
    struct ports *ports = (void *)tcp;
    if (ports->source != htons(80) && ports->dest != htons(80)) return 0;
    return htons(ip->tot_len) - 4 * ip->ihl != header_size(tcp);
}

inlined int ip6_is(struct in6_addr *address, __u32 a, __u32 b, __u32 c, __u32 d) {
    __be32 *words = address->s6_addr32;
    return words[0] == htonl(a) && words[1] == htonl(b) && words[2] == htonl(c) &&
           words[3] == htonl(d);
}

RIVAL(ip6_host) {
    struct ethernet *eth = data;
    struct ipv6hdr *ip6 = (void *)(eth + 1);
    if (!holds(ip6->saddr) || eth->h_proto != htons(ETH_P_IPV6)) return 0;
    if (ip6_is(&ip6->saddr, 0x20010db8, 0, 0, 1)) return 1;
    return holds(ip6->daddr) && ip6_is(&ip6->daddr, 0x20010db8, 0, 0, 1);
}

RIVAL(ip6_net_and_port) {
    struct ethernet *eth = data;
    struct ipv6hdr *ip6 = (void *)(eth + 1);
    struct ports *ports = (void *)(ip6 + 1);
    if (!holds(ports->source) || eth->h_proto != htons(ETH_P_IPV6)) return 0;
    if (ip6->saddr.s6_addr32[0] != htonl(0x20010db8) &&
        ip6->daddr.s6_addr32[0] != htonl(0x20010db8))
        return 0;
    return ip6->nexthdr == IPPROTO_TCP && has_port(ports, end, 443);
}

RIVAL(vlan_and_port) {
    struct ethernet *eth = data;
    struct vlan_header *tag = (void *)(eth + 1);
    struct ports *ports;
    if (!holds(*tag)) return 0;
    if (eth->h_proto != htons(ETH_P_8021Q) && eth->h_proto != htons(ETH_P_8021AD) &&
        eth->h_proto != htons(ETH_P_QINQ1))
        return 0;
    if ((tag->control & htons(0xfff)) != htons(100)) return 0;
    if (tag->protocol == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(tag + 1);
        if (!holds(ip->protocol) || ip->protocol != IPPROTO_TCP || is_later_fragment(ip)) return 0;
        ports = ip4_payload(ip);
    } else if (tag->protocol == htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip6 = (void *)(tag + 1);
        if (!holds(ip6->nexthdr) || ip6->nexthdr != IPPROTO_TCP) return 0;
        ports = (void *)(ip6 + 1);
    } else {
        return 0;
    }
    return holds(ports->dest) && ports->dest == htons(80);
}

RIVAL(ping) {
    __u8 *type;
    return find_ip4(data, end, IPPROTO_ICMP, &type) && holds(*type) && *type == 8;
}

inlined int is_address(__u8 *mac) {
    return *(__be16 *)mac == htons(0x0200) && *(__be32 *)(mac + 2) == htonl(1);
}

RIVAL(ether_host) {
    struct ethernet *eth = data;
    return holds(eth->h_source) && (is_address(eth->h_source) || is_address(eth->h_dest));
}

RIVAL(long_udp) { return end - data > 100 && protocol_is(data, end, IPPROTO_UDP); }

inlined int is_service(__be16 port) {
    switch (port) {
        case htons(53):
        case htons(80):
        case htons(443):
            return 1;
    }
    return 0;
}

RIVAL(host_and_service) {
    struct ethernet *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    if (!holds(ip->daddr) || eth->h_proto != htons(ETH_P_IP)) return 0;
    if (ip->saddr != htonl(0x0a000001) &&
        (ip->saddr == htonl(0x0a000002) || ip->daddr != htonl(0x0a000001)))
        return 0;
    if (!is_tcp_udp_sctp(ip->protocol) || is_later_fragment(ip)) return 0;
    struct ports *ports = ip4_payload(ip);
    if (!holds(ports->source)) return 0;
    if (!is_service(ports->source) && !(holds(ports->dest) && is_service(ports->dest))) return 0;
    return ip->daddr != htonl(0x0a000002);
}

RIVAL(arp_icmp_dhcp) {
    struct ethernet *eth = data;
    struct ports *ports;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        if (!holds(ip->protocol)) return 0;
        if (ip->protocol == IPPROTO_ICMP) return 1;
        if (ip->protocol != IPPROTO_UDP || is_later_fragment(ip)) return 0;
        ports = ip4_payload(ip);
    } else if (eth->h_proto == htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip6 = (void *)(eth + 1);
        if (!holds(ip6->nexthdr) || ip6->nexthdr != IPPROTO_UDP) return 0;
        ports = (void *)(ip6 + 1);
    } else {
        return eth->h_proto == htons(ETH_P_ARP);
    }
    if (!holds(ports->source)) return 0;
    return between(ports->source, 67, 68) || (holds(ports->dest) && between(ports->dest, 67, 68));
}

RIVAL(nearly_dead) {
    struct ethernet *eth = data;
    __u8 *hops;
    if (!holds(eth->h_proto)) return 0;
    if (eth->h_proto == htons(ETH_P_IP))
        hops = &((struct iphdr *)(eth + 1))->ttl;
    else if (eth->h_proto == htons(ETH_P_IPV6))
        hops = &((struct ipv6hdr *)(eth + 1))->hop_limit;
    else
        return 0;
    return holds(*hops) && *hops < 5;
}

section("license") char const _license[] = "GPL";
