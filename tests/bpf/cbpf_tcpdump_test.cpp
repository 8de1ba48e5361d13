// Listings byte for byte as libpcap prints them: every opcode against its bpf_image, programs
// against its bpf_dump, and what tcpdump itself prints for many expressions.
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <pcap.h>

#include "bpf/cbpf_text.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/random_cbpf.h"
#include "tests/support/shell.h"

namespace tamis::cbpf {
namespace {

bpf_insn theirs(Insn const& insn) { return {insn.code, insn.jt, insn.jf, insn.k}; }

TEST(Libpcap, EveryOpcode) {
    constexpr std::uint32_t ks[] = {0,          1,          12,         0x800,
                                    0x7fffffff, 0x80000000, 0xfffff000, 0xfffff028,
                                    0xfffff03c, 0xfffff03d, 0xfffff040, 0xffffffff};
    for (std::uint32_t code = 0; code <= 0xffff; ++code)
        for (std::uint32_t const k : ks) {
            Insn const insn{static_cast<std::uint16_t>(code), 3, 250, k};
            bpf_insn const copy = theirs(insn);
            ASSERT_EQ(disassemble(insn, 7), bpf_image(&copy, 7)) << code << ' ' << k;
            if (code > 0xff) break;
        }
}

TEST(Libpcap, EveryAncillaryAndIndex) {
    for (std::uint16_t const code : {std::uint16_t{0x20}, std::uint16_t{0x28}, std::uint16_t{0x30},
                                     std::uint16_t{0x40}, std::uint16_t{0xb1}})
        for (std::uint32_t k = ancillary_base - 8; k < ancillary_base + 80; ++k) {
            bpf_insn const copy = theirs({code, 0, 0, k});
            ASSERT_EQ(disassemble({code, 0, 0, k}, 0), bpf_image(&copy, 0));
        }
    for (int const index : {0, 9, 10, 99, 100, 999, 1000, 4095, 100000})
        for (std::uint16_t const code : {std::uint16_t{0x05}, std::uint16_t{0x15}}) {
            Insn const insn{code, 255, 0, 0xfffffff0};
            bpf_insn const copy = theirs(insn);
            ASSERT_EQ(disassemble(insn, static_cast<std::size_t>(index)), bpf_image(&copy, index));
        }
}

std::string dump(Program const& program, int option) {
    std::vector<bpf_insn> insns;
    for (Insn const& insn : program.insns) insns.push_back(theirs(insn));
    bpf_program const copy{static_cast<u_int>(insns.size()), insns.data()};
    testing::internal::CaptureStdout();
    bpf_dump(&copy, option);
    return testing::internal::GetCapturedStdout();
}

TEST(Libpcap, RandomPrograms) {
    test::RandomPrograms::Options options;
    options.junk_fields = true;
    options.header_offsets = true;
    for (Ancillary const& row : ancillaries()) options.ancillaries.push_back(row.number);
    test::RandomPrograms programs(7, options);
    for (int i = 0; i < 200; ++i) {
        Program const program = programs.next();
        ASSERT_EQ(listing(program), dump(program, 1));
        ASSERT_EQ(c_initialisers(program), dump(program, 2));
        ASSERT_EQ(decimal(program), dump(program, 3));
    }
}

void expect_tcpdumps_bytes(std::string const& options, std::string const& expression) {
    SCOPED_TRACE(options + " '" + expression + "'");
    auto const tcpdump = [&](std::string const& form) {
        return test::shell("tcpdump " + options + ' ' + form + " '" + expression + "' 2>/dev/null")
            .text;
    };
    std::string const numbers = tcpdump("-ddd"), text = tcpdump("-d"), c = tcpdump("-dd");
    ASSERT_FALSE(numbers.empty()) << "tcpdump refuses this expression";
    auto const program = read(numbers);
    ASSERT_TRUE(program) << program.error().message << '\n' << numbers;
    EXPECT_EQ(decimal(*program), numbers);
    EXPECT_EQ(listing(*program), text);
    EXPECT_EQ(c_initialisers(*program), c);
    for (std::string const& form : {c, bytecode(*program)}) {
        auto const again = read(form);
        ASSERT_TRUE(again) << again.error().message << '\n' << form;
        EXPECT_EQ(again->insns, program->insns);
    }
    // libpcap's optimiser leaves numbers in `tax` and the like, which a listing does not show.
    auto const again = read(text);
    ASSERT_TRUE(again) << again.error().message << '\n' << text;
    EXPECT_EQ(listing(*again), text);
}

constexpr char const* ethernet[] = {
    "",
    "ip",
    "ip6",
    "arp",
    "rarp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "igmp",
    "ah or esp",
    "pim",
    "vrrp",
    "atalk",
    "aarp",
    "decnet",
    "ipx",
    "netbeui",
    "stp",
    "iso",
    "clnp",
    "esis",
    "isis",
    "l1",
    "csnp",
    "broadcast",
    "host 10.0.0.1",
    "src host 10.0.0.1",
    "dst 10.0.0.1 and tcp",
    "host 10.0.0.1 or host 10.0.0.2 or host 10.0.0.3",
    "ip host 192.168.1.1",
    "arp host 192.168.1.1",
    "host 2001:db8::1",
    "src host ::1",
    "ip6 host fe80::1 and tcp",
    "net 10",
    "net 10.0.0.0/8",
    "net 192.168.1.0 mask 255.255.255.128",
    "src net 172.16.0.0/12",
    "net 2001:db8::/32",
    "dst net fe80::/10",
    "net 0.0.0.0/0",
    "port 80",
    "tcp port 80",
    "udp port 53",
    "src port 1024",
    "tcp dst port 443",
    "port 53 or port 80 or port 443",
    "portrange 1000-2000",
    "udp dst portrange 10-20",
    "tcp src portrange 5000-5010 and host 10.1.2.3",
    "ether host 00:11:22:33:44:55",
    "ether src 00:11:22:33:44:55",
    "ether dst ff:ff:ff:ff:ff:ff",
    "ether broadcast",
    "ether multicast",
    "ip multicast",
    "ip6 multicast",
    "ether proto 0x88cc",
    "ether proto 0x1234",
    "ip proto 47",
    "ip6 proto 6",
    "proto 17",
    "less 100",
    "greater 1000",
    "len = 64",
    "len >= 100 and len <= 200",
    "vlan",
    "vlan 100",
    "vlan and tcp port 80",
    "vlan 100 and vlan 200 and ip",
    "mpls",
    "mpls 1000",
    "mpls 100 and mpls 1024 and host 192.9.200.1",
    "pppoed",
    "pppoes",
    "pppoes 7 and tcp port 80",
    "geneve",
    "geneve 5 and ip6",
    "ip[0] & 0xf != 5",
    "ip[6:2] & 0x1fff = 0",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] = 2",
    "tcp[20:4] = 0x47455420",
    "tcp[(tcp[12]>>2):4] = 0x48545450",
    "udp[8:2] > 5",
    "icmp[icmptype] = icmp-echo",
    "icmp[0] = 8 or icmp[0] = 0",
    "ether[0] & 1 = 0",
    "ether[12:2] > 1500",
    "ip[2:2] - ((ip[0] & 0xf) << 2) > 100",
    "len - 14 > ip[2:2]",
    "ip[8] * 2 + 1 < 100",
    "ip[8] / 3 = 5",
    "ip[8] % 3 = 1",
    "ip[8] ^ 0xff = 1",
    "0 - ip[8] = 1",
    "ip[0] << ip[1] = 4",
    "ip[ip[0] & 0xf] = ip[1] | 3",
    "ether[len - 5] = 0",
    "ether[-4:4] = 0",
    "ether[0xfffff004:4] = 3",
    "not port 22",
    "not (tcp and port 80) and not arp",
    "tcp or udp or icmp",
    "(tcp port 80 or tcp port 443) and net 10 and not host 10.0.0.1",
    "ip and (not tcp or not port 22) and len > 60",
    "ip protochain 6",
    "ip6 protochain 58",
    "inbound",
    "outbound",
    "ifindex 3",
    "not broadcast and not multicast",
};

bool have_tcpdump() { return test::have_program("tcpdump"); }

TEST(Tcpdump, Ethernet) {
    TAMIS_NEED_KERNEL("tcpdump", have_tcpdump());
    for (char const* const expression : ethernet) expect_tcpdumps_bytes("", expression);
}

TEST(Tcpdump, Unoptimised) {
    TAMIS_NEED_KERNEL("tcpdump", have_tcpdump());
    for (char const* const expression :
         {"tcp port 80", "host 10.0.0.1 or net 2001:db8::/32", "vlan 5 and tcp[13] & 2 != 0",
          "ip[2:2] - ((ip[0] & 0xf) << 2) > ip[8] * 2 % 7", "ip protochain 6", "geneve and ip"})
        expect_tcpdumps_bytes("-O", expression);
}

TEST(Tcpdump, OtherLinkTypes) {
    TAMIS_NEED_KERNEL("tcpdump", have_tcpdump());
    for (char const* const link_type : {"IEEE802_11_RADIO",
                                        "IEEE802_11",
                                        "PRISM_HEADER",
                                        "PPI",
                                        "LINUX_SLL",
                                        "LINUX_SLL2",
                                        "RAW",
                                        "NULL",
                                        "LOOP",
                                        "PPP",
                                        "PPP_ETHER",
                                        "C_HDLC",
                                        "FRELAY",
                                        "FDDI",
                                        "IEEE802",
                                        "PFLOG",
                                        "SUNATM",
                                        "ARCNET_LINUX",
                                        "IP_OVER_FC",
                                        "SLIP",
                                        "JUNIPER_ETHER",
                                        "BACNET_MS_TP"})
        for (char const* const expression : {"tcp port 80", "ip6 or len > 5"})
            expect_tcpdumps_bytes(std::string("-y ") + link_type, expression);
    for (char const* const expression : {"type mgt", "wlan addr1 00:11:22:33:44:55 and ip",
                                         "type data subtype qos-data", "dir tods"})
        expect_tcpdumps_bytes("-y IEEE802_11_RADIO", expression);
}

}  // namespace
}  // namespace tamis::cbpf
