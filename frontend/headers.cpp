// Tests of headers that lie around the packet, and where later primitives look behind them:
// vlan, mpls, pppoes, geneve, vxlan; and tests by themselves of the link layer: llc, inbound.
// Facts: IEEE 802.1Q, RFC 3032, 2516, 8926, 7348; IEEE 802.2; linux/filter.h.
#include <fmt/core.h>

#include "bpf/link_types.h"
#include "bpf/spelling.h"
#include "frontend/resolve_parts.h"
#include "frontend/steps.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;

constexpr std::uint32_t ether_vlan = 0x8100, ether_qinq = 0x88a8, ether_vlan_old = 0x9100,
                        ether_mpls = 0x8847, ether_pppoed = 0x8863, ether_pppoes = 0x8864,
                        ether_bridged = 0x6558;
constexpr std::uint32_t ppp_mpls = 0x0281;
constexpr int ppp_dlt = 9;
constexpr std::uint32_t udp_header = 8, mpls_entry = 4, vlan_tag = 4;
constexpr std::uint32_t pppoe_session = 2, pppoe_header = 6;
constexpr std::uint32_t vni_in_tunnel = 4;  // of geneve and vxlan, 24 bits

// What the kernel knows about a packet lies at these addresses for classic programs.
constexpr std::uint32_t ancillary = 0xfffff000;
constexpr std::uint32_t packet_kind = ancillary + 4, interface_index = ancillary + 8,
                        tag_value = ancillary + 44, tag_present = ancillary + 48;
constexpr std::uint32_t outgoing = 4;  // PACKET_OUTGOING

constexpr Field at_address(std::uint32_t address, std::uint8_t size) {
    return {.base = Base::packet, .size = size, .at = {address}};
}

// clang-format off
// The control field of LLC: the value that the bits under the mask have.
struct LlcKind {
    std::string_view name;
    std::uint8_t mask, value;
};
constexpr LlcKind llc_kinds[] = {
    {"i",   0x01, 0x00}, {"s",    0x03, 0x01}, {"u",     0x03, 0x03},
    {"rr",  0x0f, 0x01}, {"rnr",  0x0f, 0x05}, {"rej",   0x0f, 0x09},
    {"ui",  0xef, 0x03}, {"ua",   0xef, 0x63}, {"disc",  0xef, 0x43}, {"dm",   0xef, 0x0f},
    {"sabme", 0xef, 0x6f}, {"test", 0xef, 0xe3}, {"xid", 0xef, 0xaf}, {"frmr", 0xef, 0x87},
};
// The largest number that may follow a word, and what it is.
struct Argument {
    Word word;
    std::string_view what;
    std::uint32_t most;
};
constexpr Argument arguments[] = {
    {Word::vlan,    "a VLAN tag",              0xfff},
    {Word::mpls,    "an MPLS label",           0xfffff},
    {Word::pppoes,  "a PPPoE session",         0xffff},
    {Word::geneve,  "a Geneve network",        0xffffff},
    {Word::vxlan,   "a VXLAN network",         0xffffff},
    {Word::ifindex, "an interface index",      0xffffffff},
};
// clang-format on

class Headers : private Part {
  public:
    Headers(Resolving& resolving, Token const& word, Token const* operand)
        : Part(resolving),
          word_(word),
          operand_(operand),
          span_(operand != nullptr ? join(word.span, operand->span) : word.span),
          test_(tests(span_)) {}
    bool run();

  private:
    bool check_operand();
    bool not_here();
    bool vlan();
    void warn_of_offload();
    void vlan_in_data();
    bool vlan_in_metadata();
    bool mpls();
    bool pppoe();
    bool tunnel();
    void tunnel_over(std::uint32_t over, std::uint32_t port, std::uint8_t header);
    bool behind_geneve(std::uint8_t header);
    bool behind_vxlan(std::uint8_t header);
    bool llc();
    bool direction();
    bool interface();
    bool live();

    Layers& at() { return c_.at; }
    bool variable(std::uint8_t& variable) { return Part::variable(word_.span, variable); }
    void assign(std::uint8_t variable, List<Step> const& steps) {
        frontend::assign(formula(), variable, steps, span_);
    }
    bool on(TypeRule rule) const { return c_.at.type->rule == rule; }

