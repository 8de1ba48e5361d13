// Relations between arithmetic: `ip[0] & 0xf > 5`.
#include <span>

#include <fmt/core.h>

#include "frontend/resolve_parts.h"
#include "frontend/values.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::size_t max_warnings = 8;  // of one filter: nobody reads more

// What must be true of a packet before a field of it means anything.
struct Guard {
    enum class Kind : std::uint8_t { link_type, protocol, next_header, first_fragment };
    Kind kind;
    std::uint32_t number = 0;
    bool operator==(Guard const&) const = default;
};

// An operand of arithmetic.  Its guards are a range of a common list.
struct Operand {
    std::size_t begin, end;
    std::optional<std::uint32_t> constant{};
    bool written = false;  // the constant stands in the text as it is
    Span span{};
};

// clang-format off
struct Operator {
    Kind kind;
    Alu alu;
};
constexpr Operator operators[] = {
    {Kind::plus, Alu::add}, {Kind::minus, Alu::sub}, {Kind::star, Alu::mul}, {Kind::slash, Alu::div},
    {Kind::percent, Alu::mod}, {Kind::ampersand, Alu::and_}, {Kind::pipe, Alu::or_},
    {Kind::caret, Alu::xor_}, {Kind::shift_left, Alu::lsh}, {Kind::shift_right, Alu::rsh},
};
// A comparison in terms of what branches can do, and the same with its sides exchanged.
struct Comparison {
    Kind kind;
    Cond cond;
    bool negated;
    Kind mirrored;
};
constexpr Comparison comparisons[] = {
    {Kind::eq, Cond::eq, false, Kind::eq}, {Kind::ne, Cond::eq, true, Kind::ne},
    {Kind::gt, Cond::gt, false, Kind::lt}, {Kind::le, Cond::gt, true, Kind::ge},
    {Kind::ge, Cond::ge, false, Kind::le}, {Kind::lt, Cond::ge, true, Kind::gt},
};
// clang-format on

template <class Row, std::size_t size>
constexpr Row const& row(Row const (&rows)[size], Kind kind) {
    return *std::find_if(std::begin(rows), std::end(rows),
                         [&](Row const& r) { return r.kind == kind; });
}

// The largest number that the field can be under the mask.
std::uint32_t most(Test const& test) {
    std::uint32_t const field =
        test.field.base == Base::length ? all_ones : all_ones >> (32 - 8 * test.field.size);
    return field & test.mask;
}

// What a test says of every packet that has the field; nothing where that depends.
std::optional<bool> outcome(Test const& test) {
    std::uint32_t const bits = most(test);
    switch (test.cond) {
        case Cond::eq:
            if ((test.value & ~bits) != 0) return false;
            return bits == 0 ? std::optional(true) : std::nullopt;
        case Cond::gt:
            return test.value >= bits ? std::optional(false) : std::nullopt;
        case Cond::ge:
            if (test.value == 0) return true;
            return test.value > bits ? std::optional(false) : std::nullopt;
        case Cond::set:
            return (test.value & bits) == 0 ? std::optional(false) : std::nullopt;
    }
    return std::nullopt;
}

class Relations : private Part {
  public:
    explicit Relations(Resolving& resolving)
        : Part(resolving), steps_(resolving.out.formula.steps) {}
    bool run(ast::Node const& node, ast::Relation const& relation);

  private:
    bool arithmetic(ast::Range steps);
    bool step(ast::Step const& step);
    void negate(ast::Step const& step);
    bool binary(ast::Step const& step);
    bool load(ast::Step const& step);
    bool size_of(ast::Step const& step, std::uint8_t& size);
    bool not_indexable(Token const& word);
    void warn_unguarded(Operand const& left, Operand const& right);
    void warn_decided(bool negated, Span span);
    void guard(Protocol const& protocol, Operand const& index);
    void add_guards(Primitives& tests);
    void add_comparison(Cond cond, std::uint32_t begin, std::uint32_t middle, Span span);
    std::span<Guard const> guards_of(Operand const& operand) const {
        return std::span(guards_).subspan(operand.begin, operand.end - operand.begin);
    }
    std::uint32_t written() const { return static_cast<std::uint32_t>(steps_.size()); }

