// libFuzzer target: a classic program and a packet.  What the checker takes is translated for every
// hook; the result is known instructions with an origin each, and says of the packet what the
// classic interpreter says.
#include "translator/translate.h"

#include <cstdint>
#include <cstdlib>

#include "bpf/ebpf.h"
#include "fuzz/random_program.h"
#include "verify/engines.h"

namespace {

using namespace tamis;

void valid(ebpf::Program const& program) {
    if (program.insns.size() != program.origin.size()) std::abort();
    if (!ebpf::decode(ebpf::encode(program.insns))) std::abort();
    for (std::size_t i = 0; i < program.insns.size(); ++i)
        if (!ebpf::known(std::span(program.insns).subspan(i)))
            std::abort();
        else
            i += ebpf::is_ld_imm64(program.insns[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const [program, packet] = fuzz::program_and_packet({data, size});
    if (!cbpf::check(program)) return 0;
    for (HookRow const& hook : hooks()) {
        translator::Options options;
        options.hook = hook.hook;
        options.match.name = find_action(hook, hook.match);
        options.no_match.name = find_action(hook, hook.no_match);
        if (auto const translated = translator::translate(program, options)) valid(*translated);
    }
    for (auto const& engine :
         {verify::interpreter(Hook::socket), verify::interpreter(Hook::xdp),
          verify::interpreter(Hook::tc_ingress), verify::interpreter(Hook::netfilter_input)}) {
        auto const prepared = engine->prepare(program);
        if (!prepared) std::abort();
        if (!*prepared) continue;
        auto const difference = verify::compare(*engine, program, packet);
        if (!difference || *difference) std::abort();
    }
    return 0;
}
