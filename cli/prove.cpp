// tamis prove: for every packet, or a packet that tells them apart.
#include "verify/prove.h"

#include <charconv>
#include <fstream>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "backend/file.h"
#include "bpf/hooks.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/hook_options.h"
#include "cli/input.h"
#include "cli/prove.h"
#include "cli/verbs.h"
#include "runtime/capture_file.h"
#include "runtime/object_file.h"
#include "runtime/object_program.h"
#include "verify/kernel_replay.h"

namespace tamis::cli {
namespace {

using runtime::Rules;
using verify::Outcome;
using verify::Proof;
using Clock = std::chrono::steady_clock;

struct ProveArgs {
    InputOptions input;
    HookOptions hook;
    std::string link_type, rules, smt2, pcap;
    std::string object, program, assume;  // --object, --program, --assume
    std::vector<std::string> classic;     // --cbpf
    std::vector<std::string> implies, disjoint, diff;
    double timeout = default_timeout;
    bool optimizer = false, json = false;
};

std::chrono::milliseconds milliseconds(double seconds) {
    return std::chrono::milliseconds(static_cast<long>(seconds * 1000));
}

// Which of two things is worse: 0 proved, 1 refuted, 3 undecided.
Exit exit_of(Outcome outcome) {
    switch (outcome) {
        case Outcome::proved:
            return Exit::success;
        case Outcome::refuted:
            return Exit::nothing;
        case Outcome::undecided:
            break;
    }
    return Exit::refused;
}

std::string hex_dump(std::vector<std::uint8_t> const& bytes) {
    std::string text;
    constexpr std::size_t per_line = 16, shown = 512;
    for (std::size_t i = 0; i < std::min(bytes.size(), shown); i += per_line) {
        std::span const line = std::span(bytes).subspan(i, std::min(per_line, bytes.size() - i));
        text += fmt::format("    {:04x}  {:02x}\n", i, fmt::join(line, " "));
    }
    if (bytes.size() > shown) text += "    ...\n";
    return text;
}

std::string dead_text(std::string const& subject, Proof const& proof) {
    std::string text = fmt::format(
        "{}: refuted; this does not hold: some packet reaches every block of the program\n",
        subject);
    for (verify::DeadBlock const& block : proof.dead)
        text += block.classic == ebpf::Origin::none
                    ? fmt::format("  none reaches instruction {}, an end\n", block.insn)
                    : fmt::format(
                          "  none reaches instruction {}, but some reach classic instruction {} "
                          "that it stands for\n",
                          block.insn, block.classic);
    return text;
}

std::string text_of(std::string const& subject, std::string const& sizes, Proof const& proof,
                    double took) {
    switch (proof.outcome) {
        case Outcome::proved: {
            std::string text = fmt::format("{}: proved: {}, {:.0f} ms\n", subject, sizes, took);
            if (!proof.idle.empty())
                text += fmt::format(
                    "  no packet reaches {} of its blocks, as in the classic program; the first is "
                    "at instruction {}\n",
                    proof.idle.size(), proof.idle[0].insn);
            return text;
        }
        case Outcome::undecided:
            return fmt::format("{}: undecided: {}\n", subject, proof.reason);
        case Outcome::refuted:
            break;
    }
    if (!proof.counterexample) return dead_text(subject, proof);
    verify::Counterexample const& c = *proof.counterexample;
    std::string text = fmt::format("{}: refuted; this does not hold: {}\n", subject, c.broken);
    if (c.insn) text += fmt::format("  at instruction {}\n", *c.insn);
    text += fmt::format("  a packet of {} bytes{}", c.packet.captured(),
                        c.truncated ? ", too short for one of the loads" : "");
    if (c.packet.length != c.packet.captured())
        text += fmt::format(", {} on the wire", c.packet.length);
    if (c.packet.linear != c.packet.captured())
        text += fmt::format(", {} of them linear", c.packet.linear);
    text += "\n" + hex_dump(c.packet.bytes);
    for (cbpf::Ancillary const& row : cbpf::ancillaries())
        if (auto const value = c.packet.ancillary[static_cast<std::size_t>(row.number) / 4];
            value != 0)
            text += fmt::format("  {}: {}\n", row.asm_name, value);
    for (std::string const& run : c.runs) text += fmt::format("  {}\n", run);
    return text;
}

class Prover {
  public:
    Prover(ProveArgs const& args, int link_type) : args_(args), link_type_(link_type) {}

