#include "verify/answered.h"

#include "verify/term_values.h"

namespace tamis::verify {

// The terms, operands first, each with the places of its operands among them.
Answered::Question Answered::question(Terms const& terms, std::span<Term const> assertions) {
    std::vector<Term> const parts = terms.parts(assertions);
    std::unordered_map<std::uint32_t, std::uint32_t> places;
    Question out;
    auto const add = [&](auto value) {
        out.append(reinterpret_cast<char const*>(&value), sizeof value);
    };
    add(static_cast<std::uint32_t>(parts.size()));
    for (Term const term : parts) {
        Terms::Node const& node = terms[term];
        add(node.op);
        add(node.width);
        Term const inside[] = {node.a, node.b, node.c};
        for (unsigned i = 0; i < operands(node.op); ++i) add(places.at(inside[i].id));
        if (node.op == Op::variable) {
            out += terms.name(term);
            add('\0');
        } else {
            add(node.value);
        }
        places.emplace(term.id, static_cast<std::uint32_t>(places.size()));
    }
    for (Term const assertion : assertions) add(places.at(assertion.id));
    return out;
}

std::optional<Answered::Found> Answered::find(Question const& question, Terms const& terms,
                                              std::chrono::milliseconds timeout) const {
    auto const at = known_.find(question);
    if (at == known_.end()) return std::nullopt;
    Remembered const& known = at->second;
    if (known.answer == Answer::unknown && timeout >= 2 * known.timeout) return std::nullopt;
    std::unordered_map<std::string_view, std::uint64_t> numbers;
    for (Term const variable : terms.variables())
        numbers.emplace(terms.name(variable), terms[variable].value);
    Found out{known.answer, {std::vector<std::uint64_t>(numbers.size()), known.bytes}};
    for (auto const& [name, value] : known.variables)
        if (auto const number = numbers.find(name); number != numbers.end())
            out.model.variables[number->second] = value;
    return out;
}

void Answered::remember(Question question, Terms const& terms, std::chrono::milliseconds timeout,
                        Found const& found) {
    Remembered out{found.answer, timeout, {}, found.model.bytes};
    for (Term const variable : terms.variables()) {
        std::uint64_t const number = terms[variable].value;
        if (number < found.model.variables.size() && found.model.variables[number] != 0)
            out.variables.emplace_back(terms.name(variable), found.model.variables[number]);
    }
    known_[std::move(question)] = std::move(out);
}

}  // namespace tamis::verify
