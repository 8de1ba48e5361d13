// What a filter weighs in another program, beside other translators: instructions as emitted, for
// programs that give it the packet's bounds, by packet pointers and by bpf_probe_read_kernel.
//
// The other columns were measured with those programs themselves (cloudflare/cbpfc 0661ad2: eBPF as
// the kernel loaded it, with its caller; its C through clang 14 -O2, likewise;
// jschwinger233/elibpcap, which pwru uses: what it turns a filter into before it is loaded).
#include <string_view>

#include <fmt/core.h>

#include "frontend/compile.h"
#include "translator/translate.h"

namespace {

using namespace tamis;

struct Row {
    std::string_view filter;
    int cbpfc, cbpfc_c, elibpcap;
};
constexpr Row rows[] = {
    {"ip", 18, 10, 33},
    {"tcp", 33, 30, 90},
    {"host 10.0.0.1", 42, 36, 113},
    {"src net 10.0.0.0/8 and tcp dst port 80", 42, 29, 126},
    {"tcp dst port 80", 48, 36, 146},
    {"port 53", 70, 54, 196},
    {"tcp port 80 or tcp port 443 or tcp port 8080", 72, 71, 198},
    {"portrange 20-1024", 73, 66, 199},
    {"not (tcp port 22)", 60, 44, 186},
    {"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", 38, 27, 108},
    {"(tcp[tcpflags] & tcp-syn != 0 or port 443) and not tcp dst port 80", 113, 96, 336},
    {"port 80 and tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420", 60, 39, 172},
    {"tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)", 79, 46, 246},
    {"ip6 host 2001:db8::1", 45, 36, 172},
    {"ip6 net 2001:db8::/32 and tcp port 443", 35, 27, 120},
    {"vlan 100 and tcp dst port 80", 57, 43, 183},
    {"icmp[icmptype] = icmp-echo", 37, 26, 107},
    {"ether host 02:00:00:00:00:01", 27, 18, 84},
    {"len > 100 and udp", 36, 36, 93},
    {"arp or icmp or (udp port 67 or udp port 68)", 74, 68, 200},
    {"ip[8] < 5 or ip6[7] < 5", 27, 21, 70},
};

std::size_t size(cbpf::Program const& program, Access access) {
    auto const made =
        translator::translate_predicate(program, bounds_only(row(Hook::xdp), access), {}, "f");
    return made ? made->insns.size() : 0;
}

}  // namespace

int main() {
    fmt::print("{:>8} {:>8} | {:>6} {:>8} | {:>6} {:>8}\n", "classic", "pointers", "cbpfc",
               "cbpfc, C", "probes", "elibpcap");
    std::size_t pointers = 0, probes = 0;
    int cbpfc = 0, cbpfc_c = 0, elibpcap = 0;
    for (Row const& r : rows) {
        frontend::Options options;
        options.context = frontend::Context::live;
        options.tags = frontend::Tags::in_packet;
        auto const compiled = frontend::compile(r.filter, options);
        if (!compiled) {
            fmt::print(stderr, "{}: {}\n", r.filter, compiled.error().message);
            return 1;
        }
        std::size_t const by_pointer = size(compiled->program, Access::pointer),
                          by_probe = size(compiled->program, Access::probe);
        fmt::print("{:>8} {:>8} | {:>6} {:>8} | {:>6} {:>8}  {}\n", compiled->program.insns.size(),
                   by_pointer, r.cbpfc, r.cbpfc_c, by_probe, r.elibpcap, r.filter);
        pointers += by_pointer, probes += by_probe;
        cbpfc += r.cbpfc, cbpfc_c += r.cbpfc_c, elibpcap += r.elibpcap;
    }
    fmt::print("{:>8} {:>8} | {:>6} {:>8} | {:>6} {:>8}  all\n", "", pointers, cbpfc, cbpfc_c,
               probes, elibpcap);
    return 0;
}
