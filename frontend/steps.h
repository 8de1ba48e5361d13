// The words that arithmetic of a formula is written in.
#pragma once


#include "frontend/formula.h"

namespace tamis::frontend {

inline Step number(std::uint32_t value) { return {.kind = Step::Kind::number, .value = value}; }
inline Step read(Field const& field) { return {.kind = Step::Kind::field, .field = field}; }
inline Step apply(cbpf::Alu op) { return {.kind = Step::Kind::binary, .op = op}; }
inline Step value_of(std::uint8_t variable) {
    return read({.base = Base::variable, .at = {0, variable}});
}

inline void assign(Formula& formula, std::uint8_t variable, List<Step> const& steps,
                   Span span) {
    auto const begin = static_cast<std::uint32_t>(formula.steps.size());
    formula.steps.insert(formula.steps.end(), steps.begin(), steps.end());
    formula.add(Assignment{variable, begin, static_cast<std::uint32_t>(formula.steps.size())},
                span);
}

}  // namespace tamis::frontend