    Exit run() {
        Exit const code = question();
        if (code == Exit::usage) return code;
        if (auto const written = write_files(); !written) return report(written.error());
        return code == Exit::success ? worst_ : code;
    }

  private:
    Exit question() {
        if (!args_.implies.empty()) return relation(args_.implies, verify::Relation::implies);
        if (!args_.disjoint.empty()) return relation(args_.disjoint, verify::Relation::disjoint);
        if (!args_.diff.empty()) return difference();
        if (!args_.object.empty()) return object();
        if (args_.classic.size() == 2) return equal();
        return args_.optimizer ? optimiser() : translations();
    }

    // ---- The questions

    Exit translations() {
        InputOptions options = args_.input;
        if (!args_.classic.empty()) options.cbpf = args_.classic[0];
        std::vector<HookRow const*> chosen;
        for (HookRow const& hook : hooks())
            if (args_.hook.name.empty() || args_.hook.name == hook.name) chosen.push_back(&hook);
        if (chosen.empty()) return report(args_.hook.resolve().error());
        std::size_t proofs = 0;
        std::optional<Diagnostic> last;
        for (HookRow const* const hook : chosen) {
            HookOptions at = args_.hook;
            at.name = hook->name;
            auto const translation = at.resolve();
            if (!translation) return report(translation.error());
            auto const compiled =
                compiled_for(options, *hook, tags_at(*hook, translation->shape.vlan_offload));
            if (!compiled) return compiled.error();
            Input const* const input = *compiled;
            if (!input) continue;
            auto const program = translator::translate(input->program, *translation);
            if (!program) {  // it reads what the hook does not have
                last = program.error();
                continue;
            }
            ++proofs;
            ask(std::string(hook->name),
                fmt::format("{} classic instructions, {} of eBPF", input->program.insns.size(),
                            program->insns.size()),
                [&](verify::ProveOptions const& o) {
                    Proof proof =
                        verify::prove_translation(input->program, *program, *translation, o);
                    if (auto& c = proof.counterexample)
                        add(c->runs, verify::kernel_test_run(*program, *hook, c->packet));
                    return proof;
                });
        }
        if (proofs == 0 && last) return report(*last, inputs_.begin()->second.source);
        return Exit::success;
    }

    // What `compile --hook` would make of the input: a text depends on where packets begin and
    // where their tags are, and it is read once.  Null where it says something that does not exist
    // at this hook, but did at another one.
    tl::expected<Input const*, Exit> compiled_for(InputOptions const& options, HookRow const& hook,
                                                  frontend::Tags tags) {
        int const link = args_.link_type.empty() ? default_link_type(hook) : link_type_;
        std::pair const key =
            options.cbpf.empty() ? std::pair{link, tags} : std::pair{0, frontend::Tags{}};
        auto const at = inputs_.find(key);
        if (at != inputs_.end()) return &at->second;
        bool const first = inputs_.empty();
        InputOptions silent = options;
        silent.quiet = silent.silent = true;
        auto input = first ? compile_input(options, link, frontend::Context::live, tags)
                           : compile_text(silent, inputs_.begin()->second.source, link,
                                          frontend::Context::live, tags);
        if (!input && !first) return nullptr;
        if (!input) return tl::unexpected(input.error());
        return &inputs_.emplace(key, std::move(*input)).first->second;
    }

