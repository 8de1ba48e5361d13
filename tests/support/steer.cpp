#include "tests/support/steer.h"

#include <algorithm>

#include "bpf/bytes.h"

namespace tamis::test {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using cbpf::Insn;
using cbpf::Kind;
using cbpf::Op;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::size_t longest = 1514;  // of the bytes captured
constexpr std::uint32_t longest_wire = 0x7fffffff;
constexpr unsigned most_rounds = 20;  // a program of libpcap may loop for ever

bool holds(Cond cond, std::uint32_t a, std::uint32_t k) {
    switch (cond) {
        case Cond::eq:
            return a == k;
        case Cond::gt:
            return a > k;
        case Cond::ge:
            return a >= k;
        case Cond::set:
            return (a & k) != 0;
    }
    return false;
}

// Libpcap's run-time rule; a division by zero is found by the caller.
std::uint32_t apply(Alu op, std::uint32_t a, std::uint32_t b) {
    switch (op) {
        case Alu::add:
            return a + b;
        case Alu::sub:
            return a - b;
        case Alu::mul:
            return a * b;
        case Alu::div:
            return b == 0 ? 0 : a / b;
        case Alu::mod:
            return b == 0 ? 0 : a % b;
        case Alu::or_:
            return a | b;
        case Alu::and_:
            return a & b;
        case Alu::xor_:
            return a ^ b;
        case Alu::lsh:
            return b > 31 ? 0 : a << b;
        case Alu::rsh:
            return b > 31 ? 0 : a >> b;
    }
    return 0;
}

// Libpcap's loops jump back: the sum wraps.
std::size_t target_of_jump(Insn const& insn, std::size_t pc) {
    return static_cast<std::uint32_t>(pc + 1 + insn.k);
}

bool reads_x(Op const& op) { return (op.reads & cbpf::X) != 0; }

}  // namespace

// ------------------------------------------------------------------------------------------ trace

std::uint32_t Trace::add(Term const& term) {
    terms_.push_back(term);
    return static_cast<std::uint32_t>(terms_.size() - 1);
}

void Trace::begin() {
    terms_.clear();
    outcomes_.clear();
    pc_ = 0;
    matched_ = false;
    rounds_ = 0;
    oldest_recalled_ = insns_.size();
    a_ = x_ = add({});
    memory_.fill(a_);
    stored_at_.fill(0);
}

// Libpcap's rule: X + k does not wrap.
bool Trace::load(Probe const& probe, std::uint64_t offset, unsigned size, std::uint32_t index) {
    if (offset + size > probe.bytes.size()) {
        outside_ = offset;
        index_ = index;
        size_ = size;
        return false;
    }
    a_ = add({.kind = Term::Kind::field,
              .size = static_cast<std::uint8_t>(size),
              .value = load_be(probe.bytes, offset, size),
              .offset = static_cast<std::uint32_t>(offset),
              .left = index});
    return true;
}

void Trace::alu(Insn const& insn, Op const& op) {
    std::uint32_t const right = reads_x(op) ? x_ : add({.value = insn.k});
    Term const& a = terms_[a_];
    Term const& b = terms_[right];
    bool const constant = a.kind == Term::Kind::constant && b.kind == Term::Kind::constant;
    a_ = add({.kind = constant ? Term::Kind::constant : Term::Kind::alu,
              .alu = op.alu(),
              .value = apply(op.alu(), a.value, b.value),
              .left = a_,
              .right = right});
}

