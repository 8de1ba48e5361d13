// libFuzzer target: the first byte picks the link type and the context, the rest is a filter.  What
// compiles must be a program that the checker takes.
#include "frontend/compile.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bpf/cbpf_check.h"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace tamis;
    static constexpr int link_types[] = {
        en10mb,         dlt_raw,         dlt_sll,
        dlt_sll2,       dlt_null,        dlt_ppp,
        dlt_c_hdlc,     dlt_ppp_pppd,    dlt_ipv4,
        dlt_ipv6,       dlt_ppp_ether,   dlt_loop,
        dlt_ppp_serial, dlt_wlan,        dlt_radiotap,
        dlt_avs,        dlt_prism,       dlt_ppi,
        dlt_pflog,      dlt_netanalyzer, dlt_netanalyzer_transparent};
    static constexpr frontend::Context contexts[] = {
        frontend::Context::dead, frontend::Context::savefile, frontend::Context::live};
    if (size == 0) return 0;
    std::string_view const text(reinterpret_cast<char const*>(data + 1), size - 1);
    auto const compiled =
        frontend::compile(text, {.link_type = link_types[data[0] % std::size(link_types)],
                                 .context = contexts[data[0] / 32 % std::size(contexts)]});
    if (!compiled) {
        if (compiled.error().span && compiled.error().span->end > text.size()) std::abort();
        return 0;
    }
    bool const fits = compiled->program.insns.size() <= cbpf::max_socket_insns;
    if (fits && !cbpf::check(compiled->program)) std::abort();
    return 0;
}
