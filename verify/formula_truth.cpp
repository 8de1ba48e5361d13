#include "verify/formula_truth.h"

#include <algorithm>
#include <cassert>

namespace tamis::verify {
namespace {

using frontend::Base;
using frontend::Field;
using frontend::Formula;
using frontend::Offset;
using frontend::Step;
using Kind = Formula::Kind;

// A number, and whether it is known.
struct Number {
    Term value;  // 32 bits
    Term known;
};

class Evaluator {
  public:
    Evaluator(Formula const& formula, Terms& terms, PacketModel& packet)
        : f_(formula),
          t_(terms),
          packet_(packet),
          divided_(terms.truth(false)),
          variables_(formula.variables, {terms.constant(0, 32), terms.truth(true)}) {}

    Truth run() {
        assert(!f_.nodes.empty());
        // Down to the leaves and up again with a stack of our own: chains of operators may be deep.
        enter(static_cast<std::uint32_t>(f_.nodes.size() - 1), t_.truth(true));
        Truth result{};
        while (!open_.empty()) {
            Open& node = open_.back();
            if (node.next < node.children.size()) {
                node.before = variables_;
                enter(node.children[node.next++], evaluated(node));
                continue;
            }
            result = node.result;
            open_.pop_back();
            if (!open_.empty()) take(open_.back(), result);
        }
        result.divided_by_zero = divided_;
        return result;
    }

  private:
    using Variables = std::vector<Number>;

    // An operator, some of whose operands are known.
    struct Open {
        Kind kind{};
        std::vector<std::uint32_t> children{};  // in the order of the text
        std::size_t next = 0;
        Term reached{};      // the operator is evaluated
        Truth result{};      // so far
        Variables before{};  // before the operand that is looked at
    };

    Truth both(Term yes) { return {yes, t_.not_(yes), t_.truth(false)}; }

    // The next operand is looked at unless those before it have decided.
    Term evaluated(Open const& node) {
        if (node.kind == Kind::conjunction) return t_.and_(node.reached, t_.not_(node.result.no));
        if (node.kind == Kind::disjunction) return t_.and_(node.reached, t_.not_(node.result.yes));
        return node.reached;
    }

    void enter(std::uint32_t index, Term reached) {
        Formula::Node const& node = f_.nodes[index];
        Open open{.kind = node.kind, .reached = reached};
        switch (node.kind) {
            case Kind::test:
                open.result = test(f_.tests[node.index]);
                break;
            case Kind::relation:
                open.result = relation(f_.relations[node.index], reached);
                break;
            case Kind::assignment: {
                frontend::Assignment const& a = f_.assignments[node.index];
                variables_[a.variable] = number(a.begin, a.end, reached);
                open.result = both(t_.truth(true));
                break;
            }
            case Kind::constant:
                open.result = both(t_.truth(node.index != 0));
                break;
            case Kind::negation:
            case Kind::conjunction:
            case Kind::disjunction:
                open.result = both(t_.truth(node.kind == Kind::conjunction));
                for (std::uint32_t child = index; child > index + 1 - node.size();) {
                    open.children.push_back(--child);
                    child -= f_.nodes[child].size() - 1;
                }
                std::reverse(open.children.begin(), open.children.end());
                break;
        }
        open_.push_back(std::move(open));
    }

    void take(Open& node, Truth const& operand) {
        Truth& all = node.result;
        switch (node.kind) {
            case Kind::conjunction:
                join_variables(node, all.no, all.yes);
                all.yes = t_.and_(all.yes, operand.yes);
                all.no = t_.or_(all.no, operand.no);
                break;
            case Kind::disjunction:
                join_variables(node, all.yes, all.no);
                all.yes = t_.or_(all.yes, operand.yes);
                all.no = t_.and_(all.no, operand.no);
                break;
            case Kind::negation:
                all = {operand.no, operand.yes, all.divided_by_zero};
                break;
            case Kind::test:
            case Kind::relation:
            case Kind::assignment:
            case Kind::constant:
                break;  // have no operands
        }
    }

    // Behind an operand that may have been left out: what it assigned counts where it was looked
    // at, and where nobody knows whether it was, only what is the same either way is known.
    void join_variables(Open const& node, Term left_out, Term looked_at) {
        for (std::size_t i = 0; i < variables_.size(); ++i) {
            Number const &old = node.before[i], &now = variables_[i];
            Term const same = t_.and_(t_.and_(old.known, now.known), t_.eq(old.value, now.value));
            variables_[i] = {t_.ite(left_out, old.value, now.value),
                             t_.ite(left_out, old.known, t_.ite(looked_at, now.known, same))};
        }
    }

    Term constant(std::uint32_t value) { return t_.constant(value, 32); }

