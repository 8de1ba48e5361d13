#include "cli/kernel_hook.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "bpf/ebpf.h"
#include "cli/output.h"
#include "translator/kernel_form.h"
#include "verify/kernel_layout.h"

namespace tamis::cli {
namespace {

using translator::KernelModel;
using translator::KernelProgram;

Result<KernelProgram> converted(Input const& input, KernelModel const& model) {
    auto program = translator::kernel_form(input.program, model);
    if (program) return std::move(*program);
    auto diagnostic = describe(program.error(), input.program);
    diagnostic.message = "the kernel refuses this filter: " + diagnostic.message;
    return fail(std::move(diagnostic));
}

Result<std::string> raw(Input const& input) {
    auto const kernel = verify::running_kernel();
    if (!kernel) return fail(kernel.error());
    auto const program = converted(input, kernel->model);
    if (!program) return fail(program.error());
    auto const insns = bind(*program, kernel->symbols);
    if (!insns) return fail(insns.error());
    auto const bytes = ebpf::encode(*insns);
    return std::string(bytes.begin(), bytes.end());
}

std::string json_of(Input const& input, KernelProgram const& program) {
    Json out = object_of("kernel_form");
    out["expression"] = input.source.text;
    out["stack_depth"] = program.stack_depth;
    out["ebpf"] = Json::array();
    for (std::size_t i = 0; i < program.insns.size(); ++i) {
        std::uint32_t const classic = program.origin[i].classic;
        Json row = {{"index", i}, {"text", disassemble(program, i)}};
        row["classic"] = classic == ebpf::Origin::none ? Json(nullptr) : Json(classic);
        out["ebpf"].push_back(std::move(row));
    }
    return out.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<std::string> kernel_form(Input const& input, HookOptions const& hook, std::string_view emit,
                                bool json) {
    if (!hook.match.empty() || !hook.no_match.empty() || hook.no_stats)
        return fail({"the kernel's own translation has no actions and counts nothing",
                     std::nullopt,
                     {{"--match, --no-match and --no-stats are for real hooks", std::nullopt}}});
    if (emit == "raw" && !json) return raw(input);
    if (emit != "ebpf")
        return fail({fmt::format("no form '{}' with --hook kernel", emit),
                     std::nullopt,
                     {{"--emit takes ebpf, a listing, or raw, instructions bound to this kernel; "
                       "neither can be loaded",
                       std::nullopt}}});
    auto const program = converted(input, {});
    if (!program) return fail(program.error());
    return json ? json_of(input, *program) : listing(*program);
}

}  // namespace tamis::cli