    // A program that somebody else's compiler made, against what the classic program says.
    Exit object() {
        auto const bytes = runtime::read_object(args_.object);
        if (!bytes) return report(bytes.error());
        auto const object = runtime::read_program(*bytes, args_.program);
        if (!object) {
            Diagnostic wrong = object.error();
            wrong.message = fmt::format("'{}': {}", escape(args_.object), wrong.message);
            return report(wrong);
        }
        HookRow const* const hook = hook_of(*object->row);
        if (!hook)
            return report({fmt::format("'{}': programs in section '{}' read no packets that tamis "
                                       "models",
                                       escape(args_.object), escape(object->section)),
                           std::nullopt,
                           {}});
        auto const answers = answers_at(*hook);
        if (!answers) return report(answers.error());
        if (args_.link_type.empty()) link_type_ = default_link_type(*hook);
        InputOptions options = args_.input;
        if (!args_.classic.empty()) options.cbpf = args_.classic[0];
        auto const here = [&](InputOptions const& o) {
            return compile_input(o, link_type_, frontend::Context::live,
                                 tags_at(*hook, translator::VlanOffload::ignore));
        };
        auto const wanted = here(options);
        if (!wanted) return wanted.error();
        std::optional<Input> assumed;
        if (!args_.assume.empty()) {
            options = args_.input;
            options.cbpf = options.file = "";
            options.words = {args_.assume};
            auto input = here(options);
            if (!input) return input.error();
            assumed = std::move(*input);
        }
        ask(escape(object->name),
            fmt::format("{} instructions, {} of the classic program, hook {}",
                        object->program.insns.size(), wanted->program.insns.size(), hook->name),
            [&](verify::ProveOptions const& o) {
                return verify::prove_object(wanted->program, object->program, *hook, *answers,
                                            assumed ? &assumed->program : nullptr,
                                            args_.hook.linear, o);
            });
        return Exit::success;
    }

    // The hook with that type of program, the one whose section's name is the beginning of this.
    static HookRow const* hook_of(runtime::SectionRow const& row) {
        HookRow const* best = nullptr;
        std::size_t most = 0;
        for (HookRow const& hook : hooks()) {
            if (hook.prog_type != row.prog_type) continue;
            std::size_t const alike = row.name.starts_with(hook.section) ? hook.section.size() : 0;
            if (!best || alike > most) best = &hook, most = alike;
        }
        return best;
    }

    Result<verify::Answers> answers_at(HookRow const& hook) const {
        verify::Answers answers;
        for (auto const& [text, to] : {std::pair{&args_.hook.match, &answers.match},
                                       {&args_.hook.no_match, &answers.no_match}}) {
            if (text->empty()) continue;
            auto const value = answer(hook, *text);
            if (!value) return fail(value.error());
            *to = {*value};
        }
        bool const said = !answers.match.empty() || !answers.no_match.empty();
        return said ? answers : verify::usual_answers(hook);
    }

    // The name of an action, or what a program returns: a number, also a negative one.
    static Result<std::uint32_t> answer(HookRow const& hook, std::string const& text) {
        ActionName const* const action = find_action(hook, text);
        if (action && action->arg != Arg::bytes) return static_cast<std::uint32_t>(action->code);
        std::int64_t value = 0;
        auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size() || value < INT32_MIN ||
            value > UINT32_MAX)
            return fail({fmt::format("'{}' is neither an action of hook {} nor a number of 32 bits",
                                     escape(text), hook.name),
                         std::nullopt,
                         {}});
        return static_cast<std::uint32_t>(value);
    }

    Exit optimiser() {
        InputOptions options = args_.input;
        options.unoptimised = true;
        auto const before = compile_input(options, link_type_, frontend::Context::dead);
        if (!before) return before.error();
        options.unoptimised = false;
        options.quiet = true;
        auto const after = compile_input(options, link_type_, frontend::Context::dead);
        if (!after) return after.error();
        auto const formula =
            read_formula(options, before->source, link_type_, frontend::Context::dead);
        if (!formula) return formula.error();
        for (Rules const rules : {Rules::libpcap, Rules::kernel}) {
            if (!args_.rules.empty() && rules != chosen_rules()) continue;
            ask(fmt::format("optimiser, {}", name_of(rules)),
                fmt::format("{} instructions, optimised {}", before->program.insns.size(),
                            after->program.insns.size()),
                [&](verify::ProveOptions const& o) {
                    return verify::prove_optimisation(*formula, options.snaplen, before->program,
                                                      after->program, rules, o);
                });
        }
        return Exit::success;
    }

