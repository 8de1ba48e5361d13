// libFuzzer target: any bytes as classic assembly.  What is read and valid comes back the same from
// each of the text forms; as eBPF instructions, the bytes decode and encode to themselves.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "bpf/cbpf_check.h"
#include "bpf/cbpf_text.h"
#include "bpf/ebpf.h"
#include "bpf/ebpf_text.h"

namespace {

using namespace tamis;

bool same(cbpf::Program const& a, Result<cbpf::Program> const& b) {
    if (!b || a.insns.size() != b->insns.size()) return false;
    for (std::size_t i = 0; i < a.insns.size(); ++i) {
        cbpf::Insn const &x = a.insns[i], &y = b->insns[i];
        if (x.code != y.code || x.jt != y.jt || x.jf != y.jf || x.k != y.k) return false;
    }
    return true;
}

void classic(std::string_view text) {
    auto const program = cbpf::read(text);
    if (!program) {
        auto const span = program.error().span;
        if (span && span->end > text.size()) std::abort();
        return;
    }
    if (!same(*program, cbpf::read(cbpf::decimal(*program)))) std::abort();
    if (!same(*program, cbpf::read(cbpf::bytecode(*program)))) std::abort();
    (void)cbpf::c_initialisers(*program);
    // A listing has no place for fields that an instruction does not use.
    std::string const listing = cbpf::listing(*program);
    if (!cbpf::check(*program)) return;
    auto const again = cbpf::read(listing);
    if (!again || cbpf::listing(*again) != listing) std::abort();
}

void extended(std::span<std::uint8_t const> bytes) {
    auto const insns = ebpf::decode(bytes);
    if (!insns) return;
    auto const encoded = ebpf::encode(*insns);
    if (!std::equal(bytes.begin(), bytes.end(), encoded.begin(), encoded.end())) std::abort();
    for (std::size_t i = 0; i < insns->size(); ++i) {
        if (ebpf::disassemble(std::span(*insns).subspan(i)).empty()) std::abort();
        i += ebpf::is_ld_imm64((*insns)[i]);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    classic({reinterpret_cast<char const*>(data), size});
    extended({data, size});
    return 0;
}
