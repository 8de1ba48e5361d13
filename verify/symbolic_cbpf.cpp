#include "verify/symbolic_cbpf.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "bpf/cbpf_text.h"

namespace tamis::verify {
namespace {

using cbpf::Kind;
using runtime::Rules;

using State = ClassicState;

class Machine {
  public:
    Machine(std::span<cbpf::Insn const> program, Terms& terms, PacketModel& packet)
        : program_(program),
          t_(terms),
          packet_(packet),
          pending_(program.size()),
          out_of_bounds_(terms.truth(false)),
          verdicts_(terms, 32) {}

    Result<ClassicRun> run(std::size_t from, State const& start) {
        pending_[from] = start;
        Term const never = t_.truth(false);
        std::vector<Term> reached(program_.size(), never);
        ways_.assign(program_.size(), {never, never});
        for (pc_ = from; pc_ < program_.size(); ++pc_) {
            if (!pending_[pc_]) continue;
            s_ = *pending_[pc_];
            reached[pc_] = s_.guard;
            ways_[pc_] = {s_.guard, s_.guard};
            step(program_[pc_], *cbpf::find(program_[pc_].code));
            if (refusal_) return fail(*refusal_);
        }
        return ClassicRun{verdicts_.value(), verdicts_.nonzero(), out_of_bounds_,
                          std::move(reached), std::move(ways_)};
    }

    std::vector<std::optional<State>> states() { return std::move(pending_); }

  private:
    Term number(std::uint32_t value) { return t_.constant(value, 32); }

    void step(cbpf::Insn const& insn, cbpf::Op const& op) {
        Term& target = op.writes & cbpf::X ? s_.x : s_.a;
        Term const source = op.reads & cbpf::X ? s_.x : s_.a;
        Term const operand = op.reads & cbpf::X ? s_.x : number(insn.k);
        switch (op.kind) {
            case Kind::load_imm:
                target = number(insn.k);
                break;
            case Kind::load_abs:
                load_absolute(insn, op.arg);
                break;
            case Kind::load_ind:
                s_.a = load(s_.x, insn.k, op.arg);
                break;
            case Kind::load_mem:
                target = s_.memory[insn.k];
                break;
            case Kind::load_len:
                target = packet_.length();
                break;
            case Kind::load_msh:
                s_.x =
                    t_.binary(Op::shl, t_.and_(load(number(0), insn.k, 1), number(0xf)), number(2));
                break;
            case Kind::store:
                s_.memory[insn.k] = source;
                break;
            case Kind::alu:
                alu(op.alu(), operand);
                break;
            case Kind::neg:
                s_.a = t_.sub(number(0), s_.a);
                break;
            case Kind::jump:
                return go(cbpf::targets(insn, pc_, op.kind).taken, s_.guard);
            case Kind::branch: {
                cbpf::Targets const to = cbpf::targets(insn, pc_, op.kind);
                fork(compare(op.cond(), operand));
                go(to.taken, ways_[pc_][0]);
                return go(to.fallen, ways_[pc_][1]);
            }
            case Kind::ret:
                if (op.reads & cbpf::A) fork(t_.not_(t_.eq(s_.a, number(0))));
                return verdicts_.add(s_.guard, op.reads & cbpf::A ? s_.a : number(insn.k));
            case Kind::copy:
                target = source;
                break;
        }
        go(pc_ + 1, s_.guard);
    }

    // The current state arrives at an instruction when `guard` is true.
    void go(std::size_t to, Term guard) {
        std::optional<State>& there = pending_[to];
        if (!there) {
            there = s_;
            there->guard = guard;
            return;
        }
        auto const merge = [&](Term& old, Term fresh) {
            old = t_.join(guard, fresh, there->guard, old);
        };
        merge(there->a, s_.a);
        merge(there->x, s_.x);
        for (std::size_t i = 0; i < s_.memory.size(); ++i) merge(there->memory[i], s_.memory[i]);
        there->guard = t_.or_(there->guard, guard);
    }

    // The program ends here with that value when `condition` is true.
    void end_if(Term condition, Term value) {
        fork(condition);
        verdicts_.add(ways_[pc_][0], value);
        s_.guard = ways_[pc_][1];
    }

    void fork(Term condition) {
        ways_[pc_] = {t_.and_(s_.guard, condition), t_.and_(s_.guard, t_.not_(condition))};
    }

    Term load(Term x, std::uint32_t k, unsigned size) {
        PacketModel::Load const load = packet_.load(x, k, size);
        Term const bad = t_.not_(load.good);
        out_of_bounds_ = t_.or_(out_of_bounds_, t_.and_(s_.guard, bad));
        end_if(bad, number(0));
        return load.value;
    }

