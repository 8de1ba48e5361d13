// Random programs on the running kernel and in the interpreter: same packet, same return value.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "bpf/builder.h"
#include "bpf/ebpf_text.h"
#include "runtime/ebpf_vm.h"
#include "tests/support/kernel_gate.h"
#include "tests/support/verifier.h"

namespace tamis::runtime {
namespace {

using namespace ebpf;
using enum ebpf::Reg;

#define NEED_KERNEL() TAMIS_NEED_KERNEL("CAP_BPF and CAP_NET_ADMIN", test::may_load())

// Sign-extending loads and moves, signed division and bswap came with Linux 6.6.
bool takes_signed_insns() {
    std::vector<Insn> const probe = {make_insn(0xb7), make_insn(0xbf, 0, 0, 8), make_insn(0x95)};
    return test::load_insns(probe, row(Hook::xdp).prog_type, 0).fd >= 0;
}

constexpr std::int32_t stack_words = 8;  // r10 - 64 up to r10, all of them written at the start

class Generator {
  public:
    Generator(Hook hook, bool signed_insns, std::uint32_t seed)
        : hook_(hook), signed_insns_(signed_insns), random_(seed) {}

    // Values that the verifier does not know are loaded from the packet, then combined at random,
    // and every register goes into the result.
    std::vector<Insn> program() {
        if (hook_ == Hook::xdp)
            xdp_prologue();
        else
            skb_prologue();
        for (std::int32_t i = 0; i < stack_words; ++i)
            emit(make_insn(0x7b, 10, any(registers_), -8 * (i + 1)));
        for (unsigned i = pick(10, 50); i > 0; --i) step();
        epilogue();
        return std::move(insns_);
    }

    std::vector<std::uint8_t> packet() {
        std::vector<std::uint8_t> bytes(pick(64, 120));
        for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(interesting());
        return bytes;
    }

