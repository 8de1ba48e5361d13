// 802.11: kinds of frames, `type mgt subtype beacon`, and where a frame has its addresses.
// Facts: IEEE 802.11, clause 9.
#include <fmt/core.h>

#include "bpf/spelling.h"
#include "frontend/resolve_parts.h"

namespace tamis::frontend {
namespace {

using cbpf::Cond;

// Of the frame control field, the frame's first two bytes.
constexpr std::uint32_t kind_byte = 0, direction_byte = 1;
constexpr std::uint32_t type_mask = 0x0c, subtype_mask = 0xf0, direction_mask = 0x03;
constexpr std::uint32_t type_mgt = 0x00, type_ctl = 0x04, type_data = 0x08;
constexpr std::uint32_t subtype_cts = 0xc0, subtype_ack = 0xd0;
constexpr std::uint32_t to_ds = 0x01, from_ds = 0x02;

constexpr std::int8_t addr1 = 4, addr2 = 10, addr3 = 16, addr4 = 24;

// clang-format off
struct Named {
    std::string_view name;
    std::uint32_t value, type = 0;
};
constexpr Named types[] = {
    {"mgt", type_mgt}, {"management", type_mgt}, {"ctl", type_ctl}, {"control", type_ctl},
    {"data", type_data},
};
constexpr Named subtypes[] = {
    {"assoc-req",   0x00, type_mgt}, {"assocreq",    0x00, type_mgt},
    {"assoc-resp",  0x10, type_mgt}, {"assocresp",   0x10, type_mgt},
    {"reassoc-req", 0x20, type_mgt}, {"reassocreq",  0x20, type_mgt},
    {"reassoc-resp", 0x30, type_mgt}, {"reassocresp", 0x30, type_mgt},
    {"probe-req",   0x40, type_mgt}, {"probereq",    0x40, type_mgt},
    {"probe-resp",  0x50, type_mgt}, {"proberesp",   0x50, type_mgt},
    {"beacon",      0x80, type_mgt}, {"atim",        0x90, type_mgt},
    {"disassoc",    0xa0, type_mgt}, {"disassociation",   0xa0, type_mgt},
    {"auth",        0xb0, type_mgt}, {"authentication",   0xb0, type_mgt},
    {"deauth",      0xc0, type_mgt}, {"deauthentication", 0xc0, type_mgt},
    {"bar",         0x80, type_ctl}, {"ba",          0x90, type_ctl},
    {"ps-poll",     0xa0, type_ctl},
    {"rts",         0xb0, type_ctl}, {"cts",         0xc0, type_ctl},
    {"ack",         0xd0, type_ctl}, {"cf-end",      0xe0, type_ctl},
    {"cf-end-ack",  0xf0, type_ctl},
    {"data",        0x00, type_data}, {"data-cf-ack", 0x10, type_data},
    {"data-cf-poll", 0x20, type_data}, {"data-cf-ack-poll", 0x30, type_data},
    {"null",        0x40, type_data}, {"cf-ack",      0x50, type_data},
    {"cf-poll",     0x60, type_data}, {"cf-ack-poll", 0x70, type_data},
    {"qos-data",    0x80, type_data}, {"qos-data-cf-ack", 0x90, type_data},
    {"qos-data-cf-poll", 0xa0, type_data}, {"qos-data-cf-ack-poll", 0xb0, type_data},
    {"qos",         0xc0, type_data}, {"qos-cf-poll", 0xe0, type_data},
    {"qos-cf-ack-poll", 0xf0, type_data},
};
constexpr Named directions[] = {{"nods", 0}, {"tods", 1}, {"fromds", 2}, {"dstods", 3}};
// clang-format on

template <class Rows, class Wanted>
Named const* find(Rows const& rows, std::string_view name, Wanted const& wanted) {
    for (Named const& row : rows)
        if (wanted(row) && edit_distance(row.name, name) == 0) return &row;
    return nullptr;
}

// The nearest name to one that is none, or all names.
template <class Rows, class Wanted>
std::string suggestion(Rows const& rows, std::string_view name, Wanted const& wanted) {
    Named const* best = nullptr;
    unsigned limit = 3;
    std::string all;
    for (Named const& row : rows) {
        if (!wanted(row)) continue;
        all += (all.empty() ? "they are " : ", ") + std::string(row.name);
        unsigned const distance = edit_distance(row.name, name);
        if (distance >= limit) continue;
        best = &row;
        limit = distance;
    }
    return best != nullptr ? fmt::format("did you mean '{}'?", best->name) : all;
}

class Frames : private Part {
  public:
    Frames(Resolving& resolving, Token const& word, Token const& operand, Token const* subtype)
        : Part(resolving),
          word_(word),
          operand_(operand),
          subtype_(subtype),
          span_(join(word.span, (subtype != nullptr ? *subtype : operand).span)) {}
    bool run();

