// Blocks of classic code to a program: where they go is written as jumps that reach.
#pragma once

#include <cstdint>

#include "bpf/cbpf.h"
#include "frontend/list.h"

namespace tamis::frontend {

// Straight code, then a branch or, without one, a jump to `yes`.  Labels are those of blocks, of
// the two ends, or free.
using Label = std::uint32_t;
struct Block {
    Label label = 0;
    std::uint32_t begin = 0, end = 0;  // its code
    bool branches = false;
    std::uint16_t code = 0;
    std::uint32_t k = 0;
    Label yes = 0, no = 0;
    Span span{};
};

// Writes blocks from the last to the first.
class Assembler {
  public:
    static constexpr Label reject = 0, accept = 1, first_free = 2;

    // About as many instructions as `expected`.
    Assembler(std::uint32_t answer, Span whole, std::size_t expected)
        : answer_(answer), whole_(whole) {
        reversed_.reserve(32 + expected);
        origin_.reserve(32 + expected);
        labels_.resize(32);
    }

    void end(Label end) { bring_near(end); }  // where the program can end
    // Instructions on the longest path from here on, if no jump is in between.
    std::uint32_t height(Label label) { return label <= accept ? 1 : at(label).height; }

    void write(Block const& block, cbpf::Insn const* code);
    cbpf::Program finish(Label start);

  private:
    // Code that has not been written yet has no place; place 0 is the last instruction.
    using Place = std::uint32_t;
    static constexpr Place none = ~std::uint32_t{0};
    struct Known {
        Place begins = none;   // of the block
        Place nearest = none;  // the last written of its start and the jumps to it
        std::uint32_t height = 0;
    };
    // What tells branches apart: places are those of code, not of jumps to it.
    struct Branch {
        std::uint16_t code;
        std::uint32_t k;
        Place yes, no;
        bool operator==(Branch const&) const = default;
    };

    void put(cbpf::Insn insn, Span span) {
        reversed_.push_back(insn);
        origin_.push_back(span);
    }
    Known& at(Label label) {
        if (labels_.size() <= label) labels_.resize(label + label / 2 + 8);
        return labels_[label];
    }
    Place size() const { return static_cast<Place>(reversed_.size()); }
    void put_jump(Label target);
    void bring_near(Label target);
    void jump(Label target);
    void branch(Block const& block);
    // What ends the program is one place wherever it stands.
    static constexpr Place place_of_end(Label end) { return none - 1 - end; }
    Place behind(Place place) const;
    Branch branch_at(Place place) const;
    Place& slot(Branch const& branch);
    Place& same_branch(Block const& block);

    std::uint32_t answer_;
    Span whole_;
    std::vector<cbpf::Insn> reversed_;
    std::vector<Span> origin_;
    List<Known> labels_;
    List<Place> branches_;  // a hash table of those that were written
    std::size_t known_branches_ = 0;
};

}  // namespace tamis::frontend