Trace::Stop Trace::step(Probe const& probe, Insn const& insn, Op const& op, bool& stopped) {
    std::uint32_t& target = (op.writes & cbpf::X) != 0 ? x_ : a_;
    switch (op.kind) {
        case Kind::load_imm:
            target = add({.value = insn.k});
            break;
        case Kind::load_abs:
            stopped = !load(probe, insn.k, op.arg, 0);
            break;
        case Kind::load_ind:
            stopped = !load(probe, std::uint64_t{terms_[x_].value} + insn.k, op.arg, x_);
            break;
        case Kind::load_mem:
            target = memory_[insn.k % memory_.size()];
            oldest_recalled_ = std::min(oldest_recalled_, stored_at_[insn.k % memory_.size()]);
            break;
        case Kind::load_len:
            target = add({.kind = Term::Kind::length, .value = probe.wire});
            break;
        case Kind::load_msh: {
            std::uint32_t const kept = a_;
            stopped = !load(probe, insn.k, 1, 0);
            if (stopped) break;
            alu({.k = 0xf}, *cbpf::find(0x54));  // and
            alu({.k = 2}, *cbpf::find(0x64));    // lsh
            x_ = a_;
            a_ = kept;
            break;
        }
        case Kind::store:
            memory_[insn.k % memory_.size()] = reads_x(op) ? x_ : a_;
            stored_at_[insn.k % memory_.size()] = pc_;
            break;
        case Kind::alu: {
            bool const divides = op.alu() == Alu::div || op.alu() == Alu::mod;
            if (divides && (reads_x(op) ? terms_[x_].value : insn.k) == 0) {
                stopped = true;
                return Stop::end;
            }
            alu(insn, op);
            break;
        }
        case Kind::neg:
            a_ = add({.kind = Term::Kind::negate, .value = 0 - terms_[a_].value, .left = a_});
            break;
        case Kind::jump: {
            std::size_t const from = pc_;
            pc_ = target_of_jump(insn, pc_);
            if (pc_ <= from) ++rounds_;
            return Stop::end;
        }
        case Kind::branch:
            stopped = true;
            return Stop::branch;
        case Kind::ret:
            matched_ = ((op.reads & cbpf::A) != 0 ? terms_[a_].value : insn.k) != 0;
            stopped = true;
            return Stop::end;
        case Kind::copy:
            ((op.writes & cbpf::X) != 0 ? x_ : a_) = (op.writes & cbpf::X) != 0 ? a_ : x_;
            break;
    }
    if (!stopped) ++pc_;
    return Stop::outside;
}

Trace::Stop Trace::go_on(Probe const& probe) {
    while (pc_ < insns_.size() && rounds_ < most_rounds) {
        Op const* const op = cbpf::find(insns_[pc_].code);
        if (op == nullptr) break;
        bool stopped = false;
        Stop const stop = step(probe, insns_[pc_], *op, stopped);
        if (stopped) return stop;
    }
    return Stop::end;
}

Cond Trace::condition() const { return cbpf::find(insns_[pc_].code)->cond(); }

Term Trace::compared() const {
    bool const by_x = reads_x(*cbpf::find(insns_[pc_].code));
    return {.value = by_x ? terms_[x_].value : insns_[pc_].k, .left = a_, .right = by_x ? x_ : 0};
}

bool Trace::outcome() const { return holds(condition(), terms_[a_].value, compared().value); }

void Trace::take(bool outcome) {
    auto const targets = cbpf::targets(insns_[pc_], pc_, Kind::branch);
    outcomes_.push_back(outcome);
    pc_ = outcome ? targets.taken : targets.fallen;
}

End run_to_end(cbpf::Program const& program, Probe const& probe) {
    Trace trace(program.insns);
    trace.begin();
    for (;;) {
        Trace::Stop const stop = trace.go_on(probe);
        if (stop == Trace::Stop::outside) return End::out_of_bounds;
        if (stop == Trace::Stop::end) return trace.matched() ? End::match : End::miss;
        trace.take(trace.outcome());
    }
}

// ----------------------------------------------------------------------------------------- solving

namespace {

// The odd number's inverse modulo 2^32 (Newton's iteration doubles the correct bits).
std::uint32_t inverse(std::uint32_t odd) {
    std::uint32_t x = odd;
    for (int i = 0; i < 5; ++i) x *= 2 - odd * x;
    return x;
}

std::uint32_t low_bits(std::uint32_t n) { return n > 31 ? all_ones : (1U << n) - 1; }

}  // namespace

// Each changes changed_ so that the term gets this value; false when it cannot.
bool Steering::solve(std::uint32_t index, std::uint32_t value) {
    Term const term = trace_.terms()[index];
    if (term.value == value) return true;
    switch (term.kind) {
        case Term::Kind::constant:
            return false;
        case Term::Kind::field:
            if (term.size < 4 && value >> (8 * term.size) != 0) return false;
            if (term.offset + term.size > changed_.bytes.size()) return false;
            store_be(changed_.bytes, term.offset, term.size, value);
            return true;
        case Term::Kind::length:
            if (value == 0 || value > longest_wire) return false;
            changed_.wire = value;
            if (changed_.bytes.size() > value) changed_.bytes.resize(value);
            return true;
        case Term::Kind::negate:
            return solve(term.left, 0 - value);
        case Term::Kind::alu:
            break;
    }
    bool const left_first = below(2) == 0;
    return (left_first && solve_left(term, value)) || solve_right(term, value) ||
           (!left_first && solve_left(term, value));
}