    List<Step>& steps_;
    std::vector<Operand> operands_;
    std::vector<Guard> guards_;
};

// Postfix order: operands wait on a stack until their operator comes.
bool Relations::arithmetic(ast::Range steps) {
    for (std::uint32_t i = steps.begin; i < steps.end; ++i) {
        if (!step(c_.tree.steps[i])) return false;
        // The last value is in the accumulator, the others wait in memory.
        c_.deepest = std::max(c_.deepest, static_cast<unsigned>(operands_.size()));
        unsigned const taken = formula().variables;
        if (operands_.size() > cbpf::memory_words + (taken == 0 ? 1 : 0) - taken)
            return error(
                c_.tree.steps[i].span, "too many intermediate results",
                fmt::format("at most {} can wait at a time; from left to right none has to",
                            cbpf::memory_words - taken));
    }
    return true;
}

bool Relations::step(ast::Step const& step) {
    std::size_t const none = guards_.size();
    switch (step.kind) {
        case ast::Step::Kind::number:
            steps_.push_back({.kind = Step::Kind::number, .value = step.value});
            operands_.push_back({none, none, step.value, true, step.span});
            return true;
        case ast::Step::Kind::length:
            steps_.push_back({.kind = Step::Kind::field, .field = {.base = Base::length}});
            operands_.push_back({none, none, std::nullopt, false, step.span});
            return true;
        case ast::Step::Kind::negate:
            negate(step);
            return true;
        case ast::Step::Kind::load:
            return load(step);
        case ast::Step::Kind::binary:
            break;
    }
    return binary(step);
}

void Relations::negate(ast::Step const& step) {
    Operand& operand = operands_.back();
    operand.written = false;
    operand.span = step.span;
    if (operand.constant) {
        operand.constant = 0 - *operand.constant;
        steps_.back().value = *operand.constant;
    } else {
        steps_.push_back({.kind = Step::Kind::negate});
    }
}

bool Relations::binary(ast::Step const& step) {
    Operand const right = operands_.back();
    operands_.pop_back();
    Operand& left = operands_.back();
    Alu const op = row(operators, step.op).alu;
    if (right.written && right.constant == 0U && op == Alu::div)
        return error(right.span, "division by zero");
    if (right.written && right.constant == 0U && op == Alu::mod)
        return error(right.span, "remainder of a division by zero");
    if (right.written && right.constant > 31U && (op == Alu::lsh || op == Alu::rsh))
        return error(right.span, fmt::format("a shift by '{}' bits", text(right.span)),
                     "numbers have 32 bits: at most 31 make sense");
    warn_unguarded(left, right);

    auto const both =
        left.constant && right.constant ? apply(op, *left.constant, *right.constant) : std::nullopt;
    if (both) {
        steps_.pop_back();
        steps_.back().value = *both;
    } else {
        steps_.push_back({.kind = Step::Kind::binary, .op = op});
    }
    left.constant = both;
    left.written = false;
    left.span = step.span;
    return true;
}

// As in libpcap the result keeps what its left operand asks for, and forgets about the right one.
void Relations::warn_unguarded(Operand const& left, Operand const& right) {
    auto const kept = guards_of(left), lost = guards_of(right);
    bool const harmless = std::all_of(lost.begin(), lost.end(), [&](Guard const& guard) {
        return std::find(kept.begin(), kept.end(), guard) != kept.end();
    });
    if (harmless || c_.out.warnings.size() >= max_warnings) return;
    c_.out.warnings.push_back(
        {fmt::format("'{}' is read without a check that the packet has it", text(right.span)),
         right.span,
         {{"only the leftmost operand is checked: put it there, or add the test with 'and'",
           std::nullopt}}});
}

