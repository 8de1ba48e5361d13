// Facts: radiotap.org, pcap-linktype(7), IEEE 802.11, OpenBSD's pflog(4).
#include "frontend/prologue.h"

#include <algorithm>
#include <vector>

#include "bpf/link_types.h"
#include "frontend/steps.h"

namespace tamis::frontend {
namespace {

using cbpf::Alu;
using cbpf::Cond;

constexpr Field at(Offset offset, std::uint8_t size) { return {Base::packet, size, offset}; }
constexpr Field at(std::uint32_t offset, std::uint8_t size) { return at(Offset{offset}, size); }

// Of the first byte of an 802.11 frame.
constexpr std::uint32_t control_frame = 0x04, data_frame = 0x08, with_qos = 0x80;
constexpr std::uint32_t wlan_header = 24, qos_field = 2;

// Of radiotap: what is present, and the flags among it; numbers there have their lower byte first.
constexpr std::uint32_t present = 4, has_time = 0x01000000, has_flags = 0x02000000,
                        has_more = 0x00000080, padded = 0x20;
constexpr std::uint32_t flags_first = 8, flags_behind_time = 16;

class Prologue {
  public:
    Prologue(Formula& formula, LinkLayer const& type, Span whole)
        : formula_(formula), type_(type), layers_(type), whole_(whole) {}
    void add();

  private:
    bool reads(std::uint8_t variable) const;
    void set(Offset const& offset, List<Step> const& steps) {
        assign(formula_, offset.variable, steps, whole_);
    }
    void has(Field const& field, std::uint32_t bits, bool wanted = true) {
        formula_.add(Test{field, Cond::set, ~0U, bits}, whole_);
        if (!wanted) formula_.negate();
    }
    void or_go_on(std::size_t mark) {  // whatever the trees since the mark say
        formula_.all(mark);
        formula_.add(true, whole_);
        formula_.any(mark);
    }
    void find_link();
    void find_wlan_payload();
    void find_pflog_payload();
    void is_data();
    void round_up();

    Formula& formula_;
    LinkLayer const& type_;
    Layers const layers_;
    Span whole_;
};

bool Prologue::reads(std::uint8_t variable) const {
    auto const uses = [&](Field const& field) { return field.at.variable == variable; };
    return std::any_of(formula_.tests.begin(), formula_.tests.end(),
                       [&](Test const& test) { return uses(test.field); }) ||
           std::any_of(formula_.steps.begin(), formula_.steps.end(),
                       [&](Step const& step) { return uses(step.field); });
}

void Prologue::find_link() {
    switch (type_.before) {
        case Before::nothing:
            break;
        case Before::radiotap:
        case Before::ppi:
            set(layers_.link,
                {read(at(3, 1)), number(8), apply(Alu::lsh), read(at(2, 1)), apply(Alu::or_)});
            break;
        case Before::avs:
            set(layers_.link, {read(at(4, 4))});
            break;
        case Before::prism: {  // an AVS header says so; all others have one length
            constexpr std::uint32_t avs = 0x80211000, length = 144;
            std::size_t const either = formula_.mark();
            formula_.add(Test{at(0, 4), Cond::eq, 0xfffff000, avs}, whole_);
            set(layers_.link, {read(at(4, 4))});
            formula_.all(either);
            set(layers_.link, {number(length)});
            formula_.any(either);
            break;
        }
    }
}

void Prologue::is_data() {
    has(at(layers_.link, 1), data_frame);
    has(at(layers_.link, 1), control_frame, false);
}

// Some radios pad the header to four bytes, and the radiotap header says so.
void Prologue::round_up() {
    std::size_t const mark = formula_.mark();
    is_data();
    has(at(present, 4), has_flags);
    has(at(present, 4), has_more, false);
    std::size_t const either = formula_.mark();
    for (bool const timed : {true, false}) {
        std::size_t const both = formula_.mark();
        has(at(present, 4), has_time, timed);
        has(at(timed ? flags_behind_time : flags_first, 1), padded);
        formula_.all(both);
    }
    formula_.any(either);
    set(layers_.payload, {value_of(layers_.payload.variable), number(3), apply(Alu::add),
                          number(~3U), apply(Alu::and_)});
    or_go_on(mark);
}

// Frames between access points have a fourth address, which is not accounted for: as in libpcap.
void Prologue::find_wlan_payload() {
    std::uint8_t const payload = layers_.payload.variable, link = layers_.link.variable;
    if (link == Offset::constant)
        set(layers_.payload, {number(wlan_header)});
    else
        set(layers_.payload, {value_of(link), number(wlan_header), apply(Alu::add)});
    std::size_t const mark = formula_.mark();
    is_data();
    has(at(layers_.link, 1), with_qos);
    set(layers_.payload, {value_of(payload), number(qos_field), apply(Alu::add)});
    or_go_on(mark);
    if (type_.before == Before::radiotap) round_up();
}

// The first byte is the header's length without its padding to four bytes.
void Prologue::find_pflog_payload() {
    set(layers_.payload,
        {read(at(0, 1)), number(3), apply(Alu::add), number(~3U), apply(Alu::and_)});
}

void Prologue::add() {
    bool const behind = type_.payload_varies() && reads(layers_.payload.variable);
    bool const before = type_.link_varies() && (behind || reads(layers_.link.variable));
    if (formula_.variables == type_.variables())
        formula_.variables = behind ? type_.variables() : before ? 1 : 0;
    std::size_t const mark = formula_.mark();
    if (type_.before == Before::ppi)
        formula_.add(Test{at(4, 4), Cond::eq, ~0U, std::uint32_t{dlt_wlan} << 24}, whole_);
    if (before) find_link();
    if (behind && type_.rule == TypeRule::wlan) find_wlan_payload();
    if (behind && type_.rule == TypeRule::pflog) find_pflog_payload();
    if (formula_.mark() != mark) formula_.put_first(mark);
}

}  // namespace

void add_prologue(Formula& formula, LinkLayer const& type, Span whole) {
    Prologue(formula, type, whole).add();
}

}  // namespace tamis::frontend
