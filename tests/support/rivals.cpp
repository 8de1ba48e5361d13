#include "tests/support/rivals.h"

#include <fstream>
#include <memory>
#include <sstream>

#include <bpf/libbpf.h>

namespace tamis::test {

namespace {

Result<ebpf::Program> function(bpf_object* object, std::string const& name) {
    bpf_program const* const found = bpf_object__find_program_by_name(object, name.c_str());
    if (!found) return fail({"no function " + name, std::nullopt, {}});
    auto const* const first = reinterpret_cast<ebpf::Insn const*>(bpf_program__insns(found));
    std::vector<ebpf::Insn> insns(first, first + bpf_program__insn_cnt(found));
    std::vector<ebpf::Origin> origin(insns.size());
    return ebpf::Program{std::move(insns), std::move(origin), {}, {{name, 0}}};
}

}  // namespace

Result<std::vector<Rival>> rivals(std::string const& object, std::string const& list) {
    std::unique_ptr<bpf_object, decltype(&bpf_object__close)> const file(
        bpf_object__open(object.c_str()), bpf_object__close);
    if (!file) return fail({"cannot read " + object, std::nullopt, {}});
    std::ifstream lines(list);
    if (!lines) return fail({"cannot read " + list, std::nullopt, {}});
    std::vector<Rival> out;
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line[0] == '#') continue;
        Rival rival;
        std::istringstream words(line);
        words >> rival.name >> rival.at_most >> std::ws;
        std::getline(words, rival.expression);
        auto xdp = function(file.get(), "xdp_" + rival.name);
        if (!xdp) return fail(xdp.error());
        auto bounds = function(file.get(), "bounds_" + rival.name);
        if (!bounds) return fail(bounds.error());
        rival.xdp = std::move(*xdp);
        rival.bounds = std::move(*bounds);
        out.push_back(std::move(rival));
    }
    return out;
}

}  // namespace tamis::test