// ------------------------------------------------------------------------------------------ loads

bool Relations::not_indexable(Token const& word) {
    if (belongs_elsewhere(word)) return unsupported(word);
    if (word.word != Word::none)
        return error(word.span, fmt::format("'{}' has no bytes to read", text(word)),
                     "'ether[14]' reads any packet, from the link header on");
    std::string_view const near =
        word.kind == Kind::name ? nearest_word(text(word)) : std::string_view{};
    return error(word.span, fmt::format("'{}' is not a protocol", text(word)),
                 near.empty() ? std::string("bytes are read like this: 'ip[0]', 'tcp[2:2]'")
                              : fmt::format("did you mean '{}'?", near));
}

bool Relations::size_of(ast::Step const& step, std::uint8_t& size) {
    size = 1;
    if (step.value == 0) return true;  // not given
    Token const& given = token(step.value);
    size = static_cast<std::uint8_t>(given.value);
    if (given.value == 1 || given.value == 2 || given.value == 4) return true;
    return error(given.span, fmt::format("'{}' is not a size", text(given)),
                 "1, 2 or 4 bytes can be read");
}

bool Relations::load(ast::Step const& step) {
    Token const& word = token(step.token);
    Protocol const* const protocol = find_protocol(word.word);
    if (protocol == nullptr || protocol->index == Index::none) return not_indexable(word);
    bool const radio = c_.at.type->before != Before::nothing && c_.at.type->before != Before::ppi;
    if (protocol->index == Index::packet && !radio)
        return error(word.span,
                     fmt::format("there is no radio's header on link type {}", link_name()),
                     "IEEE802_11_RADIO, IEEE802_11_RADIO_AVS and PRISM_HEADER have one");
    std::uint8_t size = 0;
    if (!size_of(step, size)) return false;

    Operand const index = operands_.back();
    operands_.pop_back();
    std::size_t const begin = guards_.size();
    guard(*protocol, index);
    operands_.push_back({begin, guards_.size(), std::nullopt, false, step.span});

    // A constant index becomes a part of the offset unless their sum wraps: there libpcap's
    // run-time rule tells the two apart.  A negative one wraps with what is added at run time.
    Field field = tests(step.span).field(*protocol, 0, size);
    bool const moves = field.base == Base::transport || field.at.variable != Offset::constant;
    bool const wraps = index.constant && (*index.constant > all_ones - field.at.value ||
                                          (moves && *index.constant > all_ones / 2));
    if (index.constant && !wraps) {
        field.at.value += *index.constant;
        steps_.back() = {.kind = Step::Kind::field, .field = field};
    } else {
        steps_.push_back({.kind = Step::Kind::load, .field = field});
    }
    return true;
}

// What a header's field asks for, around what its index asks for.
void Relations::guard(Protocol const& protocol, Operand const& index) {
    auto const ask = [&](Guard::Kind kind, std::uint32_t number) {
        guards_.push_back({kind, number});
        // Refused here also where it stands on the right and is then forgotten.
        if (kind == Guard::Kind::link_type && !tests({}).knows_type(number)) c_.at.refused = true;
    };
    auto const number = static_cast<std::uint32_t>(protocol.number);
    if (protocol.index == Index::transport)
        ask(Guard::Kind::link_type, find_protocol(Word::ip)->link_type);
    for (std::size_t i = index.begin; i < index.end; ++i)
        guards_.push_back(Guard(guards_[i]));  // a copy: the list may move
    switch (protocol.index) {
        case Index::none:
        case Index::packet:
            break;
        case Index::link:  // of any packet, also where it has no link header behind Geneve
            break;
        case Index::network:
            ask(Guard::Kind::link_type, protocol.link_type);
            break;
        case Index::transport:
            ask(Guard::Kind::protocol, number);
            ask(Guard::Kind::first_fragment, 0);
            break;
        case Index::icmp6:
            ask(Guard::Kind::link_type, find_protocol(Word::ip6)->link_type);
            ask(Guard::Kind::next_header, number);
            break;
    }
}

