#include "tests/differential/language_oracle.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <initializer_list>

#include <fmt/core.h>
#include <pcap/pcap.h>

#include "bpf/link_types.h"

namespace tamis::test {
namespace {

using frontend::Kind;
using frontend::Token;
using frontend::Word;

// ------------------------------------------------------------------------------------ in the text

std::string_view spelt(Text const& text, Token const& token) {
    return text.text.substr(token.span.begin, token.span.end - token.span.begin);
}

bool has(Text const& text, std::string_view word) {
    return std::any_of(text.tokens.begin(), text.tokens.end(),
                       [&](Token const& token) { return spelt(text, token) == word; });
}

bool has_any(Text const& text, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return has(text, word); });
}

Span from_to(Text const& text, std::size_t first, std::size_t last) {
    return {text.tokens[first].span.begin, text.tokens[last].span.end};
}

// A number as 1.10.3 reads it in a range; a name as it is.
std::string decimal(std::string_view side) {
    if (!frontend::is_number(side)) return std::string(side);
    auto const tokens = frontend::lex(side);
    return tokens && tokens->front().kind == Kind::number ? std::to_string(tokens->front().value)
                                                          : std::string(side);
}

bool ip_multicast(Text const& text, std::vector<Edit>& edits) {
    std::size_t const before = edits.size();
    for (std::size_t i = 1; i < text.tokens.size(); ++i)
        if (text.tokens[i].word == Word::multicast && text.tokens[i - 1].word == Word::ip)
            edits.push_back({from_to(text, i - 1, i), "ip[16] & 0xf0 = 0xe0"});
    return edits.size() > before;
}

bool byte_bits(Text const& text, std::vector<Edit>& edits) {
    std::size_t const before = edits.size();
    for (std::size_t i = 0; i + 3 < text.tokens.size(); ++i) {
        Kind const op = text.tokens[i + 2].kind;
        if (text.tokens[i].word != Word::byte || (op != Kind::ampersand && op != Kind::pipe))
            continue;
        edits.push_back(
            {from_to(text, i, i + 3),
             fmt::format("link[{}] {} {} != 0", spelt(text, text.tokens[i + 1]),
                         spelt(text, text.tokens[i + 2]), spelt(text, text.tokens[i + 3]))});
    }
    return edits.size() > before;
}

bool new_ether_types(Text const& text, std::vector<Edit>& edits) {
    std::size_t const before = edits.size();
    bool of_ether = false;  // the last `proto`
    for (std::size_t i = 1; i < text.tokens.size(); ++i) {
        Token const& token = text.tokens[i];
        std::string_view const word = spelt(text, token);
        if (token.word == Word::proto) of_ether = text.tokens[i - 1].word == Word::link;
        if (of_ether && word == "lldp") edits.push_back({token.span, "0x88cc"});
        if (of_ether && word == "slow") edits.push_back({token.span, "0x8809"});
    }
    return edits.size() > before;
}

// A number that is said to be the protocol, or the value of `byte`.
bool number_out_of_range(Text const& text, std::vector<Edit>&) {
    bool after_proto = false;
    for (std::size_t i = 0; i < text.tokens.size(); ++i) {
        Token const& token = text.tokens[i];
        if (token.word == Word::proto) after_proto = true;
        if (token.word == Word::byte && i + 3 < text.tokens.size() &&
            text.tokens[i + 3].value > 255)
            return true;
        if (after_proto && token.kind == Kind::number && token.value > 255) return true;
    }
    return false;
}

bool double_range(Text const& text, std::vector<Edit>&) {
    return std::any_of(text.tokens.begin(), text.tokens.end(), [&](Token const& token) {
        std::string_view const word = spelt(text, token);
        return token.kind == Kind::name && std::count(word.begin(), word.end(), '-') > 1;
    });
}

bool live_only(Text const& text, std::vector<Edit>&) {
    return has_any(text, {"inbound", "outbound", "ifindex"});
}

// Numbers beside a hyphen were decimal whatever they looked like.
bool ranges_of_any_base(Text const& text, std::vector<Edit>& edits) {
    std::size_t const before = edits.size();
    for (Token const& token : text.tokens) {
        std::string_view const word = spelt(text, token);
        std::size_t const hyphen = word.find('-');
        if (token.kind != Kind::name || hyphen == word.npos) continue;
        std::string const sides[] = {decimal(word.substr(0, hyphen)),
                                     decimal(word.substr(hyphen + 1))};
        std::string const now = sides[0] + "-" + sides[1];
        if (now != word) edits.push_back({token.span, now});
    }
    return edits.size() > before;
}

