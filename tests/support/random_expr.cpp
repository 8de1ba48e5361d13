// One row per production of the grammar: its name, what must be there for it to make sense, and how
// it is drawn.
#include "tests/support/random_expr.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "tests/support/random_drawer.h"

namespace tamis::test {
namespace drawing {

struct Row {
    char const* name;
    unsigned weight;
    std::uint32_t needs;  // any of it, unless it is `any`
    Term (Drawer::*draw)();
};
// clang-format off
constexpr Row rows[] = {
    {"abbreviation", 84, any,           &Drawer::word},
    {"llc protocol", 12, has_osi,       &Drawer::llc_word},
    {"osi protocol", 12, has_osi,       &Drawer::osi_word},
    {"is-is message", 1, has_osi,       &Drawer::isis_word},
    {"host", 60, has_ip4,       &Drawer::host4},
    {"net", 48, has_ip4,       &Drawer::net4},
    {"host (IPv6)", 36, has_ip6,       &Drawer::host6},
    {"net (IPv6)", 18, has_ip6,       &Drawer::net6},
    {"port", 72, any,           &Drawer::port},
    {"portrange", 30, any,           &Drawer::portrange},
    {"ether host", 36, has_mac,       &Drawer::mac},
    {"ether proto", 30, has_types,     &Drawer::ether_proto},
    {"ether proto (LLC)", 12, has_llc_sap, &Drawer::sap_proto},
    {"proto", 42, any,           &Drawer::ip_proto},
    {"decnet host", 12, has_types,     &Drawer::decnet},
    {"broadcast", 18, has_mac,       &Drawer::cast},
    {"ip broadcast", 12, has_ip4,       &Drawer::ip_cast},
    {"ip6 multicast", 12, has_ip6,       &Drawer::ip6_cast},
    {"length", 24, any,           &Drawer::length},
    {"byte", 18, any,           &Drawer::byte},
    {"relation", 96, any,           &Drawer::relation},
    {"protochain", 12, has_protochain, &Drawer::protochain},
    {"idiom", 36, has_ip4,       &Drawer::idiom},
    {"idiom (IPv6)", 12, has_ip6,       &Drawer::idiom6},
    {"llc", 18, has_llc,       &Drawer::llc},
    {"direction", 18, has_direction, &Drawer::direction},
    {"ifindex", 12, has_ifindex,   &Drawer::ifindex},
    {"vlan", 30, has_vlan,      &Drawer::vlan},
    {"mpls", 24, has_mpls,      &Drawer::mpls},
    {"pppoed", 6, has_pppoe,     &Drawer::pppoed},
    {"frame", 42, has_frames, &Drawer::frame},
    {"frame's direction", 12, has_frames, &Drawer::frame_dir},
    {"frame's address", 30, has_addr, &Drawer::frame_address},
    {"pf", 90, has_pf, &Drawer::pf},
    {"pppoes", 18, has_pppoe,     &Drawer::pppoes},
    {"tunnel", 14, has_tunnel,           &Drawer::tunnel},
};
// clang-format on
constexpr unsigned total_weight = [] {
    unsigned total = 0;
    for (Row const& row : rows) total += row.weight;
    return total;
}();

// ------------------------------------------------------------------------------------- structure

// A row that is there and can be both true and false; now and then any.
Term Drawer::test() {
    bool const anything = one_in(200), contrary = one_in(60);
    for (int tries = 0;; ++tries) {
        std::uint64_t at = below(total_weight);
        Row const* row = rows;
        for (; at >= row->weight; ++row) at -= row->weight;
        if (!anything && row->needs != any && (row->needs & has_) == 0) continue;
        Drawer const before = *this;
        Term term = (this->*row->draw)();
        bool const open =
            (term.kinds & before.allowed_) != 0 && (term.missed & before.missed_) != 0;
        if (anything || contrary || tries > 60 || open) return term;
        has_ = before.has_;
        allowed_ = before.allowed_;
        missed_ = before.missed_;
        tunnels_ = before.tunnels_;
        moved_ = 0;
    }
}

Term Drawer::operand(unsigned depth) {
    if (one_in(9)) {
        std::swap(allowed_, missed_);
        Term term = operand(depth);
        std::swap(allowed_, missed_);
        bool const relation = term.text.find_first_of("=<>") != term.text.npos;
        std::string const negation = one_in(3) ? "!" : "not ";
        return {negation + (relation ? "(" + term.text + ")" : term.text), term.missed, term.kinds};
    }
    if (depth == 0 || !one_in(4)) return test();
    Term const inner = chain(depth - 1, allowed_, missed_);
    return {(one_in(4) ? "( " : "(") + inner.text + ")", inner.kinds, inner.missed};
}

// and/or of one level, from the left.  Behind headers that were moved over the tests are of what is
// inside.
Term Drawer::chain(unsigned depth, Kinds allowed, Kinds missed) {
    static constexpr char const* ands[] = {" and ", " and ", " && ", "&&"};
    static constexpr char const* ors[] = {" or ", " or ", " || ", "||"};
    Term all{"", allowed, missed};
    bool both = true;
    for (std::uint64_t more = 1 + (depth == 0 ? 0 : below(4)); more > 0; --more) {
        allowed_ = both ? all.kinds : allowed;
        missed_ = both ? missed : all.missed;
        moved_ = 0;
        Term const next = operand(depth);
        if (!all.text.empty()) all.text += both ? pick(ands) : pick(ors);
        bool const first = all.text.empty();
        all.text += next.text;
        if (moved_ != 0) {
            allowed = missed = all.kinds = all.missed = moved_;
        } else if (both) {
            all.kinds &= next.kinds;
            all.missed = ((first ? 0 : all.missed) | next.missed) & missed;
        } else {
            all.kinds |= next.kinds & allowed;
            all.missed &= next.missed;
        }
        both = one_in(2);
    }
    return all;
}

// Qualifiers, an identifier, and perhaps more that inherit the qualifiers.  Two addresses can be
// in one packet where either direction will do.
template <class Id>
std::string Drawer::ids(std::string const& before, std::string const& dir, std::string const& after,
                        Id const& id) {
    return list(before + dir + after, dir.empty() || dir.find(" or ") != dir.npos, id);
}

template <class Id>
std::string Drawer::list(std::string const& qualifiers, bool either, Id const& id) {
    std::string const a = id(), c = id();
    std::string b = id();
    while (b == a) b = id();
    char const* const joined = either && one_in(4) ? " and " : " or ";
    switch (below(14)) {
        case 0:
            return fmt::format("{}({}{}{})", qualifiers, a, joined, b);
        case 1:
            return fmt::format("{}({} or ({} or {}))", qualifiers, a, b, c);
        case 2:
            return fmt::format("{}({} and not {})", qualifiers, a, b);
        case 3:
            return fmt::format("{}not {}", qualifiers, a);
        case 4:
            return fmt::format("{}{} or {}{}{}", qualifiers, a, b, joined, c);
        case 5:
            return fmt::format("{}{} and not {}", qualifiers, a, b);
        case 6:
            return fmt::format("{}{} or ({} or {})", qualifiers, a, b, c);
        case 7:
            return fmt::format("{}{}{}{}", qualifiers, a, joined, b);
        default:
            return qualifiers + a;
    }
}

template <std::size_t n>
Term Drawer::pick_word(Word const (&words)[n]) {
    for (;;) {
        Word const& word = pick(words);
        if (word.needs == any || (word.needs & has_) != 0) return {word.text, word.kinds};
    }
}

// ------------------------------------------------------------------------------------ primitives

// A test of nothing but what a packet is.
Term pure(Term term) {
    term.missed = every_kind & ~term.kinds;
    return term;
}

Term Drawer::word() { return pure(pick_word(abbreviations)); }
Term Drawer::llc_word() { return pure(pick_word(llc_words)); }
Term Drawer::osi_word() { return pure(pick_word(osi_words)); }
Term Drawer::isis_word() { return pick_word(isis_words); }
Term Drawer::protochain() { return pick_word(protochains); }
Term Drawer::idiom() { return pick_word(idioms); }
Term Drawer::idiom6() { return pick_word(idioms6); }

// What IPv4 addresses can be asked of.
Term Drawer::addressed4() {
    static constexpr Word words[] = {{"", with_addresses},
                                     {"", with_addresses},
                                     {"", with_addresses},
                                     {"ip ", ip4_kinds},
                                     {"arp ", kind(o_arp), has_types},
                                     {"rarp ", kind(o_rarp), has_types}};
    return pick_word(words);
}

Term Drawer::host4() {
    Term term = addressed4();
    std::string const dir = pick(dirs);
    bool const typed = dir.empty() || one_in(2);
    term.text = ids(term.text, dir, typed ? "host " : "", [&] { return pick(hosts4); });
    return term;
}

Term Drawer::net4() {
    Term term = addressed4();
    auto const net = [&] { return one_in(60) ? "0.0.0.0/0" : pick(nets4); };
    term.text = ids(term.text, pick(dirs), "net ", net);
    return term;
}

Term Drawer::host6() {
    std::string const dir = pick(dirs);
    bool const typed = dir.empty() || one_in(2);
    return {ids(one_in(2) ? "" : "ip6 ", dir, typed ? "host " : "", [&] { return pick(hosts6); }),
            ip6_kinds};
}

Term Drawer::net6() {
    // 1.10.3 reads more of an address than a short prefix asks for.
    auto const net = [&] { return one_in(12) ? pick(nets6) : nets6[below(5)]; };
    std::string const dir = pick(dirs);
    return {ids(one_in(2) ? "" : "ip6 ", dir, "net ", net), ip6_kinds};
}

// What has ports.
Term Drawer::ported() {
    static constexpr Word words[] = {
        {"", port_kinds}, {"tcp ", over(t_tcp)}, {"udp ", over(t_udp)}, {"sctp ", over(t_sctp)}};
    return pick_word(words);
}

Term Drawer::port() {
    static constexpr Word services[] = {
        {"ssh", over(t_tcp)}, {"http", over(t_tcp)}, {"domain", port_kinds}, {"ntp", over(t_udp)}};
    std::string const dir = pick(dirs);
    Term term = one_in(25) ? pick_word(services) : Term{};
    if (!term.text.empty()) return {dir + "port " + term.text, term.kinds};
    term = ported();
    term.text = ids(term.text, dir, "port ", [&] { return pick(ports); });
    return term;
}

Term Drawer::portrange() {
    Term term = ported();
    auto const range = [&] {
        std::string const low = pick(ports), high = pick(ports);
        return one_in(12) ? low : low + "-" + high;
    };
    term.text = ids(term.text, pick(dirs), "portrange ", range);
    return term;
}

Term Drawer::mac() {
    std::string const dir = pick(dirs);
    bool const typed = dir.empty() || one_in(2);
    return {
        ids(std::string(pick(links)) + " ", dir, typed ? "host " : "", [&] { return pick(macs); })};
}

Term Drawer::ether_proto() {
    Word const& one = pick(ether_protos);
    Word const& other = pick(ether_protos);
    std::string const begin = fmt::format("{} proto ", pick(links));
    if (one_in(6))
        return pure(
            {fmt::format("{}({} or {})", begin, one.text, other.text), one.kinds | other.kinds});
    return pure({begin + one.text, one.kinds});
}

Term Drawer::sap_proto() {
    Word const& sap = pick(sap_protos);
    return pure({fmt::format("{} proto {}", pick(links), sap.text), sap.kinds});
}

Term Drawer::ip_proto() {
    static constexpr Word words[] = {{"proto ", ip4_kinds | ip6_kinds},
                                     {"ip proto ", ip4_kinds, has_ip4},
                                     {"ip6 proto ", ip6_kinds, has_ip6}};
    Term const begin = pick_word(words);
    Protocol const& one = pick(protocols);
    Protocol const& other = pick(protocols);
    if (!one_in(6)) return pure({begin.text + one.text, kinds_of(one.number) & begin.kinds});
    std::string const both = fmt::format("{} or {}", one.text, other.text);
    return pure({begin.text + (one_in(2) ? "(" + both + ")" : both),
                 (kinds_of(one.number) | kinds_of(other.number)) & begin.kinds});
}

Term Drawer::decnet() {
    return {ids("decnet ", pick(dirs), "host ", [&] { return pick(decnets); }), kind(o_decnet)};
}

Term Drawer::cast() {
    static constexpr char const* words[] = {"broadcast", "multicast", "ether broadcast",
                                            "ether multicast", "link multicast"};
    return {pick(words)};
}

Term Drawer::ip_cast() { return {one_in(2) ? "ip broadcast" : "ip multicast", ip4_kinds}; }
Term Drawer::ip6_cast() { return {"ip6 multicast", ip6_kinds}; }

Term Drawer::length() {
    std::string const word = one_in(2) ? "less " : "greater ";
    return {word + number(40 + static_cast<std::uint32_t>(below(100)))};
}

// What is set in a number that is not 0 is always set.
Term Drawer::byte() {
    static constexpr char const* ops[] = {"=", "=", "<", ">", "&", "|"};
    std::string const op = pick(ops);
    auto const value = static_cast<std::uint32_t>(op == "|" && !one_in(8) ? 0 : 1 + below(254));
    std::string const compared = number(value);
    return {fmt::format("byte {} {} {}", below(40), op, compared)};
}

Term Drawer::llc() {
    static constexpr char const* kinds[] = {"",      " i",   " s",    " u",     " rr", " rnr",
                                            " rej",  " ui",  " ua",   " disc",  " dm", " sabme",
                                            " test", " xid", " frmr", " SABME", " Ui"};
    return {std::string("llc") + pick(kinds), llc_kinds};
}

Term Drawer::direction() { return {one_in(2) ? "inbound" : "outbound"}; }
Term Drawer::ifindex() { return {fmt::format("ifindex {}", 1 + below(5))}; }

Term Drawer::frame() { return pick_word(frame_words); }
Term Drawer::frame_dir() { return pick_word(frame_dirs); }
Term Drawer::pf() { return pick_word(pf_words); }

Term Drawer::frame_address() {
    std::string const which = pick(frame_addresses), type = one_in(3) ? " host " : " ";
    return {list("wlan " + which + type, false, [&] { return pick(macs); })};
}

// ----------------------------------------------------------------------------- headers all around

// Nothing, or a number, perhaps in parentheses.
std::string Drawer::argument(std::uint32_t most) {
    if (one_in(2)) return "";
    std::string const text =
        number(one_in(6) ? most : static_cast<std::uint32_t>(below(std::min(most, 300U))));
    return one_in(6) ? " (" + text + ")" : " " + text;
}

Term Drawer::vlan() {
    Term term{"vlan" + argument(0xfff), kind(o_vlan)};
    inside(has_);
    return term;
}

// MPLS does not say what it carries.
Term Drawer::mpls() {
    Term term{"mpls" + argument(0xfffff), kind(o_mpls)};
    inside(both_ips | has_mpls);
    return term;
}

Term Drawer::pppoed() { return pure({"pppoed", kind(o_pppoed)}); }

Term Drawer::pppoes() {
    Term term{"pppoes" + argument(0xffff), kind(o_pppoes)};
    inside((serial | has_mpls) & (has_ | ~std::uint32_t{has_tunnel}));
    return term;
}

// Words of memory are taken for where a tunnel's packet begins.  1.10.3 does not know VXLAN.
Term Drawer::tunnel() {
    if (++tunnels_ > 2) return word();
    std::string const id = argument(0xffffff);
    Term term{(one_in(40) ? "vxlan" : "geneve") + id, over(t_udp)};
    inside((ethernet | has_llc) & ~std::uint32_t{has_protochain});
    return term;
}

}  // namespace drawing

using namespace drawing;

std::span<int const> drawn_link_types() {
    static constexpr auto numbers = [] {
        std::array<int, std::size(link_rows)> all{};
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = link_rows[i].number;
        return all;
    }();
    return numbers;
}

std::string RandomExpressions::next() {
    Drawer drawer(random_, link_type_);
    Kinds const kinds = kinds_on(has_of(link_type_));
    std::string text = drawer.chain(random_() % 4 == 0 ? 0 : 2, kinds, kinds).text;
    if (random_() % 50 != 0) return text;
    // A word is missing.
    std::vector<std::size_t> blanks{0};
    for (std::size_t at = 0; at < text.size(); ++at)
        if (text[at] == ' ') blanks.push_back(at);
    if (blanks.size() == 1) return text;
    std::size_t const from = blanks[random_() % blanks.size()];
    std::size_t const to = std::min(text.find(' ', from + 1), text.size());
    return text.erase(from, to - from);
}

}  // namespace tamis::test
