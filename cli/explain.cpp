// tamis explain: a filter's words, its classic program and its eBPF side by side, and what may
// surprise.
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bpf/cbpf_text.h"
#include "bpf/ebpf_text.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/hook_options.h"
#include "cli/input.h"
#include "cli/verbs.h"
#include "frontend/surprises.h"

namespace tamis::cli {
namespace {

struct ExplainOptions {
    InputOptions input;
    HookOptions hook;
    std::string link_type = "EN10MB";
};

// The eBPF instructions of each classic one, in order; those around the filter are left out.
std::map<std::uint32_t, std::vector<std::string>> by_classic(ebpf::Program const& program) {
    std::map<std::uint32_t, std::vector<std::string>> lines;
    std::span<ebpf::Insn const> const insns = program.insns;
    for (std::size_t i = 0; i < insns.size(); i += ebpf::is_ld_imm64(insns[i]) ? 2U : 1U) {
        std::uint32_t const classic = program.origin[i].classic;
        if (classic != ebpf::Origin::none)
            lines[classic].push_back(
                fmt::format("{:>4}: {}", i, ebpf::disassemble(insns.subspan(i), &program)));
    }
    return lines;
}

std::string words_of(Span span, std::string const& text) {
    constexpr std::size_t widest = 40;
    std::size_t const length = span.end - span.begin;  // of a long list, for each of its lines
    std::string words =
        escape(std::string_view(text).substr(span.begin, std::min(length, widest + 1)));
    if (words.size() > widest) words = words.substr(0, widest - 3) + "...";
    return words;
}

std::string classic_line(cbpf::Program const& program, std::size_t i) {
    std::string line = cbpf::disassemble(program.insns[i], i);
    std::replace(line.begin(), line.end(), '\t', ' ');
    return line.substr(0, line.find_last_not_of(' ') + 1);
}

std::string side_by_side(Input const& input, ebpf::Program const& extended) {
    auto const lines = by_classic(extended);
    std::string out = fmt::format("{:<48}{:<48}{}\n", "classic", "eBPF", "because of");
    Span last{};
    for (std::size_t i = 0; i < input.program.insns.size(); ++i) {
        Span const span = input.program.origin.empty() ? Span{} : input.program.origin[i];
        std::string const words =
            span == last || span == Span{} ? "" : words_of(span, input.source.text);
        last = span;
        auto const found = lines.find(static_cast<std::uint32_t>(i));
        std::vector<std::string> const none{""};
        auto const& right = found == lines.end() ? none : found->second;
        for (std::size_t line = 0; line < right.size(); ++line) {
            std::string row =
                fmt::format("{:<48}{:<48}{}", line == 0 ? classic_line(input.program, i) : "",
                            right[line], line == 0 ? words : "");
            row.resize(row.find_last_not_of(' ') + 1);
            out += row + '\n';
        }
    }
    return out;
}

Exit run(ExplainOptions o) {
    LinkType const* const link = find_link_type(o.link_type);
    if (link == nullptr)
        return report({fmt::format("unknown link type '{}'", escape(o.link_type)),
                       std::nullopt,
                       {{"`tamis compile -L` lists the link types", std::nullopt}}});
    // Without a hook, packets as they are on the wire: at XDP, and with no tag taken out of them.
    bool const given = !o.hook.name.empty();
    if (!given) o.hook.name = "xdp";
    auto const translation = o.hook.resolve();
    if (!translation) return report(translation.error());
    auto const input = compile_input(o.input, link->number,
                                     given ? frontend::Context::live : frontend::Context::dead);
    if (!input) return input.error();
    auto const extended = translator::translate(input->program, *translation);
    if (!extended) return report(extended.error(), input->source);
    print(side_by_side(*input, *extended));
    if (!o.input.cbpf.empty()) return Exit::success;
    for (Diagnostic const& remark :
         frontend::surprises(input->source.text, {.link_type = link->number}))
        print("\n" + render(remark, input->source, Severity::note));
    return Exit::success;
}

}  // namespace

Exit explain(std::vector<std::string> const& args) {
    ExplainOptions o;
    CLI::App app{"Shows what becomes of an expression, and what may surprise.", "tamis explain"};
    o.input.add_to(app);
    o.hook.add_to(app);
    app.add_option("-y", o.link_type, "link type, by name or number")
        ->type_name("DLT")
        ->capture_default_str();
    app.footer(
        "The eBPF is that of --hook, xdp unless given; what surrounds the filter is left out.\n"
        "Example: tamis explain 'vlan 100 or tcp port 80'");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
