// Builds eBPF, one method per kind of instruction; the operation comes first, the last operand is a
// register or a number.
//
//     b.load(Size::half, r0, r8, 12).to_be(16, r0);   // r0 = packet[12..13]
//     b.jump(Cond::ne, r0, 0x800, reject);
//     b.mov(r0, 0).exit();
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/ebpf.h"
#include "bpf/result.h"

namespace tamis::ebpf {

class Builder {
  public:
    // A place in the program to jump to; bound once, used any number of times before or after.
    enum class Label : std::uint32_t {};

    // The last operand of ALU and jump instructions.
    struct Operand {
        bool is_reg;
        std::int32_t value;  // the register's number or the immediate
        Operand(Reg r)
            : is_reg(true),
              value(static_cast<std::int32_t>(r)) {}          // NOLINT(google-explicit-constructor)
        Operand(std::int32_t i) : is_reg(false), value(i) {}  // NOLINT(google-explicit-constructor)
    };

    // The origin that every following instruction gets, and the one in force.
    Builder& from(Origin origin);
    Origin origin() const { return current_; }

    Label label();               // a new label, bound nowhere yet
    Builder& bind(Label label);  // the label stands for the next instruction
    bool is_bound(Label label) const;
    bool is_used(Label label) const {  // some instruction so far jumps or calls there
        return std::any_of(fixups_.begin(), fixups_.end(),
                           [&](Fixup const& f) { return f.target == label; });
    }

    Builder& alu(Alu op, Reg dst, Operand src);    // 64 bit
    Builder& alu32(Alu op, Reg dst, Operand src);  // 32 bit, clears the upper half of dst
    Builder& mov(Reg dst, Operand src);            // 64 bit; an immediate is sign-extended
    Builder& mov32(Reg dst, Operand src);          // 32 bit, zero-extended
    Builder& neg32(Reg dst);
    Builder& to_be(unsigned bits,
                   Reg dst);  // host to big endian and back; 16, 32 or 64 bits, zero-extended
    Builder& load(Size size, Reg dst, Reg base,
                  std::int32_t off);  // dst = *(size *)(base + off), zero-extended
    Builder& store(Size size, Reg base, std::int32_t off, Operand src);
    Builder& atomic_add(Size size, Reg base, std::int32_t off, Reg src);  // word or dword
    Builder& load_packet(Size size,
                         std::int32_t k);  // r0 = packet[k], big endian; LD_ABS: context in r6
    Builder& load_packet(Size size, Reg x, std::int32_t k);  // r0 = packet[x + k]; LD_IND
    Builder& load_map(Reg dst, std::uint32_t map);           // dst = &maps[map]
    Builder& load_imm64(Reg dst, std::uint64_t value);
    Builder& jump(Cond cond, Reg dst, Operand src, Label target);    // 64-bit comparison
    Builder& jump32(Cond cond, Reg dst, Operand src, Label target);  // 32-bit comparison
    Builder& jump(Label target);
    Builder& call(Helper helper);
    Builder& call(Kfunc function);
    Builder& call(Label function);  // a function of this program
    Builder& exit();

    std::size_t size() const { return insns_.size(); }

    // Patches every jump and gives the program up (functions and maps are the caller's to fill in).
    // Jumps that do not fit their 16 bits go by islands: jumps in between, that those to the same
    // label share.  (`gotol`, which has 32 bits, is only in kernels from 6.6 on.)  Functions must
    // begin before the first island, in the first 12,000 instructions.  Fails when an offset does
    // not fit its field; an unbound label is a broken promise.
    Result<Program> finish();

  private:
    struct Fixup {
        std::size_t index;
        Label target;
    };
    struct Overflow {
        std::size_t index;
        std::int32_t offset;
    };
    Builder& emit(Insn insn);
    Builder& emit_jump(Insn insn, Label target);
    Builder& emit_memory(Insn insn, std::int32_t off);
    Diagnostic at(std::size_t index, std::string_view message, std::string_view note) const;
    std::int64_t place(Label label) const { return labels_[static_cast<std::size_t>(label)]; }
    bool has_far_jumps() const;
    void insert_islands(std::int64_t reach);
    void bring_jumps_near();

    std::vector<Insn> insns_;
    std::vector<Origin> origin_;
    std::vector<std::int64_t> labels_;  // index of the instruction, or -1
    std::vector<Fixup> fixups_;
    Origin current_;
    std::optional<Overflow> overflow_;  // the first offset that did not fit its field
};

}  // namespace tamis::ebpf