    Exit equal() {
        std::vector<cbpf::Program> programs;
        for (std::string const& file : args_.classic) {
            InputOptions options = args_.input;
            options.cbpf = file;
            auto input = compile_input(options, link_type_, frontend::Context::dead);
            if (!input) return input.error();
            programs.push_back(std::move(input->program));
        }
        compare("equal", programs, verify::Relation::equal);
        return Exit::success;
    }

    // Of two texts: their meaning, and so the unoptimised programs.
    tl::expected<std::vector<cbpf::Program>, Exit> both(std::vector<std::string> const& texts) {
        std::vector<cbpf::Program> programs;
        for (std::string const& text : texts) {
            InputOptions options = args_.input;
            options.words = {text};
            options.unoptimised = true;
            auto input = compile_input(options, link_type_, frontend::Context::dead);
            if (!input) return tl::unexpected(input.error());
            programs.push_back(std::move(input->program));
        }
        return programs;
    }

    Exit relation(std::vector<std::string> const& texts, verify::Relation relation) {
        auto const programs = both(texts);
        if (!programs) return programs.error();
        compare(relation == verify::Relation::implies ? "implies" : "disjoint", *programs,
                relation);
        return Exit::success;
    }

    // Both ways: a packet that only the first matches, and one that only the second does.
    Exit difference() {
        auto programs = both(args_.diff);
        if (!programs) return programs.error();
        compare("only the first", *programs, verify::Relation::implies);
        std::swap((*programs)[0], (*programs)[1]);
        compare("only the second", *programs, verify::Relation::implies);
        return Exit::success;
    }

    void compare(std::string_view what, std::vector<cbpf::Program> const& programs,
                 verify::Relation relation) {
        Rules const rules = chosen_rules();
        ask(fmt::format("{}, {}", what, name_of(rules)),
            fmt::format("{} and {} instructions", programs[0].insns.size(),
                        programs[1].insns.size()),
            [&](verify::ProveOptions const& o) {
                Proof proof = verify::prove_relation(programs[0], programs[1], relation, rules, o);
                if (auto& c = proof.counterexample)
                    for (cbpf::Program const& program : programs)
                        add(c->runs, verify::kernel_classic_run(program, c->packet));
                return proof;
            });
    }

    // ---- Asking and telling

    Rules chosen_rules() const { return args_.rules == "kernel" ? Rules::kernel : Rules::libpcap; }
    static std::string_view name_of(Rules rules) {
        return rules == Rules::kernel ? "kernel's rule" : "libpcap's rule";
    }
    static void add(std::vector<std::string>& lines, std::optional<std::string> line) {
        if (line) lines.push_back(std::move(*line));
    }

    void ask(std::string const& subject, std::string const& sizes,
             std::function<Proof(verify::ProveOptions const&)> const& prove) {
        verify::ProveOptions options;
        options.timeout = milliseconds(args_.timeout);
        options.shared = &shared_;
        std::string script;
        if (!args_.smt2.empty()) options.smt2 = &script;
        auto const begin = Clock::now();
        Proof const proof = prove(options);
        auto const took = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
        if (!script.empty()) scripts_ += fmt::format("; {}\n(reset)\n{}", subject, script);
        if (proof.counterexample) found_.push_back(proof.counterexample->packet);
        Exit const code = exit_of(proof.outcome);
        worst_ = std::max(worst_, code);
        if (args_.json)
            print_json(json_of(subject, proof, took));
        else
            print(text_of(subject, sizes, proof, took));
    }

