#include "frontend/surprises.h"

#include <algorithm>
#include <initializer_list>

#include "bpf/link_types.h"
#include "frontend/lex.h"

namespace tamis::frontend {
namespace {

using Place = std::vector<Token>::const_iterator;

// A filter's words; which of them stand behind an odd number of `not`, and which in a primitive
// that began with a word of the link layer.
class Words {
  public:
    explicit Words(std::vector<Token> const& tokens);

    Place begin() const { return tokens_.begin(); }
    Place end() const { return tokens_.end(); }
    bool excluded(Place at) const { return excluded_[index(at)]; }
    bool of_link(Place at) const { return of_link_[index(at)]; }
    template <class Which>
    Place find(Which const& which) const {
        for (Place at = begin(); at != end(); ++at)
            if (which(at)) return at;
        return end();
    }
    Place find(std::initializer_list<Word> words) const {
        return find([&](Place at) { return is(at, words); });
    }
    static bool is(Place at, std::initializer_list<Word> words) {
        return std::find(words.begin(), words.end(), at->word) != words.end();
    }

  private:
    std::size_t index(Place at) const { return static_cast<std::size_t>(at - begin()); }

    std::vector<Token> const& tokens_;
    std::vector<bool> excluded_, of_link_;
};

Words::Words(std::vector<Token> const& tokens) : tokens_(tokens) {
    struct Level {
        bool excluded, link;
    };
    std::vector<Level> outer;
    Level now{false, false};
    bool negated = false;  // what comes next
    for (Token const& token : tokens) {
        bool const separates = token.kind == Kind::and_ || token.kind == Kind::or_;
        if (separates) negated = now.link = false;
        if (token.kind == Kind::not_) negated = !negated;
        if (token.word == Word::link) now.link = true;
        excluded_.push_back(now.excluded != negated);
        of_link_.push_back(now.link);
        if (token.kind == Kind::open) {
            outer.push_back(now);
            now.excluded = now.excluded != negated;
            negated = false;
        }
        if (token.kind == Kind::close && !outer.empty()) {
            now = outer.back();
            outer.pop_back();
        }
    }
}

Place ports(Words const& words, bool excluded) {
    return words.find([&](Place at) {
        return Words::is(at, {Word::port, Word::portrange}) && words.excluded(at) == excluded;
    });
}

// A protocol above IP whose bytes are read: `tcp[13]`.
Place bytes_of(Words const& words, std::initializer_list<Word> protocols) {
    return words.find([&](Place at) {
        return Words::is(at, protocols) && at + 1 != words.end() &&
               (at + 1)->kind == Kind::open_bracket;
    });
}

// A protocol by itself that IPv6 carries, too: `tcp`, `ip6 proto 6`.
Place protocol(Words const& words) {
    return words.find([&](Place at) {
        if (Words::is(at, {Word::proto}))
            return at == words.begin() ||
                   !Words::is(at - 1, {Word::ip, Word::link, Word::iso, Word::isis});
        if (!Words::is(at, {Word::tcp, Word::udp, Word::sctp, Word::icmp6, Word::ah, Word::esp,
                            Word::pim}))
            return false;
        Kind const next = (at + 1)->kind;  // the last token is the end
        return next == Kind::and_ || next == Kind::or_ || next == Kind::close || next == Kind::end;
    });
}

// What looks at protocols or addresses behind the link header.
Place network(Words const& words, bool excluded) {
    return words.find([&](Place at) {
        bool const asks = Words::is(
            at, {Word::ip,   Word::ip6,   Word::arp,       Word::rarp, Word::tcp, Word::udp,
                 Word::sctp, Word::icmp,  Word::icmp6,     Word::igmp, Word::pim, Word::ah,
                 Word::esp,  Word::port,  Word::portrange, Word::host, Word::net, Word::src,
                 Word::dst,  Word::proto, Word::protochain});
        bool const addresses = words.of_link(at) && !Words::is(at, {Word::proto});
        return asks && !addresses && words.excluded(at) == excluded;
    });
}

// What moves what follows, if anything does.
Place moving(Words const& words) {
    Place const at = words.find({Word::vlan, Word::mpls, Word::pppoes, Word::geneve, Word::vxlan});
    bool const more = std::any_of(at, words.end(), [](Token const& token) {
        return token.kind == Kind::and_ || token.kind == Kind::or_;
    });
    return more ? at : words.end();
}

bool always(Words const& /*words*/, Options const& /*options*/) { return true; }
bool untagged(Words const& words, Options const& options) {
    return options.link_type == en10mb && words.find({Word::vlan}) == words.end();
}

// clang-format off
struct Surprise {
    Place (*where)(Words const&);
    bool (*when)(Words const&, Options const&);
    std::string_view message, note;
};
constexpr Surprise table[] = {
    {[](Words const& w) { return w.find([](Place at) {
         return at->kind == Kind::not_ || at->kind == Kind::ne || at->kind == Kind::or_; }); },
     always,
     "a packet that is too short for a test does not match, as a rule, whatever stands around the test",
     "the filter ends where bytes are missing: after 'not', and where a later part of an 'or' is true"},
    {[](Words const& w) { return w.find({Word::less, Word::greater}); },
     always,
     "this is the packet's length on the wire, also where less of it was captured",
     "the number itself is included: 'less 64' is 'len <= 64'"},
    {[](Words const& w) { return ports(w, false); },
     always,
     "only the first fragment of an IPv4 packet has ports",
     "later fragments do not match; '(ip[6:2] & 0x1fff) != 0' matches them all"},
    {[](Words const& w) { return ports(w, false) == w.end() ? ports(w, true) : w.end(); },
     always,
     "later fragments of IPv4 packets have no ports, so they pass where ports are excluded",
     "'and (ip[6:2] & 0x1fff) = 0' leaves them out"},
    {[](Words const& w) { return w.find({Word::port, Word::portrange}); },
     always,
     "over IPv6 ports are found only right behind the fixed header",
     "packets with extension headers, fragments among them, have none here"},
    {protocol,
     always,
     "over IPv6 a protocol is found only right behind the fixed header or a fragment header",
     "'ip6 protochain' goes through the other extension headers"},
    {[](Words const& w) { return w.find({Word::protochain}); },
     always,
     "a chain of headers is followed for a few of them only, and not beyond an encrypted one",
     "--protochain-max says how many; what is chained behind an authentication header is looked for in the "
     "wrong place, as in libpcap"},
    {[](Words const& w) { return bytes_of(w, {Word::tcp, Word::udp, Word::sctp, Word::pim}); },
     always,
     "bytes of this header are read over IPv4 only, and in first fragments only",
     "over IPv6 without extension headers they begin at 'ip6[40]'"},
    {[](Words const& w) { return bytes_of(w, {Word::icmp, Word::igmp, Word::igrp, Word::vrrp}); },
     always,
     "bytes of this header are read in first fragments only",
     "of IPv4: ICMPv6 has a word of its own, 'icmp6[0]'"},
    {[](Words const& w) { return bytes_of(w, {Word::icmp6}); },
     always,
     "bytes of this header are read only right behind the fixed header of IPv6",
     "behind extension headers they are not found"},
    {moving,
     always,
     "everything that follows in the text is looked for behind this header",
     "also behind 'or', and outside of parentheses: write what is not tagged or tunnelled first"},
    {[](Words const& w) { return network(w, false); },
     untagged,
     "packets with a VLAN tag in their data do not match",
     "'... or (vlan and ...)' finds them too; on a live interface the kernel takes the tag out"},
    {[](Words const& w) { return network(w, false) == w.end() ? network(w, true) : w.end(); },
     untagged,
     "packets with a VLAN tag in their data pass where something is excluded: nobody looks behind the tag",
     "'... and not (vlan and ...)' excludes them too; on a live interface the kernel takes the tag out"},
};
// clang-format on

}  // namespace

std::vector<Diagnostic> surprises(std::string_view text, Options const& options) {
    std::vector<Diagnostic> remarks;
    auto const tokens = lex(text);
    if (!tokens) return remarks;
    Words const words(*tokens);
    for (Surprise const& row : table) {
        Place const at = row.where(words);
        if (at == words.end() || !row.when(words, options)) continue;
        remarks.push_back(
            {std::string(row.message), at->span, {{std::string(row.note), std::nullopt}}});
    }
    return remarks;
}

}  // namespace tamis::frontend