  private:
    std::uint32_t pick(std::uint32_t low, std::uint32_t high) {
        return std::uniform_int_distribution<std::uint32_t>(low, high)(random_);
    }
    unsigned any(std::vector<unsigned> const& from) {
        return from[pick(0, static_cast<std::uint32_t>(from.size() - 1))];
    }
    // Numbers around the places where widths and signs change, and others.
    std::int32_t interesting() {
        static constexpr std::uint32_t edges[] = {0,          1,          2,          0x7f,
                                                  0x80,       0xff,       0x7fff,     0x8000,
                                                  0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
        if (pick(0, 1) == 0) return static_cast<std::int32_t>(random_());
        return static_cast<std::int32_t>(edges[pick(0, 11)]);
    }
    void emit(Insn insn) { insns_.push_back(insn); }

    void xdp_prologue() {
        registers_ = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
        emit(make_insn(0x61, 2, 1, 0));  // r2 = data
        emit(make_insn(0x61, 3, 1, 4));  // r3 = data_end
        emit(make_insn(0xbf, 4, 2));
        emit(make_insn(0x07, 4, 0, 0, 64));
        emit(make_insn(0xb7, 0));
        emit(make_insn(0xbd, 4, 3, 1));  // if r4 <= r3 goto +1
        emit(make_insn(0x95));
        for (unsigned const reg : {0U, 5U, 6U, 7U, 8U, 9U})
            emit(make_insn(0x79, reg, 2, static_cast<int>(pick(0, 56))));
        emit(make_insn(0x69, 1, 2, 12));
        emit(make_insn(signed_insns_ ? 0x91 : 0x71, 3, 2, 13));
        emit(make_insn(signed_insns_ ? 0x81 : 0x61, 4, 2, 21));
        emit(make_insn(0x71, 2, 2, 7));
    }

    void skb_prologue() {
        registers_ = {0, 1, 2, 3, 4, 5, 7, 8, 9};  // r6 stays the context, for packet loads
        emit(make_insn(0xbf, 6, 1));
        for (unsigned const reg : {7U, 8U, 9U}) {
            packet_word(pick(0, 60));
            emit(make_insn(0xbf, reg, 0));
            emit(make_insn(0x67, reg, 0, 0, 32));
            packet_word(pick(0, 60));
            emit(make_insn(0x4f, reg, 0));
        }
        refill();
    }
    void packet_word(std::uint32_t offset) {
        emit(make_insn(0x20, 0, 0, 0, static_cast<std::int32_t>(offset)));
    }
    // After a packet load r1-r5 hold nothing.
    void refill() {
        for (unsigned reg = 1; reg <= 5; ++reg) emit(make_insn(0xbf, reg, any({0, 7, 8, 9})));
    }

    void step() {
        std::uint32_t const kind = pick(0, 99);
        if (kind < 55) return alu();
        if (kind < 65) return unary();
        if (kind < 75) return branch();
        if (kind < 92) return memory();
        if (hook_ != Hook::xdp) packet_load();
    }

    void alu() {
        AluOp const& op = alu_ops()[pick(0, static_cast<std::uint32_t>(alu_ops().size() - 1))];
        bool const wide = pick(0, 1) == 0, reg = pick(0, 1) == 0;
        bool const is_signed = !op.sign_name.empty() && pick(0, 1) == 0 && signed_insns_;
        bool const shift = op.op == Alu::lsh || op.op == Alu::rsh || op.op == Alu::arsh;
        std::int32_t imm = interesting();
        if (shift) imm &= wide ? 63 : 31;
        if (imm == 0 && (op.op == Alu::div || op.op == Alu::mod)) imm = 3;
        int off = is_signed ? 1 : 0;
        if (op.op == Alu::mov && reg && pick(0, 1) == 0 && signed_insns_)
            off = static_cast<int>(8 << pick(0, wide ? 2 : 1));
        unsigned const code = (wide ? 7U : 4U) | static_cast<unsigned>(op.op) | (reg ? 8U : 0U);
        emit(make_insn(code, any(registers_), reg ? any(registers_) : 0, off, reg ? 0 : imm));
    }

    void unary() {
        static constexpr unsigned codes[] = {0x84, 0x87, 0xd4, 0xdc, 0xd7};
        unsigned const code = codes[pick(0, signed_insns_ ? 4 : 3)];
        bool const negation = code < 0x90;
        emit(make_insn(code, any(registers_), 0, 0, negation ? 0 : 16 << pick(0, 2)));
    }

    // Over one or two plain instructions; few of them, as every one may double the verifier's work.
    void branch() {
        if (branches_++ >= 7) return alu();
        JumpOp const& op = jump_ops()[pick(0, static_cast<std::uint32_t>(jump_ops().size() - 1))];
        bool const reg = pick(0, 1) == 0;
        unsigned const code =
            (pick(0, 1) == 0 ? 5U : 6U) | static_cast<unsigned>(op.op) | (reg ? 8U : 0U);
        unsigned const over = pick(0, 2);
        emit(make_insn(code, any(registers_), reg ? any(registers_) : 0, static_cast<int>(over),
                       reg ? 0 : interesting()));
        for (unsigned i = 0; i < over; ++i) alu();
    }

    void memory() {
        static constexpr std::int32_t atomics[] = {0x00, 0x01, 0x40, 0x41, 0x50,
                                                   0x51, 0xa0, 0xa1, 0xe1, 0xf1};
        unsigned const size_bits = 8 * pick(0, 3);
        auto const size = static_cast<int>(bytes(static_cast<Size>(size_bits)));
        int const slot = -8 * static_cast<int>(pick(1, stack_words));
        int const off =
            slot + size * static_cast<int>(pick(0, static_cast<unsigned>(8 / size) - 1));
        unsigned const reg = any(registers_);
        switch (pick(0, 4)) {
            case 0:
                return emit(make_insn(0x61 | size_bits, reg, 10, off));
            case 1:
                return emit(make_insn(0x63 | size_bits, 10, reg, off));
            case 2:
                return emit(make_insn(0x62 | size_bits, 10, 0, off, interesting()));
            case 3:
                if (size == 8 || !signed_insns_) return;
                return emit(make_insn(0x81 | size_bits, reg, 10, off));
            case 4:
                return emit(
                    make_insn(pick(0, 1) == 0 ? 0xc3 : 0xdb, 10, reg, slot, atomics[pick(0, 9)]));
        }
    }

    // Anywhere in, around and outside the packet, also relative to its headers.
    void packet_load() {
        static constexpr std::int32_t bases[] = {0, 0, 0, -0x100000, -0x200000, -0x1000};
        std::int32_t const k = bases[pick(0, 5)] + static_cast<std::int32_t>(pick(0, 70));
        unsigned const size_bits = 8 * pick(0, 2);
        if (pick(0, 1) == 0) {
            emit(make_insn(0x20 | size_bits, 0, 0, 0, k));
        } else {
            unsigned const x = any({1, 2, 3, 4, 5, 7, 8, 9});
            if (pick(0, 3) != 0) emit(make_insn(0x57, x, 0, 0, 63));  // mostly small
            emit(make_insn(0x40 | size_bits, 0, x, 0, k));
        }
        refill();
    }

    void epilogue() {
        for (unsigned const reg : registers_) {
            if (reg == 0) continue;
            emit(make_insn(0x27, 0, 0, 0, 31));
            emit(make_insn(0x0f, 0, reg));
        }
        for (std::int32_t i = 1; i <= stack_words; ++i) {
            emit(make_insn(0x79, 1, 10, -8 * i));
            emit(make_insn(0x27, 0, 0, 0, 31));
            emit(make_insn(0x0f, 0, 1));
        }
        emit(make_insn(0xbf, 1, 0));
        emit(make_insn(0x77, 1, 0, 0, 32));
        emit(make_insn(0xaf, 0, 1));  // all 64 bits matter
        emit(make_insn(0x95));
    }

    Hook hook_;
    bool signed_insns_;
    std::mt19937 random_;
    std::vector<unsigned> registers_;
    std::vector<Insn> insns_;
    unsigned branches_ = 0;
};

void same_as_kernel(Hook hook, std::uint32_t seeds) {
    bool const signed_insns = takes_signed_insns();
    unsigned compared = 0, zero = 0;
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        Generator generator(hook, signed_insns, seed);
        Program program;
        program.insns = generator.program();
        test::Loaded const loaded = test::load_insns(program.insns, row(hook).prog_type, 0);
        ASSERT_GE(loaded.fd, 0) << "seed " << seed << '\n'
                                << test::load_insns(program.insns, row(hook).prog_type, 1).log;
        for (int i = 0; i < 3; ++i) {
            std::vector<std::uint8_t> const bytes = generator.packet();
            Packet const packet{.bytes = bytes,
                                .length = static_cast<std::uint32_t>(bytes.size()),
                                .ancillary = {},
                                .network = 14,  // where test runs of tc programs put it
                                .link = 0};
            MapMemory maps;
            Result<std::uint64_t> const ours = run(program, row(hook), packet, maps);
            ASSERT_TRUE(ours) << "seed " << seed << ": " << ours.error().message;
            std::optional<std::uint32_t> const kernels = test::test_run(loaded.fd, bytes);
            ASSERT_TRUE(kernels) << "seed " << seed << ": test run failed";
            ASSERT_EQ(static_cast<std::uint32_t>(*ours), *kernels) << "seed " << seed << '\n'
                                                                   << listing(program);
            ++compared;
            zero += *kernels == 0;
        }
    }
    EXPECT_EQ(compared, 3 * seeds);
    EXPECT_LT(zero, 2 * seeds);  // a zero is mostly a packet load that ended the program
}

TEST(EbpfVmKernel, RandomXdpPrograms) {
    NEED_KERNEL();
    same_as_kernel(Hook::xdp, 800);
}

TEST(EbpfVmKernel, RandomTcPrograms) {
    NEED_KERNEL();
    same_as_kernel(Hook::tc_ingress, 800);
}

// Context fields that a test run sets; the packet's protocol is in its Ethernet header.
TEST(EbpfVmKernel, ContextFields) {
    NEED_KERNEL();
    std::vector<std::uint8_t> bytes(60, 0x5a);
    bytes[12] = 0x08, bytes[13] = 0x06;
    __sk_buff context{};
    context.mark = 0x11223344;
    Packet packet{.bytes = bytes, .length = 60, .ancillary = {}, .network = 14, .link = 0};
    packet.ancillary[0] = 0x0806;
    packet.ancillary[1] = 3;  // PACKET_OTHERHOST, as the address is nobody's
    packet.ancillary[2] = 1;  // the loopback interface
    packet.ancillary[5] = context.mark;
    for (int const offset : {0, 4, 8, 12, 16, 20, 24, 28, 40}) {
        Program program;
        program.insns = {make_insn(0x61, 0, 1, offset), make_insn(0x95)};
        test::Loaded const loaded =
            test::load_insns(program.insns, row(Hook::tc_ingress).prog_type, 1);
        ASSERT_GE(loaded.fd, 0) << loaded.log;
        MapMemory maps;
        Result<std::uint64_t> const ours = run(program, row(Hook::tc_ingress), packet, maps);
        ASSERT_TRUE(ours) << ours.error().message;
        std::optional<std::uint32_t> const kernels = test::test_run(loaded.fd, bytes, &context);
        ASSERT_TRUE(kernels);
        EXPECT_EQ(*ours, *kernels) << "offset " << offset;
    }
}

}  // namespace
}  // namespace tamis::runtime
