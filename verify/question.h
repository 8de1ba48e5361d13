// One question about one unknown packet: can any of these clauses be broken?
#pragma once

#include <functional>

#include "verify/prove.h"

namespace tamis::verify {

class Question {
  public:
    Question(runtime::Rules rules, HookRow const* hook, ProveOptions const& options)
        : options_(options), terms(options.simplify), packet(terms, rules, hook) {
        assumed_ = packet.assumptions();
    }

    // Something that has to hold, and the condition under which it does not.
    void clause(std::string what, Term broken, std::optional<std::uint32_t> insn = std::nullopt);
    // Only packets for which this is true.
    void assume(Term condition) { assumed_ = terms.and_(assumed_, condition); }
    // Counterexamples for which this is true are looked for first.
    void prefer(Term condition) { preference_ = condition; }
    void truncated(Term condition) { truncated_ = condition; }

    // What the interpreters make of the packet: lines for the report, and whether they differ.
    struct Replay {
        std::vector<std::string> runs;
        bool differs = false;
    };
    using Player = std::function<Replay(ConcretePacket const&)>;

    // Asks.  A counterexample is made small and replayed; one that the interpreters do not confirm
    // leaves the question undecided.
    Proof ask(Player const& replay);

    // Nothing where no clause can be broken, else one that can be, or that it was not decided.
    std::optional<std::string> broken();
    // Whether a packet of any length makes the condition true; which one.
    Answer find(Term condition, Model& model);
    // From now on this much time.
    void limit(std::chrono::milliseconds timeout) {
        options_.timeout = timeout;
        begin_ = std::chrono::steady_clock::now();
    }

    // A packet for which the condition is true; the answer says whether there is one.
    Answer find(Term condition, ConcretePacket* packet);

  private:
    struct Clause {
        std::string what;
        Term broken;
        std::optional<std::uint32_t> insn;
    };
    Answer sat(std::span<Term const> conditions, Model* model);
    std::optional<ConcretePacket> shortest(Term violation, Model model);
    void make_plain(Term violation, ConcretePacket& packet);
    std::chrono::milliseconds time_left() const;

    ProveOptions options_;
    std::vector<Clause> clauses_;
    std::optional<Term> preference_, truncated_;
    Term assumed_{};
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    std::unique_ptr<Solver> solver_;

  public:
    Terms terms;
    PacketModel packet;
};

}  // namespace tamis::verify
