// What a value is where two ways meet.
//
// Each way has a condition that leads there, with all that was tested on it.  Which of the two it
// was, one test says, mostly: of the first term on whose values they parted.  Two programs that
// tested other things on the way as well, or the same in another order, then still hold literally
// the same value.
#include <algorithm>
#include <iterator>

#include "verify/term_values.h"

namespace tamis::verify {
namespace {

using u64 = std::uint64_t;
using Values = Terms::Values;

// More than that is not looked at: a guard of long lists would be walked at each of their joins.
constexpr std::size_t most_terms = 256, most_intervals = 16;

// Sets of values are intervals in order that do not touch.

Values intersection(Values const& a, Values const& b) {
    Values out;
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        u64 const low = std::max(a[i].low, b[j].low), high = std::min(a[i].high, b[j].high);
        if (low <= high) out.push_back({low, high});
        if (a[i].high < b[j].high)
            ++i;
        else
            ++j;
    }
    return out;
}

Values united(Values const& a, Values const& b) {
    Values all, out;
    std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all),
               [](auto const& x, auto const& y) { return x.low < y.low; });
    for (auto const& next : all) {
        if (out.empty() || (out.back().high < next.low && out.back().high + 1 != next.low))
            out.push_back(next);
        else
            out.back().high = std::max(out.back().high, next.high);
    }
    return out;
}

bool is_all(Values const& values, unsigned width) {
    return values.size() == 1 && values[0].low == 0 &&
           values[0].high == ones(width == 0 ? 1 : width);
}

bool is_one(Values const& values) { return values.size() == 1 && values[0].low == values[0].high; }

}  // namespace

// The term that a test looks at, and the values for which it is true ([1]) or not ([0]).
std::pair<Term, std::array<Values, 2>> Terms::tested(Term test) const {
    Node const& node = nodes_[test.id];
    bool const compares = node.op == Op::eq || node.op == Op::ult;
    if (!compares || width(node.a) == 0 || is_constant(node.a) == is_constant(node.b))
        return {test, {Values{{0, 0}}, Values{{1, 1}}}};
    bool const value_is_first = is_constant(node.a);
    Term const term = value_is_first ? node.b : node.a;
    u64 const value = nodes_[(value_is_first ? node.a : node.b).id].value, max = ones(width(term));
    Values below, above;
    if (value > 0) below.push_back({0, value - 1});
    if (value < max) above.push_back({value + 1, max});
    Values const equal{{value, value}};
    if (node.op == Op::eq) return {term, {united(below, above), equal}};
    if (value_is_first) return {term, {united(below, equal), above}};
    return {term, {united(equal, above), below}};
}

Terms::Implied const& Terms::implied(Term condition) {
    auto const known = [&](Term term) { return implied_.find(term.id); };
    std::vector<Term> path{condition};
    while (!path.empty()) {
        Term const term = path.back();
        Node const& node = nodes_[term.id];
        bool const conjunction = node.op == Op::and_ && node.width == 0;
        std::array<Term, 2> const inside{node.a, node.b};
        std::size_t const count = conjunction ? 2 : node.op == Op::not_ ? 1 : 0;
        std::size_t const open = path.size();
        for (std::size_t i = 0; i < count; ++i)
            if (known(inside[i]) == implied_.end()) path.push_back(inside[i]);
        if (path.size() != open) continue;
        path.pop_back();
        if (known(term) != implied_.end()) continue;
        Implied out;
        if (node.op == Op::not_) {
            Implied const& other = known(node.a)->second;
            out = {other[1], other[0]};
        } else if (conjunction) {
            Implied const &a = known(node.a)->second, &b = known(node.b)->second;
            out = {on_either(a[0], b[0]), on_both(a[1], b[1])};
        } else {
            auto const [subject, values] = tested(term);
            out = {Facts{{subject.id, values[0]}}, Facts{{subject.id, values[1]}}};
        }
        implied_.emplace(term.id, std::move(out));
    }
    return known(condition)->second;
}

// Where both conditions are true.
Terms::Facts Terms::on_both(Facts const& a, Facts const& b) {
    Facts out;
    for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
        if (j == b.size() || (i < a.size() && a[i].term < b[j].term)) {
            out.push_back(a[i++]);
        } else if (i == a.size() || b[j].term < a[i].term) {
            out.push_back(b[j++]);
        } else {
            out.push_back({a[i].term, intersection(a[i].values, b[j].values)});
            if (out.back().values.size() > most_intervals) out.back().values = a[i].values;
            ++i, ++j;
        }
    }
    // What was tested last is most likely what tells.
    if (out.size() > most_terms) out.erase(out.begin(), out.end() - most_terms);
    return out;
}

// Where one of them is.
Terms::Facts Terms::on_either(Facts const& a, Facts const& b) const {
    Facts out;
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        if (a[i].term != b[j].term) {
            ++(a[i].term < b[j].term ? i : j);
            continue;
        }
        Values values = united(a[i].values, b[j].values);
        bool const says = !is_all(values, width({a[i].term})) && values.size() <= most_intervals;
        if (says) out.push_back({a[i].term, std::move(values)});
        ++i, ++j;
    }
    return out;
}

Term Terms::join(Term one, Term a, Term other, Term b) {
    if (a == b || is(other, 0)) return a;
    if (is(one, 0)) return b;
    if (!simplify_) return ite(one, a, b);
    Facts const &x = implied(one)[1], &y = implied(other)[1];
    for (std::size_t i = 0, j = 0; i < x.size() && j < y.size();) {
        if (x[i].term != y[j].term) {
            ++(x[i].term < y[j].term ? i : j);
            continue;
        }
        if (x[i].values.empty()) return b;  // nothing takes that way
        if (y[j].values.empty()) return a;
        if (intersection(x[i].values, y[j].values).empty()) {
            // One value against others; of two values the smaller.
            Term const term{x[i].term};
            bool const first = is_one(x[i].values), second = is_one(y[j].values);
            if (width(term) == 0)
                return x[i].values[0].low != 0 ? ite(term, a, b) : ite(term, b, a);
            if (first && (!second || x[i].values[0].low < y[j].values[0].low))
                return ite(eq(term, constant(x[i].values[0].low, width(term))), a, b);
            if (second) return ite(eq(term, constant(y[j].values[0].low, width(term))), b, a);
        }
        ++i, ++j;
    }
    return ite(one, a, b);
}

}  // namespace tamis::verify