    Token const& word_;
    Token const* operand_;
    Span span_;
    Primitives test_;
};

bool Headers::check_operand() {
    if (operand_ == nullptr) return true;
    if (word_.word == Word::llc) return true;
    auto const* const argument =
        std::find_if(std::begin(arguments), std::end(arguments),
                     [&](Argument const& row) { return row.word == word_.word; });
    if (argument == std::end(arguments) || operand_->kind != Kind::number)
        return error(operand_->span,
                     fmt::format("'{}' cannot follow '{}'", text(*operand_), text(word_)),
                     "two tests need 'and' or 'or' between them");
    if (operand_->value <= argument->most) return true;
    return error(operand_->span, fmt::format("'{}' is not {}", text(*operand_), argument->what),
                 fmt::format("they are numbers from 0 to {}", argument->most));
}

bool Headers::not_here() {
    return error(word_.span,
                 fmt::format("there is no '{}' on link type {}", text(word_), link_name()));
}

// ------------------------------------------------------------------------------------------ tags

bool Headers::vlan() {
    if (at().mpls_depth > 0) return error(word_.span, "there is no VLAN tag behind MPLS");
    bool const wlan = on(TypeRule::wlan) && at().type->before != Before::ppi;
    if (!on(TypeRule::ethernet) && !wlan) return not_here();
    bool const outermost = at().vlan_depth == 0 && !at().tunnelled;
    bool const live = c_.options.context == Context::live && c_.options.link_type == en10mb &&
                      at().type->number == en10mb;
    bool const stripped = live && c_.options.tags == Tags::taken_out;
    if (outermost && stripped) {
        if (!vlan_in_metadata()) return false;
    } else {
        vlan_in_data();
        if (outermost && live && c_.options.tags == Tags::unsure) warn_of_offload();
    }
    at().link_type = at().link_type + vlan_tag;
    at().payload = at().payload + vlan_tag;
    ++at().vlan_depth;
    return true;
}

void Headers::warn_of_offload() {
    c_.out.warnings.push_back(
        {"a driver with VLAN offload takes the tag out before: then no packet has one",
         word_.span,
         {{"`ethtool -K IF rxvlan off` leaves tags in packets", std::nullopt},
          {"--vlan-offload=metadata asks the driver for the tag, --vlan-offload=ignore is for "
           "interfaces without offload",
           std::nullopt}}});
}

void Headers::vlan_in_data() {
    std::size_t const mark = formula().mark();
    std::size_t const kinds = formula().mark();
    for (std::uint32_t const kind : {ether_vlan, ether_qinq, ether_vlan_old}) test_.link_type(kind);
    formula().any(kinds);
    if (operand_ != nullptr) test_.is(test_.network(0, 2), operand_->value, 0xfff);
    formula().all(mark);
}

// The kernel takes the outermost tag out of the packet as a rule: then it is known beside the
// packet, and what follows has not moved.
bool Headers::vlan_in_metadata() {
    std::uint8_t moved = 0;
    if (!variable(moved)) return false;
    Field const present = at_address(tag_present, 1);
    std::size_t const mark = formula().mark();
    std::size_t const either = formula().mark();
    test_.is(present, 1);
    std::size_t const in_data = formula().mark();
    assign(moved, {number(vlan_tag)});
    std::size_t const kinds = formula().mark();
    for (std::uint32_t const kind : {ether_vlan, ether_qinq, ether_vlan_old}) test_.link_type(kind);
    formula().any(kinds);
    formula().all(in_data);
    formula().any(either);
    if (operand_ != nullptr) {
        std::size_t const values = formula().mark();
        for (bool const beside : {true, false}) {
            std::size_t const both = formula().mark();
            test_.is(present, 1);
            if (!beside) formula().negate();
            test_.is(beside ? at_address(tag_value, 2) : test_.network(0, 2), operand_->value,
                     0xfff);
            formula().all(both);
        }
        formula().any(values);
    }
    formula().all(mark);
    // What is added behind a tag in the packet is in the variable now.
    at().link_type = {at().link_type.value - vlan_tag, moved};
    at().payload = {at().payload.value - vlan_tag, moved};
    return true;
}

