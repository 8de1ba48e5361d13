// Small programs written by hand, for tests of what comes behind the translator.
#pragma once

#include "bpf/builder.h"
#include "bpf/ebpf.h"

namespace tamis::test {

inline ebpf::MapSpec counters_map() {
    return {.name = "counters",
            .type = ebpf::MapType::percpu_array,
            .key_size = 4,
            .max_entries = 2,
            .value_type = "counter",
            .value_fields = {"packets", "bytes"}};
}

// Counts one packet of r9 bytes under the key in the word at r10 - 4.
inline void count(ebpf::Builder& b) {
    using enum ebpf::Reg;
    auto const out = b.label();
    b.load_map(r1, 0).mov(r2, r10).alu(ebpf::Alu::add, r2, -4);
    b.call(ebpf::Helper::map_lookup_elem).jump(ebpf::Cond::eq, r0, 0, out);
    b.load(ebpf::Size::dword, r1, r0, 0).alu(ebpf::Alu::add, r1, 1);
    b.store(ebpf::Size::dword, r0, 0, r1);
    b.load(ebpf::Size::dword, r1, r0, 8).alu(ebpf::Alu::add, r1, r9);
    b.store(ebpf::Size::dword, r0, 8, r1).bind(out);
}

inline ebpf::Program finished(ebpf::Builder& b, std::vector<ebpf::MapSpec> maps,
                              std::vector<ebpf::Function> functions) {
    ebpf::Program program = b.finish().value();
    program.maps = std::move(maps);
    program.functions = std::move(functions);
    return program;
}

// XDP: passes everything; counts IPv4 packets at index 1, others at 0.
inline ebpf::Program xdp_counter() {
    using namespace ebpf;
    using enum Reg;
    Builder b;
    auto const counted = b.label();
    b.load(Size::word, r7, r1, 0).load(Size::word, r8, r1, 4);
    b.mov(r9, r8).alu(Alu::sub, r9, r7).store(Size::word, r10, -4, 0);
    b.mov(r1, r7).alu(Alu::add, r1, 14).jump(Cond::gt, r1, r8, counted);
    b.load(Size::half, r1, r7, 12).to_be(16, r1).jump(Cond::ne, r1, 0x800, counted);
    b.store(Size::word, r10, -4, 1).bind(counted);
    count(b);
    b.mov(r0, 2).exit();
    return finished(b, {counters_map()}, {{"ip_counter", 0}});
}

// tc: hands everything on; counts like xdp_counter(), but reads the packet by LD_ABS, which the
// verifier allows in a static function only where BTF says that the function returns an int.  The
// static function calls another one, so that every kind of call is there.
inline ebpf::Program tc_counter() {
    using namespace ebpf;
    using enum Reg;
    Builder b;
    auto const filter = b.label(), answer = b.label(), no = b.label();
    b.load(Size::word, r9, r1, 0).call(filter).store(Size::word, r10, -4, r0);
    count(b);
    b.mov(r0, -1).exit();
    auto const filter_begin = static_cast<std::uint32_t>(b.size());
    b.bind(filter).mov(r6, r1).load_packet(Size::half, 12).jump(Cond::ne, r0, 0x800, no);
    b.mov(r1, r6).call(answer).exit();
    b.bind(no).mov(r0, 0).exit();
    auto const answer_begin = static_cast<std::uint32_t>(b.size());
    b.bind(answer).mov(r0, 1).exit();
    return finished(b, {counters_map()},
                    {{"ip_counter", 0}, {"filter", filter_begin}, {"answer", answer_begin}});
}

// Socket: keeps 10 bytes of what begins with `first`, nothing of the rest.
inline ebpf::Program socket_filter(std::uint8_t first) {
    using namespace ebpf;
    using enum Reg;
    Builder b;
    auto const no = b.label();
    b.mov(r6, r1).load_packet(Size::byte, 0).jump(Cond::ne, r0, first, no);
    b.mov(r0, 10).exit().bind(no).mov(r0, 0).exit();
    return finished(b, {}, {{"first_byte", 0}});
}

}  // namespace tamis::test