    static Json json_of(std::string const& subject, Proof const& proof, double took) {
        Json out = object_of("proof");
        out["subject"] = subject;
        out["outcome"] = proof.outcome == Outcome::proved    ? "proved"
                         : proof.outcome == Outcome::refuted ? "refuted"
                                                             : "undecided";
        out["reason"] = proof.reason.empty() ? Json(nullptr) : Json(proof.reason);
        out["milliseconds"] = took;
        out["terms"] = proof.terms;
        for (auto const& [key, blocks] :
             {std::pair{"dead", &proof.dead}, {"unreached", &proof.idle}}) {
            out[key] = Json::array();
            for (verify::DeadBlock const& block : *blocks) out[key].push_back(block.insn);
        }
        out["counterexample"] = nullptr;
        if (!proof.counterexample) return out;
        verify::Counterexample const& c = *proof.counterexample;
        out["counterexample"] = {{"broken", c.broken},
                                 {"instruction", c.insn ? Json(*c.insn) : Json(nullptr)},
                                 {"bytes", fmt::format("{:02x}", fmt::join(c.packet.bytes, ""))},
                                 {"length", c.packet.length},
                                 {"linear", c.packet.linear},
                                 {"truncated", c.truncated},
                                 {"runs", c.runs}};
        return out;
    }

    Result<void> write_files() {
        if (!args_.smt2.empty()) {
            auto const written =
                backend::write_file(args_.smt2, std::as_bytes(std::span(scripts_)));
            if (!written) return written;
        }
        if (args_.pcap.empty() || found_.empty()) return {};
        auto writer = runtime::CaptureWriter::create(args_.pcap, link_type_, args_.input.snaplen);
        if (!writer) return fail(writer.error());
        for (verify::ConcretePacket const& packet : found_) {
            std::span const bytes = std::span(packet.bytes).subspan(packet.start);
            if (auto done = writer->write({.length = packet.length, .bytes = bytes}); !done)
                return done;
        }
        return writer->close();
    }

    ProveArgs const& args_;
    int link_type_;
    std::map<std::pair<int, frontend::Tags>, Input>
        inputs_;  // of translations, by link type and tags
    Exit worst_ = Exit::success;
    verify::Shared shared_;
    std::string scripts_;
    std::vector<verify::ConcretePacket> found_;
};

Exit run(ProveArgs const& args) {
    bool const expression = !args.input.words.empty() || !args.input.file.empty();
    bool const object = !args.object.empty();
    if ((!args.program.empty() || !args.assume.empty()) && !object)
        return report({"--program and --assume go with --object", std::nullopt, {}});
    if (object && (!args.hook.name.empty() || args.optimizer || args.classic.size() > 1))
        return report({"--object takes its hook from the section, and one thing to hold it against",
                       std::nullopt,
                       {}});
    int const pairs = int{!args.implies.empty()} + int{!args.disjoint.empty()} +
                      int{!args.diff.empty()} + int{!args.classic.empty()};
    if (pairs + int{expression} > 1)
        return report({"more than one of EXPR, -F, --cbpf, --implies, --disjoint and --diff",
                       std::nullopt,
                       {}});
    if (args.classic.size() > 2)
        return report({"--cbpf twice is a comparison; there is none of more", std::nullopt, {}});
    if (args.optimizer && pairs > 0)
        return report({"--optimizer wants an expression", std::nullopt, {}});
    LinkType const* const link = find_link_type(args.link_type.empty() ? "EN10MB" : args.link_type);
    if (!link)
        return report({fmt::format("unknown link type '{}'", escape(args.link_type)),
                       std::nullopt,
                       {{"`tamis compile -L` lists the link types", std::nullopt}}});
    if (!verify::can_prove() && args.smt2.empty())
        return report({std::string(verify::prover_missing), std::nullopt, {}, Fault::system});
    return Prover(args, link->number).run();
}

}  // namespace

void add_timeout(CLI::App& app, double& timeout) {
    app.add_option("--timeout", timeout, "for one question of a proof, in seconds")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.001, 1e6))
        ->capture_default_str();
}

