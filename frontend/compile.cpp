#include "frontend/compile.h"

#include <algorithm>

#include <fmt/core.h>

#include "frontend/contradiction.h"
#include "frontend/layers.h"
#include "frontend/lex.h"
#include "frontend/lower.h"
#include "frontend/optimise.h"
#include "frontend/parse.h"
#include "frontend/resolve.h"

namespace tamis::frontend {
namespace {

Result<void> check(Options const& options) {
    if (options.snaplen == 0) return fail({"a snapshot length of 0 rejects all packets", {}, {}});
    if (options.protochain_max == 0 || options.protochain_max > max_protochain)
        return fail(
            {fmt::format("protochain goes through 1 to {} headers", max_protochain), {}, {}});
    return {};
}

// `ret #snaplen`: what an empty filter is.
Compiled match_everything(Options const& options, Span whole) {
    Compiled everything{{{cbpf::Insn{0x06, 0, 0, options.snaplen}}, {whole}}, {}};
    if (options.optimise) everything.graph = Graph{{}, {}, {}, Graph::accept};
    return everything;
}

// Unless there is a warning about some of the same words already, which says more.
void warn(std::vector<Diagnostic>& warnings, Diagnostic warning) {
    auto const meet = [](std::optional<Span> const& a, std::optional<Span> const& b) {
        return a && b && a->begin < b->end && b->begin < a->end;
    };
    bool const said = std::any_of(warnings.begin(), warnings.end(), [&](Diagnostic const& known) {
        return meet(known.span, warning.span) ||
               std::any_of(warning.notes.begin(), warning.notes.end(),
                           [&](Note const& note) { return meet(known.span, note.span); });
    });
    if (!said) warnings.push_back(std::move(warning));
}

// The formula of a text that is not empty; none of an empty one.
Result<std::optional<Resolved>> read(std::string_view text, Options const& options) {
    if (auto const good = check(options); !good) return fail(good.error());

    // words and operators
    auto const tokens = lex(text);
    if (!tokens) return fail(tokens.error());
    if (tokens->front().kind == Kind::end) return std::nullopt;  // on any link type
    if (find_link_layer(options.link_type) == nullptr)
        return fail({fmt::format("link type {} is not known", options.link_type), {}, {}});

    // how they nest
    auto const tree = parse(text, *tokens);
    if (!tree) return fail(tree.error());

    // what they ask of a packet
    auto resolved = resolve(text, *tokens, *tree, options);
    if (!resolved) return fail(std::move(resolved.error()));
    return std::move(*resolved);
}

}  // namespace

Result<Compiled> compile(std::string_view text, Options const& options) {
    Span const whole{0, static_cast<std::uint32_t>(text.size())};
    auto read_text = read(text, options);
    if (!read_text) return fail(std::move(read_text.error()));
    std::optional<Resolved>& resolved = *read_text;
    if (!resolved) return match_everything(options, whole);

    // how a classic machine finds out
    Formula& formula = resolved->formula;
    Compiled compiled;
    auto optimised = options.optimise ? optimise(formula, options.snaplen, whole) : std::nullopt;
    bool const rejects = optimised && optimised->graph.root == Graph::reject;
    if ((!optimised || rejects) && formula.nodes.empty()) {  // a long one: its tree is gone by now
        auto again = frontend::formula(text, options);
        if (!again) return fail(std::move(again.error()));
        formula = std::move(*again);
    }
    if (optimised) {
        compiled.program = std::move(optimised->program);
        compiled.graph = std::move(optimised->graph);
    } else {
        compiled.program = lower(formula, options.snaplen, whole);
    }
    compiled.warnings = std::move(resolved->warnings);
    if (rejects) warn(compiled.warnings, find_contradiction(formula));
    return compiled;
}

Result<Formula> formula(std::string_view text, Options const& options) {
    auto resolved = read(text, options);
    if (!resolved) return fail(std::move(resolved.error()));
    if (*resolved) return std::move((*resolved)->formula);
    Formula all;
    all.add(true, {});
    return all;
}

}  // namespace tamis::frontend
