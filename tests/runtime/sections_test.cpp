// The table of sections against libbpf's own, and objects that are broken.
#include "runtime/sections.h"

#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "runtime/elf_object.h"
#include "runtime/object_targets.h"
#include "runtime/program_types.h"

namespace tamis::runtime {
namespace {

int silent(libbpf_print_level, char const*, va_list) { return 0; }

TEST(Sections, TypesAreThoseOfLibbpf) {
    libbpf_set_print(silent);
    int known = 0;
    for (SectionRow const& row : sections()) {
        bpf_prog_type type{};
        bpf_attach_type attach_type{};
        std::string const name = std::string(row.name) + (row.tail == Tail::required ? "/x" : "");
        if (libbpf_prog_type_by_name(name.c_str(), &type, &attach_type) != 0) continue;
        ++known;
        EXPECT_EQ(row.prog_type, static_cast<std::uint32_t>(type)) << name;
        // Where it says 0 for a type that has none we may say how we attach.
        if (attach_type == 0) continue;
        EXPECT_EQ(row.attach_type, static_cast<std::uint32_t>(attach_type)) << name;
    }
    EXPECT_GE(known, 80);
}

TEST(Sections, EveryRowIsFoundByItsName) {
    for (SectionRow const& row : sections()) {
        std::string const name = std::string(row.name) + (row.tail == Tail::required ? "/x" : "");
        EXPECT_EQ(find_section(name).row, &row) << name;
        EXPECT_EQ(find_section(name).tail, row.tail == Tail::required ? "x" : "") << name;
        EXPECT_EQ(row.by == AttachBy::nobody, !row.reason.empty()) << name;
        EXPECT_FALSE(program_type(row.prog_type).name.empty()) << name;
    }
}

TEST(Sections, Names) {
    auto const name_of = [](std::string_view section) {
        auto const found = find_section(section);
        return found.row ? fmt::format("{} {}", found.row->name, found.tail) : "none";
    };
    EXPECT_EQ(name_of("kprobe/tcp_v4_rcv+8"), "kprobe tcp_v4_rcv+8");
    EXPECT_EQ(name_of("?kprobe/f"), "kprobe f");
    EXPECT_EQ(name_of("kprobe"), "none");
    EXPECT_EQ(name_of("kprobe/"), "none");
    EXPECT_EQ(name_of("socket1"), "socket 1");
    EXPECT_EQ(name_of("xdp_prog"), "xdp _prog");
    EXPECT_EQ(name_of("xdp.frags"), "xdp.frags ");
    EXPECT_EQ(name_of("tracepoint/net/netif_rx"), "tracepoint net/netif_rx");
    EXPECT_EQ(name_of("tcp"), "none");
    EXPECT_EQ(name_of(""), "none");
}

TEST(Targets, PlacesInFiles) {
    auto const function = [](std::string_view tail, std::string_view binary) {
        UserFunction const place = user_function(tail, binary);
        return fmt::format("{} {} {}", place.file, place.function.name, place.function.offset);
    };
    EXPECT_EQ(function("/lib/libc.so.6:open+0x10", ""), "/lib/libc.so.6 open 16");
    EXPECT_EQ(function("open+4", "/lib/libc.so.6"), "/lib/libc.so.6 open 4");
    EXPECT_EQ(function("open", "/lib/libc.so.6:close"), "/lib/libc.so.6 close 0");
    EXPECT_EQ(function("/lib/a:open", "/lib/b"), "/lib/b open 0");
    EXPECT_EQ(function("open", ""), " open 0");
    EXPECT_EQ(function("operator+", "f"), "f operator+ 0");
    auto const tracepoint = [](std::string_view tail, std::string_view binary) {
        UserTracepoint const place = user_tracepoint(tail, binary);
        return fmt::format("{} {} {}", place.file, place.provider, place.name);
    };
    EXPECT_EQ(tracepoint("/lib/libc.so.6:libc:setjmp", ""), "/lib/libc.so.6 libc setjmp");
    EXPECT_EQ(tracepoint("libc:setjmp", "/lib/libc.so.6"), "/lib/libc.so.6 libc setjmp");
    EXPECT_EQ(tracepoint("/lib/a:p:n", "/lib/b"), "/lib/b p n");
    EXPECT_EQ(tracepoint("p:n", ""), " p n");
}

TEST(Targets, NetfilterPlaces) {
    EXPECT_EQ(parse_netfilter("ipv4:prerouting")->hook, 0U);
    EXPECT_EQ(parse_netfilter("ipv6:postrouting:-100")->priority, -100);
    for (char const* text :
         {"", "ipv4", "ipv4:", "ipv5:input", "ipv4:inputs", "ipv4:input:", "ipv4:input:x"})
        EXPECT_FALSE(parse_netfilter(text)) << text;
}

TEST(ElfObject, WhatIsNoneIsRefused) {
    EXPECT_FALSE(read_elf({}));
    std::byte const zeros[64] = {};
    EXPECT_EQ(read_elf(zeros).error().message, "it is no ELF file");
    EXPECT_EQ(modernised(zeros).error().message, "it is no ELF file");
}

}  // namespace
}  // namespace tamis::runtime
