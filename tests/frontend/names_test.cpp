// Names: the built-in tables beside this machine's, and who else is asked.
#include "frontend/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include "frontend/compile.h"

namespace {

using namespace tamis;
using namespace tamis::frontend;
using testing::HasSubstr;

struct FixedNames final : Names {
    Hosts hosts(std::string_view name) const override {
        if (name == "four" || name == "router") return {{0x0a000001, 0x0a000002}, {}};
        if (name == "six") return {{}, {{0x20010db8, 0, 0, 1}}};
        if (name == "both") return {{0x0a000001}, {{0x20010db8, 0, 0, 1}}};
        return {};
    }
    std::optional<std::uint32_t> network(std::string_view name) const override {
        if (name == "ten") return 10;
        if (name == "lan") return 0xc0a8;
        return std::nullopt;
    }
    std::optional<std::uint64_t> ether(std::string_view name) const override {
        if (name == "box" || name == "router" || name == "six") return 0x0200'0000'0001;
        return std::nullopt;
    }
    std::optional<Service> service(std::string_view name) const override {
        if (name == "ours") return Service{7777, true, true};
        if (name == "http") return Service{8888, true, true};
        return std::nullopt;
    }
    std::optional<std::uint32_t> ip_protocol(std::string_view name) const override {
        if (name == "ourproto") return 200;
        if (name == "gre") return 201;
        return std::nullopt;
    }
};

FixedNames const fixed;

cbpf::Program program(std::string_view text, Options const& options) {
    auto compiled = compile(text, options);
    EXPECT_TRUE(compiled) << text << ": " << compiled.error().message;
    return compiled ? compiled->program : cbpf::Program{};
}

void expect_same(std::string_view text, std::string_view meant, Options const& options) {
    auto const with_name = program(text, options), with_number = program(meant, {});
    EXPECT_EQ(with_name.insns, with_number.insns) << text << " is not " << meant;
}

std::string error(std::string_view text, Options const& options) {
    auto const compiled = compile(text, options);
    return compiled ? "no error" : compiled.error().message;
}

TEST(Names, AreAskedFor) {
    Options const options{.names = &fixed};
    expect_same("host four", "host 10.0.0.1 or host 10.0.0.2", options);
    expect_same("src four", "src host 10.0.0.1 or src host 10.0.0.2", options);
    expect_same("host six", "host 2001:db8::1", options);
    expect_same("host both", "host 10.0.0.1 or host 2001:db8::1", options);
    expect_same("ip6 host both", "host 2001:db8::1", options);
    expect_same("arp host both", "arp host 10.0.0.1", options);
    expect_same("not host four", "not (host 10.0.0.1 or host 10.0.0.2)", options);
    expect_same("host (four or both)",
                "(host 10.0.0.1 or host 10.0.0.2) or (host 10.0.0.1 or host 2001:db8::1)", options);
    expect_same("net ten", "net 10", options);
    expect_same("net lan", "net 192.168", options);
    expect_same("gateway router", "ether host 2:0:0:0:0:1 and not (host 10.0.0.1 or host 10.0.0.2)",
                options);
    expect_same("ip gateway router",
                "ether host 2:0:0:0:0:1 and ip and "
                "not (ip host 10.0.0.1 or ip host 10.0.0.2)",
                options);
    expect_same("ether src box", "ether src 2:0:0:0:0:1", options);
    expect_same("port ours", "port 7777", options);
    expect_same("portrange 80-ours", "portrange 80-7777", options);
    expect_same("ip proto ourproto", "ip proto 200", options);
}

TEST(Names, OfGatewaysHaveBothAddresses) {
    Options const options{.names = &fixed};
    EXPECT_EQ(error("gateway box", options), "unknown host 'box'");
    EXPECT_EQ(error("gateway four", options), "unknown Ethernet host 'four'");
    EXPECT_EQ(error("gateway six", options), "unknown host 'six'");  // no IPv4 address
    EXPECT_THAT(error("gateway router", {}), HasSubstr("unknown"));
    EXPECT_THAT(error("gateway 10.0.0.1", options), HasSubstr("takes no address"));
    EXPECT_THAT(error("gateway 10", options), HasSubstr("no host's name"));
    EXPECT_THAT(error("ip6 gateway router", options), HasSubstr("does not go with"));
    EXPECT_THAT(error("tcp gateway router", options), HasSubstr("does not go with"));
    EXPECT_THAT(error("mpls and gateway router", options), HasSubstr("behind MPLS"));
    EXPECT_THAT(error("geneve and gateway router", options), HasSubstr("behind tunnels"));
    EXPECT_FALSE(compile("gateway router", {.link_type = dlt_raw, .names = &fixed}));
    EXPECT_TRUE(compile("gateway router", {.link_type = dlt_radiotap, .names = &fixed}));
}

TEST(Names, OfTheBuiltInTablesComeFirstUnlessToldOtherwise) {
    Options options{.names = &fixed};
    expect_same("port http", "tcp port 80", options);
    expect_same("ip proto gre", "ip proto 47", options);
    options.names_first = true;
    expect_same("port http", "port 8888", options);
    expect_same("ip proto gre", "ip proto 201", options);
    expect_same("port domain", "port 53", options);
}

TEST(Names, ThatNobodyKnowsAreErrors) {
    for (Names const* const names : {static_cast<Names const*>(&fixed), Options{}.names}) {
        Options const options{.names = names};
        EXPECT_EQ(error("host nobody", options), "unknown host 'nobody'");
        EXPECT_EQ(error("net nobody", options), "unknown network 'nobody'");
        EXPECT_EQ(error("ether host nobody", options), "unknown Ethernet host 'nobody'");
        EXPECT_THAT(error("port nobody", options), HasSubstr("not a known service"));
        EXPECT_THAT(error("proto nobody", options), HasSubstr("not a known IP protocol"));
    }
    Options const options{.names = &fixed};
    EXPECT_EQ(error("ip6 host four", options), "'four' has no IPv6 addresses");
    EXPECT_EQ(error("arp host six", options), "'six' has no IPv4 addresses");
    EXPECT_THAT(error("ether net ten", options), HasSubstr("'ether' has addresses of six bytes"));
    EXPECT_THAT(error("tcp host four", options), HasSubstr("'tcp' does not go with 'host'"));
    EXPECT_THAT(error("proto mptcp", options), HasSubstr("does not fit in a byte"));
}

TEST(Names, AreThoseOfNetbase) {
    EXPECT_TRUE(find_service("syslog")->tcp);
    EXPECT_TRUE(find_service("syslog")->udp);
    EXPECT_EQ(find_service("dicom")->port, 104);  // the first of two
    EXPECT_FALSE(find_service("amqp")->udp);
    EXPECT_FALSE(find_service("nbp"));  // not of an Internet protocol
    EXPECT_FALSE(find_service("HTTP"));
    EXPECT_EQ(find_ip_protocol("CPHB"), 73U);
    EXPECT_EQ(find_ether_type("slow"), 0x8809);
    EXPECT_EQ(find_ether_type("PTP"), 0x88f7);
    EXPECT_EQ(nearest_service("htttp"), "http");
}

// Where the C library knows a name of ours, it means the same there (Debian's netbase installed).
TEST(Names, AgreeWithTheMachines) {
    setservent(1);
    std::size_t compared = 0;
    while (servent const* const entry = getservent()) {
        auto const ours = find_service(entry->s_name);
        if (!ours || std::string_view(entry->s_proto).size() != 3) continue;
        auto const theirs = system_names().service(entry->s_name);
        ASSERT_TRUE(theirs) << entry->s_name;
        EXPECT_EQ(ours->port, theirs->port) << entry->s_name;
        EXPECT_EQ(ours->tcp, theirs->tcp) << entry->s_name;
        EXPECT_EQ(ours->udp, theirs->udp) << entry->s_name;
        ++compared;
    }
    endservent();
    if (compared == 0) GTEST_SKIP() << "this machine has no /etc/services";
}

TEST(Names, OfThisMachine) {
    auto const hosts = system_names().hosts("127.0.0.1");  // no resolver is asked
    ASSERT_EQ(hosts.ip4.size(), 1U);
    EXPECT_EQ(hosts.ip4[0], 0x7f000001U);
    ASSERT_EQ(system_names().hosts("::1").ip6.size(), 1U);
    EXPECT_FALSE(system_names().service("no-such-service-name"));
    EXPECT_FALSE(system_names().ip_protocol("no-such-protocol"));
    EXPECT_FALSE(system_names().ether("no-such-ether"));
}

}  // namespace
