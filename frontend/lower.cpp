// Three passes over the formula's leaves, which become the blocks of the program:
//   1. from the end: where each block goes when its test is true and when it is false;
//   2. from the start: what A and X hold when a block begins, whatever path led there;
//   3. from the end again: the code, so that every jump's distance is known when it is written.
#include "frontend/lower.h"

#include <algorithm>

#include "frontend/opcodes.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using cbpf::Insn;
using Kind = Formula::Kind;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::uint32_t none = all_ones;

// Code that has not been written yet has no place.
using Place = std::uint32_t;

// The part of a field that says what its offset is counted from; that is what X holds.
constexpr Field counted_from_nothing{.base = Base::length};
constexpr Field counted_from(Field const& field) {
    bool const variable = field.at.variable != Offset::constant;
    if (field.base != Base::transport && (field.base != Base::packet || !variable))
        return counted_from_nothing;
    return {field.base, 0, {0, field.at.variable}, field.header};
}
using op::word_of;

class Lowering {
  public:
    Lowering(Formula const& formula, std::uint32_t accept, Span whole)
        : formula_(formula),
          nodes_(formula.nodes),
          accept_(accept),
          whole_(whole),
          yes_(static_cast<std::uint32_t>(nodes_.size())),
          no_(yes_ + 1) {}

    cbpf::Program run();

  private:
    // Blocks are called by their leaf's index; yes_ and no_ are the two ends.
    struct Goals {
        std::uint32_t yes = none, no = none;
    };
    // What the registers hold at the start of a block.
    struct Registers {
        bool reached = false;
        std::uint32_t a = none;  // what this test leaves in A
        Field x = counted_from_nothing;
    };

    void set_goals();
    void follow_registers();
    void merge(std::uint32_t target, Registers const& registers);
    void write_block(std::uint32_t leaf);
    void write_jump(std::uint32_t target);
    void write_branch(std::uint32_t leaf, std::uint16_t code, std::uint32_t k, Goals goals);
    void test_code(Test const& test, Registers const& before);
    void relation_code(Relation const& relation);
    void value_code(std::uint32_t begin, std::uint32_t end, std::uint32_t depth);
    void base_code(Field const& field);
    void load_code(Field const& field);
    void indexed_code(Field const& field, std::uint32_t depth);
    void zero_variables();
    void bring_near(std::uint32_t target);
    void write(Insn insn, Span span);
    void code(std::uint16_t code, std::uint32_t k = 0) { code_.push_back({code, 0, 0, k}); }

    bool keeps_field(Test const& test) const {  // the test is a jset, which needs no masked copy
        return test.mask == all_ones ||
               (test.cond == Cond::eq && test.value == 0 && test.mask != all_ones);
    }
    std::uint32_t mask_in_a(Test const& test) const {
        return keeps_field(test) ? all_ones : test.mask;
    }

    Formula const& formula_;
    List<Formula::Node> const& nodes_;
    std::uint32_t accept_;
    Span whole_;
    std::uint32_t yes_, no_;
    std::uint32_t start_ = none;  // the block where the program begins
    std::vector<Goals> goals_;
    std::vector<Registers> registers_;
    // The program from its end on: place 0 is the last instruction.
    std::vector<Insn> reversed_;
    std::vector<Span> origin_;
    std::vector<Place> begins_;   // of blocks
    std::vector<Place> nearest_;  // the last written of a block's start and the jumps to it
    std::vector<Insn> code_;      // of the current block, in order, without its branch
};

// Postfix order read backwards meets every operator before its operands, and the operands from the
// last to the first.  So `here`, the start of what was met last, is where evaluation goes on after
// an operand that decides nothing.
void Lowering::set_goals() {
    goals_.resize(nodes_.size());
    std::vector<std::uint32_t> parents(nodes_.size(), none);
    std::uint32_t here = none;
    for (std::uint32_t i = yes_; i-- > 0;) {
        Formula::Node const& node = nodes_[i];
        std::uint32_t const parent = parents[i];
        Goals& goals = goals_[i];
        if (parent == none) {
            goals = {yes_, no_};
        } else if (nodes_[parent].kind == Kind::negation) {
            goals = {goals_[parent].no, goals_[parent].yes};
        } else if (i + 1 == parent) {
            goals = goals_[parent];
        } else {
            bool const all = nodes_[parent].kind == Kind::conjunction;
            goals = {all ? here : goals_[parent].yes, all ? goals_[parent].no : here};
        }
        switch (node.kind) {
            case Kind::test:
            case Kind::relation:
            case Kind::assignment:
                here = i;
                break;
            case Kind::constant:
                here = node.index != 0 ? goals.yes : goals.no;
                break;
            case Kind::negation:
            case Kind::conjunction:
            case Kind::disjunction:
                for (std::uint32_t child = i; child > i + 1 - node.size();) {
                    parents[--child] = i;
                    child -= nodes_[child].size() - 1;
                }
                break;
        }
    }
    start_ = here;
}

