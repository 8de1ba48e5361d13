// Every eBPF instruction of kernel 6.18 once, beside the words that the verifier log has for it.
// The unit test compares our text with them, the kernel test has the running kernel print them.
#pragma once

#include <cstdint>
#include <vector>

#include "bpf/ebpf.h"

namespace tamis::test {

struct Sample {
    struct Fields {
        std::uint8_t code;
        unsigned dst, src;
        int off;
        std::int32_t imm;
        std::int32_t high = 0;  // upper half of a 64-bit immediate
    } fields;
    char const* text;

    std::vector<ebpf::Insn> insns() const {
        std::vector<ebpf::Insn> out{
            ebpf::make_insn(fields.code, fields.dst, fields.src, fields.off, fields.imm)};
        if (ebpf::is_ld_imm64(out[0])) out.push_back(ebpf::make_insn(0, 0, 0, 0, fields.high));
        return out;
    }
};

// clang-format off
inline constexpr Sample samples[] = {
    // 64-bit ALU, immediate and register
    {{0x07, 1, 0, 0, 5}, "r1 += 5"},
    {{0x0f, 2, 7, 0, 0}, "r2 += r7"},
    {{0x17, 1, 0, 0, -1}, "r1 -= -1"},
    {{0x1f, 2, 7, 0, 0}, "r2 -= r7"},
    {{0x27, 1, 0, 0, 0x7fffffff}, "r1 *= 2147483647"},
    {{0x2f, 2, 7, 0, 0}, "r2 *= r7"},
    {{0x37, 1, 0, 0, 5}, "r1 /= 5"},
    {{0x3f, 2, 7, 0, 0}, "r2 /= r7"},
    {{0x47, 1, 0, 0, -1}, "r1 |= -1"},
    {{0x4f, 2, 7, 0, 0}, "r2 |= r7"},
    {{0x57, 1, 0, 0, 0x7fffffff}, "r1 &= 2147483647"},
    {{0x5f, 2, 7, 0, 0}, "r2 &= r7"},
    {{0x67, 1, 0, 0, 3}, "r1 <<= 3"},
    {{0x6f, 2, 7, 0, 0}, "r2 <<= r7"},
    {{0x77, 1, 0, 0, 3}, "r1 >>= 3"},
    {{0x7f, 2, 7, 0, 0}, "r2 >>= r7"},
    {{0x97, 1, 0, 0, 0x7fffffff}, "r1 %= 2147483647"},
    {{0x9f, 2, 7, 0, 0}, "r2 %= r7"},
    {{0xa7, 1, 0, 0, 5}, "r1 ^= 5"},
    {{0xaf, 2, 7, 0, 0}, "r2 ^= r7"},
    {{0xb7, 1, 0, 0, -1}, "r1 = -1"},
    {{0xbf, 2, 7, 0, 0}, "r2 = r7"},
    {{0xc7, 1, 0, 0, 3}, "r1 s>>= 3"},
    {{0xcf, 2, 7, 0, 0}, "r2 s>>= r7"},
    // 32-bit ALU
    {{0x04, 1, 0, 0, -2}, "w1 += -2"},
    {{0x0c, 9, 0, 0, 0}, "w9 += w0"},
    {{0x14, 1, 0, 0, 6}, "w1 -= 6"},
    {{0x1c, 9, 0, 0, 0}, "w9 -= w0"},
    {{0x24, 1, 0, 0, -2}, "w1 *= -2"},
    {{0x2c, 9, 0, 0, 0}, "w9 *= w0"},
    {{0x34, 1, 0, 0, 6}, "w1 /= 6"},
    {{0x3c, 9, 0, 0, 0}, "w9 /= w0"},
    {{0x44, 1, 0, 0, -2}, "w1 |= -2"},
    {{0x4c, 9, 0, 0, 0}, "w9 |= w0"},
    {{0x54, 1, 0, 0, 6}, "w1 &= 6"},
    {{0x5c, 9, 0, 0, 0}, "w9 &= w0"},
    {{0x64, 1, 0, 0, 31}, "w1 <<= 31"},
    {{0x6c, 9, 0, 0, 0}, "w9 <<= w0"},
    {{0x74, 1, 0, 0, 31}, "w1 >>= 31"},
    {{0x7c, 9, 0, 0, 0}, "w9 >>= w0"},
    {{0x94, 1, 0, 0, -2}, "w1 %= -2"},
    {{0x9c, 9, 0, 0, 0}, "w9 %= w0"},
    {{0xa4, 1, 0, 0, 6}, "w1 ^= 6"},
    {{0xac, 9, 0, 0, 0}, "w9 ^= w0"},
    {{0xb4, 1, 0, 0, -2}, "w1 = -2"},
    {{0xbc, 9, 0, 0, 0}, "w9 = w0"},
    {{0xc4, 1, 0, 0, 31}, "w1 s>>= 31"},
    {{0xcc, 9, 0, 0, 0}, "w9 s>>= w0"},
    // signed division and remainder
    {{0x37, 3, 0, 1, -7}, "r3 s/= -7"},
    {{0x3f, 3, 4, 1, 0}, "r3 s/= r4"},
    {{0x34, 3, 0, 1, -7}, "w3 s/= -7"},
    {{0x3c, 3, 4, 1, 0}, "w3 s/= w4"},
    {{0x97, 3, 0, 1, -7}, "r3 s%= -7"},
    {{0x9f, 3, 4, 1, 0}, "r3 s%= r4"},
    {{0x94, 3, 0, 1, -7}, "w3 s%= -7"},
    {{0x9c, 3, 4, 1, 0}, "w3 s%= w4"},
    // sign-extending moves
    {{0xbf, 1, 2, 8, 0}, "r1 = (s8)r2"},
    {{0xbf, 1, 2, 16, 0}, "r1 = (s16)r2"},
    {{0xbf, 1, 2, 32, 0}, "r1 = (s32)r2"},
    {{0xbc, 1, 2, 8, 0}, "w1 = (s8)w2"},
    {{0xbc, 1, 2, 16, 0}, "w1 = (s16)w2"},
    // moves between address spaces
    {{0xbf, 1, 2, 1, 1}, "r1 = addr_space_cast(r2, 0, 1)"},
    {{0xbf, 1, 2, 1, 0x10000}, "r1 = addr_space_cast(r2, 1, 0)"},
    // negation, byte order
    {{0x87, 5, 0, 0, 0}, "r5 = -r5"},
    {{0x84, 5, 0, 0, 0}, "w5 = -w5"},
    {{0xd4, 4, 0, 0, 16}, "r4 = le16 r4"},
    {{0xd4, 4, 0, 0, 32}, "r4 = le32 r4"},
    {{0xd4, 4, 0, 0, 64}, "r4 = le64 r4"},
    {{0xdc, 4, 0, 0, 16}, "r4 = be16 r4"},
    {{0xdc, 4, 0, 0, 32}, "r4 = be32 r4"},
    {{0xdc, 4, 0, 0, 64}, "r4 = be64 r4"},
    {{0xd7, 4, 0, 0, 16}, "r4 = bswap16 r4"},
    {{0xd7, 4, 0, 0, 32}, "r4 = bswap32 r4"},
    {{0xd7, 4, 0, 0, 64}, "r4 = bswap64 r4"},
    // conditional jumps
    {{0x15, 1, 0, 9, 0x800}, "if r1 == 0x800 goto pc+9"},
    {{0x1d, 1, 7, 7, 0}, "if r1 == r7 goto pc+7"},
    {{0x16, 1, 0, 10, -1}, "if w1 == 0xffffffff goto pc+10"},
    {{0x1e, 1, 7, 0, 0}, "if w1 == w7 goto pc+0"},
    {{0x25, 1, 0, 11, 0}, "if r1 > 0x0 goto pc+11"},
    {{0x2d, 1, 7, 7, 0}, "if r1 > r7 goto pc+7"},
    {{0x26, 1, 0, 3, 0x800}, "if w1 > 0x800 goto pc+3"},
    {{0x2e, 1, 7, 0, 0}, "if w1 > w7 goto pc+0"},
    {{0x35, 1, 0, 4, -1}, "if r1 >= 0xffffffff goto pc+4"},
    {{0x3d, 1, 7, 7, 0}, "if r1 >= r7 goto pc+7"},
    {{0x36, 1, 0, 5, 0}, "if w1 >= 0x0 goto pc+5"},
    {{0x3e, 1, 7, 0, 0}, "if w1 >= w7 goto pc+0"},
    {{0x45, 1, 0, 6, 0x800}, "if r1 & 0x800 goto pc+6"},
    {{0x4d, 1, 7, 7, 0}, "if r1 & r7 goto pc+7"},
    {{0x46, 1, 0, 7, -1}, "if w1 & 0xffffffff goto pc+7"},
    {{0x4e, 1, 7, 0, 0}, "if w1 & w7 goto pc+0"},
    {{0x55, 1, 0, 8, 0}, "if r1 != 0x0 goto pc+8"},
    {{0x5d, 1, 7, 7, 0}, "if r1 != r7 goto pc+7"},
    {{0x56, 1, 0, 9, 0x800}, "if w1 != 0x800 goto pc+9"},
    {{0x5e, 1, 7, 0, 0}, "if w1 != w7 goto pc+0"},
    {{0x65, 1, 0, 10, -1}, "if r1 s> 0xffffffff goto pc+10"},
    {{0x6d, 1, 7, 7, 0}, "if r1 s> r7 goto pc+7"},
    {{0x66, 1, 0, 11, 0}, "if w1 s> 0x0 goto pc+11"},
    {{0x6e, 1, 7, 0, 0}, "if w1 s> w7 goto pc+0"},
    {{0x75, 1, 0, 3, 0x800}, "if r1 s>= 0x800 goto pc+3"},
    {{0x7d, 1, 7, 7, 0}, "if r1 s>= r7 goto pc+7"},
    {{0x76, 1, 0, 4, -1}, "if w1 s>= 0xffffffff goto pc+4"},
    {{0x7e, 1, 7, 0, 0}, "if w1 s>= w7 goto pc+0"},
    {{0xa5, 1, 0, 5, 0}, "if r1 < 0x0 goto pc+5"},
    {{0xad, 1, 7, 7, 0}, "if r1 < r7 goto pc+7"},
    {{0xa6, 1, 0, 6, 0x800}, "if w1 < 0x800 goto pc+6"},
    {{0xae, 1, 7, 0, 0}, "if w1 < w7 goto pc+0"},
    {{0xb5, 1, 0, 7, -1}, "if r1 <= 0xffffffff goto pc+7"},
    {{0xbd, 1, 7, 7, 0}, "if r1 <= r7 goto pc+7"},
    {{0xb6, 1, 0, 8, 0}, "if w1 <= 0x0 goto pc+8"},
    {{0xbe, 1, 7, 0, 0}, "if w1 <= w7 goto pc+0"},
    {{0xc5, 1, 0, 9, 0x800}, "if r1 s< 0x800 goto pc+9"},
    {{0xcd, 1, 7, 7, 0}, "if r1 s< r7 goto pc+7"},
    {{0xc6, 1, 0, 10, -1}, "if w1 s< 0xffffffff goto pc+10"},
    {{0xce, 1, 7, 0, 0}, "if w1 s< w7 goto pc+0"},
    {{0xd5, 1, 0, 11, 0}, "if r1 s<= 0x0 goto pc+11"},
    {{0xdd, 1, 7, 7, 0}, "if r1 s<= r7 goto pc+7"},
    {{0xd6, 1, 0, 3, 0x800}, "if w1 s<= 0x800 goto pc+3"},
    {{0xde, 1, 7, 0, 0}, "if w1 s<= w7 goto pc+0"},
    // other jumps, calls
    {{0x05, 0, 0, 8, 0}, "goto pc+8"},
    {{0x05, 0, 0, -3, 0}, "goto pc-3"},
    {{0x06, 0, 0, 0, 11}, "gotol pc+11"},
    {{0xe5, 0, 0, 4, 0}, "may_goto pc+4"},
    {{0x95, 0, 0, 0, 0}, "exit"},
    {{0x85, 0, 0, 0, 1}, "call bpf_map_lookup_elem#1"},
    {{0x85, 0, 0, 0, 26}, "call bpf_skb_load_bytes#26"},
    {{0x85, 0, 0, 0, 211}, "call bpf_cgrp_storage_delete#211"},
    {{0x85, 0, 0, 0, 212}, "call unknown#212"},
    {{0x85, 0, 0, 0, -1}, "call unknown#-1"},
    // loads, sign-extending loads, stores
    {{0x71, 0, 8, 12, 0}, "r0 = *(u8 *)(r8 +12)"},
    {{0x69, 0, 8, 12, 0}, "r0 = *(u16 *)(r8 +12)"},
    {{0x61, 0, 8, 12, 0}, "r0 = *(u32 *)(r8 +12)"},
    {{0x79, 0, 8, 12, 0}, "r0 = *(u64 *)(r8 +12)"},
    {{0x91, 0, 8, 12, 0}, "r0 = *(s8 *)(r8 +12)"},
    {{0x89, 0, 8, 12, 0}, "r0 = *(s16 *)(r8 +12)"},
    {{0x81, 0, 8, 12, 0}, "r0 = *(s32 *)(r8 +12)"},
    {{0x73, 10, 3, -16, 0}, "*(u8 *)(r10 -16) = r3"},
    {{0x6b, 10, 3, -16, 0}, "*(u16 *)(r10 -16) = r3"},
    {{0x63, 10, 3, -16, 0}, "*(u32 *)(r10 -16) = r3"},
    {{0x7b, 10, 3, -16, 0}, "*(u64 *)(r10 -16) = r3"},
    {{0x72, 10, 0, -8, -9}, "*(u8 *)(r10 -8) = -9"},
    {{0x6a, 10, 0, -8, -9}, "*(u16 *)(r10 -8) = -9"},
    {{0x62, 10, 0, -8, -9}, "*(u32 *)(r10 -8) = -9"},
    {{0x7a, 10, 0, -8, -9}, "*(u64 *)(r10 -8) = -9"},
    // atomics
    {{0xdb, 0, 1, 0, 0}, "lock *(u64 *)(r0 +0) += r1"},
    {{0xc3, 6, 1, -32768, 0}, "lock *(u32 *)(r6 -32768) += r1"},
    {{0xdb, 0, 1, 0, 0x40}, "lock *(u64 *)(r0 +0) |= r1"},
    {{0xc3, 6, 1, -32768, 0x40}, "lock *(u32 *)(r6 -32768) |= r1"},
    {{0xdb, 0, 1, 0, 0x50}, "lock *(u64 *)(r0 +0) &= r1"},
    {{0xc3, 6, 1, -32768, 0x50}, "lock *(u32 *)(r6 -32768) &= r1"},
    {{0xdb, 0, 1, 0, 0xa0}, "lock *(u64 *)(r0 +0) ^= r1"},
    {{0xc3, 6, 1, -32768, 0xa0}, "lock *(u32 *)(r6 -32768) ^= r1"},
    {{0xdb, 0, 1, 0, 1}, "r1 = atomic64_fetch_add((u64 *)(r0 +0), r1)"},
    {{0xc3, 6, 1, -32768, 1}, "r1 = atomic_fetch_add((u32 *)(r6 -32768), r1)"},
    {{0xdb, 0, 1, 0, 0x41}, "r1 = atomic64_fetch_or((u64 *)(r0 +0), r1)"},
    {{0xc3, 6, 1, -32768, 0x41}, "r1 = atomic_fetch_or((u32 *)(r6 -32768), r1)"},
    {{0xdb, 0, 1, 0, 0x51}, "r1 = atomic64_fetch_and((u64 *)(r0 +0), r1)"},
    {{0xc3, 6, 1, -32768, 0x51}, "r1 = atomic_fetch_and((u32 *)(r6 -32768), r1)"},
    {{0xdb, 0, 1, 0, 0xa1}, "r1 = atomic64_fetch_xor((u64 *)(r0 +0), r1)"},
    {{0xc3, 6, 1, -32768, 0xa1}, "r1 = atomic_fetch_xor((u32 *)(r6 -32768), r1)"},
    {{0xdb, 0, 1, 0, 0xe1}, "r1 = atomic64_xchg((u64 *)(r0 +0), r1)"},
    {{0xc3, 6, 1, -32768, 0xe1}, "r1 = atomic_xchg((u32 *)(r6 -32768), r1)"},
    {{0xdb, 0, 1, 0, 0xf1}, "r0 = atomic64_cmpxchg((u64 *)(r0 +0), r0, r1)"},
    {{0xc3, 6, 1, -32768, 0xf1}, "r0 = atomic_cmpxchg((u32 *)(r6 -32768), r0, r1)"},
    {{0xd3, 4, 6, 16, 0x100}, "r4 = load_acquire((u8 *)(r6 +16))"},
    {{0xd3, 6, 4, -16, 0x110}, "store_release((u8 *)(r6 -16), r4)"},
    {{0xcb, 4, 6, 16, 0x100}, "r4 = load_acquire((u16 *)(r6 +16))"},
    {{0xcb, 6, 4, -16, 0x110}, "store_release((u16 *)(r6 -16), r4)"},
    {{0xc3, 4, 6, 16, 0x100}, "r4 = load_acquire((u32 *)(r6 +16))"},
    {{0xc3, 6, 4, -16, 0x110}, "store_release((u32 *)(r6 -16), r4)"},
    {{0xdb, 4, 6, 16, 0x100}, "r4 = load_acquire((u64 *)(r6 +16))"},
    {{0xdb, 6, 4, -16, 0x110}, "store_release((u64 *)(r6 -16), r4)"},
    // packet loads
    {{0x30, 0, 0, 0, 12}, "r0 = *(u8 *)skb[12]"},
    {{0x28, 0, 0, 0, 12}, "r0 = *(u16 *)skb[12]"},
    {{0x20, 0, 0, 0, 12}, "r0 = *(u32 *)skb[12]"},
    {{0x20, 0, 0, 0, -4096}, "r0 = *(u32 *)skb[-4096]"},
    {{0x50, 0, 7, 0, 14}, "r0 = *(u8 *)skb[r7 + 14]"},
    {{0x48, 0, 7, 0, 14}, "r0 = *(u16 *)skb[r7 + 14]"},
    {{0x40, 0, 7, 0, 14}, "r0 = *(u32 *)skb[r7 + 14]"},
    {{0x40, 0, 7, 0, -14}, "r0 = *(u32 *)skb[r7 + -14]"},
    // 64-bit immediates
    {{0x18, 1, 0, 0, -1, 0}, "r1 = 0xffffffff"},
    {{0x18, 2, 0, 0, 0, 0}, "r2 = 0x0"},
    {{0x18, 9, 0, 0, 0x55667788, 0x11223344}, "r9 = 0x1122334455667788"},
};

// Not known(), for their reserved fields, but listed all the same: the kernel's own translation of
// classic programs is full of them.
inline constexpr Sample loose_samples[] = {
    {{0x07, 0, 7, 0, 5}, "r0 += 5"},
    {{0x0c, 0, 7, 0, 99}, "w0 += w7"},
    {{0x04, 0, 7, 1, 5}, "w0 += 5"},
    {{0x84, 0, 7, 0, 3}, "w0 = -w0"},
    {{0xbf, 6, 1, 9, 0}, "r6 = r1"},
    {{0xbc, 6, 1, 32, 0}, "w6 = (s32)w1"},
    {{0xbf, 2, 1, -1, 0}, "r2 = &(void __percpu *)(r1)"},
    {{0xb7, 6, 1, 8, 7}, "r6 = 7"},
    {{0x1d, 0, 7, 2, 77}, "if r0 == r7 goto pc+2"},
    {{0x15, 0, 7, 2, 77}, "if r0 == 0x4d goto pc+2"},
    {{0xdc, 4, 1, 0, 24}, "r4 = be24 r4"},
    {{0x7b, 10, 1, -8, 5}, "*(u64 *)(r10 -8) = r1"},
    {{0xcb, 1, 2, 0, 0}, "lock *(u16 *)(r1 +0) += r2"},
};

// What the kernel prints only after it has put something else in place of the immediate, or not at
// all: the words are its words, but only the unit test compares them.
inline constexpr Sample bound_samples[] = {
    {{0x85, 0, 1, 0, 5}, "call pc+5"},
    {{0x85, 0, 1, 0, -5}, "call pc-5"},
    {{0x85, 0, 2, 0, 77}, "call kernel-function#77"},
    {{0x85, 0, 2, 3, 77}, "call kernel-function#77"},
    {{0x18, 1, 1, 0, 3}, "r1 = 0x3"},
    {{0x18, 1, 2, 0, 3, 8}, "r1 = 0x800000003"},
    {{0x18, 1, 3, 0, 3}, "r1 = 0x3"},
    {{0x18, 1, 4, 0, 3}, "r1 = 0x3"},
    {{0x18, 1, 5, 0, 3}, "r1 = 0x3"},
    {{0x18, 1, 6, 0, 3, 8}, "r1 = 0x800000003"},
};
// clang-format on

}  // namespace tamis::test
