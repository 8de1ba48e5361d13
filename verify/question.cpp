#include "verify/question.h"

#include <algorithm>

#include <fmt/format.h>

namespace tamis::verify {
namespace {

// A packet longer than this is not built: it would not be looked at either.
constexpr std::uint32_t longest_packet = 1U << 20;

}  // namespace

Valuation valuation(Model const& model) {
    return {model.variables, [&model](std::uint32_t offset) {
                auto const at = model.bytes.find(offset);
                return at == model.bytes.end() ? std::uint8_t{0} : at->second;
            }};
}

void Question::clause(std::string what, Term broken, std::optional<std::uint32_t> insn) {
    if (!terms.is(broken, 0)) clauses_.push_back({std::move(what), broken, insn});
}

std::chrono::milliseconds Question::time_left() const {
    auto const spent = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin_);
    return std::max(options_.timeout - spent, std::chrono::milliseconds(1));
}

Answer Question::sat(std::span<Term const> conditions, Model* model) {
    std::chrono::milliseconds const time = time_left();
    auto const ask = [&](Model* found) {
        if (!solver_) solver_ = std::make_unique<Solver>(terms);
        return solver_->ask(conditions, time, found);
    };
    if (!options_.shared) return ask(model);
    Answered& answered = options_.shared->answered;
    Answered::Question question = Answered::question(terms, conditions);
    auto found = answered.find(question, terms, time);
    if (!found) {
        found.emplace();
        found->answer = ask(&found->model);
        answered.remember(std::move(question), terms, time, *found);
    }
    if (model) *model = std::move(found->model);
    return found->answer;
}

Answer Question::find(Term condition, Model& model) {
    if (terms.is(condition, 0)) return Answer::no;
    Term const all[] = {assumed_, condition};
    return sat(all, &model);
}

std::optional<std::string> Question::broken() {
    Term violation = terms.truth(false);
    for (Clause const& c : clauses_) violation = terms.or_(violation, c.broken);
    Model model;
    Answer const answer = find(violation, model);
    if (answer == Answer::no) return std::nullopt;
    if (answer == Answer::unknown) return "not decided in time";
    std::vector<Term> roots;
    for (Clause const& c : clauses_) roots.push_back(c.broken);
    Evaluation evaluation(terms, roots);
    evaluation.run(valuation(model));
    for (Clause const& c : clauses_)
        if (evaluation[c.broken] != 0) return c.what;
    return "";
}

Answer Question::find(Term condition, ConcretePacket* found) {
    if (terms.is(condition, 0)) return Answer::no;
    Model model;
    Term const short_enough = terms.ule(packet.captured(), terms.constant(longest_packet, 32));
    Term const all[] = {assumed_, condition, short_enough};
    Answer const answer = sat(all, &model);
    if (answer == Answer::yes && found) *found = packet.packet(model);
    return answer;
}

Proof Question::ask(Player const& replay) {
    Term violation = terms.truth(false);
    for (Clause const& c : clauses_) violation = terms.or_(violation, c.broken);
    Proof proof;
    Term const assertion = terms.and_(assumed_, violation);
    if (options_.smt2) *options_.smt2 = smt2(terms, assertion);
    proof.terms = terms.parts({&assertion, 1}).size();
    proof.by_terms = terms.is(violation, 0);

    Model model;
    Answer answer = Answer::no;
    if (preference_) {
        Term const preferred[] = {assumed_, violation, *preference_};
        answer = sat(preferred, &model);
        if (answer == Answer::yes) violation = terms.and_(violation, *preference_);
    }
    if (answer == Answer::no) {
        Term const all[] = {assumed_, violation};
        answer = sat(all, &model);
    }
    if (answer == Answer::no) {
        proof.outcome = Outcome::proved;
        return proof;
    }
    if (answer == Answer::unknown) {
        proof.reason = can_prove()
                           ? fmt::format("not decided within {:.3g} s",
                                         static_cast<double>(options_.timeout.count()) / 1e3)
                           : std::string(prover_missing);
        return proof;
    }
    auto found = shortest(violation, std::move(model));
    if (!found) {
        proof.reason = fmt::format("only packets of more than {} bytes can tell", longest_packet);
        return proof;
    }
    make_plain(violation, *found);
    Replay played = replay(*found);
    if (!played.differs) {
        proof.reason = fmt::format(
            "a packet of {} bytes should tell them apart, but the interpreters see no difference",
            found->captured());
        for (std::string const& run : played.runs) proof.reason += "\n  " + run;
        return proof;
    }
    Counterexample example{std::move(*found), {}, {}, false, std::move(played.runs)};
    std::vector<Term> roots;
    for (Clause const& c : clauses_) roots.push_back(c.broken);
    if (truncated_) roots.push_back(*truncated_);
    Evaluation evaluation(terms, roots);
    evaluation.run(packet.valuation(example.packet));
    for (Clause const& c : clauses_) {
        if (evaluation[c.broken] == 0) continue;
        example.broken = c.what;
        example.insn = c.insn;
        break;
    }
    example.truncated = truncated_ && evaluation[*truncated_] != 0;
    proof.outcome = Outcome::refuted;
    proof.counterexample = std::move(example);
    return proof;
}

