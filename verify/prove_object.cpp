// Somebody else's program against a classic one.
#include <algorithm>

#include <fmt/format.h>

#include "runtime/ebpf_vm.h"
#include "verify/kernel_replay.h"
#include "verify/question.h"
#include "verify/symbolic_cbpf.h"
#include "verify/symbolic_ebpf.h"

namespace tamis::verify {
namespace {

constexpr std::uint32_t shortest_frame = 60;  // of Ethernet

Term one_of(Terms& t, Term value, std::span<std::uint32_t const> values) {
    Term out = t.truth(false);
    for (std::uint32_t const v : values) out = t.or_(out, t.eq(value, t.constant(v, 32)));
    return out;
}

bool is_one_of(std::uint32_t value, std::span<std::uint32_t const> values) {
    return std::find(values.begin(), values.end(), value) != values.end();
}

// Whether the value is an answer for this verdict.
bool answers_to(Answers const& answers, std::uint32_t value, bool accepts) {
    auto const& wanted = accepts ? answers.match : answers.no_match;
    auto const& other = accepts ? answers.no_match : answers.match;
    return wanted.empty() ? !is_one_of(value, other) : is_one_of(value, wanted);
}

// The interpreter, and the kernel where it may be asked.  The interpreter stops at an access that
// is `outside` and at what it does not have; the kernel may have that.
Question::Replay replay(cbpf::Program const& classic, ebpf::Program const& object,
                        HookRow const& hook, Answers const& answers, ConcretePacket const& packet,
                        bool outside) {
    std::uint32_t const verdict =
        runtime::run(classic.insns, packet.view(), runtime::Rules::kernel);
    Question::Replay out;
    out.runs.push_back(fmt::format("classic program, interpreted: {}", verdict));
    auto const tell = [&](std::string_view who, Result<std::uint64_t> const& result) {
        if (!result) {
            out.runs.push_back(
                fmt::format("object's program, {}: {}", who, result.error().message));
            return;
        }
        auto const value = static_cast<std::uint32_t>(*result);
        out.runs.push_back(
            fmt::format("object's program, {}: {}", who, static_cast<std::int32_t>(value)));
        out.differs |= !answers_to(answers, value, verdict != 0);
    };
    runtime::MapMemory maps = runtime::map_memory(object);
    auto const interpreted = runtime::run(object, hook, packet.view(), maps);
    tell("interpreted", interpreted);
    out.differs |= outside && !interpreted;
    if (auto const run = kernel_object_run(object, hook, packet)) tell("in the kernel", *run);
    return out;
}

}  // namespace

Answers usual_answers(HookRow const& hook) {
    auto const code = [&](std::string_view name) -> std::vector<std::uint32_t> {
        ActionName const* const action = find_action(hook, name);
        if (!action) return {};
        return {static_cast<std::uint32_t>(action->code)};
    };
    if (hook.access == Access::ld_abs) return {{}, {0}};
    Answers out;
    for (std::string_view const name : {"pass", "accept", "ok", "pipe", "next"})
        for (std::uint32_t const value : code(name)) out.match.push_back(value);
    for (std::string_view const name : {"drop", "shot"})
        for (std::uint32_t const value : code(name)) out.no_match.push_back(value);
    // The kernel has them at both hooks of tc, whatever their names there.
    if (find_action(hook, "shot")) out.match = {0, 3, ~std::uint32_t{0}};
    return out;
}

Proof prove_object(cbpf::Program const& classic, ebpf::Program const& object, HookRow const& hook,
                   Answers const& answers, cbpf::Program const* assumed, bool linear,
                   ProveOptions const& options) {
    Proof proof;
    Question q(runtime::Rules::kernel, &hook, options);
    Terms& t = q.terms;
    auto const one = run_symbolically(classic.insns, t, q.packet);
    if (!one) return proof.reason = one.error().message, proof;
    auto const other = run_symbolically(object, hook, t, q.packet, Code::foreign);
    if (!other) return proof.reason = other.error().message, proof;
    if (assumed) {
        auto const given = run_symbolically(assumed->insns, t, q.packet);
        if (!given) return proof.reason = given.error().message, proof;
        q.assume(given->accepts);
    }
    Term const is_linear = t.eq(q.packet.linear(), q.packet.captured());
    if (linear) q.assume(is_linear);

    for (Obligation const& o : other->obligations)
        q.clause("no access is out of bounds (" + o.what + ")", o.broken, o.insn);
    Term const value = t.low(other->result, 32);
    auto const wrong = [&](std::vector<std::uint32_t> const& wanted,
                           std::vector<std::uint32_t> const& opposite) {
        return wanted.empty() ? one_of(t, value, opposite) : t.not_(one_of(t, value, wanted));
    };
    q.clause("a packet that matches gets an answer that says so",
             t.and_(one->accepts, wrong(answers.match, answers.no_match)));
    q.clause("a packet that does not match gets an answer that says so",
             t.and_(t.not_(one->accepts), wrong(answers.no_match, answers.match)));
    q.truncated(one->out_of_bounds);
    // Frames of ordinary size, which the kernel takes for a test run, and maps as they begin.
    Term ordinary = t.and_(t.not_(one->out_of_bounds), is_linear);
    ordinary = t.and_(ordinary, t.ule(t.constant(shortest_frame, 32), q.packet.captured()));
    std::vector<Term> const variables(t.variables().begin(), t.variables().end());
    for (Term const variable : variables) {
        std::string const& name = t.name(variable);
        if (name.starts_with("absent")) ordinary = t.and_(ordinary, variable);
        if (name.starts_with("map value") || name.starts_with("context field"))
            ordinary = t.and_(ordinary, t.eq(variable, t.constant(0, t.width(variable))));
    }
    q.prefer(ordinary);
    Term outside = t.truth(false);
    for (Obligation const& o : other->obligations) outside = t.or_(outside, o.broken);
    Evaluation evaluation(t, {&outside, 1});
    return q.ask([&](ConcretePacket const& packet) {
        evaluation.run(q.packet.valuation(packet));
        return replay(classic, object, hook, answers, packet, evaluation[outside] != 0);
    });
}

}  // namespace tamis::verify
