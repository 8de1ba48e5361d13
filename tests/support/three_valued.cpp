#include "tests/support/three_valued.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "bpf/bytes.h"

namespace tamis::test {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using frontend::Base;
using frontend::Field;
using frontend::Formula;
using frontend::Offset;
using frontend::Step;
using Number = std::optional<std::uint32_t>;  // nothing: unknown

class Evaluation {
  public:
    Evaluation(Formula const& formula, runtime::Packet const& packet, runtime::Rules rules)
        : formula_(formula), packet_(packet), rules_(rules) {}

    Truth run() { return tree(formula_.nodes.size() - 1); }
    bool divided_by_zero = false;

  private:
    bool kernel() const { return rules_ == runtime::Rules::kernel; }
    Number load(std::uint64_t offset, unsigned size) const {
        auto const at = kernel() ? kernel_index(packet_, static_cast<std::uint32_t>(offset))
                                 : std::optional(offset);
        if (!at || *at + size > packet_.bytes.size()) return std::nullopt;
        return load_be(packet_.bytes, static_cast<std::size_t>(*at), size);
    }
    Truth tree(std::size_t i);
    Number field(Field const& field) const;
    Number load_at(Field const& field, std::uint32_t index) const;
    Number apply(Alu op, std::uint32_t a, std::uint32_t b);
    Number value(std::uint32_t begin, std::uint32_t end);
    Truth compare(Cond cond, Number a, Number b);

    Formula const& formula_;
    runtime::Packet const& packet_;
    runtime::Rules rules_;
    bool unknown_ = false;  // something was
    std::vector<Number> variables_ = std::vector<Number>(formula_.variables, Number(0));
};

Number Evaluation::field(Field const& field) const {
    if (field.base == Base::length) return packet_.length;
    if (field.base == Base::variable) return variables_[field.at.variable];
    if (kernel() && field.base == Base::packet && field.at.variable == Offset::constant)
        if (cbpf::Ancillary const* const row = cbpf::find_ancillary(field.at.value))
            return packet_.ancillary[static_cast<std::size_t>(row->number) / 4];
    return load_at(field, 0);
}

Number Evaluation::load_at(Field const& field, std::uint32_t index) const {
    if (field.at.variable != Offset::constant) {
        Number const begin = variables_[field.at.variable];
        if (!begin) return std::nullopt;
        index += *begin;
    }
    if (field.base == Base::transport) {
        bool const moves = field.at.variable != Offset::constant;
        std::uint64_t const from = moves ? *variables_[field.at.variable] : 0;
        Number const first = load(from + field.header, 1);
        if (!first) return std::nullopt;
        index += 4 * (*first & 15);
    }
    return load(std::uint64_t{index} + field.at.value, field.size);
}

Number Evaluation::apply(Alu op, std::uint32_t a, std::uint32_t b) {
    switch (op) {
        case Alu::add:
            return a + b;
        case Alu::sub:
            return a - b;
        case Alu::mul:
            return a * b;
        case Alu::div:
        case Alu::mod:
            if (b == 0) {
                divided_by_zero = divided_by_zero || !unknown_;
                return std::nullopt;
            }
            return op == Alu::div ? a / b : a % b;
        case Alu::and_:
            return a & b;
        case Alu::or_:
            return a | b;
        case Alu::xor_:
            return a ^ b;
        case Alu::lsh:
        case Alu::rsh:
            if (kernel()) b &= 31;
            if (b > 31) return 0U;
            return op == Alu::lsh ? a << b : a >> b;
    }
    return std::nullopt;
}

Number Evaluation::value(std::uint32_t begin, std::uint32_t end) {
    std::vector<Number> stack;
    for (std::uint32_t i = begin; i < end; ++i) {
        Step const& step = formula_.steps[i];
        switch (step.kind) {
            case Step::Kind::number:
                stack.push_back(step.value);
                break;
            case Step::Kind::field:
                stack.push_back(field(step.field));
                break;
            case Step::Kind::load:
                stack.back() = stack.back() ? load_at(step.field, *stack.back()) : std::nullopt;
                break;
            case Step::Kind::negate:
                if (stack.back()) stack.back() = 0 - *stack.back();
                break;
            case Step::Kind::binary: {
                Number const b = stack.back();
                stack.pop_back();
                Number const a = stack.back();
                stack.back() = a && b ? apply(step.op, *a, *b) : std::nullopt;
                break;
            }
        }
    }
    return stack.back();
}

Truth Evaluation::compare(Cond cond, Number a, Number b) {
    if (!a || !b) {
        unknown_ = true;
        return Truth::unknown;
    }
    bool holds = false;
    switch (cond) {
        case Cond::eq:
            holds = *a == *b;
            break;
        case Cond::gt:
            holds = *a > *b;
            break;
        case Cond::ge:
            holds = *a >= *b;
            break;
        case Cond::set:
            holds = (*a & *b) != 0;
            break;
    }
    return holds ? Truth::yes : Truth::no;
}

// The tree that ends at node i.
Truth Evaluation::tree(std::size_t i) {
    using Kind = Formula::Kind;
    Formula::Node const& node = formula_.nodes[i];
    switch (node.kind) {
        case Kind::test: {
            frontend::Test const& test = formula_.tests[node.index];
            Number const content = field(test.field);
            return compare(test.cond, content ? Number(*content & test.mask) : content, test.value);
        }
        case Kind::relation: {
            frontend::Relation const& relation = formula_.relations[node.index];
            Number const left = value(relation.begin, relation.middle);
            return compare(relation.cond, left, value(relation.middle, relation.end));
        }
        case Kind::assignment: {
            frontend::Assignment const& assignment = formula_.assignments[node.index];
            variables_[assignment.variable] = value(assignment.begin, assignment.end);
            return Truth::yes;
        }
        case Kind::constant:
            return node.index != 0 ? Truth::yes : Truth::no;
        case Kind::negation:
            return static_cast<Truth>(2 - static_cast<int>(tree(i - 1)));
        case Kind::conjunction:
        case Kind::disjunction:
            break;
    }
    std::vector<std::size_t> operands;  // the last first
    for (std::size_t child = i; child > i + 1 - node.size();
         child -= formula_.nodes[child].size() - 1)
        operands.push_back(--child);
    bool const all = node.kind == Kind::conjunction;
    Truth truth = all ? Truth::yes : Truth::no;
    for (auto operand = operands.rbegin(); operand != operands.rend(); ++operand) {
        std::vector<Number> const before = variables_;
        bool const perhaps = truth == Truth::unknown;  // the evaluation has come here
        truth = all ? std::min(truth, tree(*operand)) : std::max(truth, tree(*operand));
        for (std::size_t v = 0; v < variables_.size(); ++v)
            if (perhaps && variables_[v] != before[v]) variables_[v] = std::nullopt;
        if (truth == (all ? Truth::no : Truth::yes)) break;
    }
    return truth;
}

}  // namespace

Truth evaluate(Formula const& formula, runtime::Packet const& packet, runtime::Rules rules,
               bool* divides_by_zero) {
    Evaluation evaluation(formula, packet, rules);
    Truth const truth = evaluation.run();
    if (divides_by_zero != nullptr) *divides_by_zero = evaluation.divided_by_zero;
    return truth;
}

}  // namespace tamis::test
