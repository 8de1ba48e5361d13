#!/usr/bin/env python3
"""Writes capture.pcap, the packets that the tour, the examples and the tests filter.

Standard library only; the same bytes every time.  Usage: make_capture.py > capture.pcap
"""
import ipaddress
import struct
import sys

CLIENT, SERVER, ROUTER = (bytes([2, 0, 0, 0, 0, n]) for n in (1, 2, 0xfe))
BROADCAST = b"\xff" * 6
ARP, IP, IP6, VLAN, QINQ, LLDP = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8, 0x88CC
ICMP, IGMP, TCP, UDP, FRAGMENT, ICMP6, SCTP = 1, 2, 6, 17, 44, 58, 132
SYN, FIN, RST, PSH, ACK = 2, 1, 4, 8, 16

packets = []  # (bytes, length on the wire)


def add(frame, keep=None):
    packets.append((frame[:keep], len(frame)))


def address(text):
    return ipaddress.ip_address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(ethertype, payload, src=CLIENT, dst=SERVER, tags=()):
    """`tags`: (TPID, VLAN id) pairs, the outer one first.  Padded to the 60 bytes of a real frame."""
    head = dst + src + b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in tags)
    return (head + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")


def ip4(src, dst, proto, payload, offset=0, more=False, options=b"", ident=1):
    """`offset` in bytes, a multiple of 8."""
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), ident,
                       (0x2000 if more else 0) | offset // 8, 64, proto, 0,
                       address(src), address(dst)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(src, dst, proto, payload):
    return struct.pack("!IHBB16s16s", 0x60000000, len(payload), proto, 64,
                       address(src), address(dst)) + payload


def with_checksum(src, dst, proto, segment, at):
    """Fills in a transport checksum, over IPv4 or IPv6."""
    pseudo = address(src) + address(dst) + struct.pack("!II", len(segment), proto)
    return segment[:at] + struct.pack("!H", checksum(pseudo + segment)) + segment[at + 2:]


def udp(src, dst, sport, dport, data):
    segment = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    return with_checksum(src, dst, UDP, segment, 6)


def tcp(src, dst, sport, dport, flags, data=b"", seq=1, ack=0):
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 64240, 0, 0) + data
    return with_checksum(src, dst, TCP, segment, 16)


def icmp4(kind, code, rest):
    message = struct.pack("!BBH", kind, code, 0) + rest
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmp6(src, dst, kind, rest):
    return with_checksum(src, dst, ICMP6, struct.pack("!BBH", kind, 0, 0) + rest, 2)


def echo(number, kind=8):
    return icmp4(kind, 0, struct.pack("!HH", 7, number) + bytes(range(32)))


def dns(name, answer=b""):
    question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    flags = 0x8180 if answer else 0x0100
    return struct.pack("!6H", 0x1234, flags, 1, 1 if answer else 0, 0, 0) + question + \
        b"\0\1\0\1" + answer


def conversation(client, server, sport, dport, wrap, request, reply):
    """A whole TCP exchange; `wrap(src, dst, segment, to_server)` makes the frame."""
    def send(to_server, flags, data=b"", seq=1, ack=0):
        src, dst = (client, server) if to_server else (server, client)
        ports = (sport, dport) if to_server else (dport, sport)
        add(wrap(src, dst, tcp(src, dst, *ports, flags, data, seq, ack), to_server))

    end, done = 1001 + len(request), 5001 + len(reply)
    send(True, SYN, seq=1000)
    send(False, SYN | ACK, seq=5000, ack=1001)
    send(True, ACK, seq=1001, ack=5001)
    send(True, PSH | ACK, request, 1001, 5001)
    send(False, PSH | ACK, reply, 5001, end)
    send(True, ACK, seq=end, ack=done)
    send(True, FIN | ACK, seq=end, ack=done)
    send(False, FIN | ACK, seq=done, ack=end + 1)
    send(True, ACK, seq=end + 1, ack=done + 1)


def over_ip4(src, dst, segment, to_server, proto=TCP, tags=()):
    macs = (CLIENT, SERVER) if to_server else (SERVER, CLIENT)
    return ethernet(IP, ip4(src, dst, proto, segment), *macs, tags=tags)


def over_ip6(src, dst, segment, to_server, proto=TCP):
    macs = (CLIENT, SERVER) if to_server else (SERVER, CLIENT)
    return ethernet(IP6, ip6(src, dst, proto, segment), *macs)


A, B, R = "10.0.0.1", "10.0.0.2", "192.0.2.53"
A6, B6 = "fd00::1", "fd00::2"
GET = b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"


def arp(operation, sender, sender_ip, target, target_ip):
    return struct.pack("!HHBBH6s4s6s4s", 1, IP, 6, 4, operation, sender, address(sender_ip),
                       target, address(target_ip))


# Two hosts find each other and a name, then fetch a page in the clear and one over TLS.
add(ethernet(ARP, arp(1, CLIENT, A, bytes(6), B), CLIENT, BROADCAST))
add(ethernet(ARP, arp(2, SERVER, B, CLIENT, A), SERVER, CLIENT))
add(ethernet(IP, ip4(A, R, UDP, udp(A, R, 40001, 53, dns("example.net"))), CLIENT, ROUTER))
ANSWER = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 300, 4) + address(B)
add(ethernet(IP, ip4(R, A, UDP, udp(R, A, 53, 40001, dns("example.net", ANSWER))), ROUTER, CLIENT))
conversation(A, B, 40080, 80, over_ip4, GET, PAGE)
conversation(A, B, 40443, 443, over_ip4, b"\x16\3\1" + bytes(97), b"\x16\3\3" + bytes(197))

