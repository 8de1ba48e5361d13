// tamis check: our translation of a classic program beside the one that the running kernel makes.
#include <cerrno>
#include <csignal>
#include <cstring>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bpf/cbpf_text.h"
#include "bpf/link_types.h"
#include "cli/args.h"
#include "cli/input.h"
#include "cli/verbs.h"
#include "verify/attached_filters.h"
#include "verify/loaded_form.h"
#include "verify/mirror.h"
#include "verify/mirror_text.h"

namespace tamis::cli {
namespace {

using verify::AttachedFilter;
using verify::LoadedForm;
using verify::Mirror;
using verify::Reflection;

struct CheckOptions {
    InputOptions input;
    std::string link_type = "EN10MB";
    std::size_t random = 0;
    std::uint64_t seed = 1;
    pid_t process = 0;
    bool all = false, json = false;
};

constexpr std::size_t packets_per_check = 256;

std::string_view error_name(int error) {
    return error == EINVAL ? "EINVAL" : error == ENOMEM ? "ENOMEM" : strerrorname_np(error);
}

Result<Mirror> open_mirror() {
    auto mirror = Mirror::open();
    if (!mirror && mirror.error().fault == Fault::system)
        mirror.error().notes.push_back(
            {"`tamis check` runs with CAP_BPF, CAP_PERFMON and CAP_SYSLOG", std::nullopt});
    return mirror;
}

// ---- One program

std::string verdict_line(LoadedForm const& loaded) {
    if (loaded.differing) {
        auto const kept = [](std::optional<std::size_t> n) { return n.value_or(0); };
        return fmt::format(
            "verdicts: a packet of {} bytes tells them apart: {} bytes kept by the "
            "classic program, {} by the socket form\n  {:02x}\n",
            loaded.differing->packet.size(), kept(loaded.differing->classic),
            kept(loaded.differing->extended), fmt::join(loaded.differing->packet, ""));
    }
    if (loaded.packets == 0)
        return "verdicts: not compared, the program reads a random number or the CPU's\n";
    return fmt::format("verdicts: {} random packets, {} kept, no difference\n", loaded.packets,
                       loaded.accepted);
}

std::string xlated_line(LoadedForm const& loaded) {
    std::string const sizes = fmt::format("socket form: {} instructions, {} behind the verifier",
                                          loaded.insns, loaded.xlated.size());
    if (!loaded.predicted)
        return sizes + "; not compared, kernels read the CPU's number in more than one way\n";
    if (loaded.difference)
        return fmt::format("{}; instruction {} is not what was foretold\n", sizes,
                           *loaded.difference);
    if (loaded.shortened())
        return fmt::format("{}; not compared, it removed {} that cannot be reached\n", sizes,
                           loaded.predicted->size() - loaded.xlated.size());
    return sizes + ", all as foretold\n";
}

std::string summary(Reflection const& r) {
    if (r.difference)
        return fmt::format("kernel form: first difference at instruction {}: {}\n",
                           r.difference->index, r.difference->what);
    return fmt::format("kernel form: {} instructions, the same as the kernel's\n", r.bound.size());
}

void print_text(Input const& input, Reflection const& r, translator::Layout const& symbols) {
    if (r.ours && r.accepted())
        print(verify::side_by_side(input.program, input.source.text, r, symbols));
    if (r.difference || r.ours) {
        print(summary(r));
        return;
    }
    print(fmt::format("refused by the kernel and by tamis alike ({}): {}\n",
                      error_name(r.kernel_error), describe(r.ours.error(), input.program).message));
}

Json json_of(Reflection const& r, translator::Layout const& symbols) {
    Json out = Json::array();
    for (std::size_t i = 0; i < std::max(r.bound.size(), r.kernels.insns.size()); ++i) {
        bool const mine = i < r.bound.size(), its = i < r.kernels.insns.size();
        Json row = {{"index", i}, {"classic", nullptr}, {"tamis", nullptr}, {"kernel", nullptr}};
        if (mine) {
            std::uint32_t const classic = r.ours->origin[i].classic;
            if (classic != ebpf::Origin::none) row["classic"] = classic;
            row["tamis"] = translator::disassemble(*r.ours, i);
        }
        if (its) row["kernel"] = verify::kernel_text(r.kernels.insns[i], symbols);
        row["same"] = mine && its && r.bound[i] == r.kernels.insns[i];
        out.push_back(std::move(row));
    }
    return out;
}

// What both kinds of report say of one program.
void add_outcome(Json& out, cbpf::Program const& program, Reflection const& r) {
    out["same"] = !r.difference;
    out["error"] = r.accepted() ? Json(nullptr) : Json(error_name(r.kernel_error));
    out["rule"] = r.ours ? Json(nullptr) : Json(describe(r.ours.error(), program).message);
    out["difference"] = r.difference ? Json(r.difference->index) : Json(nullptr);
    out["what"] = r.difference ? Json(r.difference->what) : Json(nullptr);
    out["classic"] = Json::array();
    for (std::size_t i = 0; i < program.insns.size(); ++i)
        out["classic"].push_back(cbpf::disassemble(program.insns[i], i));
}

void print_report(Input const& input, Reflection const& r, LoadedForm const* loaded,
                  translator::Layout const& symbols) {
    Json out = object_of("check");
    out["expression"] = input.source.text;
    add_outcome(out, input.program, r);
    out["instructions"] = json_of(r, symbols);
    out["socket_form"] = out["verdicts"] = nullptr;
    if (loaded) {
        out["socket_form"] = {{"instructions", loaded->insns},
                              {"xlated", loaded->xlated.size()},
                              {"compared", loaded->predicted && !loaded->shortened()},
                              {"same", !loaded->difference}};
        out["verdicts"] = {
            {"packets", loaded->packets}, {"kept", loaded->accepted}, {"same", !loaded->differing}};
    }
    print_json(out);
}

Exit check_one(CheckOptions const& o) {
    LinkType const* const link = find_link_type(o.link_type);
    if (!link)
        return report({fmt::format("unknown link type '{}'", escape(o.link_type)),
                       std::nullopt,
                       {{"`tamis compile -L` lists the link types", std::nullopt}}});
    auto const input = compile_input(o.input, link->number, frontend::Context::live);
    if (!input) return input.error();
    auto mirror = open_mirror();
    if (!mirror) return report(mirror.error());
    auto const reflections = mirror->reflect({&input->program, 1});
    if (!reflections) return report(reflections.error());
    Reflection const& r = reflections->front();
    translator::Layout const& symbols = mirror->layout().symbols;
    if (!o.json) print_text(*input, r, symbols);

    // The other two looks need a program that runs.
    std::optional<LoadedForm> loaded;
    if (r.accepted()) {
        auto compared =
            verify::compare_loaded(input->program, mirror->layout(), o.seed, packets_per_check);
        if (!compared) return report(compared.error(), input->source);
        loaded = std::move(*compared);
    }
    if (o.json)
        print_report(*input, r, loaded ? &*loaded : nullptr, symbols);
    else if (loaded)
        print(xlated_line(*loaded) + verdict_line(*loaded));
    else if (r.accepted())
        print("socket form: none, the program reads what only classic filters can\n");
    return r.difference || (loaded && !loaded->same()) ? Exit::nothing : Exit::success;
}

// ---- Random programs

Exit check_random(CheckOptions const& o) {
    auto mirror = open_mirror();
    if (!mirror) return report(mirror.error());
    auto const check = verify::check_random(*mirror, o.seed, o.random);
    if (!check) return report(check.error());
    double const rate = static_cast<double>(check->accepted) / check->seconds;
    if (o.json) {
        Json out = object_of("random_check");
        out["seed"] = o.seed;
        out["accepted"] = check->accepted;
        out["refused"] = check->refused;
        out["classic_instructions"] = check->classic_insns;
        out["kernel_instructions"] = check->kernel_insns;
        out["differing"] = check->differing;
        out["first"] = check->program ? Json(cbpf::bytecode(*check->program)) : Json(nullptr);
        out["programs_per_second"] = static_cast<std::uint64_t>(rate);
        print_json(out);
        return check->differing != 0 ? Exit::nothing : Exit::success;
    }
    if (check->program) {
        Input const input{{"program", ""}, *check->program, {}};
        print("the first program that differs:\n" + cbpf::decimal(*check->program));
        print_text(input, *check->reflection, mirror->layout().symbols);
    }
    print(
        fmt::format("{} programs that the kernel accepts ({} classic instructions, {} in its "
                    "translation) and {} that it refuses: {} differ; {:.0f} programs/s, seed {}\n",
                    check->accepted, check->classic_insns, check->kernel_insns, check->refused,
                    check->differing, rate, o.seed));
    return check->differing != 0 ? Exit::nothing : Exit::success;
}

// ---- What is attached already

void show(CheckOptions const& o, AttachedFilter const& filter, translator::Layout const& symbols) {
    Reflection const& r = filter.reflection;
    if (o.json) {
        Json out = object_of("attached_filter");
        out["process"] = filter.process;
        out["command"] = filter.command;
        out["fd"] = filter.fd;
        add_outcome(out, filter.program, r);
        out["instructions"] = json_of(r, symbols);
        print_json(out);
        return;
    }
    if (!o.all && r.ours) print(verify::side_by_side(filter.program, "", r, symbols));
    print(fmt::format("process {} ({}) fd {}: {} classic instructions; {}", filter.process,
                      escape(filter.command), filter.fd, filter.program.insns.size(), summary(r)));
}

Exit check_attached(CheckOptions const& o) {
    auto mirror = open_mirror();
    if (!mirror) return report(mirror.error());
    std::vector<pid_t> processes = {o.process};
    if (o.all) {
        auto found = verify::all_processes();
        if (!found) return report(found.error());
        processes = std::move(*found);
    }
    std::size_t filters = 0, differing = 0;
    for (pid_t const process : processes) {
        auto const found = verify::attached_filters(*mirror, process);
        // Of all processes some end while we look.
        if (!found && o.all && kill(process, 0) != 0 && errno == ESRCH) continue;
        if (!found) return report(found.error());
        for (AttachedFilter const& filter : *found) {
            ++filters;
            if (filter.reflection.difference) ++differing;
            show(o, filter, mirror->layout().symbols);
        }
    }
    if (!o.json)
        print(fmt::format("{} classic filters on sockets, {} differ\n", filters, differing));
    return differing != 0 ? Exit::nothing : Exit::success;
}

Exit run(CheckOptions const& o) {
    bool const program = !o.input.words.empty() || !o.input.file.empty() || !o.input.cbpf.empty();
    if (int{program} + int{o.random != 0} + int{o.process != 0} + int{o.all} > 1)
        return report({"more than one of EXPR, --random, --pid and --all", std::nullopt, {}});
    if (o.random != 0) return check_random(o);
    if (o.process != 0 || o.all) return check_attached(o);
    return check_one(o);
}

}  // namespace

Exit check(std::vector<std::string> const& args) {
    CheckOptions o;
    o.input.unchecked = true;
    CLI::App app{"Shows our translation of a filter beside the one that the running kernel makes.",
                 "tamis check"};
    o.input.add_to(app);
    app.add_option("-y", o.link_type, "link type, by name or number")
        ->type_name("DLT")
        ->capture_default_str();
    app.add_option("--random", o.random,
                   "instead of an expression: N random programs that the kernel accepts")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000'000}));
    app.add_option("--seed", o.seed, "of the random programs and packets")->capture_default_str();
    app.add_option("--pid", o.process, "the filters that a process has on its sockets")
        ->check(CLI::Range(pid_t{1}, pid_t{1} << 22));
    app.add_flag("--all", o.all, "the filters that all processes have on their sockets");
    app.add_flag("--json", o.json, "print JSON, one object per line");
    app.footer(
        "Exit: 0 they are the same, 1 they differ, 3 not permitted here (this needs CAP_BPF,\n"
        "CAP_PERFMON and CAP_SYSLOG; --pid and --all CAP_SYS_PTRACE too).\n"
        "Examples:\n"
        "  tamis check 'tcp port 80'\n"
        "  tamis check --random 100000 --seed 7\n"
        "  tcpdump -i lo port 53 & sleep 1; tamis check --pid $!");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