// Every jump leads forward, so one pass sees all ways into a block before the block itself.
void Lowering::follow_registers() {
    registers_.resize(nodes_.size() + 2);
    registers_[start_].reached = true;
    for (std::uint32_t i = 0; i < yes_; ++i) {
        if (!registers_[i].reached) continue;
        Registers after = registers_[i];
        if (nodes_[i].kind == Kind::test) {
            Field const& field = formula_.tests[nodes_[i].index].field;
            after.a = nodes_[i].index;
            if (Field const from = counted_from(field); from != counted_from_nothing)
                after.x = from;
        } else {
            after.a = none;
            after.x = counted_from_nothing;
        }
        merge(goals_[i].yes, after);
        if (nodes_[i].kind != Kind::assignment) merge(goals_[i].no, after);
    }
}

void Lowering::merge(std::uint32_t target, Registers const& registers) {
    Registers& known = registers_[target];
    auto const same = [&](std::uint32_t a, std::uint32_t b) {
        if (a == none || b == none) return false;
        Test const &one = formula_.tests[a], &other = formula_.tests[b];
        return one.field == other.field && mask_in_a(one) == mask_in_a(other);
    };
    if (!known.reached) {
        known = registers;
        known.reached = true;
        return;
    }
    if (!same(known.a, registers.a)) known.a = none;
    if (known.x != registers.x) known.x = counted_from_nothing;
}

// ------------------------------------------------------------------------------------------- code

// Puts into X what the field's offset is counted from.
void Lowering::base_code(Field const& field) {
    bool const variable = field.at.variable != Offset::constant;
    if (field.base == Base::transport && !variable) return code(op::ldx_msh, field.header);
    if (counted_from(field) == counted_from_nothing) return;
    code(op::ldx_mem, word_of(field.at.variable));
    if (field.base == Base::packet) return;
    code(op::ld_ind(1), field.header);
    code(op::alu(Alu::and_), 0xf);
    code(op::alu(Alu::lsh), 2);
    code(op::alu(Alu::add) | op::with_x);
    code(op::tax);
}

void Lowering::load_code(Field const& field) {
    switch (field.base) {
        case Base::packet:
            if (field.at.variable == Offset::constant)
                code(op::ld_abs(field.size), field.at.value);
            else
                code(op::ld_ind(field.size), field.at.value);
            break;
        case Base::transport:
            code(op::ld_ind(field.size), field.at.value);
            break;
        case Base::length:
            code(op::ld_len);
            break;
        case Base::variable:
            code(op::ld_mem, word_of(field.at.variable));
            break;
    }
}

// The field at an offset that is increased by A, the last of `depth` values.
void Lowering::indexed_code(Field const& field, std::uint32_t depth) {
    if (counted_from(field) != counted_from_nothing) {
        // Behind a header at a variable place A is needed to find out where that ends.
        bool const takes_a = field.base == Base::transport && field.at.variable != Offset::constant;
        if (takes_a) code(op::st, depth - 1);
        base_code(field);
        if (takes_a) code(op::ld_mem, depth - 1);
        code(op::alu(Alu::add) | op::with_x);
    }
    code(op::tax);
    code(op::ld_ind(field.size), field.at.value);
}

void Lowering::test_code(Test const& test, Registers const& before) {
    std::uint32_t const wanted = mask_in_a(test);
    std::uint32_t held = none;  // the test whose field A holds
    if (before.a != none && formula_.tests[before.a].field == test.field) held = before.a;
    if (held != none && mask_in_a(formula_.tests[held]) == wanted) return;
    if (held == none || mask_in_a(formula_.tests[held]) != all_ones) {
        if (before.x != counted_from(test.field)) base_code(test.field);
        load_code(test.field);
    }
    if (wanted != all_ones) code(op::alu(Alu::and_), wanted);
}

// Whether the operation can have this number in its instruction: the kernel refuses those that
// never make sense.
bool takes(Step const& step, std::uint32_t number) {
    if (step.kind != Step::Kind::binary) return false;
    if (step.op == Alu::div || step.op == Alu::mod) return number != 0;
    if (step.op == Alu::lsh || step.op == Alu::rsh) return number < 32;
    return true;
}

// A stack machine: the last value is in A, the ones before it in M[0], M[1], ...  `depth` values
// wait already.
void Lowering::value_code(std::uint32_t begin, std::uint32_t end, std::uint32_t depth) {
    std::uint32_t const bottom = depth;
    bool in_a = depth > 0;
    auto const push = [&] {  // makes room in A
        if (in_a) code(op::st, depth - 1);
        in_a = true;
        ++depth;
    };
    for (std::uint32_t i = begin; i < end; ++i) {
        Step const& step = formula_.steps[i];
        switch (step.kind) {
            case Step::Kind::number:
                if (i + 1 < end && depth > bottom && takes(formula_.steps[i + 1], step.value)) {
                    code(op::alu(formula_.steps[++i].op), step.value);
                    break;
                }
                push();
                code(op::ld_imm, step.value);
                break;
            case Step::Kind::field:
                push();
                base_code(step.field);
                load_code(step.field);
                break;
            case Step::Kind::load:
                indexed_code(step.field, depth);
                break;
            case Step::Kind::negate:
                code(op::neg);
                break;
            case Step::Kind::binary: {
                --depth;
                bool const commutes = step.op == Alu::add || step.op == Alu::mul ||
                                      step.op == Alu::and_ || step.op == Alu::or_ ||
                                      step.op == Alu::xor_;
                if (commutes) {
                    code(op::ldx_mem, depth - 1);
                } else {
                    code(op::tax);
                    code(op::ld_mem, depth - 1);
                }
                code(op::alu(step.op) | op::with_x);
                break;
            }
        }
    }
}