bool decnet_net(Text const& text, std::vector<Edit>&) {
    return has(text, "decnet") && has(text, "net");
}

// Behind `decnet` a word of numbers and dots that is no AREA.NODE: 1.10.3 takes how it begins, and
// of too large a number the lower bits.
bool no_decnet_address(Text const& text, std::vector<Edit>&) {
    bool of_decnet = false;
    for (Token const& token : text.tokens) {
        if (token.word == Word::decnet) of_decnet = true;
        if (!of_decnet || token.kind != Kind::ipv4) continue;
        std::string const word(spelt(text, token));
        unsigned area = 0, node = 0;
        char behind = 0;
        if (std::sscanf(word.c_str(), "%u.%u%c", &area, &node, &behind) != 2 || area > 63 ||
            node > 1023)
            return true;
    }
    return false;
}

bool not_known_yet(Text const& text, std::vector<Edit>&) {
    return has_any(text, {"vxlan", "gateway"});
}

// libpcap looks for a constant 0, or one above 31, in the first step of the right operand.  Of
// `1 / ip[0]` that is the index.
bool divides_or_shifts(Text const& text, std::vector<Edit>&) {
    for (std::size_t i = 0; i + 1 < text.tokens.size(); ++i) {
        Kind const kind = text.tokens[i].kind;
        bool const asks = kind == Kind::slash || kind == Kind::percent ||
                          kind == Kind::shift_left || kind == Kind::shift_right;
        if (asks && (text.tokens[i + 1].kind != Kind::number ||
                     (i + 2 < text.tokens.size() && text.tokens[i + 2].kind >= Kind::plus &&
                      text.tokens[i + 2].kind <= Kind::shift_right)))
            return true;
    }
    return false;
}

// Of a test that libpcap computes, also in its other words.
bool is_computed(Token const& token) {
    bool const compares = token.kind >= Kind::lt && token.kind <= Kind::ne;
    return compares || token.word == Word::byte || token.word == Word::multicast;
}

bool headers_vary(Text const& text) {
    static constexpr int variable[] = {dlt_wlan,  dlt_radiotap, dlt_avs,
                                       dlt_prism, dlt_ppi,      dlt_pflog};
    return std::find(std::begin(variable), std::end(variable), text.link_type) !=
           std::end(variable);
}

// libpcap computes where headers of variable length end in front of everything else, and keeps it
// in words of memory that arithmetic before their first use has for itself too (its issue 1192).  A
// first use in front of all arithmetic keeps them apart.
bool computes_before_headers(Text const& text, std::vector<Edit>& edits) {
    bool const computes = std::any_of(text.tokens.begin(), text.tokens.end(),
                                      [](Token const& token) { return is_computed(token); });
    if (!headers_vary(text) || !computes) return false;
    edits.push_back({{0, 0}, "(tcp or not tcp) and ("});
    auto const end = static_cast<std::uint32_t>(text.text.size());
    edits.push_back({{end, end}, ")"});
    return true;
}

// ---------------------------------------------------------------------------------- in the packet

// Words of an address that the mask does not cover.
bool has_empty_mask(Text const& text, std::vector<Edit>&) {
    for (std::size_t i = 1; i + 1 < text.tokens.size(); ++i) {
        Token const& before = text.tokens[i - 1];
        Token const& after = text.tokens[i + 1];
        if (text.tokens[i].kind == Kind::slash && after.kind == Kind::number &&
            ((before.kind == Kind::ipv6 && after.value <= 96) ||
             (before.kind == Kind::ipv4 && after.value == 0)))
            return true;
        if (text.tokens[i].word == Word::mask && spelt(text, after) == "0.0.0.0") return true;
    }
    return false;
}

bool reads_outside(Text const&, cbpf::Program const&, cbpf::Program const& theirs,
                   Probe const& probe) {
    return run_to_end(theirs, probe) == End::out_of_bounds;
}

bool has_isis_message(Text const& text, std::vector<Edit>&) {
    if (has_any(text, {"l1", "l2", "iih", "lsp", "snp", "csnp", "psnp"})) return true;
    for (std::size_t i = 1; i < text.tokens.size(); ++i)
        if (text.tokens[i].word == Word::proto && text.tokens[i - 1].word == Word::isis)
            return true;
    return false;
}

