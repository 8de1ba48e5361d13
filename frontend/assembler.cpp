#include "frontend/assembler.h"

#include <algorithm>
#include <utility>

#include "frontend/opcodes.h"

namespace tamis::frontend {

using cbpf::Insn;

// Another `ret`, or a jump that the branches before this one share.
void Assembler::put_jump(Label target) {
    Known& known = at(target);
    Place const here = size();
    if (target <= accept)
        put({op::ret, 0, 0, target == accept ? answer_ : 0}, whole_);
    else
        put({op::ja, 0, 0, here - known.begins - 1}, origin_[known.begins]);
    known.nearest = here;
}

// Makes sure that a branch written now, or after one more instruction, reaches the target.
void Assembler::bring_near(Label target) {
    constexpr std::size_t reach = 254;
    Place const nearest = at(target).nearest;
    if (nearest == none || size() - nearest > reach) put_jump(target);
}

// Goes on at the target: nothing where that stands next.
void Assembler::jump(Label target) {
    Place const nearest = at(target).nearest;
    if (nearest == none || nearest != size() - 1) put_jump(target);
}

void Assembler::branch(Block const& block) {
    bring_near(block.no);
    bring_near(block.yes);
    auto const distance = [&](Label target) {
        return static_cast<std::uint8_t>(size() - at(target).nearest - 1);
    };
    put({block.code, distance(block.yes), distance(block.no), block.k}, block.span);
}

// The code at a place, or that a jump there leads to.
Assembler::Place Assembler::behind(Place place) const {
    while (reversed_[place].code == op::ja) place -= reversed_[place].k + 1;
    Insn const& insn = reversed_[place];
    if (insn.code != op::ret) return place;
    return place_of_end(insn.k == answer_ ? accept : reject);
}

Assembler::Branch Assembler::branch_at(Place place) const {
    Insn const& insn = reversed_[place];
    return {insn.code, insn.k, behind(place - insn.jt - 1), behind(place - insn.jf - 1)};
}

// Where the place of a branch is noted, or can be.
Assembler::Place& Assembler::slot(Branch const& branch) {
    std::uint64_t hash = branch.code;
    for (std::uint32_t const part : {branch.k, branch.yes, branch.no})
        hash = (hash ^ part) * 0x9e3779b97f4a7c15;
    std::size_t const mask = branches_.size() - 1;
    std::size_t at = static_cast<std::size_t>(hash >> 32) & mask;
    while (branches_[at] != none && branch_at(branches_[at]) != branch) at = (at + 1) & mask;
    return branches_[at];
}

// The place of a branch that was written already and does the same, whatever A holds; if there is
// none, where the place can be noted.
Assembler::Place& Assembler::same_branch(Block const& block) {
    if (2 * known_branches_ >= branches_.size()) {
        List<Place> before(std::max<std::size_t>(32, 2 * branches_.size()), none);
        std::swap(branches_, before);
        for (Place const place : before)
            if (place != none) slot(branch_at(place)) = place;
    }
    auto const place = [&](Label label) {
        return label <= accept ? place_of_end(label) : behind(at(label).begins);
    };
    Place& same = slot({block.code, block.k, place(block.yes), place(block.no)});
    if (same == none) ++known_branches_;
    return same;
}

void Assembler::write(Block const& block, Insn const* code) {
    std::uint32_t const next =
        block.branches ? 1 + std::max(height(block.yes), height(block.no)) : height(block.yes);
    at(block.label).height = next + block.end - block.begin;
    if (!block.branches && block.begin == block.end && block.yes > accept) {
        at(block.label) = at(block.yes);
        return;
    }
    if (!block.branches) {
        jump(block.yes);
    } else {
        Place& same = same_branch(block);
        if (same != none && block.begin == block.end) {
            at(block.label).begins = at(block.label).nearest = same;
            return;
        }
        branch(block);
        if (same == none) same = size() - 1;
    }
    for (std::uint32_t i = block.end; i-- > block.begin;) put(code[i], block.span);
    Known& here = at(block.label);
    here.begins = here.nearest = size() - 1;
}

cbpf::Program Assembler::finish(Label start) {
    jump(start);
    std::reverse(reversed_.begin(), reversed_.end());
    std::reverse(origin_.begin(), origin_.end());
    return {std::move(reversed_), std::move(origin_)};
}

}  // namespace tamis::frontend
