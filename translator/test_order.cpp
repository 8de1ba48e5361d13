#include "translator/test_order.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace tamis::translator {
namespace {

using cbpf::Insn;
using cbpf::Kind;

constexpr std::uint8_t max_distance = 0xff;  // of a conditional jump

class Rotation {
  public:
    explicit Rotation(cbpf::Program const& program)
        : out_{program, std::vector<std::uint32_t>(program.insns.size())},
          insns_(out_.program.insns),
          jumped_to_(program.insns.size()) {
        std::iota(out_.number.begin(), out_.number.end(), 0U);
        for (std::size_t pc = 0; pc < insns_.size(); ++pc) {
            Kind const kind = kind_of(pc);
            if (kind != Kind::jump && kind != Kind::branch) continue;
            auto const [taken, fallen] = cbpf::targets(insns_[pc], pc, kind);
            jumped_to_[taken] = true;
            if (fallen != pc + 1) jumped_to_[fallen] = true;
        }
    }

    Reordered run() {
        for (std::size_t begin = 0; begin < insns_.size();) {
            std::size_t const end = end_of_chain(begin);
            if (end > begin + 1) rotate(begin, end);
            begin = std::max(end, begin + 1);
        }
        return std::move(out_);
    }

  private:
    Kind kind_of(std::size_t pc) const { return cbpf::find(insns_[pc].code)->kind; }

    bool is_test(std::size_t pc) const {
        cbpf::Op const& op = *cbpf::find(insns_[pc].code);
        return op.kind == Kind::branch && op.cond() == cbpf::Cond::eq && (op.reads & cbpf::X) == 0;
    }

    // Behind the last of the tests that follow each other, all of different values: only one of
    // them can hold, so their order does not matter.
    std::size_t end_of_chain(std::size_t begin) const {
        std::set<std::uint32_t> values;
        std::size_t end = begin;
        while (end < insns_.size() && is_test(end) && values.insert(insns_[end].k).second &&
               (end == begin || !jumped_to_[end]))
            if (insns_[end++].jf != 0) break;
        return end;
    }

    std::size_t taken(std::size_t pc) const { return pc + 1 + insns_[pc].jt; }

    void rotate(std::size_t begin, std::size_t end) {
        if (taken(end - 1) == end || insns_[end - 1].jf == 0) return;
        std::size_t moved = begin;
        while (moved < end && taken(moved) != end) ++moved;
        if (moved == end) return;
        for (std::size_t pc = moved + 1; pc < end; ++pc)
            if (insns_[pc].jt == max_distance) return;
        Insn last = insns_[moved];
        last.jt = 0;
        last.jf = insns_[end - 1].jf;
        std::uint32_t const number = out_.number[moved];
        for (std::size_t pc = moved; pc + 1 < end; ++pc) {
            insns_[pc] = {insns_[pc + 1].code, static_cast<std::uint8_t>(insns_[pc + 1].jt + 1), 0,
                          insns_[pc + 1].k};
            out_.number[pc] = out_.number[pc + 1];
        }
        insns_[end - 1] = last;
        out_.number[end - 1] = number;
        std::vector<Span>& origin = out_.program.origin;
        if (origin.empty()) return;
        auto const at = [&](std::size_t pc) {
            return origin.begin() + static_cast<std::ptrdiff_t>(pc);
        };
        std::rotate(at(moved), at(moved + 1), at(end));
    }

    Reordered out_;
    std::vector<Insn>& insns_;
    std::vector<bool> jumped_to_;  // by something else than the test before
};

}  // namespace

Reordered rotate_tests(cbpf::Program const& program) { return Rotation(program).run(); }

}  // namespace tamis::translator
