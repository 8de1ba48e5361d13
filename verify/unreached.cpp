#include "verify/unreached.h"

#include <algorithm>

#include <fmt/format.h>

namespace tamis::verify {
namespace {

// Goals are conditions that some packet has to be seen to fulfil: by number, what every packet
// does, the two verdicts, what the classic program's instructions do, and the blocks.
class Search {
  public:
    Search(Question& question, cbpf::Program const& classic, ebpf::Program const& extended,
           ClassicRun const& one, ExtendedRun const& other, bool by_calls,
           std::vector<ConcretePacket>& packets)
        : q_(question),
          classic_(classic),
          extended_(extended),
          run_(other),
          by_calls_(by_calls),
          packets_(packets),
          goals_(goals(question, one, other)),
          evaluation_(question.terms, goals_),
          seen_(goals_.size(), false) {}

    Result<Unreached> run() {
        for (ConcretePacket const& packet : packets_) look(packet);
        // The last first: on the way there, others are seen.
        for (std::size_t i = run_.blocks.size(); i-- > 0;)
            if (auto done = judge(run_.blocks[i]); !done) return fail(done.error());
        std::reverse(out_.dead.begin(), out_.dead.end());
        std::reverse(out_.idle.begin(), out_.idle.end());
        return std::move(out_);
    }

  private:
    static constexpr auto device_word = static_cast<std::size_t>(cbpf::Anc::ifindex) / 4;
    static constexpr std::size_t possible = 0, no_match = 1, match = 2, first_insn = 3;

    static std::vector<Term> goals(Question& q, ClassicRun const& one, ExtendedRun const& other) {
        std::vector<Term> out{q.packet.assumptions(), q.terms.not_(one.accepts), one.accepts};
        for (std::size_t pc = 0; pc < one.reached.size(); ++pc)
            out.insert(out.end(), {one.reached[pc], one.ways[pc][0], one.ways[pc][1]});
        for (Block const& block : other.blocks) out.push_back(block.reached);
        return out;
    }

    std::size_t goal_of(Block const& block) const {
        return first_insn + 3 * classic_.insns.size() +
               static_cast<std::size_t>(&block - run_.blocks.data());
    }

    // What the packet gets to; and what it does when pointers see none of it, or only its start.
    void look(ConcretePacket const& packet) {
        ConcretePacket changed = packet;
        // From a device, as all are at XDP.
        if (std::uint32_t& device = changed.ancillary[device_word];
            device == 0 && q_.packet.needs_device())
            device = 1;
        for (std::uint32_t const linear : {packet.linear, packet.captured(), 0U}) {
            changed.linear = linear;
            evaluation_.run(q_.packet.valuation(changed));
            if (evaluation_[goals_[possible]] == 0) continue;
            for (std::size_t i = 0; i < goals_.size(); ++i)
                if (evaluation_[goals_[i]] != 0) seen_[i] = true;
        }
    }

    // Whether any packet gets there.
    Answer reach(std::size_t goal) {
        if (seen_[goal]) return Answer::yes;
        ConcretePacket packet;
        Answer const answer = q_.find(goals_[goal], &packet);
        if (answer != Answer::yes) return answer;
        look(packet);
        packets_.push_back(std::move(packet));
        return answer;
    }

    Result<void> judge(Block const& block) {
        // What is asked about the classic program is the smaller question, and the packet mostly
        // answers the other one.
        Answer wanted = is_wanted(block);
        Answer const answer = reach(goal_of(block));
        if (answer == Answer::no && wanted == Answer::yes) wanted = is_wanted_here(block);
        if (answer == Answer::yes) return {};
        if (both(answer, wanted) == Answer::unknown)
            return fail(
                {fmt::format("not decided whether instruction {} can be reached", block.insn),
                 std::nullopt,
                 {}});
        (wanted == Answer::yes ? out_.dead : out_.idle)
            .push_back({block.insn, extended_.origin[block.insn].classic});
        return {};
    }

    // Whether the classic program has a packet for it.
    Answer is_wanted(Block const& block) {
        std::uint32_t const from = extended_.origin[block.insn].classic;
        if (from == ebpf::Origin::none) return is_end_wanted(block.insn);
        return is_for_a_way(block) ? both(first_insn + 3 * from + 1, none_holds(from))
                                   : reach(first_insn + 3 * from);
    }

    // Code inside of what stands for an instruction is for one of the ways on from there.
    bool is_for_a_way(Block const& block) const {
        std::uint32_t const from = extended_.origin[block.insn].classic;
        return (block.insn > 0 && extended_.origin[block.insn - 1].classic == from) ||
               cbpf::find(classic_.insns[from].code)->kind == cbpf::Kind::ret;
    }