    Truth with(Term known, Term holds) {
        return {t_.and_(known, holds), t_.and_(known, t_.not_(holds)), t_.truth(false)};
    }

    Truth test(frontend::Test const& test) {
        Number const field = load(test.field, std::nullopt);
        return with(field.known, compare(test.cond, t_.and_(field.value, constant(test.mask)),
                                         constant(test.value)));
    }

    Truth relation(frontend::Relation const& r, Term reached) {
        Number const left = number(r.begin, r.middle, reached);
        Number const right = number(r.middle, r.end, reached);
        return with(t_.and_(left.known, right.known), compare(r.cond, left.value, right.value));
    }

    Term compare(cbpf::Cond cond, Term a, Term b) {
        using enum cbpf::Cond;
        switch (cond) {
            case eq:
                return t_.eq(a, b);
            case gt:
                return t_.ult(b, a);
            case ge:
                return t_.ule(b, a);
            case set:
                return t_.not_(t_.eq(t_.and_(a, b), constant(0)));
        }
        return t_.truth(false);
    }

    // The field, at an offset that may be increased by a number.
    Number load(Field const& field, std::optional<Number> const& more) {
        if (field.base == Base::length) return {packet_.length(), t_.truth(true)};
        bool const constant_offset = field.at.variable == Offset::constant;
        Number from{constant(0), t_.truth(true)};
        if (!constant_offset) from = variables_[field.at.variable];
        if (field.base == Base::variable) return from;
        if (field.base == Base::transport) from = behind_header(field, from);
        if (more) from = {t_.add(from.value, more->value), t_.and_(from.known, more->known)};
        PacketModel::Load const load = packet_.load(from.value, field.at.value, field.size);
        return {load.value, t_.and_(from.known, load.good)};
    }

    // Where the IPv4 header that begins at a variable, or at 0, plus field.header ends; counted
    // without field.header itself.
    Number behind_header(Field const& field, Number const& from) {
        PacketModel::Load const first = packet_.load(from.value, field.header, 1);
        Term const size = t_.binary(Op::shl, t_.and_(first.value, constant(0xf)), constant(2));
        return {t_.add(size, from.value), t_.and_(from.known, first.good)};
    }

    // steps[begin .. end)
    Number number(std::uint32_t begin, std::uint32_t end, Term reached) {
        std::vector<Number> stack;
        for (std::uint32_t i = begin; i < end; ++i) {
            Step const& step = f_.steps[i];
            switch (step.kind) {
                case Step::Kind::number:
                    stack.push_back({constant(step.value), t_.truth(true)});
                    break;
                case Step::Kind::field:
                    stack.push_back(load(step.field, std::nullopt));
                    break;
                case Step::Kind::load:
                    stack.back() = load(step.field, stack.back());
                    break;
                case Step::Kind::negate:
                    stack.back().value = t_.sub(constant(0), stack.back().value);
                    break;
                case Step::Kind::binary: {
                    Number const right = stack.back();
                    stack.pop_back();
                    stack.back() = binary(step.op, stack.back(), right, reached);
                    break;
                }
            }
        }
        assert(stack.size() == 1);
        return stack.back();
    }

    Number binary(cbpf::Alu op, Number const& a, Number const& b, Term reached) {
        Term const known = t_.and_(a.known, b.known);
        if (op == cbpf::Alu::div || op == cbpf::Alu::mod)
            divided_ =
                t_.or_(divided_, t_.and_(t_.and_(reached, known), t_.eq(b.value, constant(0))));
        return {compute(op, a.value, b.value), known};
    }

    Term compute(cbpf::Alu op, Term a, Term b) {
        using enum cbpf::Alu;
        switch (op) {
            case add:
                return t_.add(a, b);
            case sub:
                return t_.sub(a, b);
            case mul:
                return t_.binary(Op::mul, a, b);
            case div:
                return t_.binary(Op::udiv, a, b);
            case mod:
                return t_.binary(Op::urem, a, b);
            case or_:
                return t_.or_(a, b);
            case and_:
                return t_.and_(a, b);
            case lsh:
            case rsh:
                if (packet_.rules() == runtime::Rules::kernel) b = t_.and_(b, constant(31));
                return t_.binary(op == lsh ? Op::shl : Op::lshr, a, b);
            case xor_:
                return t_.xor_(a, b);
        }
        return a;
    }

    Formula const& f_;
    Terms& t_;
    PacketModel& packet_;
    Term divided_;
    Variables variables_;
    std::vector<Open> open_;
};

}  // namespace

Truth truth_of(Formula const& formula, Terms& terms, PacketModel& packet) {
    return Evaluator(formula, terms, packet).run();
}

}  // namespace tamis::verify
