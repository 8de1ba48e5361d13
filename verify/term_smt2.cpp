// Terms as a script for other solvers: SMT-LIB 2.
#include <fmt/format.h>

#include "verify/term_values.h"

namespace tamis::verify {
namespace {

std::string sort(unsigned width) {
    return width == 0 ? "Bool" : fmt::format("(_ BitVec {})", width);
}

std::string_view smt_name(Op op, bool truth) {
    switch (op) {
        case Op::not_:
            return truth ? "not" : "bvnot";
        case Op::and_:
            return truth ? "and" : "bvand";
        case Op::or_:
            return truth ? "or" : "bvor";
        case Op::xor_:
            return truth ? "xor" : "bvxor";
        case Op::ite:
            return "ite";
        case Op::eq:
            return "=";
        case Op::ult:
            return "bvult";
        case Op::slt:
            return "bvslt";
        case Op::add:
            return "bvadd";
        case Op::sub:
            return "bvsub";
        case Op::mul:
            return "bvmul";
        case Op::udiv:
            return "bvudiv";
        case Op::urem:
            return "bvurem";
        case Op::sdiv:
            return "bvsdiv";
        case Op::srem:
            return "bvsrem";
        case Op::shl:
            return "bvshl";
        case Op::lshr:
            return "bvlshr";
        case Op::ashr:
            return "bvashr";
        case Op::concat:
            return "concat";
        case Op::byte:
            return "byte";
        case Op::constant:
        case Op::variable:
        case Op::extract:
        case Op::zext:
        case Op::sext:
            break;  // written out below
    }
    return "";
}

// How a term is referred to: constants and variables by themselves, the others by their number.
std::string reference(Terms const& terms, Term term) {
    Terms::Node const& node = terms[term];
    if (node.op == Op::variable) return fmt::format("|{}|", terms.name(term));
    if (node.op != Op::constant) return fmt::format("t{}", term.id);
    if (node.width == 0) return node.value != 0 ? "true" : "false";
    return fmt::format("(_ bv{} {})", node.value, node.width);
}

std::string definition(Terms const& terms, Term term) {
    Terms::Node const& node = terms[term];
    unsigned const n = operands(node.op);
    unsigned const from = terms.width(node.a);
    std::string head(smt_name(node.op, node.width == 0));
    if (node.op == Op::extract)
        head = fmt::format("(_ extract {} {})", node.value + node.width - 1, node.value);
    if (node.op == Op::zext) head = fmt::format("(_ zero_extend {})", node.width - from);
    if (node.op == Op::sext) head = fmt::format("(_ sign_extend {})", node.width - from);
    std::string text = fmt::format("({} {}", head, reference(terms, node.a));
    if (n > 1) text += " " + reference(terms, node.b);
    if (n > 2) text += " " + reference(terms, node.c);
    return text + ")";
}

}  // namespace

std::string smt2(Terms const& terms, Term assertion) {
    std::string out = "(set-logic QF_UFBV)\n(declare-fun byte ((_ BitVec 32)) (_ BitVec 8))\n";
    for (Term const term : terms.parts({&assertion, 1})) {
        Terms::Node const& node = terms[term];
        if (node.op == Op::constant) continue;
        if (node.op == Op::variable)
            out += fmt::format("(declare-const {} {})\n", reference(terms, term), sort(node.width));
        else
            out += fmt::format("(define-fun t{} () {} {})\n", term.id, sort(node.width),
                               definition(terms, term));
    }
    return out + fmt::format("(assert {})\n(check-sat)\n", reference(terms, assertion));
}

}  // namespace tamis::verify
