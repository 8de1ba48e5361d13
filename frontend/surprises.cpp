#include "frontend/surprises.h"

#include <algorithm>
#include <initializer_list>

#include "bpf/link_types.h"
#include "frontend/lex.h"

namespace tamis::frontend {
namespace {

using Tokens = std::vector<Token>;
using Place = Tokens::const_iterator;

Place find(Tokens const& tokens, std::initializer_list<Word> words) {
    return std::find_if(tokens.begin(), tokens.end(), [&](Token const& token) {
        return std::find(words.begin(), words.end(), token.word) != words.end();
    });
}

bool has(Tokens const& tokens, std::initializer_list<Word> words) {
    return find(tokens, words) != tokens.end();
}

bool negates(Tokens const& tokens) {
    return std::any_of(tokens.begin(), tokens.end(),
                       [](Token const& t) { return t.kind == Kind::not_ || t.kind == Kind::ne; });
}

Place ports(Tokens const& tokens) { return find(tokens, {Word::port, Word::portrange}); }

// A protocol above IP whose bytes are read: `tcp[13]`.
Place payload(Tokens const& tokens) {
    for (Place at = tokens.begin(); at + 1 < tokens.end(); ++at) {
        constexpr Word above[] = {Word::tcp,  Word::udp,  Word::sctp, Word::icmp,
                                  Word::igmp, Word::igrp, Word::pim,  Word::vrrp};
        bool const is = std::find(std::begin(above), std::end(above), at->word) != std::end(above);
        if (is && (at + 1)->kind == Kind::open_bracket) return at;
    }
    return tokens.end();
}

Place moving(Tokens const& tokens) {
    return find(tokens, {Word::vlan, Word::mpls, Word::pppoes, Word::geneve, Word::vxlan});
}

// What looks at protocols or addresses behind the link header.
Place network(Tokens const& tokens) {
    Place const at =
        find(tokens, {Word::ip, Word::ip6, Word::arp, Word::tcp, Word::udp, Word::icmp, Word::icmp6,
                      Word::port, Word::portrange, Word::host, Word::net, Word::src, Word::dst});
    return at != tokens.end() && at->word == Word::none ? tokens.end() : at;
}

// clang-format off
struct Surprise {
    Place (*where)(Tokens const&);
    bool (*when)(Tokens const&, Options const&);
    std::string_view message, note;
};
constexpr Surprise table[] = {
    {[](Tokens const& t) { return std::find_if(t.begin(), t.end(), [](Token const& token) {
         return token.kind == Kind::not_ || token.kind == Kind::or_; }); },
     [](Tokens const&, Options const&) { return true; },
     "a packet that is too short for a test does not match, as a rule, whatever stands around the test",
     "the filter ends where bytes are missing: after 'not', and where a later part of an 'or' is true"},
    {ports, [](Tokens const& t, Options const&) { return !negates(t); },
     "only the first fragment of an IPv4 packet has ports",
     "later fragments do not match; '(ip[6:2] & 0x1fff) != 0' matches them all"},
    {ports, [](Tokens const& t, Options const&) { return negates(t); },
     "later fragments of IPv4 packets have no ports, so they pass where ports are excluded",
     "'and (ip[6:2] & 0x1fff) = 0' leaves them out"},
    {ports, [](Tokens const&, Options const&) { return true; },
     "over IPv6 ports are found only right behind the fixed header",
     "packets with extension headers, fragments among them, have none here"},
    {payload, [](Tokens const&, Options const&) { return true; },
     "bytes of this header are read over IPv4 only, and in first fragments only",
     "over IPv6 without extension headers they begin at 'ip6[40]'"},
    {moving, [](Tokens const&, Options const&) { return true; },
     "everything that follows in the text is looked for behind this header",
     "also behind 'or', and outside of parentheses: write what is not tagged or tunnelled first"},
    {network,
     [](Tokens const& t, Options const& o) {
         return o.link_type == en10mb && !has(t, {Word::vlan}); },
     "packets with a VLAN tag in their data do not match",
     "'... or (vlan and ...)' finds them too; on a live interface the kernel takes the tag out"},
};
// clang-format on

}  // namespace

std::vector<Diagnostic> surprises(std::string_view text, Options const& options) {
    std::vector<Diagnostic> remarks;
    auto const tokens = lex(text);
    if (!tokens) return remarks;
    for (Surprise const& row : table) {
        Place const at = row.where(*tokens);
        if (at == tokens->end() || !row.when(*tokens, options)) continue;
        remarks.push_back(
            {std::string(row.message), at->span, {{std::string(row.note), std::nullopt}}});
    }
    return remarks;
}

}  // namespace tamis::frontend
