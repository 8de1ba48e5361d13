// What is left of a condition for each value of a field.
#include <algorithm>
#include <array>
#include <optional>

#include "frontend/conditions.h"

namespace tamis::frontend {
namespace {

void append(Conditions::Pieces& pieces, Conditions::Piece const& piece) {
    if (!pieces.empty() && pieces.back().rest == piece.rest)
        pieces.back().high = piece.high;
    else
        pieces.push_back(piece);
}

}  // namespace

void Conditions::split_test(Ref ref, Pieces& pieces) const {
    Term const& term = terms_[ref];
    std::uint32_t const max = keys_[term.key].max;
    std::uint32_t low = 0;
    for (std::uint32_t i = term.begin; i < term.end; ++i) {
        Interval const& set = intervals_[i];
        if (set.low > low) append(pieces, {low, set.low - 1, never});
        append(pieces, {set.low, std::min(set.high, max), always});
        if (set.high >= max) return;
        low = set.high + 1;
    }
    append(pieces, {low, max, never});
}

Conditions::Pieces Conditions::split(Ref ref, std::uint32_t key, bool deep) {
    Pieces pieces;
    Term const& term = terms_[ref];
    if (!may_ask(ref, key) || exhausted())
        pieces.push_back({0, keys_[key].max, ref});
    else if (term.kind == Kind::test)
        split_test(ref, pieces);
    else if (deep || term.same_key)
        split_join(ref, key, deep, pieces);
    else
        split_first(ref, key, pieces);
    return pieces;
}

bool Conditions::is_idle(Ref ref, std::uint32_t key, bool deep) {
    auto const pieces = split(ref, key, deep);
    if (pieces.size() > 1) return false;
    if (pieces[0].rest == never || pieces[0].rest == ref) return true;
    Term const& term = terms_[ref];
    if (term.kind == Kind::test) return false;
    bool const all = deep || term.same_key;
    std::uint32_t const begin = term.begin, end = all ? term.end : term.begin + 1;
    for (std::uint32_t i = begin; i < end; ++i)
        if (!is_idle(operands_[i], key, deep)) return false;
    return true;
}

// The first operand alone; the others follow whatever is left of it, as they stand.
void Conditions::split_first(Ref ref, std::uint32_t key, Pieces& pieces) {
    Term const term = terms_[ref];
    Few<Ref, 8> const rest(operands_.begin() + term.begin + 1, operands_.begin() + term.end);
    Ref const others = rest.size() == 1 ? rest[0] : made(term.kind, rest, false);
    for (Piece const& piece : split(operands_[term.begin], key, false)) {
        Ref whole = piece.rest;
        if (whole == neutral(term.kind))
            whole = others;
        else if (whole != absorbing(term.kind))
            whole = others == neutral(term.kind)
                        ? whole
                        : made(term.kind, std::array{whole, others}, false);
        spend(1);
        append(pieces, {piece.low, piece.high, whole});
    }
}

// All operands are split; a sweep over the values then joins what is left of them.  Operands that
// say nothing for a value take no part there, so that a long list of tests stays cheap.
void Conditions::split_join(Ref ref, std::uint32_t key, bool deep, Pieces& pieces) {
    Term const term = terms_[ref];
    std::uint32_t const max = keys_[key].max;
    struct Part {
        std::uint32_t low, high, operand;
        Ref rest;
    };
    struct Present {
        std::uint32_t operand;
        Ref rest;
    };
    Few<Part, 16> parts;
    std::uint32_t splits = 0;  // operands that differ
    Few<Present, 8> present;   // what is left of operands for all values, in order
    for (std::uint32_t i = term.begin; i < term.end; ++i) {
        if (!may_ask(operands_[i], key)) {
            if (operands_[i] != neutral(term.kind)) present.push_back({i, operands_[i]});
            spend(1);
            continue;
        }
        auto const split_operand = split(operands_[i], key, deep);
        spend(split_operand.size());
        if (split_operand.size() == 1) {
            if (split_operand[0].rest == absorbing(term.kind) && !term.divides) {
                pieces.push_back({0, max, absorbing(term.kind)});
                return;
            }
            if (split_operand[0].rest != neutral(term.kind))
                present.push_back({i, split_operand[0].rest});
            continue;
        }
        ++splits;
        for (Piece const& piece : split_operand)
            if (piece.rest != neutral(term.kind))
                parts.push_back({piece.low, piece.high, i, piece.rest});
    }
    if (splits > 1)
        std::sort(parts.begin(), parts.end(), [](Part const& a, Part const& b) {
            return a.low != b.low ? a.low < b.low : a.operand < b.operand;
        });

    // The parts around the current value.
    Few<Part const*, 8> active;
    Few<Ref, 8> operands;
    auto const joined = [&]() -> Ref {
        bool const decided = std::any_of(active.begin(), active.end(), [&](Part const* part) {
            return part->rest == absorbing(term.kind);
        });
        if (decided && !term.divides) return absorbing(term.kind);
        operands.clear();
        auto fixed = present.begin();
        for (Part const* part : active) {
            for (; fixed != present.end() && fixed->operand < part->operand; ++fixed)
                operands.push_back(fixed->rest);
            operands.push_back(part->rest);
        }
        for (; fixed != present.end(); ++fixed) operands.push_back(fixed->rest);
        spend(operands.size());
        return operands.empty() ? neutral(term.kind) : join(term.kind, operands);
    };
    std::optional<Ref> otherwise;  // where there are none
    std::size_t next = 0;
    std::uint32_t low = 0;
    while (!exhausted()) {
        auto const over = std::remove_if(active.begin(), active.end(),
                                         [&](Part const* part) { return part->high < low; });
        active.erase(over, active.end());
        for (; next < parts.size() && parts[next].low <= low; ++next) {
            auto const place = std::upper_bound(
                active.begin(), active.end(), parts[next].operand,
                [](std::uint32_t operand, Part const* p) { return operand < p->operand; });
            active.insert(place, &parts[next]);
        }
        std::uint32_t high = next < parts.size() ? parts[next].low - 1 : max;
        for (Part const* part : active) high = std::min(high, part->high);
        if (active.empty() && !otherwise) otherwise = joined();
        append(pieces, {low, high, active.empty() ? *otherwise : joined()});
        if (high >= max) return;
        low = high + 1;
    }
}

}  // namespace tamis::frontend