  private:
    template <class Rows, class Wanted>
    bool value_of(Token const& token, std::string_view what, Rows const& rows, Wanted const& wanted,
                  std::uint32_t mask, std::uint32_t& value);
    bool subtype_alone();
    void frame(std::uint32_t offset, std::uint32_t value, std::uint32_t mask) {
        tests(span_).wlan_frame(offset, value, mask);
    }

    Token const& word_;
    Token const& operand_;
    Token const* subtype_;
    Span span_;
};

constexpr auto any = [](Named const&) { return true; };

// A name from the table, or a number with no bits outside of the mask.
template <class Rows, class Wanted>
bool Frames::value_of(Token const& token, std::string_view what, Rows const& rows,
                      Wanted const& wanted, std::uint32_t mask, std::uint32_t& value) {
    if (token.kind == Kind::number) {
        value = token.value;
        if ((value & ~mask) == 0) return true;
        return error(token.span, fmt::format("'{}' is no {} of 802.11", text(token), what),
                     fmt::format("its number has no bits but those of {:#x}", mask));
    }
    Named const* const row = token.kind == Kind::name ? find(rows, text(token), wanted) : nullptr;
    if (row == nullptr)
        return error(token.span, fmt::format("'{}' is no {} of 802.11", text(token), what),
                     suggestion(rows, text(token), wanted));
    value = row->value;
    return true;
}

// A subtype's name tells the type too.
bool Frames::subtype_alone() {
    if (operand_.kind == Kind::number)
        return error(operand_.span, "the number of a subtype needs the type before it",
                     fmt::format("write 'type mgt subtype {}'", text(operand_)));
    Named const* const row = find(subtypes, text(operand_), any);
    if (row == nullptr || operand_.kind != Kind::name)
        return error(operand_.span, fmt::format("'{}' is no subtype of 802.11", text(operand_)),
                     suggestion(subtypes, text(operand_), any));
    frame(kind_byte, row->type | row->value, type_mask | subtype_mask);
    return true;
}

bool Frames::run() {
    bool const wlan = c_.at.type->rule == TypeRule::wlan && c_.at.type->before != Before::ppi;
    if (!wlan)
        return error(word_.span,
                     fmt::format("there is no '{}' on link type {}", text(word_), link_name()),
                     "it is a field of 802.11: IEEE802_11, with or without a radio's header");
    if (word_.word == Word::subtype) return subtype_alone();
    std::uint32_t value = 0, subtype = 0;
    if (word_.word == Word::dir) {
        if (!value_of(operand_, "direction", directions, any, direction_mask, value)) return false;
        frame(direction_byte, value, direction_mask);
        return true;
    }
    if (!value_of(operand_, "type", types, any, type_mask, value)) return false;
    auto const of_type = [&](Named const& row) { return row.type == value; };
    if (subtype_ != nullptr &&
        !value_of(*subtype_, "subtype of this type", subtypes, of_type, subtype_mask, subtype))
        return false;
    frame(kind_byte, value | subtype, type_mask | (subtype_ != nullptr ? subtype_mask : 0));
    return true;
}

}  // namespace

bool resolve_frame(Resolving& resolving, Token const& word, Token const& operand,
                   Token const* subtype) {
    return Frames(resolving, word, operand, subtype).run();
}

void Primitives::wlan_frame(std::uint32_t offset, std::uint32_t value, std::uint32_t mask) {
    is(link(offset, 1), value, mask);
}

// ------------------------------------------------------------------------------ what it carries

void Primitives::wlan_data() {
    std::size_t const mark = formula_.mark();
    add(link(kind_byte, 1), Cond::set, type_ctl);
    formula_.negate();
    add(link(kind_byte, 1), Cond::set, type_data);
    formula_.all(mark);
}

void Primitives::wlan_type(std::uint32_t number) {
    std::size_t const mark = formula_.mark();
    wlan_data();
    llc_type(number);
    formula_.all(mark);
}

// ----------------------------------------------------------------------------------- its addresses

// One thing where the bit is clear, another where it is set.
template <class Clear, class Set>
void Primitives::by_bit(std::uint32_t byte, std::uint32_t bit, Clear const& clear, Set const& set) {
    std::size_t const mark = formula_.mark();
    add(link(byte, 1), Cond::set, bit);
    formula_.negate();
    clear();
    formula_.all(mark);
    std::size_t const other = formula_.mark();
    add(link(byte, 1), Cond::set, bit);
    set();
    formula_.all(other);
    formula_.any(mark);
}

// The first sender and the last receiver, which control frames do not name.  In data frames it
// depends on which of them are behind an access point.
template <class AtOffset>
void Primitives::wlan_end(bool src, AtOffset const& test) {
    std::size_t const mark = formula_.mark();
    add(link(kind_byte, 1), Cond::set, type_ctl);
    formula_.negate();
    auto const at = [&](std::int8_t offset) { return [&test, offset] { test(offset); }; };
    auto const relayed_src = [&] { by_bit(direction_byte, to_ds, at(addr3), at(addr4)); };
    auto const data = [&] {
        if (src)
            by_bit(direction_byte, from_ds, at(addr2), relayed_src);
        else
            by_bit(direction_byte, to_ds, at(addr1), at(addr3));
    };
    by_bit(kind_byte, type_data, at(src ? addr2 : addr1), data);
    formula_.all(mark);
}

// Two kinds of control frames have one address only.
template <class AtOffset>
void Primitives::wlan_addr2(AtOffset const& test) {
    std::size_t const mark = formula_.mark();
    std::size_t const either = formula_.mark();
    wlan_frame(kind_byte, type_ctl, type_mask);
    formula_.negate();
    std::size_t const others = formula_.mark();
    for (std::uint32_t const subtype : {subtype_cts, subtype_ack}) {
        wlan_frame(kind_byte, subtype, subtype_mask);
        formula_.negate();
    }
    formula_.all(others);
    formula_.any(either);
    test(addr2);
    formula_.all(mark);
}

void Primitives::wlan_mac(std::uint64_t address, Direction dir) {
    auto const at = [&](std::int8_t offset) { mac_at(offset, address); };
    std::size_t const mark = formula_.mark();
    switch (dir) {
        case Direction::either:
        case Direction::src:
        case Direction::dst:
        case Direction::both:
            return directed(dir, true, false, [&](bool src) { wlan_end(src, at); });
        case Direction::addr1:
            return at(addr1);
        case Direction::addr2:
            return wlan_addr2(at);
        case Direction::addr3:
            wlan_frame(kind_byte, type_ctl, type_mask);
            formula_.negate();
            at(addr3);
            break;
        case Direction::addr4:
            wlan_frame(direction_byte, to_ds | from_ds, direction_mask);
            at(addr4);
            break;
        case Direction::ra:  // of data frames only, as in libpcap
            add(link(kind_byte, 1), Cond::set, type_data);
            at(addr1);
            break;
        case Direction::ta:
            add(link(kind_byte, 1), Cond::set, type_data);
            wlan_addr2(at);
            break;
    }
    formula_.all(mark);
}

void Primitives::wlan_broadcast() {
    wlan_end(false, [&](std::int8_t offset) { mac_at(offset, 0xffffffffffff); });
}

void Primitives::wlan_multicast() {
    wlan_end(false, [&](std::int8_t offset) {
        add(link(static_cast<std::uint32_t>(offset), 1), Cond::set, 1);
    });
}

}  // namespace tamis::frontend
