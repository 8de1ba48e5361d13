#!/usr/bin/env python3
"""Real traffic between two network namespaces: what filters count at every hook is what tcpdump captured, and their
actions act.  Usage: live_traffic_test.py PATH-OF-TAMIS"""

import os
import random
import re
import struct
import subprocess
import sys
import time

from network import SIDES, Network, counted, end, finish, main, run, wait_for_line

IP_UDP = bytes.fromhex("4500002000010000401100000a4d00010a4d0002") + struct.pack("!HHHH", 1, 53, 12, 0) + b"abcd"


def ethernet(tag=b"", ethertype=b"\x08\x00", payload=IP_UDP):
    return (b"\xff" * 6 + b"\x02\0\0\0\0\x01" + tag + ethertype + payload).ljust(60, b"\0")


class Counts(Network):
    """At every hook as many packets as tcpdump saw; bytes without the Ethernet header where a hook begins at IP."""

    def hooks(self, group):
        """Hook, options, bytes of the Ethernet header it does not see."""
        yield "socket", ["-Q", "in"], "vb", 0
        yield "xdp", [], "vb", 0
        yield "tc-ingress", [], "vb", 0
        yield "cgroup-ingress", ["--cgroup", group], None, 14
        yield "netfilter-prerouting", ["--nf", "ipv4"], None, 14
        yield "netfilter-input", ["--nf", "ipv4:-100"], None, 14

    def check(self, expression, at_least):
        group = self.cgroup()
        tcpdump, path = self.capture(expression)
        filters = [(hook, skipped, self.attach(hook, expression, *options, interface=interface))
                   for hook, options, interface, skipped in self.hooks(group)]
        self.exchange(group)
        packets, size = self.captured(tcpdump, path)
        self.assertGreaterEqual(packets, at_least, expression)
        seen = {}
        for hook, skipped, process in filters:
            code, out = finish(process)
            self.assertEqual(code, 0)
            seen[hook] = counted(out)[:2]
            # Pings are answered by the kernel: no socket, no control group.
            nobodys = hook == "cgroup-ingress" and expression == "icmp"
            expected = (0, 0) if nobodys else (packets, size - skipped * packets)
            self.assertEqual(seen[hook], expected, f"{hook}: {expression}")
        print(f"{expression}: {packets} packets, {size} bytes in tcpdump and at {', '.join(seen)}")

    def test_icmp(self):
        self.check("icmp", 4)

    def test_udp_port(self):
        self.check("udp dst port 5300", 3)

    def test_tcp_port(self):
        self.check("tcp port 8080", 4)

    def test_on_the_way_out(self):
        tcpdump, path = self.capture("udp", direction="out")
        group = self.cgroup()
        hooks = [("tc-egress", [], "vb", 0), ("netfilter-output", ["--nf", "ipv4"], None, 14),
                 ("netfilter-postrouting", ["--nf", "ipv4"], None, 14),
                 ("cgroup-egress", ["--cgroup", group], None, 14)]
        filters = [(hook, skipped, self.attach(hook, "udp", *options, interface=interface))
                   for hook, options, interface, skipped in hooks]
        self.sh("b", f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -c \"import socket;"
                     "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                     f"for n in (1, 700, 1400): s.sendto(b'x'*n,('{SIDES['a']}',5300))\"")
        packets, size = self.captured(tcpdump, path)
        self.assertEqual(packets, 3)
        for hook, skipped, process in filters:
            self.assertEqual(counted(finish(process)[1])[:2], (packets, size - skipped * packets), hook)

    def test_forwarded(self):
        self.sh("b", "ip link add w0 type veth peer name w1; ip link set w0 up; ip link set w1 up; "
                     "ip route add 10.79.0.0/24 dev w0")
        process = self.attach("netfilter-forward", "icmp", "--nf", "ipv4", interface=None)
        self.pin("on-its-way", "lwt-in", "icmp", "--route", "10.79.0.0/24", interface=None)
        self.sh("b", "echo 1 > /proc/sys/net/ipv4/ip_forward; ip address add 10.78.0.1/24 dev lo")
        self.sh("a", "ip route add 10.79.0.0/24 via 10.77.0.2")
        self.inside("a", "ping", "-c", "3", "-i", "0.02", "-W", "0.2", "10.79.0.9").communicate()
        self.assertEqual(counted(finish(process)[1])[:2], (3, 3 * 84))
        self.assertEqual(counted(self.listed("on-its-way"))[:2], (3, 3 * 84))

    def test_routes_of_version_6(self):
        self.sh("a", "echo 0 > /proc/sys/net/ipv6/conf/va/disable_ipv6; ip -6 address add fd00::1/64 dev va nodad;"
                     "ip -6 neighbour add fd00::2 lladdr 02:00:00:00:00:09 dev va;"
                     "ip -6 route add fd01::/64 via fd00::2 metric 50; ip -6 route add default via fd00::2")
        before = self.sh("a", "ip -6 route show")
        for name, prefix in (("near", "fd00::/64"), ("far", "fd01::/64"), ("all", "::/0")):
            self.pin(name, "lwt-out", "icmp6[icmp6type] = icmp6-echo", "--route", prefix, side="a", interface=None)
        for address in ("fd00::2", "fd01::1", "fd02::1"):
            self.inside("a", "ping", "-c", "1", "-W", "0.1", address).communicate()
        for name in ("near", "far", "all"):
            self.assertEqual(counted(self.listed(name))[:2], (1, 104), name)
        self.tamis("detach", "--all")
        self.assertEqual(self.sh("a", "ip -6 route show"), before)

    def test_routes_and_clsact(self):
        self.sh("a", "ip route add 10.79.0.0/24 via 10.77.0.2")
        names = {"in": ("lwt-out", ["--route", "10.79.0.0/24"], None, 14),
                 "xmit": ("lwt-xmit", ["--route", "10.77.0.0/24"], None, 14),
                 "out": ("tc-egress", ["--mode", "clsact", "--priority", "9"], "va", 0)}
        for name, (hook, options, interface, _) in names.items():
            self.pin(name, hook, "icmp", *options, side="a", interface=interface)
        self.assertIn("tamis_out:[", self.sh("a", "tc filter show dev va egress"))
        self.assertIn("tamis_xmit:[", self.sh("a", "ip route show"))
        self.assertEqual(self.answered(count=3), 3)
        self.inside("a", "ping", "-c", "2", "-i", "0.02", "-W", "0.2", "10.79.0.9").communicate()
        self.assertEqual(counted(self.listed("in"))[:2], (2, 2 * 84))
        self.assertEqual(counted(self.listed("xmit"))[:2], (3, 3 * 84))
        self.assertEqual(counted(self.listed("out"))[:2], (5, 5 * 98))
        before = "10.77.0.0/24 dev va proto kernel scope link src 10.77.0.1"
        self.assertEqual(self.tamis("detach", "--all").returncode, 0)
        self.assertIn(before, self.sh("a", "ip route show"))
        self.assertEqual(self.sh("a", "tc filter show dev va egress") + self.sh("a", "tc qdisc show dev va | grep clsact || :"),
                         "")

    def test_jumbo_frames(self):
        for side in SIDES:
            self.sh(side, f"ip link set v{side} mtu 9000")
        seen = {}
        for hook, options in (("xdp", ["--mode", "generic"]), ("xdp-frags", ["--mode", "native"]), ("tc-ingress", []),
                              ("socket", ["-Q", "in"])):
            process = self.attach(hook, "icmp[8000] = 0x38 and greater 8900", *options)
            self.assertEqual(self.answered(count=2, size=8900), 2)
            seen[hook] = counted(finish(process)[1])[:2]
        # ping's data are the numbers of its bytes: 8000 - 8 is 0x1f38.
        self.assertEqual(seen, {hook: (2, 2 * 8942) for hook in seen})

    def test_what_lies_outside_of_the_linear_part(self):
        """Fragments at XDP, pages of a file at tc: read by the second version, and by nothing with --linear."""
        for side in SIDES:
            self.sh(side, f"ip link set v{side} mtu 9000")
        for options, matched in (([], 2), (["--linear"], 0)):
            process = self.attach("xdp-frags", "icmp[8000] = 0x38", "--mode", "native", *options)
            self.assertEqual(self.answered(count=2, size=8900), 2)
            self.assertEqual(counted(finish(process)[1])[0], matched, options)
        deep = "tcp dst port 8080 and tcp[500] = 0x78"
        tcpdump, path = self.capture(deep, side="a", direction="out")
        filters = [self.attach("tc-egress", deep, *options, side="a", interface="va") for options in ([], ["--linear"])]
        received = self.attach("tc-ingress", deep)
        self.send_file(1 << 20)
        packets, size = self.captured(tcpdump, path)
        self.assertGreater(packets, 10)
        self.assertEqual([counted(finish(process)[1])[:2] for process in filters], [(packets, size), (0, 0)])
        self.assertGreater(counted(finish(received)[1])[0], 10)

    def send_file(self, size):
        """By sendfile: none of the bytes are copied into the packets."""
        path = os.path.join(self.folder.name, "file")
        with open(path, "wb") as file:
            file.write(b"x" * size)
        server = self.inside("b", sys.executable, "-c", "import socket,sys\n"
                             "s=socket.socket();s.bind(('10.77.0.2',8080));s.listen()\n"
                             "print('ready',file=sys.stderr,flush=True);c,_=s.accept()\nwhile c.recv(1<<20): pass")
        wait_for_line(server, "ready")
        self.python("a", f"import socket;c=socket.create_connection(('10.77.0.2',8080),5);c.sendfile(open('{path}','rb'))")
        server.communicate(timeout=10)

    def test_whoever_is_behind_sees_every_packet(self):
        for options in ([], ["--mode", "clsact"]):
            places = [("ours", 10), ("behind", 20)]
            for name, priority in places:
                self.pin(name, "tc-ingress", "icmp" if name == "ours" else "",
                         *options, *(["--priority", str(priority)] if options else []))
            self.ping(5)
            self.datagrams(4)
            ours, behind = (counted(self.listed(name)) for name, _ in places)
            self.assertEqual((ours[0], ours[2]), (5, 4), options)
            self.assertEqual((behind[0], behind[2]), (9, 0), options)
            self.tamis("detach", "--all")

    def test_lists_of_any_length(self):
        """Addresses all over, and the one that pings: the verifier walks through 750,000 instructions for the longest."""
        for kind, terms in (("host", 1000), ("host", 10000), ("src host", 100000), ("host", 100000)):
            drawn = random.Random(1)
            others = (f"{kind} {drawn.randint(11, 223)}.{drawn.randint(0, 255)}.{drawn.randint(0, 255)}.{drawn.randint(0, 255)}"
                      for _ in range(terms - 1))
            path = os.path.join(self.folder.name, "list")
            with open(path, "w") as file:
                file.write(" or\n".join([*others, f"{kind} {SIDES['a']}"]))
            process = self.attach("xdp", None, "-F", path)
            self.ping(5)
            self.frames("a", ethernet(payload=IP_UDP.replace(bytes([10, 77, 0, 1]), bytes([10, 77, 0, 9]))), 3)
            code, out = finish(process)
            matched, _, passed, _ = counted(out)
            self.assertEqual((code, matched, passed), (0, 5, 3), f"{terms} {kind}")
        self.refused(3, "its verifier walks through at most 1000000 instructions", "socket", None,
                     "-F", path)

    def test_the_last_byte_that_xdp_can_reach(self):
        """Loopback carries frames of 65,549 bytes; the verifier follows packet pointers only to byte 65,534, and a call,
        which xdp-frags has, begins at 65,535 at most."""
        for expression, by_pointer, by_call in (
                ("ether[65534] = 0x78", 1, 1), ("ether[65535] = 0x78", 0, 1), ("ether[65534:2] = 0x7878", 0, 1),
                ("ether[65535] = 0x79", 0, 0), ("ether[len - 15] = 0x78 and greater 65000", 1, 1),
                ("ether[len - 14] = 0x78 and greater 65000", 0, 1)):
            for hook, matched in (("xdp", by_pointer), ("xdp-frags", by_call)):
                process = self.attach(hook, expression, "--mode", "generic", interface="lo")
                self.python("b", "import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);r=socket.socket("
                                 "socket.AF_INET,socket.SOCK_DGRAM);r.bind(('127.0.0.1',5301));"
                                 "s.sendto(b'x'*65507,('127.0.0.1',5301))")
                code, out = finish(process)
                self.assertEqual(code, 0)
                self.assertEqual(counted(out)[:2], (matched, matched * 65549), f"{hook}: {expression}")


