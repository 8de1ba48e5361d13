// A classic program run on a packet that is not known.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/result.h"
#include "verify/packet_model.h"

namespace tamis::verify {

struct ClassicRun {
    Term verdict;               // 32 bits
    Term accepts;               // the verdict is not 0
    Term out_of_bounds;         // a load outside the packet ended the program
    std::vector<Term> reached;  // per instruction: it is executed
    // Per instruction, what can become of the program there: the branch is taken or not, the load
    // is good or ends it, the value returned is a match or not.  The same twice where it is one.
    std::vector<std::array<Term, 2>> ways;
};

// What a classic program has computed where an instruction begins.
struct ClassicState {
    Term guard;  // it gets there
    Term a, x;
    std::array<Term, cbpf::memory_words> memory;
};

// Instructions are taken in order, and where paths meet their states become one: what is computed
// grows with the program and not with the number of its paths.  The rules are the packet model's.
// `program` must have passed cbpf::check.  An error: an ancillary that depends on more than the
// packet (nlattr).
Result<ClassicRun> run_symbolically(std::span<cbpf::Insn const> program, Terms& terms,
                                    PacketModel& packet);

// The same from instruction `from` on, in a state that is given; `states` gets that of each
// instruction behind it, where one gets there.
Result<ClassicRun> run_symbolically(std::span<cbpf::Insn const> program, std::size_t from,
                                    ClassicState const& start, Terms& terms, PacketModel& packet,
                                    std::vector<std::optional<ClassicState>>& states);

// Results of alternatives: the value of whichever condition is true, 0 for none.  Equal values are
// kept together.
class Outcomes {
  public:
    Outcomes(Terms& terms, unsigned width) : t_(terms), width_(width) {}
    void add(Term condition, Term value);
    Term value() const;
    Term nonzero() const;

  private:
    struct Outcome {
        Term condition, value;
    };
    Terms& t_;
    unsigned width_;
    std::vector<Outcome> outcomes_;
};

}  // namespace tamis::verify