// ---------------------------------------------------------------------------------- the relation

// Tests for the guards of the two sides, in order, each one once.
void Relations::add_guards(Primitives& tests) {
    std::vector<Guard> asked;
    for (Operand const& side : operands_) {
        for (Guard const& guard : guards_of(side)) {
            if (std::find(asked.begin(), asked.end(), guard) != asked.end()) continue;
            asked.push_back(guard);
            switch (guard.kind) {
                case Guard::Kind::link_type:
                    tests.link_type(guard.number);
                    break;
                case Guard::Kind::protocol:
                    tests.is_protocol(guard.number);
                    break;
                case Guard::Kind::next_header:
                    tests.is_next_header(guard.number);
                    break;
                case Guard::Kind::first_fragment:
                    tests.first_fragment();
                    break;
            }
        }
    }
}

// A field, perhaps masked, beside a number makes an ordinary test.
void Relations::add_comparison(Cond cond, std::uint32_t begin, std::uint32_t middle, Span span) {
    std::span const left = std::span(steps_).subspan(begin, middle - begin);
    std::span const right = std::span(steps_).subspan(middle);
    bool const masked = left.size() == 3 && left[1].kind == Step::Kind::number &&
                        left[2].kind == Step::Kind::binary && left[2].op == Alu::and_;
    bool const field = left[0].kind == Step::Kind::field && (left.size() == 1 || masked);
    if (field && right.size() == 1 && right[0].kind == Step::Kind::number) {
        Test const test{left[0].field, cond, masked ? left[1].value : all_ones, right[0].value};
        steps_.resize(begin);
        formula().add(test, span);
    } else {
        formula().add(Relation{cond, begin, middle, written()}, span);
    }
}

// A comparison with a number that the field cannot reach.
void Relations::warn_decided(bool negated, Span span) {
    Formula::Node const& node = formula().nodes.back();
    if (node.kind != Formula::Kind::test || c_.out.warnings.size() >= max_warnings) return;
    Test const& test = formula().tests[node.index];
    auto const decided = outcome(test);
    if (!decided) return;
    c_.out.warnings.push_back(
        {fmt::format("'{}' is {} true", text(span), *decided != negated ? "always" : "never"),
         span,
         {{fmt::format("numbers have no sign, and this one is at most {}", most(test)),
           std::nullopt}}});
}

bool Relations::run(ast::Node const& node, ast::Relation const& relation) {
    std::uint32_t begin = written();
    if (!arithmetic(relation.left)) return false;
    std::uint32_t middle = written();
    if (!arithmetic(relation.right)) return false;

    // The guards come first, with steps of their own.
    List<Step> const compared(steps_.begin() + begin, steps_.end());
    steps_.resize(begin);
    std::size_t const mark = formula().mark();
    Primitives guards = tests(node.span);
    add_guards(guards);
    middle += written() - begin;
    begin = written();
    steps_.insert(steps_.end(), compared.begin(), compared.end());

    Comparison compare = row(comparisons, relation.op);
    if (operands_[0].constant && !operands_[1].constant) {  // 1 = ip[0] is ip[0] = 1
        std::rotate(steps_.begin() + begin, steps_.begin() + middle, steps_.end());
        middle = begin + written() - middle;
        compare = row(comparisons, compare.mirrored);
    }
    add_comparison(compare.cond, begin, middle, node.span);
    warn_decided(compare.negated, node.span);
    if (compare.negated) formula().negate();
    formula().all(mark);
    return true;
}

}  // namespace

bool resolve_relation(Resolving& resolving, ast::Node const& node, ast::Relation const& relation) {
    return Relations(resolving).run(node, relation);
}

}  // namespace tamis::frontend