class LinkTypes(Network):
    def test_tun_devices_begin_at_the_ip_header(self):
        script = ("import fcntl,struct,os,sys,time\n"
                  "t=os.open('/dev/net/tun',os.O_RDWR);fcntl.ioctl(t,0x400454ca,struct.pack('16sH',b'tt',0x1001))\n"
                  "print('ready',file=sys.stderr,flush=True);sys.stdin.readline()\n"
                  f"for _ in range(3): os.write(t,bytes.fromhex('{IP_UDP.hex()}'))\n"
                  "time.sleep(0.2)\n")
        if not os.path.exists("/dev/net/tun"):
            os.makedirs("/dev/net", exist_ok=True)
            run("mknod", "/dev/net/tun", "c", "10", "200")
        process = self.inside("b", sys.executable, "-c", script, stdin=subprocess.PIPE)
        self.addCleanup(end, process)
        wait_for_line(process, "ready")
        self.sh("b", "ip link set tt up")
        filters = [self.attach(hook, "udp dst port 53", *options, interface="tt")
                   for hook, options in (("xdp", ["--mode", "generic"]), ("tc-ingress", []), ("socket", ["-Q", "in"]))]
        process.communicate("go\n", timeout=10)
        for attached in filters:
            self.assertEqual(counted(finish(attached)[1])[:2], (3, 3 * 32))

    def test_another_link_type_is_refused(self):
        self.refused(2, "for link type RAW does not fit here: packets are of link type EN10MB", "xdp", "ip", "-y", "RAW")
        self.refused(2, "packets are of link type RAW", "netfilter-input", "ip", "-y", "EN10MB", "--nf", "ipv4",
                     interface=None)
        finish(self.attach("xdp", "ip", "-y", "EN10MB"))


