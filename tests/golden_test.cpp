// The case files of tests/cases: what each section means.  How files are read is in
// tests/support/golden.h.
#include "tests/support/golden.h"

#include <sstream>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "backend/c_source.h"
#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "bpf/hooks.h"
#include "frontend/compile.h"
#include "frontend/graph_text.h"
#include "frontend/lex.h"
#include "frontend/parse.h"
#include "frontend/surprises.h"
#include "runtime/cbpf_vm.h"
#include "tests/support/corpus.h"
#include "tests/support/packet_spec.h"
#include "translator/kernel_form.h"
#include "translator/translate.h"
#include "verify/engines.h"

namespace {

using namespace tamis;
using test::Case;
using test::Role;
using test::Section;
using test::SectionRow;
using Text = tl::expected<std::string, std::string>;

tl::unexpected<std::string> wrong(std::string why) { return tl::unexpected(std::move(why)); }

// What a case works on: its `filter`, or its `asm`.
Source source_of(Case const& c) {
    if (auto const assembly = c.input("asm")) return {"program", *assembly};
    return {"filter", c.input("filter").value_or("")};
}

// The program of a filter or of an assembly text.  The outer error is a mistake in the case.
tl::expected<Result<frontend::Compiled>, std::string> compiled(Case const& c,
                                                               std::string const& text) {
    auto const options = test::options_of(c);
    if (!options) return wrong(options.error());
    if (!c.input("asm")) return frontend::compile(text, *options);
    auto program = cbpf::read(text);
    if (!program) return Result<frontend::Compiled>(fail(program.error()));
    if (auto const checked = cbpf::check(*program); !checked)
        return Result<frontend::Compiled>(fail(checked.error()));
    return Result<frontend::Compiled>(frontend::Compiled{std::move(*program), {}});
}

// The program of a case that has to have one.
tl::expected<cbpf::Program, std::string> program_of(Case const& c) {
    Source const source = source_of(c);
    auto const outcome = compiled(c, source.text);
    if (!outcome) return wrong(outcome.error());
    if (!*outcome) return wrong(render(outcome->error(), source));
    return (*outcome)->program;
}

// A section that shows the classic program.
SectionRow shows(std::string name, std::string (*print)(cbpf::Program const&)) {
    return {std::move(name), Role::output,
            [print](Case const& c, Section const&) { return program_of(c).map(print); }};
}

Text bytecode_line(Case const& c, Section const&) {
    return program_of(c).map([](cbpf::Program const& p) { return cbpf::bytecode(p) + "\n"; });
}

Text error_text(Case const& c, Section const&) {
    Source const source = source_of(c);
    auto const outcome = compiled(c, source.text);
    if (!outcome) return wrong(outcome.error());
    if (*outcome) return wrong("expected an error, and it compiles");
    return render(outcome->error(), source);
}

Text warning_text(Case const& c, Section const&) {
    Source const source = source_of(c);
    auto const outcome = compiled(c, source.text);
    if (!outcome) return wrong(outcome.error());
    if (!*outcome) return wrong(render(outcome->error(), source));
    std::string text;
    for (Diagnostic const& warning : (*outcome)->warnings)
        text += render(warning, source, Severity::warning);
    return text;
}

Text tokens_text(Case const& c, Section const&) {
    Source const source = source_of(c);
    auto const tokens = frontend::lex(source.text);
    if (!tokens) return wrong(render(tokens.error(), source));
    return frontend::dump(*tokens, source.text);
}

Text tree_text(Case const& c, Section const&) {
    Source const source = source_of(c);
    auto const tokens = frontend::lex(source.text);
    if (!tokens) return wrong(render(tokens.error(), source));
    auto const tree = frontend::parse(source.text, *tokens);
    if (!tree) return wrong(render(tree.error(), source));
    return frontend::ast::dump(*tree, *tokens, source.text);
}

Text graph_text(Case const& c, Section const&) {
    Source const source = source_of(c);
    auto const outcome = compiled(c, source.text);
    if (!outcome) return wrong(outcome.error());
    if (!*outcome) return wrong(render(outcome->error(), source));
    if (!(*outcome)->graph) return wrong("there is no graph");
    return frontend::listing(*(*outcome)->graph, source.text);
}

Text surprises_text(Case const& c, Section const&) {
    Source const source = source_of(c);
    auto const options = test::options_of(c);
    if (!options) return wrong(options.error());
    std::string text;
    for (Diagnostic const& remark : frontend::surprises(source.text, *options))
        text += render(remark, source, Severity::note);
    return text;
}

// The functions of `tamis compile --emit c`, without what goes before and behind them.
Text c_functions(Case const& c, Section const&) {
    auto const program = program_of(c);
    if (!program) return wrong(program.error());
    auto const options = test::options_of(c);
    if (!options) return wrong(options.error());
    auto const text = backend::c_source(*program, source_of(c), {.link_type = options->link_type});
    if (!text) return wrong(render(text.error(), source_of(c)));
    std::size_t const begin = text->find("static u32 "), end = text->find("\n/* 1 for a match");
    return text->substr(begin, end - begin);
}

// What `tamis compile --hook HOOK` lists, with the hook's default actions.
Text translation(Case const& c, HookRow const& hook) {
    auto const program = program_of(c);
    if (!program) return wrong(program.error());
    translator::Options options;
    options.hook = hook.hook;
    options.match = {find_action(hook, hook.match), 0};
    options.no_match = {find_action(hook, hook.no_match), 0};
    auto const translated = translator::translate(*program, options);
    if (!translated) return wrong(render(translated.error(), source_of(c)));
    return ebpf::listing(*translated);
}

// What `tamis compile --hook kernel` lists, on kernels that differ.
struct KernelRow {
    std::string_view section;
    translator::KernelModel model;
};
using translator::KernelModel;
constexpr KernelRow kernel_rows[] = {
    {"kernel", {}},
    {"kernel-6.1", {.vlan_present = KernelModel::VlanPresent::bit}},
    {"kernel-big-endian", {.big_endian = true}},
    {"kernel-aligned", {.alignment = KernelModel::Alignment::aligned}},
    {"kernel-aligned-7.0", {.alignment = KernelModel::Alignment::offset_zero}},
    {"kernel-seccomp", {.use = KernelModel::Use::seccomp}},
};

Text kernel_text(Case const& c, KernelModel const& model) {
    auto const program = program_of(c);
    if (!program) return wrong(program.error());
    auto const converted = translator::kernel_form(*program, model);
    if (!converted) return render(translator::describe(converted.error(), *program), source_of(c));
    return translator::listing(*converted);
}

// Each line is another spelling of the filter, which has to give the same program.
Text same_program(Case const& c, Section const& section) {
    auto const expected = program_of(c);
    if (!expected) return wrong(expected.error());
    std::istringstream lines(section.text);
    for (std::string line; std::getline(lines, line);) {
        auto const other = compiled(c, line);
        if (!other) return wrong(other.error());
        if (!*other) return wrong(render(other->error(), {"alias", line}));
        if ((*other)->program.insns != expected->insns)
            return wrong(fmt::format("alias '{}' gives another program:\n{}instead of\n{}", line,
                                     cbpf::listing((*other)->program), cbpf::listing(*expected)));
    }
    return section.text;
}

// The verdicts of every engine on a packet, against the interpreter's under that engine's rule.
void compare_engines(std::span<std::unique_ptr<verify::Engine> const> engines,
                     cbpf::Program const& program, std::span<std::uint8_t const> bytes) {
    for (auto const& engine : engines) {
        auto const difference = verify::compare(*engine, program, bytes);
        if (!difference) {
            ADD_FAILURE() << engine->name() << ": "
                          << render(difference.error(), {"program", cbpf::listing(program)});
        } else if (*difference) {
            ADD_FAILURE() << engine->name() << ": verdict " << (*difference)->got << ", not "
                          << (*difference)->expected;
        }
    }
}

// Each line is a packet and, last, what becomes of it: accept or reject.
Text packet_verdicts(Case const& c, Section const& section) {
    auto const program = program_of(c);
    if (!program) return wrong(program.error());
    std::vector<std::unique_ptr<verify::Engine>> engines;  // those that can run the program
    for (auto& engine : verify::unprivileged_engines()) {
        auto const prepared = engine->prepare(*program);
        if (!prepared)
            return wrong(fmt::format("{}: {}", engine->name(), prepared.error().message));
        if (*prepared) engines.push_back(std::move(engine));
    }

    std::string said;
    std::istringstream lines(section.text);
    for (std::string line; std::getline(lines, line);) {
        std::string const spec = line.substr(0, line.find_last_not_of(" \t") + 1);
        std::size_t const space = spec.find_last_of(" \t");
        std::string const layers = spec.substr(0, space == spec.npos ? spec.size() : space + 1);
        auto const packet = test::packet(layers);
        if (!packet) return wrong(render(packet.error(), {"packet", layers}));
        std::uint32_t const verdict = runtime::run(program->insns,
                                                   {.bytes = packet->bytes,
                                                    .length = packet->length,
                                                    .ancillary = {},
                                                    .network = {},
                                                    .link = {}},
                                                   runtime::Rules::libpcap);
        said += fmt::format("{}{}\n", layers, verdict != 0 ? "accept" : "reject");
        SCOPED_TRACE(layers);
        compare_engines(engines, *program, packet->bytes);
    }
    return said;
}

std::vector<SectionRow> sections() {
    std::vector<SectionRow> rows = {
        {"note", Role::input, {}},
        {"filter", Role::input, {}},
        {"asm", Role::input, {}},
        {"options", Role::input, {}},
        {"tokens", Role::output, tokens_text},
        {"ast", Role::output, tree_text},
        {"warning", Role::output, warning_text},
        {"error", Role::output, error_text},
        {"graph", Role::output, graph_text},
        {"surprises", Role::output, surprises_text},
        {"c", Role::output, c_functions},
        shows("cbpf", cbpf::listing),
        shows("initialisers", cbpf::c_initialisers),
        shows("decimal", cbpf::decimal),
        {"bytecode", Role::output, bytecode_line},
        {"alias", Role::claim, same_program},
        {"packets", Role::claim, packet_verdicts},
    };
    for (HookRow const& hook : hooks())
        rows.push_back({fmt::format("ebpf-{}", hook.name), Role::output,
                        [&hook](Case const& c, Section const&) { return translation(c, hook); }});
    for (KernelRow const& row : kernel_rows)
        rows.push_back(
            {std::string(row.section), Role::output,
             [&row](Case const& c, Section const&) { return kernel_text(c, row.model); }});
    return rows;
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    std::vector<SectionRow> const rows = sections();
    test::register_cases(TAMIS_CASES, rows);
    return RUN_ALL_TESTS();
}