bool Steering::solve_left(Term const& term, std::uint32_t value) {
    std::uint32_t const a = trace_.terms()[term.left].value, b = trace_.terms()[term.right].value;
    switch (term.alu) {
        case Alu::add:
            return solve(term.left, value - b);
        case Alu::sub:
            return solve(term.left, value + b);
        case Alu::xor_:
            return solve(term.left, value ^ b);
        case Alu::and_:
            return (value & ~b) == 0 && solve(term.left, (a & ~b) | value);
        case Alu::or_:
            return (value & b) == b && solve(term.left, (a & b) | (value & ~b));
        case Alu::mul:
            if (b == 0) return false;
            if (value % b == 0) return solve(term.left, value / b);
            return (b & 1) != 0 && solve(term.left, value * inverse(b));
        case Alu::div:
            if (b == 0 || (std::uint64_t{value} + 1) * b > all_ones) return false;
            return solve(term.left, value * b + static_cast<std::uint32_t>(below(b)));
        case Alu::mod:
            if (b == 0 || value >= b) return false;
            return solve(term.left, a - a % b + value) || solve(term.left, value);
        case Alu::lsh:
            if (b > 31 || (value & low_bits(b)) != 0) return false;
            return solve(term.left, value >> b | (a & ~(all_ones >> b)));
        case Alu::rsh:
            if (b > 31 || value > all_ones >> b) return false;
            return solve(term.left, value << b | (a & low_bits(b)));
    }
    return false;
}

bool Steering::solve_right(Term const& term, std::uint32_t value) {
    std::uint32_t const a = trace_.terms()[term.left].value;
    switch (term.alu) {
        case Alu::add:
        case Alu::xor_:
        case Alu::and_:
        case Alu::or_:
        case Alu::mul: {
            Term swapped = term;
            std::swap(swapped.left, swapped.right);
            return solve_left(swapped, value);
        }
        case Alu::sub:
            return solve(term.right, a - value);
        case Alu::div:
            if (value == 0) return a != all_ones && solve(term.right, a + 1);
            return a / value != 0 && a / (a / value) == value && solve(term.right, a / value);
        case Alu::mod:
            return a >= value && a - value > value && solve(term.right, a - value);
        case Alu::lsh:
        case Alu::rsh:
            for (std::uint32_t by = 0; by <= 32; ++by)
                if (apply(term.alu, a, by) == value) return solve(term.right, by);
            return false;
    }
    return false;
}

// -----------------------------------------------------------------------------------------
// searching

Steering::Steering(cbpf::Program const& program, std::mt19937_64& random)
    : insns_(program.insns),
      random_(random),
      edges_(insns_.size()),
      hopes_(insns_.size()),
      trace_(insns_),
      trial_(insns_) {}

// Every bit of it is as good as any other; zeros are more often right.
Probe Steering::noise() {
    std::size_t const size = below(4) == 0 ? 60 + below(200) : 96;
    Probe probe{std::vector<std::uint8_t>(size), static_cast<std::uint32_t>(size)};
    for (std::uint8_t& byte : probe.bytes)
        byte = static_cast<std::uint8_t>(below(3) == 0 ? 0 : random_());
    return probe;
}