class Vlan(Network):
    TAG = b"\x81\x00\x00\x64"

    def test_tagged_frames(self):
        """Raw bytes: at XDP the tag is in the packet, at tc and on sockets in the metadata."""
        filters = [self.attach(hook, "vlan 100 and udp port 53", *options)
                   for hook, options in (("xdp", ["--vlan-offload=ignore"]), ("tc-ingress", []), ("socket", ["-Q", "in"]))]
        self.frames("a", ethernet(self.TAG), 5)
        self.frames("a", ethernet(), 2)
        for process in filters:
            time.sleep(0.1)
            self.assertEqual(counted(finish(process)[1])[0], 5, process.args)

    def test_offload_is_read(self):
        """Both ends in one namespace: whose offload it is can be seen, and the message names the command."""
        self.sh("b", "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up")
        for expression in ("vlan 100", "not vlan", "ether proto 0x8100", "udp port 53 or ether[12:2] = 0x88a8"):
            said = self.refused(3, "shows its VLAN tag", "xdp", expression, interface="v1")
            self.assertIn("`ethtool -K v0 txvlan off`", said)
        finish(self.attach("xdp", "udp port 33024", interface="v1"))  # 0x8100, but no EtherType
        self.sh("b", "ethtool -K v0 txvlan off")
        finish(self.attach("xdp", "not vlan", interface="v1"))
        self.refused(3, "`ethtool -K PEER txvlan off`", "xdp", "vlan")

    def test_what_the_offload_takes_out(self):
        """A tag pushed into the metadata by a program at tc: without offload it is in the packet."""
        self.sh("b", "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up")
        source, program = (os.path.join(self.folder.name, name) for name in ("push.c", "push.o"))
        with open(source, "w") as file:
            file.write("#include <linux/bpf.h>\n"
                       "static long (*push)(struct __sk_buff *, __u16, __u16) = (void *)18;\n"
                       '__attribute__((section("tc"), used)) int p(struct __sk_buff *s) { push(s, 0x81, 100); return 0; }\n'
                       'char l[] __attribute__((section("license"), used)) = "GPL";\n')
        run("clang", "-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", source, "-o", program)
        self.sh("b", f"tc qdisc add dev v0 clsact; tc filter add dev v0 egress bpf da obj {program} sec tc")
        send = ("import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,0);s.bind(('v0',0))\n"
                f"for _ in range(5): s.send(bytes.fromhex('{ethernet().hex()}'))")
        for offload, options, matched in (("on", ["--vlan-offload=ignore"], 0), ("on", ["--vlan-offload=metadata"], 5),
                                          ("off", [], 5)):
            self.sh("b", f"ethtool -K v0 txvlan {offload}")
            for expression, expected in (("vlan 100", (matched, 5 - matched)), ("not vlan", (5 - matched, matched))):
                process = self.attach("xdp", expression, *options, interface="v1")
                self.python("b", send)
                time.sleep(0.1)
                self.assertEqual(counted(finish(process)[1])[:3:2], expected, (offload, options, expression))


