// The classic interpreter.  Each instruction is carried out as its row in the opcode table says;
// where libpcap and the kernel disagree, `rules` decides.
#include "runtime/cbpf_vm.h"

#include <optional>

#include "bpf/bytes.h"

namespace tamis::runtime {
namespace {

using cbpf::Kind;

class Machine {
  public:
    Machine(std::span<cbpf::Insn const> program, Packet const& packet, Rules rules)
        : program_(program), packet_(packet), rules_(rules) {}

    std::uint32_t run(ExecutionCounts* counts) {
        while (!verdict_) {
            cbpf::Insn const& insn = program_[pc_];
            cbpf::Op const& op = *cbpf::find(insn.code);
            if (counts) ++(*counts)[op.code];
            step(insn, op);
        }
        return *verdict_;
    }

  private:
    void step(cbpf::Insn const& insn, cbpf::Op const& op) {
        std::uint32_t& target = op.writes & cbpf::X ? x_ : a_;
        std::uint32_t const source = op.reads & cbpf::X ? x_ : a_;       // of a store or copy
        std::uint32_t const operand = op.reads & cbpf::X ? x_ : insn.k;  // of alu and branch
        std::size_t next = pc_ + 1;
        switch (op.kind) {
            case Kind::load_imm:
                target = insn.k;
                break;
            case Kind::load_abs:
                load_absolute(insn.k, op.arg);
                break;
            case Kind::load_ind:
                a_ = load(std::uint64_t{x_} + insn.k, op.arg).value_or(0);
                break;
            case Kind::load_mem:
                target = memory_[insn.k];
                break;
            case Kind::load_len:
                target = packet_.length;
                break;
            case Kind::load_msh:
                x_ = 4 * (load(insn.k, op.arg).value_or(0) & 0xf);
                break;
            case Kind::store:
                memory_[insn.k] = source;
                break;
            case Kind::alu:
                alu(op.alu(), operand);
                break;
            case Kind::neg:
                a_ = -a_;
                break;
            case Kind::jump:
            case Kind::branch: {
                bool const taken = op.kind == Kind::jump || holds(op.cond(), operand);
                cbpf::Targets const to = cbpf::targets(insn, pc_, op.kind);
                next = taken ? to.taken : to.fallen;
                break;
            }
            case Kind::ret:
                verdict_ = op.reads & cbpf::A ? a_ : insn.k;
                break;
            case Kind::copy:
                target = source;
                break;
        }
        pc_ = next;
    }

    void load_absolute(std::uint32_t k, unsigned size) {
        cbpf::Ancillary const* const ancillary =
            rules_ == Rules::kernel ? cbpf::find_ancillary(k) : nullptr;
        if (!ancillary)
            a_ = load(k, size).value_or(0);
        else if (ancillary->number == cbpf::Anc::alu_xor_x)
            a_ ^= x_;
        else if (is_of_device(ancillary->number) && metadata(cbpf::Anc::ifindex) == 0)
            verdict_ = a_;  // a packet without a device (net/core/filter.c convert_bpf_extensions)
        else
            a_ = metadata(ancillary->number);
    }
    static bool is_of_device(cbpf::Anc number) {
        return number == cbpf::Anc::ifindex || number == cbpf::Anc::hatype;
    }
    std::uint32_t metadata(cbpf::Anc number) const {
        return packet_.ancillary[static_cast<std::size_t>(number) / 4];
    }

    // The value at an offset, or the end of the program with verdict 0.
    std::optional<std::uint32_t> load(std::uint64_t offset, unsigned size) {
        auto const at = rules_ == Rules::kernel
                            ? kernel_index(packet_, static_cast<std::uint32_t>(offset))
                            : std::optional(offset);
        if (at && *at + size <= packet_.bytes.size())
            return load_be(packet_.bytes, static_cast<std::size_t>(*at), size);
        verdict_ = 0;
        return std::nullopt;
    }

    void alu(cbpf::Alu operation, std::uint32_t operand) {
        using enum cbpf::Alu;
        switch (operation) {
            case add:
                a_ += operand;
                break;
            case sub:
                a_ -= operand;
                break;
            case mul:
                a_ *= operand;
                break;
            case div:
            case mod:
                if (operand == 0)
                    verdict_ = 0;
                else
                    a_ = operation == div ? a_ / operand : a_ % operand;
                break;
            case or_:
                a_ |= operand;
                break;
            case and_:
                a_ &= operand;
                break;
            case lsh:
            case rsh:
                shift(operation, operand);
                break;
            case xor_:
                a_ ^= operand;
                break;
        }
    }

    void shift(cbpf::Alu operation, std::uint32_t count) {
        if (rules_ == Rules::kernel) count &= 31;
        if (count > 31)
            a_ = 0;
        else
            a_ = operation == cbpf::Alu::lsh ? a_ << count : a_ >> count;
    }

    bool holds(cbpf::Cond condition, std::uint32_t operand) const {
        using enum cbpf::Cond;
        switch (condition) {
            case eq:
                return a_ == operand;
            case gt:
                return a_ > operand;
            case ge:
                return a_ >= operand;
            case set:
                return (a_ & operand) != 0;
        }
        return false;
    }

    std::span<cbpf::Insn const> program_;
    Packet const& packet_;
    Rules rules_;
    std::size_t pc_ = 0;
    std::uint32_t a_ = 0, x_ = 0;
    std::array<std::uint32_t, cbpf::memory_words> memory_{};
    std::optional<std::uint32_t> verdict_;
};

}  // namespace

std::uint32_t run(std::span<cbpf::Insn const> program, Packet const& packet, Rules rules,
                  ExecutionCounts* counts) {
    return Machine(program, packet, rules).run(counts);
}

}  // namespace tamis::runtime
