// What the eBPF interpreter computes, and what it refuses.
#include "runtime/ebpf_vm.h"

#include <functional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/builder.h"

namespace tamis::runtime {
namespace {

using namespace ebpf;
using enum ebpf::Reg;
using testing::HasSubstr;

using Write = std::function<void(Builder&)>;

std::array<std::uint8_t, 20> const bytes = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
                                            0x07, 0x08, 0x09, 0x0a, 0x0b, 0x08, 0x00,
                                            0x45, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5};

Packet packet() {
    Packet p{.bytes = bytes, .length = 60, .ancillary = {}, .network = 14, .link = 0};
    for (std::uint32_t i = 0; i < 16; ++i) p.ancillary[i] = 0x01020300 + i;
    return p;
}

Program program_of(Write const& write) {
    Builder b;
    write(b);
    Result<Program> program = b.finish();
    EXPECT_TRUE(program) << program.error().message;
    program->maps.push_back({.name = "counters",
                             .max_entries = 2,
                             .value_type = "counter",
                             .value_fields = {"packets", "bytes"}});
    return *program;
}

Result<std::uint64_t> run_at(Hook hook, Write const& write) {
    Program const program = program_of(write);
    MapMemory maps = map_memory(program);
    return run(program, row(hook), packet(), maps);
}

std::uint64_t value(Hook hook, Write const& write) {
    Result<std::uint64_t> const result = run_at(hook, write);
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(0xdeadbeef);
}
std::uint64_t value(Write const& write) { return value(Hook::socket, write); }

std::string error(Hook hook, Write const& write) {
    Result<std::uint64_t> const result = run_at(hook, write);
    return result ? "no error" : result.error().message;
}
std::string error(Write const& write) { return error(Hook::socket, write); }

// r0 = a op b, both widths.
std::uint64_t alu(Alu op, std::uint64_t a, std::uint64_t b) {
    return value([&](Builder& x) { x.load_imm64(r0, a).load_imm64(r1, b).alu(op, r0, r1).exit(); });
}
std::uint64_t alu32(Alu op, std::uint64_t a, std::uint64_t b) {
    return value(
        [&](Builder& x) { x.load_imm64(r0, a).load_imm64(r1, b).alu32(op, r0, r1).exit(); });
}

constexpr std::uint64_t minus(std::uint64_t x) { return 0 - x; }

TEST(EbpfVm, Arithmetic) {
    EXPECT_EQ(alu(Alu::add, ~0ULL, 2), 1U);
    EXPECT_EQ(alu(Alu::sub, 1, 2), ~0ULL);
    EXPECT_EQ(alu(Alu::mul, 1ULL << 40, 1ULL << 20), 1ULL << 60);
    EXPECT_EQ(alu(Alu::div, minus(10), 3), minus(10) / 3);
    EXPECT_EQ(alu(Alu::mod, 10, 3), 1U);
    EXPECT_EQ(alu(Alu::or_, 0xf0, 0x0f), 0xffU);
    EXPECT_EQ(alu(Alu::and_, 0xf0, 0x3f), 0x30U);
    EXPECT_EQ(alu(Alu::xor_, 0xff, 0x0f), 0xf0U);
    EXPECT_EQ(alu(Alu::mov, 1, 2), 2U);
    EXPECT_EQ(alu(Alu::arsh, minus(8), 1), minus(4));
}

TEST(EbpfVm, NarrowArithmeticClearsTheUpperHalf) {
    EXPECT_EQ(alu32(Alu::add, 0x1ffffffffULL, 2), 1U);
    EXPECT_EQ(alu32(Alu::sub, 1, 2), 0xffffffffU);
    EXPECT_EQ(alu32(Alu::mov, 0, 0x1122334455667788ULL), 0x55667788U);
    EXPECT_EQ(alu32(Alu::arsh, 0x80000000U, 31), 0xffffffffU);
    EXPECT_EQ(alu32(Alu::xor_, 0xff000000ffULL, 0), 0xffU);
    EXPECT_EQ(value([](Builder& b) { b.mov(r0, -1).neg32(r0).exit(); }), 1U);
    EXPECT_EQ(value([](Builder& b) { b.mov32(r0, -1).exit(); }), 0xffffffffU);
    EXPECT_EQ(value([](Builder& b) { b.mov(r0, -1).exit(); }), ~0ULL);
    EXPECT_EQ(value([](Builder& b) { b.mov(r0, 5).alu(Alu::neg, r0, 0).exit(); }), minus(5));
}

TEST(EbpfVm, DivisionByZero) {
    EXPECT_EQ(alu(Alu::div, 7, 0), 0U);
    EXPECT_EQ(alu(Alu::mod, 7ULL << 32, 0), 7ULL << 32);
    EXPECT_EQ(alu32(Alu::div, 7, 1ULL << 32), 0U);  // zero in the lower half
    EXPECT_EQ(alu32(Alu::mod, 7ULL << 32 | 9, 0), 9U);
}

TEST(EbpfVm, ShiftCountsAreMasked) {
    EXPECT_EQ(alu(Alu::lsh, 1, 65), 2U);
    EXPECT_EQ(alu(Alu::rsh, 4, 66), 1U);
    EXPECT_EQ(alu32(Alu::lsh, 1, 33), 2U);
    EXPECT_EQ(alu32(Alu::rsh, 4, 34), 1U);
    EXPECT_EQ(alu32(Alu::arsh, 0xfffffff8U, 33), 0xfffffffcU);
}

// Programs of instructions that the builder has no method for.
std::uint64_t raw(std::uint64_t a, std::uint64_t b, Insn insn) {
    Program program;
    auto const imm64 = [&](unsigned reg, std::uint64_t v) {
        program.insns.push_back(make_insn(0x18, reg, 0, 0, static_cast<std::int32_t>(v)));
        program.insns.push_back(make_insn(0, 0, 0, 0, static_cast<std::int32_t>(v >> 32)));
    };
    imm64(0, a);
    imm64(1, b);
    program.insns.push_back(insn);
    program.insns.push_back(make_insn(0x95));
    MapMemory maps;
    Result<std::uint64_t> const result = run(program, row(Hook::socket), packet(), maps);
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(0xdeadbeef);
}

TEST(EbpfVm, SignedDivision) {
    Insn const sdiv = make_insn(0x3f, 0, 1, 1), smod = make_insn(0x9f, 0, 1, 1);
    Insn const sdiv32 = make_insn(0x3c, 0, 1, 1), smod32 = make_insn(0x9c, 0, 1, 1);
    EXPECT_EQ(raw(minus(7), 2, sdiv), minus(3));
    EXPECT_EQ(raw(minus(7), 2, smod), minus(1));
    EXPECT_EQ(raw(7, minus(2), smod), 1U);
    EXPECT_EQ(raw(minus(7), 0, sdiv), 0U);
    EXPECT_EQ(raw(minus(7), 0, smod), minus(7));
    EXPECT_EQ(raw(1ULL << 63, minus(1), sdiv), 1ULL << 63);
    EXPECT_EQ(raw(1ULL << 63, minus(1), smod), 0U);
    EXPECT_EQ(raw(0x80000000U, 0xffffffffU, sdiv32), 0x80000000U);
    EXPECT_EQ(raw(0x80000000U, 0xffffffffU, smod32), 0U);
    EXPECT_EQ(raw(0xfffffff9U, 2, sdiv32), 0xfffffffdU);
    EXPECT_EQ(raw(minus(7), 0, smod32), 0xfffffff9U);
    EXPECT_EQ(raw(minus(8), 0, make_insn(0x37, 0, 0, 1, -4)), 2U);
}

TEST(EbpfVm, SignExtension) {
    EXPECT_EQ(raw(0, 0x80, make_insn(0xbf, 0, 1, 8)), minus(128));
    EXPECT_EQ(raw(0, 0x7fff, make_insn(0xbf, 0, 1, 16)), 0x7fffU);
    EXPECT_EQ(raw(0, 0x80000000U, make_insn(0xbf, 0, 1, 32)), 0xffffffff80000000ULL);
    EXPECT_EQ(raw(0, 0xff80, make_insn(0xbc, 0, 1, 8)), 0xffffff80U);
}

TEST(EbpfVm, ByteOrder) {
    std::uint64_t const x = 0x1122334455667788;
    EXPECT_EQ(raw(x, 0, make_insn(0xdc, 0, 0, 0, 16)), 0x8877U);
    EXPECT_EQ(raw(x, 0, make_insn(0xdc, 0, 0, 0, 32)), 0x88776655U);
    EXPECT_EQ(raw(x, 0, make_insn(0xdc, 0, 0, 0, 64)), 0x8877665544332211U);
    EXPECT_EQ(raw(x, 0, make_insn(0xd4, 0, 0, 0, 16)), 0x7788U);
    EXPECT_EQ(raw(x, 0, make_insn(0xd4, 0, 0, 0, 64)), x);
    EXPECT_EQ(raw(x, 0, make_insn(0xd7, 0, 0, 0, 16)), 0x8877U);
    EXPECT_EQ(raw(x, 0, make_insn(0xd7, 0, 0, 0, 64)), 0x8877665544332211U);
}

TEST(EbpfVm, Conditions) {
    struct Case {
        Cond cond;
        std::uint64_t a, b;
        bool wide, narrow;  // taken with 64 and with 32 bits
    };
    std::uint64_t const high = 1ULL << 32;
    for (Case const& c : std::initializer_list<Case>{
             {Cond::eq, high, 0, false, true},
             {Cond::ne, high, 0, true, false},
             {Cond::gt, high, 1, true, false},
             {Cond::ge, high, 0, true, true},
             {Cond::lt, 1, high, true, false},
             {Cond::le, 1, high, true, false},
             {Cond::set, high, high, true, false},
             {Cond::sgt, 0xffffffff, 0, true, false},
             {Cond::sge, minus(1), 0, false, false},
             {Cond::slt, 0xffffffff, 0, false, true},
             {Cond::sle, minus(1), 0, true, true},
             {Cond::gt, minus(1), 0, true, true},
         }) {
        auto const taken = [&](bool wide) {
            return value([&](Builder& b) {
                Builder::Label const yes = b.label();
                b.load_imm64(r1, c.a).load_imm64(r2, c.b);
                if (wide) b.jump(c.cond, r1, r2, yes);
                if (!wide) b.jump32(c.cond, r1, r2, yes);
                b.mov(r0, 0).exit().bind(yes).mov(r0, 1).exit();
            });
        };
        EXPECT_EQ(taken(true), c.wide) << int(c.cond) << ' ' << c.a << ' ' << c.b;
        EXPECT_EQ(taken(false), c.narrow) << int(c.cond) << ' ' << c.a << ' ' << c.b;
    }
    // Immediates are sign-extended for the 64-bit comparison only.
    EXPECT_EQ(value([](Builder& b) {
                  Builder::Label const yes = b.label();
                  b.mov32(r0, -1).jump32(Cond::eq, r0, -1, yes).exit();
                  b.bind(yes).jump(Cond::eq, r0, -1, yes).mov(r0, 3).exit();
              }),
              3U);
}

TEST(EbpfVm, Gotol) { EXPECT_EQ(raw(4, 0, make_insn(0x06, 0, 0, 0, 0)), 4U); }

TEST(EbpfVm, StackHoldsWhatWasWritten) {
    EXPECT_EQ(value([](Builder& b) {
                  b.load_imm64(r1, 0x1122334455667788).store(Size::dword, r10, -8, r1);
                  b.store(Size::byte, r10, -8, 0xff).store(Size::half, r10, -512, -1);
                  b.load(Size::word, r0, r10, -8).exit();
              }),
              0x556677ffU);
    EXPECT_THAT(error([](Builder& b) { b.store(Size::word, r10, -516, 0).exit(); }),
                HasSubstr("4 bytes at offset -4 of the stack"));
    EXPECT_THAT(error([](Builder& b) { b.store(Size::word, r10, 0, 0).exit(); }),
                HasSubstr("4 bytes at offset 512 of the stack"));
    EXPECT_THAT(error([](Builder& b) { b.store(Size::word, r10, -6, 0).exit(); }),
                HasSubstr("not aligned"));
    EXPECT_THAT(error([](Builder& b) {
                    b.store(Size::half, r10, -4, 0).load(Size::word, r0, r10, -4).exit();
                }),
                HasSubstr("never written"));
}

TEST(EbpfVm, RegistersHoldNothingAtFirst) {
    EXPECT_THAT(error([](Builder& b) { b.mov(r0, r2).exit(); }),
                "instruction 0 'r0 = r2': r2 holds nothing");
    EXPECT_THAT(error([](Builder& b) { b.exit(); }), HasSubstr("r0 holds nothing"));
    EXPECT_THAT(error([](Builder& b) { b.alu32(Alu::xor_, r0, r0).exit(); }),
                HasSubstr("r0 holds nothing"));
    EXPECT_THAT(error([](Builder& b) { b.mov(r10, 0).exit(); }), HasSubstr("r10 is read-only"));
    for (Reg const reg : {r1, r2, r3, r4, r5})
        EXPECT_THAT(error([&](Builder& b) {
                        b.mov(r2, 0).mov(r3, 0).mov(r4, 0).mov(r5, 0);
                        b.call(Helper::get_prandom_u32).mov(r0, reg).exit();
                    }),
                    HasSubstr("holds nothing"));
}

TEST(EbpfVm, ProgramsEndByThemselves) {
    EXPECT_THAT(error([](Builder& b) { b.mov(r0, 0); }), HasSubstr("ends without exit"));
    EXPECT_THAT(error([](Builder& b) {
                    Builder::Label const top = b.label();
                    b.bind(top).jump(top);
                }),
                HasSubstr("4 million steps"));
    Program program;
    MapMemory maps;
    EXPECT_FALSE(run(program, row(Hook::socket), packet(), maps));
    program.insns = {make_insn(0x05, 0, 0, 7)};
    EXPECT_THAT(run(program, row(Hook::socket), packet(), maps).error().message,
                HasSubstr("leaves the program"));
    program.insns = {make_insn(0x18, 1)};
    EXPECT_THAT(run(program, row(Hook::socket), packet(), maps).error().message,
                HasSubstr("not an instruction"));
}

TEST(EbpfVm, XdpReadsThroughPointers) {
    auto const at = [](std::int32_t offset, Size size) -> Write {
        return [=](Builder& b) {
            b.load(Size::word, r2, r1, 0).load(Size::word, r3, r1, 4);
            b.load(size, r0, r2, offset).exit();
        };
    };
    EXPECT_EQ(value(Hook::xdp, at(12, Size::half)), 0x0008U);
    EXPECT_EQ(value(Hook::xdp, at(16, Size::word)), 0xf5f4f3f2U);
    EXPECT_EQ(value(Hook::xdp, at(1, Size::dword)), 0x0807060504030201U);
    EXPECT_THAT(error(Hook::xdp, at(17, Size::word)),
                HasSubstr("4 bytes at offset 17 of a packet of 20"));
    EXPECT_THAT(error(Hook::xdp, at(-1, Size::byte)), HasSubstr("1 bytes at offset -1 of"));
    EXPECT_EQ(value(Hook::xdp,
                    [](Builder& b) {
                        b.load(Size::word, r0, r1, 4).load(Size::word, r2, r1, 0);
                        b.alu(Alu::sub, r0, r2).exit();
                    }),
              20U);
    EXPECT_THAT(
        error(Hook::xdp,
              [](Builder& b) { b.load(Size::word, r2, r1, 0).store(Size::byte, r2, 0, 1).exit(); }),
        HasSubstr("read-only"));
}

std::string context_error(Hook hook, std::int32_t offset, Size size) {
    return error(hook, [&](Builder& b) { b.load(size, r0, r1, offset).exit(); });
}
std::uint64_t context_value(Hook hook, std::int32_t offset, Size size = Size::word) {
    return value(hook, [&](Builder& b) { b.load(size, r0, r1, offset).exit(); });
}

TEST(EbpfVm, ContextFields) {
    EXPECT_EQ(context_value(Hook::socket, 0), 60U);
    EXPECT_EQ(context_value(Hook::socket, 4), 0x01020301U);   // packet type
    EXPECT_EQ(context_value(Hook::socket, 8), 0x01020305U);   // mark
    EXPECT_EQ(context_value(Hook::socket, 12), 0x01020306U);  // queue
    EXPECT_EQ(context_value(Hook::socket, 16), 0x0003U);      // protocol 0x0300, swapped
    EXPECT_EQ(context_value(Hook::socket, 20), 0x0102030cU);  // a tag is present
    EXPECT_EQ(context_value(Hook::socket, 24), 0x0102030bU);  // the tag
    EXPECT_EQ(context_value(Hook::socket, 28), 0x0f03U);      // its protocol 0x030f, swapped
    EXPECT_EQ(context_value(Hook::socket, 40), 0x01020302U);  // interface
    EXPECT_EQ(context_value(Hook::socket, 68), 0x01020308U);  // hash
    EXPECT_EQ(context_value(Hook::socket, 10, Size::half), 0x0102U);
    EXPECT_EQ(context_value(Hook::xdp, 12), 0x01020302U);
    EXPECT_THAT(context_error(Hook::socket, 8, Size::dword), HasSubstr("no field of the context"));
    EXPECT_THAT(context_error(Hook::socket, 9, Size::half), HasSubstr("no field of the context"));
    EXPECT_THAT(context_error(Hook::socket, -4, Size::word), HasSubstr("no field of the context"));
    EXPECT_THAT(context_error(Hook::socket, -3, Size::byte), HasSubstr("no field of the context"));
    EXPECT_THAT(context_error(Hook::socket, 76, Size::word), HasSubstr("no field of the context"));
    EXPECT_THAT(context_error(Hook::xdp, 20, Size::word), HasSubstr("no field of the context"));
    EXPECT_THAT(context_error(Hook::xdp, 0, Size::half), HasSubstr("no field of the context"));
    EXPECT_THAT(error([](Builder& b) { b.store(Size::word, r1, 8, 0).exit(); }),
                HasSubstr("read-only"));
}

TEST(EbpfVm, PacketLoadsAreBigEndian) {
    auto const abs = [](Size size, std::int32_t k) {
        return value([=](Builder& b) { b.mov(r6, r1).load_packet(size, k).exit(); });
    };
    EXPECT_EQ(abs(Size::half, 12), 0x0800U);
    EXPECT_EQ(abs(Size::word, 16), 0xf2f3f4f5U);
    EXPECT_EQ(abs(Size::byte, 19), 0xf5U);
    EXPECT_EQ(abs(Size::word, 17), 0U);            // outside: the program ends
    EXPECT_EQ(abs(Size::byte, -0x100000), 0x45U);  // network header
    EXPECT_EQ(abs(Size::byte, -0x200000 + 12), 0x08U);
    EXPECT_EQ(abs(Size::byte, -0x100000 + 6), 0U);
    EXPECT_EQ(abs(Size::byte, -0x1000), 0U);  // no ancillary loads here
    EXPECT_EQ(abs(Size::byte, -0x200001), 0U);
    EXPECT_EQ(value([](Builder& b) {
                  b.mov(r6, r1).load_imm64(r7, 0x1fffffff0).load_packet(Size::byte, r7, 30).exit();
              }),
              0x45U);  // offsets have 32 bits
}

TEST(EbpfVm, AFailingPacketLoadEndsTheFunctionItIsIn) {
    EXPECT_EQ(value([](Builder& b) {
                  b.mov(r6, r1).mov(r0, 7).load_packet(Size::word, 100).mov(r0, 9).exit();
              }),
              0U);
    EXPECT_EQ(value([](Builder& b) {
                  Builder::Label const filter = b.label();
                  b.call(filter).alu(Alu::add, r0, 5).exit();
                  b.bind(filter).mov(r6, r1).load_packet(Size::word, 100).mov(r0, 9).exit();
              }),
              5U);
}

TEST(EbpfVm, PacketLoadsNeedTheContextAndClobber) {
    EXPECT_THAT(error([](Builder& b) { b.load_packet(Size::byte, 0).exit(); }),
                HasSubstr("r6 holds nothing"));
    EXPECT_THAT(error([](Builder& b) { b.mov(r6, 0).load_packet(Size::byte, 0).exit(); }),
                HasSubstr("r6 is not the context"));
    EXPECT_THAT(
        error(Hook::xdp, [](Builder& b) { b.mov(r6, r1).load_packet(Size::byte, 0).exit(); }),
        HasSubstr("need a socket buffer"));
    EXPECT_THAT(error([](Builder& b) {
                    b.mov(r6, r1).mov(r3, 1).load_packet(Size::byte, 0).mov(r0, r3).exit();
                }),
                HasSubstr("r3 holds nothing"));
}

TEST(EbpfVm, LocalCalls) {
    // Arguments go in, r6-r9 come back, the frames are apart.
    EXPECT_EQ(value([](Builder& b) {
                  Builder::Label const f = b.label();
                  b.mov(r6, 100).store(Size::dword, r10, -8, 1000).mov(r1, 1).mov(r2, 2).call(f);
                  b.load(Size::dword, r1, r10, -8).alu(Alu::add, r0, r6).alu(Alu::add, r0, r1);
                  b.exit();
                  b.bind(f).mov(r6, 5).store(Size::dword, r10, -8, 77).mov(r0, r1);
                  b.alu(Alu::add, r0, r2).alu(Alu::add, r0, r6).exit();
              }),
              1108U);
    EXPECT_THAT(error([](Builder& b) {
                    Builder::Label const f = b.label();
                    b.mov(r6, 1).call(f).exit().bind(f).mov(r0, r6).exit();
                }),
                HasSubstr("r6 holds nothing"));
    EXPECT_THAT(error([](Builder& b) {
                    Builder::Label const f = b.label();
                    b.bind(f).call(f).exit();
                }),
                HasSubstr("more than 8 frames"));
    // A pointer into a frame that is gone.
    EXPECT_THAT(error([](Builder& b) {
                    Builder::Label const f = b.label();
                    b.call(f).load(Size::dword, r0, r0, -8).exit();
                    b.bind(f).store(Size::dword, r10, -8, 1).mov(r0, r10).exit();
                }),
                HasSubstr("8 bytes at offset 504"));
    // One into a frame that is not.
    EXPECT_EQ(value([](Builder& b) {
                  Builder::Label const f = b.label();
                  b.store(Size::dword, r10, -8, 3).mov(r1, r10).call(f).exit();
                  b.bind(f).load(Size::dword, r0, r1, -8).exit();
              }),
              3U);
}

Builder& lookup(Builder& b, std::int32_t key) {
    b.store(Size::word, r10, -4, key).mov(r2, r10).alu(Alu::add, r2, -4);
    return b.load_map(r1, 0).call(Helper::map_lookup_elem);
}

TEST(EbpfVm, MapsKeepTheirValues) {
    Program const program = program_of([](Builder& b) {
        lookup(b, 1).mov(r1, 3).atomic_add(Size::dword, r0, 8, r1);
        b.load(Size::dword, r2, r0, 0).alu(Alu::add, r2, 1).store(Size::dword, r0, 0, r2);
        b.mov(r0, 0).exit();
    });
    MapMemory maps = map_memory(program);
    ASSERT_EQ(maps.size(), 1U);
    ASSERT_EQ(maps[0].size(), 32U);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(run(program, row(Hook::socket), packet(), maps));
    EXPECT_EQ(maps[0][16], 2);
    EXPECT_EQ(maps[0][24], 6);
    EXPECT_EQ(maps[0][0], 0);
    MapMemory wrong;
    EXPECT_THAT(run(program, row(Hook::socket), packet(), wrong).error().message,
                HasSubstr("not that of the program's maps"));
}

TEST(EbpfVm, MapValuesAreBounded) {
    EXPECT_EQ(value([](Builder& b) { lookup(b, 2).exit(); }), 0U);
    // The next entry is no part of this one.
    EXPECT_THAT(error([](Builder& b) { lookup(b, 0).load(Size::byte, r0, r0, 16).exit(); }),
                HasSubstr("a map value"));
    EXPECT_THAT(error([](Builder& b) { lookup(b, 1).load(Size::byte, r0, r0, -1).exit(); }),
                HasSubstr("a map value"));
    EXPECT_THAT(error([](Builder& b) { lookup(b, 5).load(Size::byte, r0, r0, 0).exit(); }),
                HasSubstr("no memory"));
    EXPECT_THAT(error([](Builder& b) { b.load_map(r1, 0).load(Size::byte, r0, r1, 0).exit(); }),
                HasSubstr("no memory"));
    EXPECT_THAT(error([](Builder& b) { b.load_map(r1, 7).exit(); }), HasSubstr("no map 7"));
    EXPECT_THAT(error([](Builder& b) { b.mov(r2, r10).call(Helper::map_lookup_elem).exit(); }),
                HasSubstr("r1 is not a map"));
    EXPECT_THAT(error([](Builder& b) {
                    b.mov(r2, r10).alu(Alu::add, r2, -4).load_map(r1, 0);
                    b.call(Helper::map_lookup_elem).exit();
                }),
                HasSubstr("never written"));
}

TEST(EbpfVm, Atomics) {
    // Memory holds 12, r0 and the result's place in it are a and old.
    auto const atomic = [](std::int32_t op, std::uint64_t a, std::uint64_t b) {
        Program program;
        program.insns = {
            make_insn(0x7a, 10, 0, -8, 12),
            make_insn(0xb7, 0, 0, 0, static_cast<std::int32_t>(a)),
            make_insn(0xb7, 1, 0, 0, static_cast<std::int32_t>(b)),
            make_insn(0xdb, 10, 1, -8, op),
            make_insn(0x79, 2, 10, -8),   // what memory holds now
            make_insn(0x67, 2, 0, 0, 8),  //
            make_insn(0x4f, 2, 1),        // and r1
            make_insn(0x67, 2, 0, 0, 8),  //
            make_insn(0x4f, 0, 2),
            make_insn(0x95),  // and r0
        };
        MapMemory maps;
        Result<std::uint64_t> const result = run(program, row(Hook::socket), packet(), maps);
        EXPECT_TRUE(result) << result.error().message;
        return result.value_or(0);
    };
    EXPECT_EQ(atomic(0x00, 0, 5), 0x110500U);
    EXPECT_EQ(atomic(0x01, 0, 5), 0x110c00U);
    EXPECT_EQ(atomic(0x40, 0, 3), 0x0f0300U);
    EXPECT_EQ(atomic(0x41, 0, 3), 0x0f0c00U);
    EXPECT_EQ(atomic(0x50, 0, 6), 0x040600U);
    EXPECT_EQ(atomic(0x51, 0, 6), 0x040c00U);
    EXPECT_EQ(atomic(0xa0, 0, 6), 0x0a0600U);
    EXPECT_EQ(atomic(0xa1, 0, 6), 0x0a0c00U);
    EXPECT_EQ(atomic(0xe1, 0, 7), 0x070c00U);
    EXPECT_EQ(atomic(0xf1, 12, 7), 0x07070cU);
    EXPECT_EQ(atomic(0xf1, 13, 7), 0x0c070cU);
    EXPECT_EQ(atomic(0x110, 0, 9), 0x090900U);
    EXPECT_THAT(error([](Builder& b) {
                    b.mov(r2, 1).store(Size::dword, r10, -8, 0);
                    b.atomic_add(Size::word, r10, -6, r2).exit();
                }),
                HasSubstr("not aligned"));
}

TEST(EbpfVm, Helpers) {
    EXPECT_EQ(value([](Builder& b) { b.call(Helper::get_prandom_u32).exit(); }), 0x0102030eU);
    EXPECT_EQ(value([](Builder& b) { b.call(Helper::get_smp_processor_id).exit(); }), 0x01020309U);
    EXPECT_EQ(value(Hook::xdp, [](Builder& b) { b.call(Helper::xdp_get_buff_len).exit(); }), 20U);
    EXPECT_THAT(error([](Builder& b) { b.call(Helper::xdp_get_buff_len).exit(); }),
                HasSubstr("hook 'socket' has no such helper"));
    EXPECT_THAT(error([](Builder& b) { b.call(static_cast<Helper>(12)).exit(); }),
                HasSubstr("no such helper"));
}

// r0 = what the helper returns, then the bytes it stored in the upper half.
Write load_bytes(Helper helper, std::int32_t offset, std::int32_t size) {
    return [=](Builder& b) {
        b.mov(r2, offset).mov(r3, r10).alu(Alu::add, r3, -4).mov(r4, size);
        b.store(Size::word, r10, -4, -1).call(helper);
        b.load(Size::word, r1, r10, -4).alu(Alu::lsh, r1, 32).mov32(r0, r0);
        b.alu(Alu::or_, r0, r1).exit();
    };
}

TEST(EbpfVm, HelpersThatLoadBytes) {
    EXPECT_EQ(value(load_bytes(Helper::skb_load_bytes, 12, 4)), 0xf145000800000000U);
    EXPECT_EQ(value(load_bytes(Helper::skb_load_bytes, 18, 2)), 0xfffff5f400000000U);
    EXPECT_EQ(value(load_bytes(Helper::skb_load_bytes, 18, 4)), 0xfffffff2U);  // cleared, EFAULT
    EXPECT_EQ(value(load_bytes(Helper::skb_load_bytes, -1, 4)), 0xfffffff2U);
    EXPECT_EQ(value(Hook::xdp, load_bytes(Helper::xdp_load_bytes, 12, 4)), 0xf145000800000000U);
    EXPECT_EQ(value(Hook::xdp, load_bytes(Helper::xdp_load_bytes, 18, 4)), 0xffffffffffffffeaU);
    EXPECT_THAT(error(load_bytes(Helper::skb_load_bytes, 0, 5)), HasSubstr("the stack"));
    EXPECT_THAT(error(load_bytes(Helper::skb_load_bytes, 0, 0)), HasSubstr("length is zero"));
}

TEST(EbpfVm, AddressesAreNotHostAddresses) {
    EXPECT_THAT(error([](Builder& b) { b.load(Size::byte, r0, r2, 0).exit(); }),
                HasSubstr("r2 holds nothing"));
    EXPECT_THAT(error([](Builder& b) { b.mov(r2, 0).load(Size::byte, r0, r2, 0).exit(); }),
                HasSubstr("no memory"));
    auto const host = reinterpret_cast<std::uintptr_t>(bytes.data());
    EXPECT_THAT(
        error([&](Builder& b) { b.load_imm64(r2, host).load(Size::byte, r0, r2, 0).exit(); }),
        HasSubstr("no memory"));
    // A pointer that was cut to 32 bits is none.
    EXPECT_THAT(error(Hook::xdp,
                      [](Builder& b) {
                          b.load(Size::word, r2, r1, 0).mov32(r2, r2).load(Size::byte, r0, r2, 0);
                          b.exit();
                      }),
                HasSubstr("no memory"));
}

// Garbage ends in a value or an error; the sanitizers' build is what makes this test strict.
TEST(EbpfVm, AnyProgramEnds) {
    std::mt19937 engine(7);
    auto const random = [&] { return static_cast<std::uint32_t>(engine()); };
    unsigned errors = 0;
    for (int round = 0; round < 3000; ++round) {
        Program program = program_of(
            [](Builder& b) { b.mov(r6, r1).mov(r0, 0).load_map(r7, 0).mov(r8, r10).mov(r9, -1); });
        for (int i = 0; i < 20; ++i) {
            Insn insn = make_insn(random(), random() % 11, random() % 11,
                                  static_cast<int>(random() % 64) - 32,
                                  static_cast<std::int32_t>(random()));
            if (random() % 2 == 0) insn.imm = static_cast<std::int32_t>(random() % 20);
            if (class_of(insn) == Class::ldx) insn.imm = 0;
            // Loops would all run to the limit of steps.
            bool const jumps = class_of(insn) == Class::jmp || class_of(insn) == Class::jmp32;
            if (jumps && insn.off < 0) insn.off = 0;
            if (jumps && insn.imm < 0) insn.imm = 1;
            if (known({&insn, 1})) program.insns.push_back(insn);
        }
        program.insns.push_back(make_insn(0x95));
        MapMemory maps = map_memory(program);
        for (Hook const hook : {Hook::socket, Hook::xdp, Hook::tc_egress}) {
            Result<std::uint64_t> const result = run(program, row(hook), packet(), maps);
            if (result) continue;
            ++errors;
            EXPECT_THAT(result.error().message, HasSubstr("instruction "));
        }
    }
    EXPECT_GT(errors, 100U);
}

}  // namespace
}  // namespace tamis::runtime