class Actions(Network):
    """Actions are seen to act."""

    def test_packets_are_dropped(self):
        for hook, action, options, interface in (("xdp", "drop", [], "vb"), ("xdp", "abort", [], "vb"),
                                                 ("tc-ingress", "shot", [], "vb"), ("tc-egress", "shot", [], "vb"),
                                                 ("xdp-frags", "drop", [], "vb"),
                                                 ("netfilter-prerouting", "drop", ["--nf", "ipv4"], None),
                                                 ("netfilter-input", "drop", ["--nf", "ipv4"], None),
                                                 ("netfilter-output", "drop", ["--nf", "ipv4"], None),
                                                 ("netfilter-postrouting", "drop", ["--nf", "ipv4"], None)):
            process = self.attach(hook, "icmp", "--match", action, *options, interface=interface)
            self.assertEqual(self.answered(count=2), 0, f"{hook} {action}")
            self.assertEqual(counted(finish(process)[1])[0], 2, f"{hook} {action}")
            self.assertEqual(self.answered(count=1), 1, f"behind {hook} {action}")

    def test_the_rest_is_dropped(self):
        process = self.attach("tc-ingress", "udp", "--no-match", "shot", "--match", "ok")
        self.assertEqual(self.answered(count=2), 0)
        self.assertEqual(counted(finish(process)[1])[2], 2)

    def test_control_groups_drop(self):
        group = self.cgroup()
        process = self.attach("cgroup-egress", "udp dst port 5300", "--cgroup", group, "--match", "drop", interface=None)
        tcpdump, path = self.capture("udp", direction="out")
        self.sh("b", f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -c \"import socket;"
                     "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nfor port in (5300, 5301):\n"
                     f" try: s.sendto(b'x',('{SIDES['a']}',port))\n except PermissionError: pass\"")
        self.assertEqual(self.captured(tcpdump, path)[0], 1)
        self.assertEqual(counted(finish(process)[1])[:3:2], (1, 1))

    def test_control_groups_drop_what_comes_in(self):
        group = self.cgroup()
        process = self.attach("cgroup-ingress", "udp dst port 5300", "--cgroup", group, "--match", "drop", interface=None)
        server = self.inside("b", "sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"', sys.executable, "-c",
                             "import socket,sys\n"
                             "all_=[socket.socket(socket.AF_INET,socket.SOCK_DGRAM) for _ in range(2)]\n"
                             "for s,port in zip(all_,(5300,5301)): s.bind(('',port));s.settimeout(2 if port==5301 else 0.1)\n"
                             "print('ready',file=sys.stderr,flush=True);print(all_[1].recv(9))\n"
                             "try: print(all_[0].recv(9))\nexcept TimeoutError: print('none')")
        wait_for_line(server, "ready")
        self.datagrams(1, port=5300, size=2)
        self.datagrams(1, port=5301, size=3)
        self.assertEqual(server.communicate(timeout=10)[0], "b'xxx'\nnone\n")
        self.assertEqual(counted(finish(process)[1])[:3:2], (1, 1))

    def test_routes_drop(self):
        for hook in ("lwt-out", "lwt-xmit"):
            self.pin("noping", hook, "icmp", "--match", "drop", "--route", "10.77.0.0/24", side="a", interface=None)
            self.assertEqual(self.answered(count=2), 0, hook)
            self.assertEqual(counted(self.listed("noping"))[0], 2, hook)
            self.tamis("detach", "noping")
            self.assertEqual(self.answered(count=1), 1, hook)

    def test_what_is_forwarded_is_dropped(self):
        self.sh("b", "ip link add w0 type veth peer name w1; ip link set w0 up; ip link set w1 up; "
                     "ip address add 10.79.0.1/24 dev w0; echo 1 > /proc/sys/net/ipv4/ip_forward;"
                     "ip neighbour add 10.79.0.9 lladdr 02:00:00:00:00:09 dev w0")
        self.sh("a", "ip route add 10.79.0.0/24 via 10.77.0.2")

        def forwarded():
            seen = self.attach("tc-egress", "icmp", interface="w0")
            self.inside("a", "ping", "-c", "2", "-i", "0.02", "-W", "0.1", "10.79.0.9").communicate()
            return counted(finish(seen)[1])[0]

        self.assertEqual(forwarded(), 2)
        process = self.attach("netfilter-forward", "icmp", "--match", "drop", "--nf", "ipv4", interface=None)
        self.assertEqual(forwarded(), 0)
        self.assertEqual(counted(finish(process)[1])[0], 2)
        self.pin("in", "lwt-in", "icmp", "--match", "drop", "--route", "10.79.0.0/24", interface=None)
        self.assertEqual(forwarded(), 0)
        self.assertEqual(counted(self.listed("in"))[0], 2)

    def test_sockets_keep(self):
        """Bytes of a match, nothing of the rest."""
        process = self.attach("socket", "icmp", "--match", "keep:64", "-Q", "in")
        self.ping(2)
        self.datagrams(1)
        self.assertEqual(counted(finish(process)[1])[:3:2], (2, 1))

    def test_xdp_sends_back(self):
        tcpdump, path = self.capture("ether[6:4] = 0x02000000", side="a")
        process = self.attach("xdp", "udp port 53", "--match", "tx")
        # veth's native tx wants a program, or GRO, at the other end.
        other = self.attach("xdp", "udp", side="a", interface="va")
        self.frames("a", ethernet(), 3)
        self.assertEqual(self.captured(tcpdump, path)[0], 3)
        self.assertEqual(counted(finish(other)[1])[0], 3)
        self.assertEqual(counted(finish(process)[1])[0], 3)

    def test_redirect(self):
        """From vb to w0, whose other end w1 sees the packets."""
        self.sh("b", "ip link add w0 type veth peer name w1; ip link set w0 up; ip link set w1 up")
        for hook, options in (("tc-ingress", []), ("xdp", ["--mode", "generic"])):
            seen = self.attach("tc-ingress", "udp port 53", interface="w1")
            process = self.attach(hook, "udp port 53", "--match", "redirect:w0", *options)
            self.frames("a", ethernet(), 4)
            time.sleep(0.1)
            self.assertEqual(counted(finish(process)[1])[0], 4, hook)
            self.assertEqual(counted(finish(seen)[1])[0], 4, hook)

    def test_order_at_tc(self):
        """Whoever ends the chain silences those behind."""
        first = self.attach("tc-ingress", "icmp")
        self.pin("end", "tc-ingress", "icmp", "--match", "ok")
        behind = self.attach("tc-ingress", "icmp")
        before = self.attach("tc-ingress", "icmp", "--before", "end")
        number = re.search(r"id (\d+)", self.pin("last", "tc-ingress", "icmp", "--after", "end"))[1]
        self.assertEqual(self.answered(count=3), 3)
        seen = [counted(finish(process)[1])[0] for process in (first, before, behind)]
        self.assertEqual(seen + [counted(self.listed(name))[0] for name in ("end", "last")], [3, 3, 0, 3, 0])
        self.refused(2, f"no program 'nobody'.*\n.*{number} 'tamis_last'", "tc-ingress", "icmp", "--before", "nobody")
        finish(self.attach("tc-ingress", "icmp", "--after", number))


if __name__ == "__main__":
    main()