// The chance of the wished verdict, were every branch a matter of luck; backwards, since the
// targets come later.  Where a program loops, the second round sees what the first found.
void Steering::hope(bool match) {
    auto const at = [&](std::size_t pc) { return pc < hopes_.size() ? hopes_[pc] : 0.0F; };
    for (int round = 0; round < 2; ++round) {
        for (std::size_t pc = insns_.size(); pc-- > 0;) {
            Op const* const op = cbpf::find(insns_[pc].code);
            if (op == nullptr) {
                hopes_[pc] = 0;
            } else if (op->kind == Kind::ret) {
                bool const by_a = (op->reads & cbpf::A) != 0;
                hopes_[pc] = by_a ? 0.5F : (insns_[pc].k != 0) == match ? 1.0F : 0.0F;
            } else if (op->kind == Kind::jump) {
                hopes_[pc] = at(target_of_jump(insns_[pc], pc));
            } else if (op->kind == Kind::branch) {
                auto const targets = cbpf::targets(insns_[pc], pc, op->kind);
                auto const& weights = edges_[pc].weights;
                hopes_[pc] = (weights[1] * at(targets.taken) + weights[0] * at(targets.fallen)) /
                             (weights[0] + weights[1]);
            } else {
                hopes_[pc] = at(pc + 1);
            }
        }
    }
}

// One step of a path to the wished verdict, such that each has its chance.
bool Steering::choose() const {
    auto const targets = cbpf::targets(insns_[trace_.pc()], trace_.pc(), Kind::branch);
    if (targets.taken == targets.fallen) return trace_.outcome();
    auto const& weights = edges_[trace_.pc()].weights;
    float const taken = weights[1] * hopes_[targets.taken];
    float const fallen = weights[0] * hopes_[targets.fallen];
    if (taken + fallen <= 0) return trace_.outcome();
    return static_cast<float>(random_() % 65536) < 65536 * taken / (taken + fallen);
}

// A value for which the condition comes out as wished: near the edge, or anywhere.
std::uint32_t Steering::candidate(Cond cond, bool wish, std::uint32_t now, std::uint32_t k) {
    auto const among = [&](std::uint64_t from, std::uint64_t to) {
        return static_cast<std::uint32_t>(from >= to ? from : from + below(to - from + 1));
    };
    std::uint32_t const bit = 1U << below(32);
    switch (cond) {
        case Cond::eq:
            return wish ? k : below(2) == 0 ? k ^ 1 : k ^ bit;
        case Cond::gt:
            if (wish)
                return k == all_ones || below(2) == 0 ? k + 1 : among(k + 1, all_ones >> below(25));
            return below(2) == 0 ? k : among(0, k);
        case Cond::ge:
            if (wish) return below(2) == 0 ? k : k + among(0, 255);
            return k == 0 || below(2) == 0 ? k - 1 : among(0, k - 1);
        case Cond::set:
            return wish ? now | ((k & bit) != 0 ? bit : k & (0 - k)) : now & ~k;
    }
    return k;
}

// Repeats the walk on the changed packet: every branch so far comes out as before, and the run gets
// where it was: to the branch, whose outcome is as wished, or past the load.
bool Steering::holds_after(bool at_branch, bool wish) {
    trial_.begin();
    std::vector<bool> const& path = trace_.outcomes();
    for (;;) {
        Trace::Stop const stop = trial_.go_on(changed_);
        std::size_t const at = trial_.outcomes().size();
        if (stop == Trace::Stop::outside)
            return !at_branch && at == path.size() && trial_.pc() > trace_.pc();
        if (at == path.size()) {
            if (!at_branch) break;
            if (stop == Trace::Stop::end || trial_.outcome() != wish) return false;
            break;
        }
        if (stop == Trace::Stop::end || trial_.outcome() != path[at]) return false;
        trial_.take(path[at]);
    }
    return true;
}

// Writes something else into a field that the compared values come from: what cannot be solved from
// here may be solved from there.
void Steering::disturb() {
    Term const compared = trace_.compared();
    std::uint32_t at = below(4) == 0 ? compared.right : compared.left;
    while (trace_.terms()[at].kind == Term::Kind::alu ||
           trace_.terms()[at].kind == Term::Kind::negate)
        at = trace_.terms()[at].kind == Term::Kind::alu && below(2) == 0 ? trace_.terms()[at].right
                                                                         : trace_.terms()[at].left;
    changed_ = probe_;
    if (!solve(at, static_cast<std::uint32_t>(below(2) == 0 ? below(4) : below(256)))) return;
    bool const same = holds_after(true, true) || trial_.outcomes() == trace_.outcomes();
    if (!same || trial_.pc() != trace_.pc()) return;
    std::swap(probe_, changed_);
    std::swap(trace_, trial_);
}

