// Packets that are built to pass, and to miss, the tests of a classic program.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "bpf/cbpf.h"

namespace tamis::test {

// A packet as a filter meets it: the bytes that were captured and the length on the wire.
struct Probe {
    std::vector<std::uint8_t> bytes;
    std::uint32_t wire = 0;
};

// Where a run ended: the program's verdict, or a load behind the packet's last byte.
enum class End : std::uint8_t { match, miss, out_of_bounds };

// A value that the run of a program computed, and what it was computed from.
struct Term {
    enum class Kind : std::uint8_t { constant, field, length, negate, alu };
    Kind kind = Kind::constant;
    cbpf::Alu alu = cbpf::Alu::add;
    std::uint8_t size = 0;  // of a field, in bytes
    std::uint32_t value = 0;
    std::uint32_t offset = 0;           // of a field
    std::uint32_t left = 0, right = 0;  // operands, as indices; a field's left is X of its address
};

// A run of a program that stops at every branch and remembers where each value came from.
class Trace {
  public:
    explicit Trace(std::span<cbpf::Insn const> insns) : insns_(insns) {}

    enum class Stop : std::uint8_t { branch, end, outside };
    void begin();
    Stop go_on(Probe const& probe);  // from here to the next stop
    // At a branch: its condition, what it compares (left and right as indices) and what comes out.
    Term compared() const;
    cbpf::Cond condition() const;
    bool outcome() const;
    void take(bool outcome);

    std::size_t pc() const { return pc_; }
    bool matched() const { return matched_; }
    // At a load outside: where it begins (it may lie far behind the packet), and its X.
    std::uint64_t outside() const { return outside_; }
    std::uint32_t index() const { return index_; }
    unsigned size() const { return size_; }
    std::vector<bool> const& outcomes() const { return outcomes_; }
    std::vector<Term> const& terms() const { return terms_; }
    // Where the oldest word was stored that the run took from memory; the program's end when none.
    std::size_t oldest_recalled() const { return oldest_recalled_; }
    // How often it jumped back; a run that does so too often is taken for one without an end.
    unsigned rounds() const { return rounds_; }

  private:
    std::uint32_t add(Term const& term);
    bool load(Probe const& probe, std::uint64_t offset, unsigned size, std::uint32_t index);
    Stop step(Probe const& probe, cbpf::Insn const& insn, cbpf::Op const& op, bool& stopped);
    void alu(cbpf::Insn const& insn, cbpf::Op const& op);

    std::span<cbpf::Insn const> insns_;
    std::vector<Term> terms_;
    std::vector<bool> outcomes_;
    std::array<std::uint32_t, cbpf::memory_words> memory_{};
    std::size_t pc_ = 0;
    std::uint32_t a_ = 0, x_ = 0, index_ = 0;
    std::uint64_t outside_ = 0;
    unsigned size_ = 0;
    std::array<std::size_t, cbpf::memory_words> stored_at_{};
    std::size_t oldest_recalled_ = 0;
    unsigned rounds_ = 0;
    bool matched_ = false;
};

// How the program ends on a packet, by libpcap's run-time rule.
End run_to_end(cbpf::Program const& program, Probe const& probe);

// Searches for packets.  It walks through the program from branch to branch, chooses each outcome
// so that the wished verdict stays possible, and changes the packet accordingly: the compared value
// is traced back to the bytes it was computed from.  A change that would turn an earlier branch is
// taken back.  The same random state gives the same packets.
class Steering {
  public:
    Steering(cbpf::Program const& program, std::mt19937_64& random);

    // One whose run ends with the wished verdict and reads nothing outside; nothing when none was
    // found in so many attempts.
    std::optional<Probe> packet(bool match, unsigned attempts);
    // Packets that differ from this one in a field that the program reads, or end within one.
    std::vector<Probe> neighbours(Probe const& probe, unsigned changed, unsigned cut);

  private:
    struct Edge {
        float weights[2] = {1, 1};  // of falling and being taken; less where it proved impossible
    };
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    Probe noise();
    void hope(bool match);
    bool choose() const;
    bool attempt(bool match);
    void disturb();
    bool turn(bool wish);
    bool reach();
    bool holds_after(bool at_branch, bool wish);
    std::uint32_t candidate(cbpf::Cond cond, bool wish, std::uint32_t now, std::uint32_t k);
    bool solve(std::uint32_t term, std::uint32_t value);
    bool solve_left(Term const& term, std::uint32_t value);
    bool solve_right(Term const& term, std::uint32_t value);

    std::span<cbpf::Insn const> insns_;
    std::mt19937_64& random_;
    std::vector<Edge> edges_;
    std::vector<float> hopes_;  // of the wished verdict, per instruction
    Trace trace_, trial_;
    Probe probe_, changed_;
};

// `count` packets for a program, about as many that match as that do not; some are then changed in
// one field, or cut short.
std::vector<std::vector<std::uint8_t>> steer(cbpf::Program const& program, std::mt19937_64& random,
                                             std::size_t count);

}  // namespace tamis::test