bool Headers::mpls() {
    std::size_t const mark = formula().mark();
    if (at().mpls_depth > 0)
        test_.is(test_.network(0U - 2, 1), 0, 1);  // the entry before is not the last
    else if (on(TypeRule::ethernet))
        test_.link_type(ether_mpls);
    else if (at().type->number == dlt_c_hdlc)
        test_.link_type(ether_mpls);
    else if (at().type->number == ppp_dlt)
        test_.link_type(ppp_mpls);
    else
        return not_here();
    if (operand_ != nullptr) test_.is(test_.network(0, 4), operand_->value << 12, 0xfffff000);
    formula().all(mark);
    at().network += mpls_entry;
    at().network_no_snap += mpls_entry;
    ++at().mpls_depth;
    return true;
}

bool Headers::pppoe() {
    bool const session = word_.word == Word::pppoes;
    std::size_t const mark = formula().mark();
    test_.link_type(session ? ether_pppoes : ether_pppoed);
    if (operand_ != nullptr) test_.is(test_.network(pppoe_session, 2), operand_->value);
    formula().all(mark);
    if (!session) return true;
    at().link = at().link_type = at().payload + (at().network + pppoe_header);
    at().payload = at().link + 2;
    at().network = at().network_no_snap = 0;
    at().type = find_link_layer(ppp_dlt);
    return true;
}

// --------------------------------------------------------------------------------------- tunnels

// Packets to the tunnel's port; `header` then is where the tunnel's header begins.
void Headers::tunnel_over(std::uint32_t over, std::uint32_t port, std::uint8_t header) {
    bool const ip4 = over == find_protocol(Word::ip)->link_type;
    std::uint32_t const fixed = 40;
    bool const geneve = word_.word == Word::geneve;
    auto const in_udp = [&](std::uint32_t offset, std::uint8_t size) {
        return ip4 ? test_.field(*find_protocol(Word::udp), offset, size)
                   : test_.network(fixed + offset, size);
    };
    std::size_t const mark = formula().mark();
    test_.ports_over(over, find_protocol(Word::udp)->number, port);
    // version 0 of Geneve; the flag that there is a VXLAN network
    test_.is(in_udp(udp_header, 1), geneve ? 0 : 0x08, geneve ? 0xc0 : ~0U);
    if (operand_ != nullptr)
        test_.is(in_udp(udp_header + vni_in_tunnel, 4), operand_->value << 8, 0xffffff00);
    Offset const network = at().payload + at().network;
    List<Step> begin{number(network.value + udp_header + (ip4 ? 0 : fixed))};
    auto const then = [&](std::initializer_list<Step> steps) {
        for (Step const& step : steps) begin.push_back(step);
    };
    if (network.variable != Offset::constant) then({value_of(network.variable), apply(Alu::add)});
    if (ip4)
        then({read(test_.network(0, 1)), number(0xf), apply(Alu::and_), number(2), apply(Alu::lsh),
              apply(Alu::add)});
    assign(header, begin);
    formula().all(mark);
}

bool Headers::tunnel() {
    std::uint8_t header = 0;
    if (!variable(header)) return false;
    bool const geneve = word_.word == Word::geneve;
    std::uint32_t const port = geneve ? 6081 : 4789;
    std::size_t const mark = formula().mark();
    std::size_t const either = formula().mark();
    for (Word const over : {Word::ip, Word::ip6})
        tunnel_over(find_protocol(over)->link_type, port, header);
    formula().any(either);
    if (geneve ? !behind_geneve(header) : !behind_vxlan(header)) return false;
    formula().all(mark);
    at().network = 0;
    at().type = find_link_layer(en10mb);
    at().tunnelled = true;
    return true;
}

bool Headers::behind_vxlan(std::uint8_t header) {
    at().link = {8, header};
    at().link_type = at().link + 12;
    at().payload = at().link + 14;
    return true;
}

