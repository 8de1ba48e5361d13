// Bodies for other people's code: what they promise about registers, and the right verdict, in the
// interpreter that checks every access.
#include "translator/body.h"

#include <gtest/gtest.h>

#include "runtime/cbpf_vm.h"
#include "runtime/ebpf_vm.h"
#include "tests/support/random_cbpf.h"

namespace tamis {
namespace {

using ebpf::Builder;
using ebpf::Reg;
using translator::BodyRegisters;

constexpr std::int32_t canary = 0x5a5a;

bool is_used(BodyRegisters const& r, Access access, Reg reg) {
    if (reg == r.data || reg == r.data_end || reg == r.result || reg == r.scratch[0]) return true;
    if (access == Access::probe) return reg < Reg::r6;
    return std::find(r.scratch.begin(), r.scratch.end(), reg) != r.scratch.end();
}

// A program whose registers all hold something, around a body in the middle; returns 1 or 0, or 2
// where the body did not keep its promise.
Result<ebpf::Program> around_body(cbpf::Program const& program, HookRow const& hook,
                                  BodyRegisters const& registers) {
    Builder b;
    Builder::Label const match = b.label(), no_match = b.label(), end = b.label(),
                         broken = b.label();
    if (!has_context(hook)) {
        // By way of registers that nobody wants: the arguments may be each other's places.
        b.store(ebpf::Size::dword, Reg::r10, -8, Reg::r1)
            .store(ebpf::Size::dword, Reg::r10, -16, Reg::r2);
        b.load(ebpf::Size::dword, registers.data, Reg::r10, -8);
        b.load(ebpf::Size::dword, registers.data_end, Reg::r10, -16);
        for (unsigned i = 0; i < 10; ++i)
            if (!is_used(registers, hook.access, static_cast<Reg>(i)))
                b.mov(static_cast<Reg>(i), canary);
    }
    auto const done = translator::emit_body(b, program, hook, {}, registers, match, no_match);
    if (!done) return fail(done.error());
    Reg const result = has_context(hook) ? Reg::r0 : registers.result;
    b.bind(match).jump(ebpf::Cond::ne, result, 1, broken).jump(end);
    b.bind(no_match).jump(ebpf::Cond::ne, result, 0, broken);
    b.bind(end);
    if (!has_context(hook)) {
        for (unsigned i = hook.access == Access::probe ? 6 : 0; i < 10; ++i)
            if (!is_used(registers, hook.access, static_cast<Reg>(i)))
                b.jump(ebpf::Cond::ne, static_cast<Reg>(i), canary, broken);
        // The bounds are what they were, and so is the caller's part of the stack.
        auto const same = [&](Reg reg, std::int32_t slot) {
            Reg const other = reg == Reg::r1 ? Reg::r2 : Reg::r1;
            if (other == result) b.store(ebpf::Size::dword, Reg::r10, -24, other);
            b.load(ebpf::Size::dword, other, Reg::r10, slot)
                .jump(ebpf::Cond::ne, other, reg, broken);
            if (other == result) b.load(ebpf::Size::dword, other, Reg::r10, -24);
        };
        same(registers.data, -8);
        if (hook.access == Access::pointer && registers.data_end != Reg::r1 &&
            registers.data_end != Reg::r2)
            same(registers.data_end, -16);
        if (result != Reg::r0) b.mov(Reg::r0, result);
    }
    b.exit().bind(broken).mov(Reg::r0, 2).exit();
    auto out = b.finish();
    if (out) out->functions = {{"around", 0}};
    return out;
}

std::size_t compare(HookRow const& hook, BodyRegisters const& registers, std::size_t programs) {
    test::RandomPrograms random(7);
    runtime::MapMemory maps;
    std::size_t matches = 0;
    for (std::size_t i = 0; i < programs; ++i) {
        cbpf::Program const program = random.next();
        auto const body = around_body(program, hook, registers);
        if (!body) {
            ADD_FAILURE() << body.error().message;
            return 0;
        }
        for (int n = 0; n < 10; ++n) {
            auto const bytes = random.packet(random.below(80));
            runtime::Packet packet;
            packet.bytes = bytes;
            packet.length = static_cast<std::uint32_t>(bytes.size());
            bool const expected = runtime::run(program.insns, packet, runtime::Rules::kernel) != 0;
            auto const got = runtime::run(*body, hook, packet, maps);
            if (!got || *got != (expected ? 1 : 0)) {
                ADD_FAILURE() << "program " << i << ": "
                              << (got ? std::to_string(*got) : got.error().message);
                return 0;
            }
            if (expected) ++matches;
        }
    }
    return matches;
}

TEST(Body, ByPointersInAnyRegisters) {
    HookRow const hook = bounds_only(row(Hook::xdp), Access::pointer);
    for (BodyRegisters const& r : {BodyRegisters{.stack = 24},
                                   BodyRegisters{.data = Reg::r4,
                                   .data_end = Reg::r5,
                                   .result = Reg::r9,
                                   .scratch = {Reg::r1, Reg::r2, Reg::r7, Reg::r8},
                                   .stack = 24},
                                   BodyRegisters{.data = Reg::r9,
                                   .data_end = Reg::r8,
                                   .result = Reg::r1,
                                   .scratch = {Reg::r7, Reg::r6, Reg::r5, Reg::r4},
                                   .stack = 64}})
        EXPECT_GT(compare(hook, r, 500), 500U);
}

TEST(Body, ByProbes) {
    HookRow const hook = bounds_only(row(Hook::xdp), Access::probe);
    for (BodyRegisters const& r : {BodyRegisters{.data = Reg::r6,
                                  .data_end = Reg::r7,
                                  .result = Reg::r8,
                                  .scratch = {Reg::r9, Reg::r3, Reg::r4, Reg::r5},
                                  .stack = 24},
                                   BodyRegisters{.data = Reg::r9,
                                   .data_end = Reg::r6,
                                   .result = Reg::r7,
                                   .scratch = {Reg::r8, Reg::r3, Reg::r4, Reg::r5},
                                   .stack = 32}})
        EXPECT_GT(compare(hook, r, 500), 500U);
}

TEST(Body, WithAContext) {
    for (Hook const hook : {Hook::xdp, Hook::xdp_frags, Hook::tc_ingress, Hook::netfilter_input})
        EXPECT_GT(compare(row(hook), {}, 300), 300U) << row(hook).name;
}

}  // namespace
}  // namespace tamis
