// Proofs: that two programs agree on every packet there can be, or a packet on which they do not.
//
//     programs --symbolic_cbpf, symbolic_ebpf--> terms over one packet_model --solver--> Proof
//
// What is modelled and what is trusted is written down in docs/prove.md.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "bpf/result.h"
#include "frontend/formula.h"
#include "runtime/cbpf_vm.h"
#include "translator/translate.h"
#include "verify/answered.h"
#include "verify/packet_model.h"

namespace tamis::verify {

enum class Outcome : std::uint8_t {
    proved,
    refuted,    // by the counterexample, or by dead code
    undecided,  // for the reason given
};

// A packet that breaks what was to be proved, the shortest found, with as few bytes other than 0
// as can be.  It was run by the interpreters, and they differ.
struct Counterexample {
    ConcretePacket packet;
    std::string broken;                   // what was to hold
    std::optional<std::uint32_t> insn{};  // of the eBPF program, where one of its accesses is it
    bool truncated = false;               // a load lies outside the packet in one of the programs
    // A line for every run: who ran what, and the verdict.
    std::vector<std::string> runs{};
};

// Code that no packet reaches.
struct DeadBlock {
    std::uint32_t insn;     // its first
    std::uint32_t classic;  // what it stands for; ebpf::Origin::none: an end of the program
};

struct Proof {
    Outcome outcome = Outcome::undecided;
    std::string reason{};  // of `undecided`
    std::optional<Counterexample> counterexample{};
    // Of a translation: code that stands for something that packets do get to, and breaks the
    // proof; and code that is dead because the classic program is dead there, too.
    std::vector<DeadBlock> dead{}, idle{};
    std::size_t terms = 0;  // what the question was made of
    bool by_terms = false;  // already its terms were the same; no solver was asked
    bool by_cuts = false;   // in stretches, each a question of its own
};

// What several translations of one program share needs no solver again.
struct Shared {
    // They get to as much of the classic program as was found so far.
    std::vector<ConcretePacket> packets;
    Answered answered;
};

// For one question.
inline constexpr std::chrono::seconds default_timeout{60};

struct ProveOptions {
    std::chrono::milliseconds timeout = default_timeout;
    bool blocks = true;  // dead code breaks the proof of a translation
    Shared* shared = nullptr;
    bool simplify = true;         // without: terms as the instructions say them
    std::string* smt2 = nullptr;  // gets the question as SMT-LIB 2: unsat means proved
};

// Whether this build can prove anything, and what to install if it cannot.
bool can_prove();
inline constexpr std::string_view prover_missing =
    "this build has no solver; install libz3-dev and build again";

// Translation: on every packet the extended program does what translate() was asked for with
// these options, and makes no access outside the packet.  Kernel's rule.
Proof prove_translation(cbpf::Program const& classic, ebpf::Program const& extended,
                        translator::Options const& translation, ProveOptions const& options = {});

// The same for a filter alone, as translate_filter() makes it: r0 is the classic verdict.
Proof prove_filter(cbpf::Program const& classic, ebpf::Program const& extended, HookRow const& hook,
                   ProveOptions const& options = {});

// What somebody else's program says with the value that it returns, its lower 32 bits.
struct Answers {
    std::vector<std::uint32_t> match, no_match;  // empty: every value that is not in the other
};
// Of a hook where a match lets the packet pass: 0 against all else at sockets, PASS against DROP at
// XDP, ok, pipe and next against shot at tc, likewise elsewhere.
Answers usual_answers(HookRow const& hook);

// Somebody else's program (runtime::read_program) against a classic one that says what it should
// do: on every packet it answers as the classic program's verdict asks for, and makes no access
// outside the packet.  Only packets that `assumed` accepts, when it is not null; only linear ones
// where `linear`.  Kernel's rule.
Proof prove_object(cbpf::Program const& classic, ebpf::Program const& object, HookRow const& hook,
                   Answers const& answers, cbpf::Program const* assumed, bool linear,
                   ProveOptions const& options = {});

// Optimisation.  (a) Where no load of the unoptimised program is outside the packet, verdicts are
// equal; (b) what it accepts the optimised program accepts; (c) what that accepts, the formula
// says is true; and then its verdict is `accept`.
Proof prove_optimisation(frontend::Formula const& formula, std::uint32_t accept,
                         cbpf::Program const& unoptimised, cbpf::Program const& optimised,
                         runtime::Rules rules, ProveOptions const& options = {});

// Two classic programs, both for the same packets.
enum class Relation : std::uint8_t {
    equal,     // the same verdict
    implies,   // what the first accepts, the second accepts
    disjoint,  // no packet is accepted by both
};
// Counterexamples where no load is outside the packet come first: the others are a matter of
// packets that were cut off.
Proof prove_relation(cbpf::Program const& first, cbpf::Program const& second, Relation relation,
                     runtime::Rules rules, ProveOptions const& options = {});

}  // namespace tamis::verify