# Pings, one answered by a router, and one datagram that nobody wanted.
for n in (1, 2):
    add(ethernet(IP, ip4(A, B, ICMP, echo(n))))
    add(ethernet(IP, ip4(B, A, ICMP, echo(n, 0)), SERVER, CLIENT))
lost = ip4(A, B, UDP, udp(A, B, 40002, 9999, b"anyone?"))
add(ethernet(IP, lost))
add(ethernet(IP, ip4(B, A, ICMP, icmp4(3, 3, bytes(4) + lost[:28])), SERVER, CLIENT))

# A datagram in three fragments: only the first one has ports.
big = udp(A, B, 40003, 5000, bytes(i & 0xFF for i in range(3000)))
for start in range(0, len(big), 1480):
    add(ethernet(IP, ip4(A, B, UDP, big[start:start + 1480], start, start + 1480 < len(big),
                         ident=77)))

# Headers of unusual length: IP options before IGMP and before TCP, and a full segment of which
# the capture kept 96 bytes.
ALERT, GROUP = b"\x94\4\0\0", "224.0.0.251"
MULTICAST = bytes.fromhex("01005e0000fb")
add(ethernet(IP, ip4(A, GROUP, IGMP, icmp4(0x16, 0, address(GROUP)), options=ALERT), CLIENT,
             MULTICAST))
add(ethernet(IP, ip4(A, B, TCP, tcp(A, B, 40022, 22, SYN), options=b"\1\1\1\0" * 3)))
add(ethernet(IP, ip4(B, A, TCP, tcp(B, A, 80, 40080, ACK, bytes(1460), 5045, 1038)), SERVER, CLIENT), keep=96)

# IPv6: neighbours, a ping, a name, a page, a fragment and a header between.
SOLICITED, NEIGHBOUR = "ff02::1:ff00:2", bytes.fromhex("3333ff000002")
add(ethernet(IP6, ip6(A6, SOLICITED, ICMP6,
                      icmp6(A6, SOLICITED, 135, bytes(4) + address(B6) + b"\1\1" + CLIENT)),
             CLIENT, NEIGHBOUR))
add(over_ip6(B6, A6, icmp6(B6, A6, 136, b"\x60\0\0\0" + address(B6) + b"\2\1" + SERVER), False,
             ICMP6))
add(over_ip6(A6, B6, icmp6(A6, B6, 128, b"\0\7\0\1" + bytes(24)), True, ICMP6))
add(over_ip6(B6, A6, icmp6(B6, A6, 129, b"\0\7\0\1" + bytes(24)), False, ICMP6))
add(over_ip6(A6, B6, udp(A6, B6, 40004, 53, dns("example.org")), True, UDP))
conversation(A6, B6, 50080, 80, over_ip6, GET, PAGE)
part = udp(A6, B6, 40005, 5000, bytes(1200))
add(over_ip6(A6, B6, struct.pack("!BBHI", UDP, 0, 1, 99) + part[:800], True, FRAGMENT))
add(over_ip6(A6, B6, struct.pack("!BBHI", UDP, 0, 800, 99) + part[800:], True, FRAGMENT))
REPORT = "ff02::16"
add(over_ip6(A6, REPORT, struct.pack("!BB", ICMP6, 0) + b"\5\2\0\0\1\0" +
             icmp6(A6, REPORT, 143, bytes(3) + b"\1\4\0\0\0" + address(SOLICITED)), True, 0))

# Tagged frames: VLAN 100, and 7 inside 200.
C, D = "10.1.0.1", "10.1.0.2"
TAG = ((VLAN, 100),)
add(ethernet(ARP, arp(1, CLIENT, C, bytes(6), D), CLIENT, BROADCAST, TAG))
add(ethernet(IP, ip4(C, D, ICMP, echo(1)), tags=TAG))
add(over_ip4(C, D, tcp(C, D, 41080, 80, SYN), True, tags=TAG))
add(over_ip4(C, D, udp(C, D, 41053, 53, dns("example.com")), True, UDP, ((QINQ, 200), (VLAN, 7))))

# And what else is on a wire: SCTP, DHCP, multicast DNS, LLDP, spanning tree.
add(over_ip4(A, B, struct.pack("!HHII", 40132, 36412, 0, 0) + b"\1\0\0\x14" + bytes(16), True,
             SCTP))
add(ethernet(IP, ip4("0.0.0.0", "255.255.255.255", UDP,
                     udp("0.0.0.0", "255.255.255.255", 68, 67, b"\1\1\6\0" + bytes(296))),
             CLIENT, BROADCAST))
add(ethernet(IP, ip4(A, GROUP, UDP, udp(A, GROUP, 5353, 5353, dns("host.local"))), CLIENT,
             MULTICAST))
add(ethernet(LLDP, b"\2\7\4" + ROUTER + b"\4\2\7p\6\2\0\x78\0\0", ROUTER,
             bytes.fromhex("0180c200000e")))
add(bytes.fromhex("0180c2000000") + ROUTER + struct.pack("!H", 38) + b"\x42\x42\3" +
    bytes(35) + bytes(8))

out = sys.stdout.buffer
out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
for i, (data, length) in enumerate(packets):
    out.write(struct.pack("<IIII", 1700000000 + i // 10, i % 10 * 100000, len(data), length))
    out.write(data)