// A byte whose low five bits our run compares, and whose others are not 0.  The optimiser leaves
// out those two in which the messages of one kind differ, and may read neighbours at once.
bool has_reserved_bits(Text const& text, cbpf::Program const& ours, cbpf::Program const&,
                       Probe const& probe) {
    if (text.link_type == dlt_c_hdlc) return true;  // 1.10.3 reads another byte
    Trace trace(ours.insns);
    trace.begin();
    while (trace.go_on(probe) == Trace::Stop::branch) trace.take(trace.outcome());
    return std::any_of(trace.terms().begin(), trace.terms().end(), [&](Term const& term) {
        if (term.kind != Term::Kind::alu || term.alu != cbpf::Alu::and_) return false;
        std::uint32_t const mask = trace.terms()[term.right].value,
                            value = trace.terms()[term.left].value;
        if (mask >> 16 == 0x1fff) return false;  // where fragments of IPv4 lie, and what follows
        for (unsigned byte = 0; byte < 4; ++byte)
            if ((((mask >> 8 * byte) & 0xff) | 3) == 0x1f && ((value >> 8 * byte) & 0xe0) != 0)
                return true;
        return false;
    });
}

// Arithmetic, also of what was reworded, and a tunnel behind it.
bool has_tunnel_behind_arithmetic(Text const& text, std::vector<Edit>&) {
    bool arithmetic = false;
    for (Token const& token : text.tokens) {
        if (is_computed(token) || spelt(text, token) == "protochain") arithmetic = true;
        if (arithmetic && token.word == Word::geneve) return true;
    }
    return false;
}

// libpcap forgets where a header of variable length ends if it meets another one.
bool has_headers_behind_variable(Text const& text, std::vector<Edit>&) {
    return headers_vary(text) &&
           (has(text, "geneve") || (text.link_type != dlt_wlan && has(text, "pppoes")));
}
bool always(Text const&, cbpf::Program const&, cbpf::Program const&, Probe const&) { return true; }

bool has_chain(Text const& text, std::vector<Edit>&) { return has(text, "protochain"); }

// Ours are unrolled; libpcap's go on, some of them for ever.
bool chain_is_long(Text const&, cbpf::Program const&, cbpf::Program const& theirs,
                   Probe const& probe) {
    Trace trace(theirs.insns);
    trace.begin();
    while (trace.go_on(probe) == Trace::Stop::branch) trace.take(trace.outcome());
    return trace.rounds() >= 8;  // the next one may lie outside
}

// Our program sets what it keeps of tunnels to 0 in its first instructions; the run reads one of
// these zeros.
bool reads_no_tunnel(Text const&, cbpf::Program const& ours, cbpf::Program const&,
                     Probe const& probe) {
    std::size_t zeros = 1;
    while (zeros < ours.insns.size() && ours.insns[zeros].code == BPF_ST) ++zeros;
    Trace trace(ours.insns);
    trace.begin();
    while (trace.go_on(probe) == Trace::Stop::branch) trace.take(trace.outcome());
    return trace.oldest_recalled() < zeros;
}

// clang-format off
constexpr Difference table[] = {
    {"ip multicast", Effect::reworded, "CHANGES 1.11: class E is no multicast",
     en10mb, "ip multicast", ip_multicast},
    {"byte & and |", Effect::reworded, "CHANGES 1.11: they did not test the bits",
     en10mb, "byte 0 & 1", byte_bits},
    {"lldp and slow", Effect::reworded, "pcap-filter(7) of 1.11: names of ether proto",
     en10mb, "ether proto lldp", new_ether_types},
    {"numbers in ranges", Effect::reworded, "CHANGES 1.11: octal and hexadecimal there too",
     en10mb, "portrange 0x50-90", ranges_of_any_base},
    {"arithmetic before headers of variable length", Effect::both_reworded,
     "gencode.c, alloc_reg: libpcap's issue 1192",
     dlt_wlan, "link[4] + link[5] = 7 and ip", computes_before_headers},
    {"numbers out of range", Effect::refused_here, "CHANGES 1.11: range checks",
     en10mb, "ether proto 300", number_out_of_range},
    {"two hyphens in a range", Effect::refused_here, "CHANGES 1.11: port ranges",
     en10mb, "portrange 80-90-100", double_range},
    {"words of live packets", Effect::refused_here, "CHANGES 1.11: not of a dead handle",
     en10mb, "inbound", live_only},
    {"decnet net", Effect::refused_here, "CHANGES 1.11: decnet has hosts only",
     en10mb, "decnet net 1.2", decnet_net},
    {"addresses of DECnet", Effect::refused_here, "pcap-filter(7) of 1.11: AREA.NODE",
     en10mb, "decnet src 1.2.3", no_decnet_address},
    {"vxlan and gateway", Effect::refused_there, "pcap-filter(7) of 1.11",
     en10mb, "vxlan", not_known_yet},
    {"constants that are none", Effect::refused_there,
     "gencode.c, gen_arth: looks at the first step of the operand only",
     en10mb, "len / ip[0] = 1", divides_or_shifts},
    {"masks of no bits", Effect::some_packets,
     "gencode.c, gen_mcmp: 1.10.3 reads what it then ignores",
     en10mb, "net 2001:db8::/32", has_empty_mask, reads_outside},
    {"tunnels that were not passed", Effect::some_packets,
     "gencode.c, alloc_reg: the words that arithmetic used are used again",
     en10mb, "icmp6[0] = 135 or geneve and ip", has_tunnel_behind_arithmetic, reads_no_tunnel},
    {"headers behind those of variable length", Effect::some_packets,
     "gencode.c, gen_pppoes and gen_geneve: the word of the header before is lost",
     dlt_wlan, "geneve", has_headers_behind_variable, always},
    {"chains of 8 headers and more", Effect::some_packets,
     "pcap-filter(7), protochain: a loop; an example might not end", en10mb, "", has_chain,
     chain_is_long},
    {"messages of IS-IS", Effect::some_packets, "CHANGES 1.11: the type has five bits",
     en10mb, "lsp", has_isis_message, has_reserved_bits},
};
// clang-format on

}  // namespace