    // Whether it has a packet that comes to this copy of the instruction.  What follows a call is
    // written apart, since it has no pointers any more: packets that execute an earlier
    // instruction, of whose code nothing leads here, are those of another copy.  Where calls read
    // computed offsets, so are packets that do not execute one whose code stands on all ways here;
    // elsewhere such a copy asks again what the way to it has decided.
    Answer is_wanted_here(Block const& block) {
        std::uint32_t const from = extended_.origin[block.insn].classic;
        auto const nothing = [](std::size_t) { return false; };
        if (from == ebpf::Origin::none || !leads({0}, block.insn, nothing))
            return Answer::yes;  // an end, or in a function of its own
        Term comes = q_.terms.truth(true);
        for (std::uint32_t pc = 0; pc < from; ++pc) {
            Code const code = code_of(pc, block.insn);
            if (code == Code::leads_elsewhere)
                comes = q_.terms.and_(comes, q_.terms.not_(goals_[first_insn + 3 * pc]));
            if (by_calls_ && code == Code::on_all_ways)
                comes = q_.terms.and_(comes, goals_[first_insn + 3 * pc]);
        }
        auto const has = [&](std::size_t goal) {
            return q_.find(q_.terms.and_(goals_[goal], comes), nullptr);
        };
        std::size_t const reached = first_insn + 3 * from;
        return is_for_a_way(block) ? both(has(reached + 1), has(none_holds(from))) : has(reached);
    }

    // What the code of a classic instruction is to an instruction of the translation.
    enum class Code { none, leads_elsewhere, on_some_ways, on_all_ways };
    Code code_of(std::uint32_t classic, std::uint32_t insn) const {
        auto const stands_for = [&](std::size_t i) {
            return extended_.origin[i].classic == classic;
        };
        std::vector<std::size_t> code;
        for (std::size_t i = 0; i < extended_.insns.size(); ++i)
            if (stands_for(i)) code.push_back(i);
        if (code.empty()) return Code::none;
        if (!leads({0}, insn, stands_for)) return Code::on_all_ways;
        return leads(code, insn, [](std::size_t) { return false; }) ? Code::on_some_ways
                                                                    : Code::leads_elsewhere;
    }

    // Whether a way leads from one of these to an instruction, without what is closed.
    template <class Closed>
    bool leads(std::vector<std::size_t> open, std::size_t insn, Closed const& is_closed) const {
        std::vector<bool> seen(extended_.insns.size(), false);
        while (!open.empty()) {
            std::size_t const at = open.back();
            open.pop_back();
            if (at == insn) return true;
            if (seen[at] || is_closed(at)) continue;
            seen[at] = true;
            ebpf::Ways const on = ebpf::ways(extended_.insns[at], at);
            open.insert(open.end(), on.all().begin(), on.all().end());
        }
        return false;
    }

    // Code that stands for no instruction is an end: for what the instructions that lead to it
    // stand for there.
    Answer is_end_wanted(std::uint32_t insn) {
        bool entered = false;
        Answer any = Answer::no;
        for (std::size_t i = 0; i < extended_.insns.size(); ++i) {
            ebpf::Ways const on = ebpf::ways(extended_.insns[i], i);
            if (std::ranges::find(on.all(), insn) == on.all().end()) continue;
            entered = true;
            Answer const way = ends_from(extended_.origin[i].classic);
            if (way == Answer::yes) return way;
            if (way == Answer::unknown) any = way;
        }
        return entered ? any : both(no_match, match);  // where a function begins
    }

    // Whether the classic program has a packet that ends there.  The first way on from loads and
    // divisions is that they end the program.
    Answer ends_from(std::uint32_t pc) {
        if (pc == ebpf::Origin::none) return both(no_match, match);
        cbpf::Op const& op = *cbpf::find(classic_.insns[pc].code);
        bool const forks =
            op.kind == cbpf::Kind::branch || (op.kind == cbpf::Kind::ret && op.reads == cbpf::A);
        std::size_t const first = first_insn + 3 * pc + 1;
        return forks ? both(first, none_holds(pc)) : reach(first);
    }

    // The way on where a test does not hold.  Of tests that follow each other (translator/
    // test_order.h) any may have become the last: behind it is where none of them holds.  What
    // counts as such tests here is more than what is put in order: that errs towards not wanted.
    std::size_t none_holds(std::size_t pc) const {
        while (is_test(pc) && classic_.insns[pc].jf == 0 && is_test(pc + 1)) ++pc;
        return first_insn + 3 * pc + 2;
    }

    bool is_test(std::size_t pc) const {
        cbpf::Op const& op = *cbpf::find(classic_.insns[pc].code);
        return op.kind == cbpf::Kind::branch && op.cond() == cbpf::Cond::eq && op.reads == cbpf::A;
    }

    Answer both(std::size_t a, std::size_t b) { return both(reach(a), reach(b)); }

    static Answer both(Answer a, Answer b) {
        if (a == Answer::unknown || b == Answer::unknown) return Answer::unknown;
        return a == Answer::yes ? b : a;
    }

    Question& q_;
    cbpf::Program const& classic_;
    ebpf::Program const& extended_;
    ExtendedRun const& run_;
    bool by_calls_;
    std::vector<ConcretePacket>& packets_;
    std::vector<Term> goals_;
    Evaluation evaluation_;
    std::vector<bool> seen_;  // by goal
    Unreached out_;
};

}  // namespace

Result<Unreached> find_unreached(Question& question, cbpf::Program const& classic,
                                 ebpf::Program const& extended, ClassicRun const& one,
                                 ExtendedRun const& other, bool by_calls,
                                 std::vector<ConcretePacket>& packets) {
    return Search(question, classic, extended, one, other, by_calls, packets).run();
}

}  // namespace tamis::verify