Exit prove_compiled(InputOptions const& options, Input const& input, int link_type,
                    HookRow const* hook, ebpf::Program const* extended,
                    translator::Options const& translation, double timeout) {
    if (!verify::can_prove())
        return report({std::string(verify::prover_missing), std::nullopt, {}, Fault::system});
    Exit worst = Exit::success;
    verify::ProveOptions proving;
    proving.timeout = milliseconds(timeout);
    auto const need = [&](std::string_view what, Proof const& proof) {
        Exit const code = exit_of(proof.outcome);
        worst = std::max(worst, code);
        if (code != Exit::success) complain(text_of(std::string(what), "", proof, 0));
    };
    if (extended)
        need("translation",
             verify::prove_translation(input.program, *extended, translation, proving));
    if (options.unoptimised || !options.cbpf.empty()) return worst;
    auto const context = hook ? frontend::Context::live : frontend::Context::dead;
    InputOptions plain = options;
    plain.unoptimised = plain.quiet = true;
    auto const tags = hook ? tags_at(*hook, translation.shape.vlan_offload) : frontend::Tags{};
    auto const before = compile_text(plain, input.source, link_type, context, tags);
    if (!before) return before.error();
    auto const formula = read_formula(plain, input.source, link_type, context, tags);
    if (!formula) return formula.error();
    for (Rules const rules : {Rules::libpcap, Rules::kernel})
        need("optimiser", verify::prove_optimisation(*formula, options.snaplen, before->program,
                                                     input.program, rules, proving));
    return worst;
}

Exit prove(std::vector<std::string> const& args) {
    ProveArgs o;
    CLI::App app{"Proves for every packet, or shows a packet for which it is not so.",
                 "tamis prove"};
    o.input.add_to(app);
    o.hook.add_to(app);
    app.remove_option(app.get_option("--cbpf"));
    app.add_option("--cbpf", o.classic,
                   "instead of an expression: a classic program; twice: whether two are equal")
        ->type_name("FILE")
        ->expected(1)
        ->take_all();
    app.add_option(
           "--object", o.object,
           "an eBPF object that a compiler made; --match and --no-match are what it returns")
        ->type_name("FILE");
    app.add_option("--program", o.program, "which of the object's programs")->type_name("NAME");
    app.add_option("--assume", o.assume, "only packets that this expression matches")
        ->type_name("EXPR");
    app.add_flag("--optimizer", o.optimizer, "the optimised program against the unoptimised one");
    auto const two = [&](char const* name, std::vector<std::string>& to, char const* help) {
        app.add_option(name, to, help)->type_name("A B")->expected(2);
    };
    two("--implies", o.implies, "whatever the expression A matches, B matches");
    two("--disjoint", o.disjoint, "nothing is matched by both of two expressions");
    two("--diff", o.diff, "packets that one of two expressions matches and the other does not");
    app.add_option("--rules", o.rules, "how classic programs run; libpcap's where two are compared")
        ->check(CLI::IsMember({"kernel", "libpcap"}));
    app.add_option("-y", o.link_type, "link type, by name or number; default: the hook's")
        ->type_name("DLT");
    app.add_option("-w", o.pcap, "write the packets that were found to a capture file")
        ->type_name("FILE");
    add_timeout(app, o.timeout);
    app.add_option("--emit-smt2", o.smt2,
                   "write the questions for another solver, SMT-LIB 2: unsat means proved")
        ->type_name("FILE");
    app.add_flag("--json", o.json, "print JSON, one object per line");
    app.footer(
        "Exit: 0 proved, 1 refuted, 3 undecided.  Without --hook: every hook.  Quote A and B.\n"
        "Examples:\n"
        "  tamis prove 'tcp port 80'\n"
        "  tamis prove --cbpf a.ddd --cbpf b.ddd -w c.pcap\n"
        "  tamis prove --optimizer 'host 10.0.0.1 and not port 22'\n"
        "  tamis prove --implies 'tcp port 80' 'ip or ip6'\n"
        "  tamis prove --diff 'port 80' 'tcp port 80' -w d.pcap\n"
        "  tamis prove --object f.o --program filter --match drop 'udp port 53'");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
