// A filter inside somebody else's program: the body without a function around it, for those who
// write eBPF themselves.
#pragma once

#include <array>
#include <cstdint>

#include "bpf/builder.h"
#include "bpf/cbpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "translator/translate.h"

namespace tamis::translator {

// Registers of a body that is given the packet's bounds (a row that bounds_only() made), all
// different, none of them r10.
//
//   access   before                        kept                 clobbered
//   pointer  packet pointers in data and   data, data_end, all  result, scratch
//            data_end, for the verifier    others
//   probe    addresses in data and         data, all of r6-r9   result, scratch[0], data_end, r0-r5
//            data_end, for the verifier    that are not named
//            numbers; r6-r9 for data,
//            data_end, result, scratch[0]
//
// On the stack both use the 80 bytes below r10 - stack.
struct BodyRegisters {
    ebpf::Reg data = ebpf::Reg::r1, data_end = ebpf::Reg::r2, result = ebpf::Reg::r0;
    std::array<ebpf::Reg, 4> scratch = {ebpf::Reg::r3, ebpf::Reg::r4, ebpf::Reg::r5, ebpf::Reg::r6};
    std::int32_t stack = 0;  // a multiple of 8
};

// Emits the filter; it goes to `match` or to `no_match`, which the caller binds, with 1 or 0 in
// `result`.
//
// With a context the registers are the form's own.  It is in r1 before; r0-r9 are clobbered, the
// result is in r0, and the 96 bytes below r10 are used.
//
//   access          a load that fails
//   pointer,dynptr  goes to no_match
//   ld_abs          ends the function that the body stands in, with 0 in r0
Result<void> emit_body(ebpf::Builder& builder, cbpf::Program const& program, HookRow const& hook,
                       Shape const& shape, BodyRegisters const& registers,
                       ebpf::Builder::Label match, ebpf::Builder::Label no_match);

}  // namespace tamis::translator