// Changes the packet so that the branch comes out as wished; the new run is in trace_.
bool Steering::turn(bool wish) {
    for (int tries = 0; tries < 8; ++tries) {
        if (tries > 3) disturb();
        if (trace_.outcome() == wish) return true;
        Term const compared = trace_.compared();
        changed_ = probe_;
        std::uint32_t const a = trace_.terms()[compared.left].value;
        std::uint32_t const value = candidate(trace_.condition(), wish, a, compared.value);
        bool solved = solve(compared.left, value);
        // The other side may give way as well; equality and its opposite are the same from there.
        if (!solved && trace_.condition() == Cond::eq)
            solved = solve(compared.right, wish ? a : a ^ 1U << below(32));
        if (!solved || !holds_after(true, wish)) continue;
        std::swap(probe_, changed_);
        std::swap(trace_, trial_);
        return true;
    }
    return false;
}

// At a load outside: makes the packet longer, or its address smaller.
bool Steering::reach() {
    for (int tries = 0; tries < 4; ++tries) {
        changed_ = probe_;
        std::uint64_t const end = trace_.outside() + trace_.size();
        if (end <= longest) {
            changed_.bytes.resize(end);
            changed_.wire = std::max(changed_.wire, static_cast<std::uint32_t>(end));
        } else if (!solve(trace_.index(), static_cast<std::uint32_t>(below(tries == 0 ? 64 : 8)))) {
            return false;
        }
        if (!holds_after(false, false)) continue;
        std::swap(probe_, changed_);
        return true;
    }
    return false;
}

bool Steering::attempt(bool match) {
    probe_ = noise();
    trace_.begin();
    for (;;) {
        Trace::Stop const stop = trace_.go_on(probe_);
        if (stop == Trace::Stop::end) return trace_.matched() == match;
        if (stop == Trace::Stop::outside) {
            if (!reach()) return false;
            std::swap(trace_, trial_);
            continue;
        }
        bool wish = choose();
        if (trace_.outcome() != wish) {
            std::size_t const pc = trace_.pc();
            if (!turn(wish)) {
                edges_[pc].weights[wish ? 1 : 0] *= 0.7F;
                wish = !wish;
            }
        }
        trace_.take(wish);
    }
}

std::optional<Probe> Steering::packet(bool match, unsigned attempts) {
    for (; attempts > 0; --attempts) {
        hope(match);
        if (hopes_.empty() || hopes_[0] <= 0) return std::nullopt;
        if (attempt(match)) return probe_;
    }
    return std::nullopt;
}

// ----------------------------------------------------------------------------------------
// neighbours

std::vector<Probe> Steering::neighbours(Probe const& probe, unsigned changed, unsigned cut) {
    trial_.begin();
    while (trial_.go_on(probe) == Trace::Stop::branch) trial_.take(trial_.outcome());
    std::vector<Term> fields;
    for (Term const& term : trial_.terms())
        if (term.kind == Term::Kind::field) fields.push_back(term);
    std::vector<Probe> near;
    for (; !fields.empty() && changed > 0; --changed) {
        Term const& field = fields[below(fields.size())];
        std::uint32_t const value = below(2) == 0 ? field.value ^ 1U << below(8U * field.size)
                                                  : field.value + (below(2) == 0 ? 1 : all_ones);
        near.push_back(probe);
        store_be(near.back().bytes, field.offset, field.size, value);
    }
    for (; !fields.empty() && cut > 0; --cut) {
        Term const& field = fields[below(fields.size())];
        near.push_back(probe);
        near.back().bytes.resize(field.offset + below(field.size));
    }
    return near;
}

std::vector<std::vector<std::uint8_t>> steer(cbpf::Program const& program, std::mt19937_64& random,
                                             std::size_t count) {
    Steering steering(program, random);
    std::vector<std::vector<std::uint8_t>> packets;
    while (packets.size() < count) {
        bool const match = random() % 2 == 0;
        auto found = steering.packet(match, 4);
        if (!found) found = steering.packet(!match, 4);
        if (!found) found = Probe{std::vector<std::uint8_t>(64), 64};
        packets.push_back(found->bytes);
        for (Probe& near : steering.neighbours(*found, 1, random() % 2 == 0 ? 1 : 0))
            if (packets.size() < count) packets.push_back(std::move(near.bytes));
    }
    return packets;
}

}  // namespace tamis::test
