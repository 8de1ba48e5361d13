#include "verify/prove.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/ebpf_vm.h"
#include "verify/cut_points.h"
#include "verify/formula_truth.h"
#include "verify/question.h"
#include "verify/symbolic_cbpf.h"
#include "verify/symbolic_ebpf.h"
#include "verify/translation_clauses.h"
#include "verify/unreached.h"

namespace tamis::verify {
namespace {

using runtime::Rules;

constexpr std::chrono::milliseconds one_question{1000};

Proof undecided(std::string reason) {
    Proof proof;
    proof.reason = std::move(reason);
    return proof;
}

std::string_view name_of(Rules rules) {
    return rules == Rules::kernel ? "the kernel's rule" : "libpcap's rule";
}

std::uint32_t play(cbpf::Program const& program, ConcretePacket const& packet, Rules rules) {
    return runtime::run(program.insns, packet.view(), rules);
}

// ------------------------------------------------------------------------------------ translation

std::string shown(Result<std::uint64_t> const& result) {
    return result ? fmt::format("{}", static_cast<std::uint32_t>(*result)) : result.error().message;
}

// Runs both programs on a packet.  `options` are null for a filter alone.
Question::Replay replay(cbpf::Program const& classic, ebpf::Program const& extended,
                        HookRow const& hook, translator::Options const* options,
                        ConcretePacket const& packet) {
    std::uint32_t const verdict = play(classic, packet, Rules::kernel);
    runtime::MapMemory maps = runtime::map_memory(extended);
    auto const result = runtime::run(extended, hook, packet.view(), maps);
    Question::Replay out;
    out.runs.push_back(fmt::format("classic program, interpreted: {}", verdict));
    out.runs.push_back(fmt::format("eBPF program, interpreted: {}", shown(result)));
    std::uint32_t expected = verdict;
    if (options) {
        Action const& action = verdict != 0 ? options->match : options->no_match;
        if (action.name->arg != Arg::bytes) {
            expected = static_cast<std::uint32_t>(action.name->code);
            out.runs.push_back(fmt::format("expected: '{}', {}", action.name->name, expected));
        } else if (action.argument != 0) {
            expected = action.argument;
        }
    }
    out.differs = !result || static_cast<std::uint32_t>(*result) != expected;
    if (out.differs || !options || !options->stats || maps.empty()) return out;
    // Equal actions: the counters tell.
    std::size_t const index =
        verdict != 0 ? translator::counter_matched : translator::counter_passed;
    std::size_t const size = maps[0].size() / 2;
    out.differs = maps[0][index * size] != 1 || maps[0][(1 - index) * size] != 0;
    out.runs.push_back(
        fmt::format("counters, packets passed and matched: {} and {}", maps[0][0], maps[0][size]));
    return out;
}

Proof prove(cbpf::Program const& classic, ebpf::Program const& extended, HookRow const& hook,
            translator::Options const* translation, ProveOptions const& options) {
    Question q(Rules::kernel, &hook, options);
    auto const one = run_symbolically(classic.insns, q.terms, q.packet);
    if (!one) return undecided(one.error().message);
    auto const other = run_symbolically(extended, hook, q.terms, q.packet);
    if (!other) return undecided(other.error().message);

    Terms& t = q.terms;
    translation_clauses(q, *one, *other, t.truth(true), translation);
    q.truncated(one->out_of_bounds);

    // One question for all of it is answered soon, or seldom at all.
    auto const player = [&](ConcretePacket const& packet) {
        return replay(classic, extended, hook, translation, packet);
    };
    q.limit(std::min(options.timeout, one_question));
    Proof proof = q.ask(player);
    if (proof.outcome == Outcome::undecided && options.timeout > one_question) {
        auto const why = prove_by_cuts(classic, extended, hook, translation, options);
        if (!why) {
            proof.outcome = Outcome::proved;
            proof.reason = {};
            proof.by_cuts = true;
        } else {
            q.limit(options.timeout);
            proof = q.ask(player);
            if (proof.outcome == Outcome::undecided) proof.reason += "\n  in stretches: " + *why;
        }
    }
    q.limit(options.timeout);
    if (proof.outcome != Outcome::proved || !options.blocks) return proof;
    Shared none;
    auto unreached = find_unreached(q, classic, extended, *one, *other,
                                    translation && translation->shape.no_perfmon,
                                    (options.shared ? *options.shared : none).packets);
    if (!unreached) return undecided(unreached.error().message);
    if (!unreached->dead.empty()) proof.outcome = Outcome::refuted;
    proof.dead = std::move(unreached->dead);
    proof.idle = std::move(unreached->idle);
    return proof;
}

}  // namespace

bool can_prove() { return Solver::available(); }

Proof prove_translation(cbpf::Program const& classic, ebpf::Program const& extended,
                        translator::Options const& translation, ProveOptions const& options) {
    HookRow hook = row(translation.hook);
    hook.linear |= translation.shape.linear;  // only packets that are
    return prove(classic, extended, hook, &translation, options);
}

Proof prove_filter(cbpf::Program const& classic, ebpf::Program const& extended, HookRow const& hook,
                   ProveOptions const& options) {
    return prove(classic, extended, hook, nullptr, options);
}

// ------------------------------------------------------------------------------- classic programs

Proof prove_optimisation(frontend::Formula const& formula, std::uint32_t accept,
                         cbpf::Program const& unoptimised, cbpf::Program const& optimised,
                         Rules rules, ProveOptions const& options) {
    Question q(rules, nullptr, options);
    auto const before = run_symbolically(unoptimised.insns, q.terms, q.packet);
    if (!before) return undecided(before.error().message);
    auto const after = run_symbolically(optimised.insns, q.terms, q.packet);
    if (!after) return undecided(after.error().message);
    Truth const truth = truth_of(formula, q.terms, q.packet);

    Terms& t = q.terms;
    q.clause("(a) equal verdicts where no load of the unoptimised program is outside the packet",
             t.and_(t.not_(before->out_of_bounds), t.not_(t.eq(before->verdict, after->verdict))));
    q.clause("(b) what the unoptimised program accepts, the optimised one accepts",
             t.and_(before->accepts, t.not_(after->accepts)));
    Term const true_text = t.and_(truth.yes, t.not_(truth.divided_by_zero));
    q.clause("(c) what the optimised program accepts is true in the text",
             t.and_(after->accepts, t.not_(true_text)));
    q.clause("an accepted packet's verdict is the snapshot length",
             t.and_(after->accepts, t.not_(t.eq(after->verdict, t.constant(accept, 32)))));
    q.truncated(before->out_of_bounds);
    q.prefer(t.not_(before->out_of_bounds));
    return q.ask([&](ConcretePacket const& packet) {
        std::uint32_t const x = play(unoptimised, packet, rules),
                            y = play(optimised, packet, rules);
        return Question::Replay{{fmt::format("unoptimised, {}: {}", name_of(rules), x),
                                 fmt::format("optimised, {}: {}", name_of(rules), y)},
                                x != y};
    });
}

Proof prove_relation(cbpf::Program const& first, cbpf::Program const& second, Relation relation,
                     Rules rules, ProveOptions const& options) {
    Question q(rules, nullptr, options);
    auto const one = run_symbolically(first.insns, q.terms, q.packet);
    if (!one) return undecided(one.error().message);
    auto const other = run_symbolically(second.insns, q.terms, q.packet);
    if (!other) return undecided(other.error().message);

    Terms& t = q.terms;
    switch (relation) {
        case Relation::equal:
            q.clause("both give the same verdict", t.not_(t.eq(one->verdict, other->verdict)));
            break;
        case Relation::implies:
            q.clause("what the first accepts, the second accepts",
                     t.and_(one->accepts, t.not_(other->accepts)));
            break;
        case Relation::disjoint:
            q.clause("no packet is accepted by both", t.and_(one->accepts, other->accepts));
            break;
    }
    Term const outside = t.or_(one->out_of_bounds, other->out_of_bounds);
    q.truncated(outside);
    q.prefer(t.not_(outside));
    return q.ask([&](ConcretePacket const& packet) {
        std::uint32_t const x = play(first, packet, rules), y = play(second, packet, rules);
        bool const differs = relation == Relation::equal     ? x != y
                             : relation == Relation::implies ? x != 0 && y == 0
                                                             : x != 0 && y != 0;
        return Question::Replay{{fmt::format("first program, {}: {}", name_of(rules), x),
                                 fmt::format("second program, {}: {}", name_of(rules), y)},
                                differs};
    });
}

}  // namespace tamis::verify