// Halves the range of lengths until the shortest is found, or time is up.
std::optional<ConcretePacket> Question::shortest(Term violation, Model model) {
    auto const captured = [&](Model const& m) {
        Term const length = packet.captured();
        Evaluation evaluation(terms, {&length, 1});
        evaluation.run({m.variables, [](std::uint32_t) { return std::uint8_t{0}; }});
        return static_cast<std::uint32_t>(evaluation[length]);
    };
    std::uint32_t least = 0, most = captured(model);
    while (least < most) {
        // Most answers are short: begin there.
        std::uint32_t const middle = least + std::min((most - least) / 2, least + 63);
        Term const all[] = {assumed_, violation,
                            terms.ule(packet.captured(), terms.constant(middle, 32))};
        Model shorter;
        Answer const answer = sat(all, &shorter);
        if (answer == Answer::unknown) break;
        if (answer == Answer::yes) {
            model = std::move(shorter);
            most = captured(model);
        } else {
            least = middle + 1;
        }
    }
    if (most > longest_packet) return std::nullopt;
    return packet.packet(model);
}

// Sets to 0, or to what is ordinary, whatever does not matter.
void Question::make_plain(Term violation, ConcretePacket& found) {
    Term const roots[] = {terms.and_(assumed_, violation)};
    Evaluation evaluation(terms, roots);
    auto const keep_if_broken = [&](auto const& change) {
        ConcretePacket changed = found;
        change(changed);
        evaluation.run(packet.valuation(changed));
        if (evaluation[roots[0]] != 0) found = std::move(changed);
    };
    keep_if_broken([](ConcretePacket& p) { p.length = p.captured(); });
    keep_if_broken([](ConcretePacket& p) { p.linear = p.captured(); });
    keep_if_broken([](ConcretePacket& p) {
        p.network = p.link = std::nullopt;
        p.bytes.erase(p.bytes.begin(), p.bytes.begin() + p.start);
        p.start = 0;
    });
    // Without metadata, or with none but a device; else word by word.
    keep_if_broken([](ConcretePacket& p) {
        p.ancillary = {};
        p.ancillary[static_cast<std::size_t>(cbpf::Anc::ifindex) / 4] = 1;
    });
    keep_if_broken([](ConcretePacket& p) { p.ancillary = {}; });
    for (std::size_t i = 0; i < found.ancillary.size(); ++i)
        if (found.ancillary[i] != 0) keep_if_broken([&](auto& p) { p.ancillary[i] = 0; });
    keep_if_broken([](ConcretePacket& p) { std::fill(p.bytes.begin(), p.bytes.end(), 0); });
    for (std::size_t i = 0; i < std::min<std::size_t>(found.bytes.size(), 4096); ++i)
        if (found.bytes[i] != 0) keep_if_broken([&](auto& p) { p.bytes[i] = 0; });
}

}  // namespace tamis::verify
