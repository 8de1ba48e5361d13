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
    bool operator==(Number const&) const = default;
};

class Evaluator {
  public:
    Evaluator(Formula const& formula, Terms& terms, PacketModel& packet)
        : f_(formula), t_(terms), packet_(packet), divided_(terms.truth(false)) {}

    Truth run() {
        assert(!f_.nodes.empty());
        Numbers const zeros(f_.variables, {t_.constant(0, 32), t_.truth(true)});
        // Down to the leaves and up again with a stack of our own: chains of operators may be deep.
        enter(static_cast<std::uint32_t>(f_.nodes.size() - 1), {t_.truth(true), zeros});
        for (;;) {
            Open& node = open_.back();
            if (node.next < node.children.size()) {
                std::uint32_t const child = node.children[node.next++];
                node.before = join(goes_on(node), node.so_far.unknown);
                enter(child, node.before);
                continue;
            }
            Outcome const result = std::move(node.so_far);
            open_.pop_back();
            if (open_.empty()) return {result.yes.guard, result.no.guard, divided_};
            take(open_.back(), result);
        }
    }

  private:
    using Numbers = std::vector<Number>;

    // What the variables are, where the guard is true.
    struct Way {
        Term guard;
        Numbers variables;
    };
    struct Outcome {
        Way yes, no, unknown;
    };

    // An operator, some of whose operands are known.
    struct Open {
        Kind kind{};
        std::vector<std::uint32_t> children{};  // in the order of the text
        std::size_t next = 0;
        Outcome so_far{};
        Way before{};  // before the operand that is looked at
    };

    // Where two ways meet: what a variable is on one of them if it is known there.
    Way join(Way const& a, Way const& b) {
        if (t_.is(b.guard, 0)) return a;
        if (t_.is(a.guard, 0)) return b;
        Way out{t_.or_(a.guard, b.guard), a.variables};
        for (std::size_t i = 0; i < out.variables.size(); ++i) {
            Number const &x = a.variables[i], &y = b.variables[i];
            out.variables[i] = {
                t_.join(t_.and_(a.guard, x.known), x.value, t_.and_(b.guard, y.known), y.value),
                t_.join(a.guard, x.known, b.guard, y.known)};
        }
        return out;
    }

    Way where(Term condition, Way const& way) {
        return {t_.and_(way.guard, condition), way.variables};
    }

    // The way on which the next operand decides, and the one on which it does not matter any more.
    static Way& goes_on(Open& node) {
        return node.kind == Kind::disjunction ? node.so_far.no : node.so_far.yes;
    }
    static Way& is_decided(Open& node) {
        return node.kind == Kind::disjunction ? node.so_far.yes : node.so_far.no;
    }

    Outcome either(Term known, Term holds, Way const& way) {
        return {where(t_.and_(known, holds), way), where(t_.and_(known, t_.not_(holds)), way),
                where(t_.not_(known), way)};
    }
    Outcome always(bool value, Way const& way) {
        return either(t_.truth(true), t_.truth(value), way);
    }

    void enter(std::uint32_t index, Way way) {
        Formula::Node const& node = f_.nodes[index];
        Open open{.kind = node.kind};
        switch (node.kind) {
            case Kind::test:
                open.so_far = test(f_.tests[node.index], way);
                break;
            case Kind::relation:
                open.so_far = relation(f_.relations[node.index], way);
                break;
            case Kind::assignment: {
                frontend::Assignment const& a = f_.assignments[node.index];
                way.variables[a.variable] = number(a.begin, a.end, way);
                open.so_far = always(true, way);
                break;
            }
            case Kind::constant:
                open.so_far = always(node.index != 0, way);
                break;
            case Kind::negation:
            case Kind::conjunction:
            case Kind::disjunction:
                open.so_far = always(node.kind != Kind::disjunction, way);
                for (std::uint32_t child = index; child > index + 1 - node.size();) {
                    open.children.push_back(--child);
                    child -= f_.nodes[child].size() - 1;
                }
                std::reverse(open.children.begin(), open.children.end());
                break;
        }
        open_.push_back(std::move(open));
    }

    void take(Open& node, Outcome const& operand) {
        if (node.kind == Kind::negation) {
            node.so_far = {operand.no, operand.yes, operand.unknown};
            return;
        }
        bool const any = node.kind == Kind::disjunction;
        Way const &decides = any ? operand.yes : operand.no,
                  &leaves_open = any ? operand.no : operand.yes;
        Term const was_known = goes_on(node).guard, was_unknown = node.so_far.unknown.guard;
        auto const left_out = [&](Way const& way) {
            return maybe_left_out(node.before, where(was_unknown, way));
        };
        is_decided(node) =
            join(is_decided(node), join(where(was_known, decides), left_out(decides)));
        node.so_far.unknown =
            join(where(was_known, operand.unknown), left_out(join(operand.unknown, leaves_open)));
        goes_on(node) = where(was_known, leaves_open);
    }

    // Behind an operand that nobody knows whether it was looked at, since what stands before it is
    // unknown: so is what it assigned.
    Way maybe_left_out(Way const& before, Way way) {
        for (std::size_t i = 0; i < way.variables.size(); ++i)
            if (way.variables[i] != before.variables[i]) way.variables[i].known = t_.truth(false);
        return way;
    }

    Term constant(std::uint32_t value) { return t_.constant(value, 32); }

    Outcome test(frontend::Test const& test, Way const& way) {
        Number const field = load(test.field, std::nullopt, way);
        Term const masked = t_.and_(field.value, constant(test.mask));
        return either(field.known, compare(test.cond, masked, constant(test.value)), way);
    }

    Outcome relation(frontend::Relation const& r, Way const& way) {
        Number const left = number(r.begin, r.middle, way);
        Number const right = number(r.middle, r.end, way);
        return either(t_.and_(left.known, right.known), compare(r.cond, left.value, right.value),
                      way);
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
    Number load(Field const& field, std::optional<Number> const& more, Way const& way) {
        if (field.base == Base::length) return {packet_.length(), t_.truth(true)};
        bool const constant_offset = field.at.variable == Offset::constant;
        Number from{constant(0), t_.truth(true)};
        if (!constant_offset) from = way.variables[field.at.variable];
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
    Number number(std::uint32_t begin, std::uint32_t end, Way const& way) {
        std::vector<Number> stack;
        for (std::uint32_t i = begin; i < end; ++i) {
            Step const& step = f_.steps[i];
            switch (step.kind) {
                case Step::Kind::number:
                    stack.push_back({constant(step.value), t_.truth(true)});
                    break;
                case Step::Kind::field:
                    stack.push_back(load(step.field, std::nullopt, way));
                    break;
                case Step::Kind::load:
                    stack.back() = load(step.field, stack.back(), way);
                    break;
                case Step::Kind::negate:
                    stack.back().value = t_.sub(constant(0), stack.back().value);
                    break;
                case Step::Kind::binary: {
                    Number const right = stack.back();
                    stack.pop_back();
                    stack.back() = binary(step.op, stack.back(), right, way.guard);
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
    std::vector<Open> open_{};
};

}  // namespace

Truth truth_of(Formula const& formula, Terms& terms, PacketModel& packet) {
    return Evaluator(formula, terms, packet).run();
}

}  // namespace tamis::verify