// Geneve carries Ethernet frames, or the payload that its type field names.
bool Headers::behind_geneve(std::uint8_t header) {
    std::uint8_t link = 0, link_type = 0;
    if (!variable(link) || !variable(link_type)) return false;
    Offset const begin{0, header};
    auto const in_header = [&](std::uint32_t offset, std::uint8_t size) {
        return Field{.base = Base::packet, .size = size, .at = begin + offset};
    };
    // Options of variable length end the header.
    assign(link, {read(in_header(0, 1)), number(0x3f), apply(Alu::and_), number(2), apply(Alu::lsh),
                  number(8), apply(Alu::add), value_of(header), apply(Alu::add)});
    std::size_t const payloads = formula().mark();
    std::size_t const frame = formula().mark();
    test_.is(in_header(2, 2), ether_bridged);
    assign(link_type, {value_of(link), number(12), apply(Alu::add)});
    assign(header, {value_of(link), number(14), apply(Alu::add)});
    formula().all(frame);
    std::size_t const other = formula().mark();
    assign(link_type, {value_of(header), number(2), apply(Alu::add)});
    assign(header, {value_of(link)});
    formula().all(other);
    formula().any(payloads);
    at().link = {0, link};
    at().link_type = {0, link_type};
    at().payload = {0, header};
    return true;
}

// ------------------------------------------------------------------------------------ link layer

bool Headers::llc() {
    if (at().type->number != en10mb && !on(TypeRule::wlan)) return not_here();
    LlcKind const* kind = nullptr;
    if (operand_ != nullptr) {
        for (LlcKind const& row : llc_kinds)
            if (edit_distance(row.name, text(*operand_)) == 0) kind = &row;
        if (kind == nullptr)
            return error(operand_->span, fmt::format("'{}' is no kind of LLC", text(*operand_)),
                         "the kinds are i, s and u; rr, rnr, rej; ui, ua, disc, dm, sabme, test, "
                         "xid, frmr");
    }
    std::size_t const mark = formula().mark();
    test_.has_llc();
    if (kind != nullptr) test_.is(test_.payload(2, 1), kind->value, kind->mask);
    formula().all(mark);
    return true;
}

bool Headers::live() {
    if (c_.options.context == Context::live) return true;
    return error(
        word_.span,
        fmt::format("'{}' is known of live packets only on link type {}", text(word_), link_name()),
        "it asks the kernel, and captures do not keep it");
}

bool Headers::direction() {
    struct Row {
        int link_type;
        std::uint8_t offset, size;
        std::uint32_t inbound, outbound;  // one of them is the opposite of the other where equal
    };
    static constexpr Row rows[] = {
        {dlt_sll, 0, 2, outgoing, outgoing},
        {dlt_sll2, 10, 1, outgoing, outgoing},
        {dlt_ppp_pppd, 0, 1, 0, 1},
        {dlt_pflog, 60, 1, 1, 2},
    };
    bool const in = word_.word == Word::inbound;
    for (Row const& row : rows) {
        if (row.link_type != at().type->number) continue;
        test_.is(test_.link(row.offset, row.size), in ? row.inbound : row.outbound);
        if (in && row.inbound == row.outbound) formula().negate();
        return true;
    }
    if (!live()) return false;
    test_.is(at_address(packet_kind, 2), outgoing);
    if (word_.word == Word::inbound) formula().negate();
    return true;
}

bool Headers::interface() {
    if (operand_ == nullptr) return error(word_.span, "expected a number after 'ifindex'");
    if (at().type->number == dlt_sll2) {
        test_.is(test_.link(4, 4), operand_->value);
        return true;
    }
    if (!live()) return false;
    test_.is(at_address(interface_index, 4), operand_->value);
    return true;
}

bool Headers::run() {
    if (!check_operand()) return false;
    Word const word = word_.word;
    if (word == Word::llc) return llc();
    if (word == Word::inbound || word == Word::outbound) return direction();
    if (word == Word::ifindex) return interface();
    if (word == Word::pppoed) return pppoe();

    ++c_.moves;
    c_.mover = word_.span;
    if (word == Word::vlan) return vlan();
    if (word == Word::mpls) return mpls();
    if (word == Word::pppoes) return pppoe();
    return tunnel();
}

}  // namespace

bool resolve_headers(Resolving& resolving, Token const& word, Token const* operand) {
    return Headers(resolving, word, operand).run();
}

}  // namespace tamis::frontend