    void load_absolute(cbpf::Insn const& insn, unsigned size) {
        cbpf::Ancillary const* const ancillary =
            packet_.rules() == Rules::kernel ? cbpf::find_ancillary(insn.k) : nullptr;
        if (!ancillary) {
            s_.a = load(number(0), insn.k, size);
            return;
        }
        switch (ancillary->number) {
            case cbpf::Anc::alu_xor_x:
                s_.a = t_.xor_(s_.a, s_.x);
                return;
            case cbpf::Anc::nlattr:
            case cbpf::Anc::nlattr_nest:
                refusal_ = Diagnostic{
                    fmt::format(
                        "instruction {} '{}': what it reads depends on more than the packet", pc_,
                        cbpf::disassemble(insn, pc_)),
                    std::nullopt,
                    {}};
                return;
            case cbpf::Anc::ifindex:
            case cbpf::Anc::hatype:
                // Without a device the program ends with the A of that point.
                end_if(t_.not_(packet_.has_device()), s_.a);
                break;
            case cbpf::Anc::protocol:
            case cbpf::Anc::pkttype:
            case cbpf::Anc::mark:
            case cbpf::Anc::queue:
            case cbpf::Anc::rxhash:
            case cbpf::Anc::cpu:
            case cbpf::Anc::vlan_tag:
            case cbpf::Anc::vlan_tag_present:
            case cbpf::Anc::pay_offset:
            case cbpf::Anc::random:
            case cbpf::Anc::vlan_tpid:
                break;
        }
        s_.a = packet_.ancillary(ancillary->number);
    }

    void alu(cbpf::Alu operation, Term operand) {
        using enum cbpf::Alu;
        switch (operation) {
            case add:
                s_.a = t_.add(s_.a, operand);
                break;
            case sub:
                s_.a = t_.sub(s_.a, operand);
                break;
            case mul:
                s_.a = t_.binary(Op::mul, s_.a, operand);
                break;
            case div:
            case mod:
                end_if(t_.eq(operand, number(0)), number(0));
                s_.a = t_.binary(operation == div ? Op::udiv : Op::urem, s_.a, operand);
                break;
            case or_:
                s_.a = t_.or_(s_.a, operand);
                break;
            case and_:
                s_.a = t_.and_(s_.a, operand);
                break;
            case lsh:
            case rsh:
                if (packet_.rules() == Rules::kernel) operand = t_.and_(operand, number(31));
                s_.a = t_.binary(operation == lsh ? Op::shl : Op::lshr, s_.a, operand);
                break;
            case xor_:
                s_.a = t_.xor_(s_.a, operand);
                break;
        }
    }

    Term compare(cbpf::Cond condition, Term operand) {
        using enum cbpf::Cond;
        switch (condition) {
            case eq:
                return t_.eq(s_.a, operand);
            case gt:
                return t_.ult(operand, s_.a);
            case ge:
                return t_.ule(operand, s_.a);
            case set:
                return t_.not_(t_.eq(t_.and_(s_.a, operand), number(0)));
        }
        return t_.truth(false);
    }

    std::span<cbpf::Insn const> program_;
    Terms& t_;
    PacketModel& packet_;
    std::vector<std::optional<State>> pending_;
    std::vector<std::array<Term, 2>> ways_;
    std::size_t pc_ = 0;
    State s_{};
    Term out_of_bounds_;
    Outcomes verdicts_;
    std::optional<Diagnostic> refusal_;
};

}  // namespace

void Outcomes::add(Term condition, Term value) {
    if (t_.is(condition, 0)) return;
    auto const at = std::find_if(outcomes_.begin(), outcomes_.end(),
                                 [&](Outcome const& o) { return o.value == value; });
    if (at == outcomes_.end())
        outcomes_.push_back({condition, value});
    else
        at->condition = t_.or_(at->condition, condition);
}

Term Outcomes::value() const {
    Term out = t_.constant(0, width_);
    for (Outcome const& o : outcomes_)
        if (!t_.is(o.value, 0)) out = t_.ite(o.condition, o.value, out);
    return out;
}

Term Outcomes::nonzero() const {
    Term out = t_.truth(false);
    Term const zero = t_.constant(0, width_);
    for (Outcome const& o : outcomes_)
        out = t_.or_(out, t_.and_(o.condition, t_.not_(t_.eq(o.value, zero))));
    return out;
}

Result<ClassicRun> run_symbolically(std::span<cbpf::Insn const> program, Terms& terms,
                                    PacketModel& packet) {
    ClassicState start{terms.truth(true), terms.constant(0, 32), terms.constant(0, 32), {}};
    start.memory.fill(terms.constant(0, 32));
    return Machine(program, terms, packet).run(0, start);
}

Result<ClassicRun> run_symbolically(std::span<cbpf::Insn const> program, std::size_t from,
                                    ClassicState const& start, Terms& terms, PacketModel& packet,
                                    std::vector<std::optional<ClassicState>>& states) {
    Machine machine(program, terms, packet);
    auto run = machine.run(from, start);
    states = machine.states();
    return run;
}

}  // namespace tamis::verify