void Lowering::relation_code(Relation const& relation) {
    value_code(relation.begin, relation.middle, 0);
    bool const number = relation.end - relation.middle == 1 &&
                        formula_.steps[relation.middle].kind == Step::Kind::number;
    if (number) return;
    value_code(relation.middle, relation.end, 1);
    code(op::tax);
    code(op::ld_mem, 0);
}

void Lowering::write(Insn insn, Span span) {
    reversed_.push_back(insn);
    origin_.push_back(span);
}

// Makes sure that a branch written now, or after one more instruction, reaches the target: by
// another `ret`, or by a jump that the branches before this one share.
void Lowering::bring_near(std::uint32_t target) {
    constexpr std::size_t reach = 254;
    Place& nearest = nearest_[target];
    if (nearest != none && reversed_.size() - nearest <= reach) return;
    auto const here = static_cast<Place>(reversed_.size());
    if (target == yes_)
        write({op::ret, 0, 0, accept_}, whole_);
    else if (target == no_)
        write({op::ret, 0, 0, 0}, whole_);
    else
        write({op::ja, 0, 0, here - begins_[target] - 1}, nodes_[target].span);
    nearest = here;
}

// Goes on at the target: nothing where that stands next.
void Lowering::write_jump(std::uint32_t target) {
    bring_near(target);
    auto const here = static_cast<Place>(reversed_.size());
    if (nearest_[target] == here - 1) return;
    write({op::ja, 0, 0, here - nearest_[target] - 1}, whole_);
    nearest_[target] = here;
}

void Lowering::write_branch(std::uint32_t leaf, std::uint16_t code, std::uint32_t k, Goals goals) {
    bring_near(goals.no);
    bring_near(goals.yes);
    auto const distance = [&](std::uint32_t target) {
        return static_cast<std::uint8_t>(reversed_.size() - nearest_[target] - 1);
    };
    write({code, distance(goals.yes), distance(goals.no), k}, nodes_[leaf].span);
}

void Lowering::write_block(std::uint32_t leaf) {
    code_.clear();
    Goals const goals = goals_[leaf];
    if (nodes_[leaf].kind == Kind::test) {
        Test const& test = formula_.tests[nodes_[leaf].index];
        test_code(test, registers_[leaf]);
        if (test.mask != all_ones && keeps_field(test))
            write_branch(leaf, op::branch(Cond::set), test.mask, {goals.no, goals.yes});
        else
            write_branch(leaf, op::branch(test.cond), test.value, goals);
    } else if (nodes_[leaf].kind == Kind::assignment) {
        Assignment const& assignment = formula_.assignments[nodes_[leaf].index];
        value_code(assignment.begin, assignment.end, 0);
        code(op::st, word_of(assignment.variable));
        write_jump(goals.yes);
    } else {
        Relation const& relation = formula_.relations[nodes_[leaf].index];
        relation_code(relation);
        Step const& last = formula_.steps[relation.end - 1];
        if (relation.end - relation.middle == 1 && last.kind == Step::Kind::number)
            write_branch(leaf, op::branch(relation.cond), last.value, goals);
        else
            write_branch(leaf, op::branch(relation.cond) | op::with_x, 0, goals);
    }
    for (auto insn = code_.rbegin(); insn != code_.rend(); ++insn) write(*insn, nodes_[leaf].span);
    begins_[leaf] = nearest_[leaf] = static_cast<Place>(reversed_.size() - 1);
}

void Lowering::zero_variables() {
    for (std::uint8_t i = 0; i < formula_.variables; ++i) write({op::st, 0, 0, word_of(i)}, whole_);
    if (formula_.variables > 0) write({op::ld_imm, 0, 0, 0}, whole_);
}

cbpf::Program Lowering::run() {
    set_goals();
    follow_registers();
    begins_.assign(nodes_.size() + 2, none);
    nearest_ = begins_;
    reversed_.reserve(2 * nodes_.size() + 2);
    origin_.reserve(2 * nodes_.size() + 2);
    for (std::uint32_t i = yes_; i-- > 0;)
        if (registers_[i].reached && nodes_[i].kind <= Kind::assignment) write_block(i);
    write_jump(start_);
    zero_variables();
    std::reverse(reversed_.begin(), reversed_.end());
    std::reverse(origin_.begin(), origin_.end());
    return {std::move(reversed_), std::move(origin_)};
}

}  // namespace

cbpf::Program lower(Formula const& formula, std::uint32_t accept, Span whole) {
    return Lowering(formula, accept, whole).run();
}

}  // namespace tamis::frontend