std::span<Difference const> differences() { return table; }

std::string edited(std::string text, std::vector<Edit> edits) {
    std::sort(edits.begin(), edits.end(),
              [](Edit const& a, Edit const& b) { return a.place.begin > b.place.begin; });
    for (Edit const& edit : edits)
        text.replace(edit.place.begin, edit.place.end - edit.place.begin, edit.by);
    return text;
}

Oracle::Oracle(int link_type) : handle_(pcap_open_dead(link_type, 262144)) {}
Oracle::~Oracle() { pcap_close(handle_); }
std::string Oracle::why() const { return pcap_geterr(handle_); }

std::optional<cbpf::Program> Oracle::compile(std::string const& text) {
    bpf_program compiled{};
    if (pcap_compile(handle_, &compiled, text.c_str(), 0, oracle_netmask) != 0) return std::nullopt;
    cbpf::Program program;
    program.insns.reserve(compiled.bf_len);
    for (bpf_insn const& i : std::span(compiled.bf_insns, compiled.bf_len))
        program.insns.push_back({i.code, i.jt, i.jf, i.k});
    pcap_freecode(&compiled);
    return program;
}

Interpreted::Interpreted(cbpf::Program const& program) {
    insns_.reserve(program.insns.size());
    for (cbpf::Insn const& i : program.insns) insns_.push_back({i.code, i.jt, i.jf, i.k});
    bool const recalls = std::any_of(insns_.begin(), insns_.end(), [](bpf_insn const& insn) {
        return insn.code == (BPF_LD | BPF_MEM) || insn.code == (BPF_LDX | BPF_MEM);
    });
    if (!recalls) return;
    std::vector<bpf_insn> zeros{{BPF_LD | BPF_IMM, 0, 0, 0}};
    for (bpf_u_int32 word = 0; word < BPF_MEMWORDS; ++word) zeros.push_back({BPF_ST, 0, 0, word});
    insns_.insert(insns_.begin(), zeros.begin(), zeros.end());
}

bool Interpreted::valid() const {
    return bpf_validate(insns_.data(), static_cast<int>(insns_.size())) != 0;
}

bool Interpreted::matches(Probe const& probe) const {
    return bpf_filter(insns_.data(), probe.bytes.data(), probe.wire,
                      static_cast<u_int>(probe.bytes.size())) != 0;
}

std::map<int, std::vector<Probe>> captured(std::string const& folder, std::size_t most) {
    std::vector<std::filesystem::path> files;
    for (auto const& entry : std::filesystem::recursive_directory_iterator(folder))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());  // the same packets on every machine
    std::map<int, std::vector<Probe>> packets;
    for (auto const& file : files) {
        char why[PCAP_ERRBUF_SIZE];
        pcap_t* const capture = pcap_open_offline(file.c_str(), why);
        if (capture == nullptr) continue;  // no capture
        auto& found = packets[pcap_datalink(capture)];
        pcap_pkthdr* header = nullptr;
        u_char const* data = nullptr;
        for (std::size_t i = 0; i < most && pcap_next_ex(capture, &header, &data) == 1; ++i)
            found.push_back({{data, data + header->caplen}, header->len});
        pcap_close(capture);
    }
    return packets;
}

}  // namespace tamis::test
