// What OpenBSD's packet filter wrote beside a packet: which rule decided, how and why.
// Facts: pflog(4), net/if_pflog.h, netpfil/pf/pf.h (the values that all systems share).
#include <span>

#include <fmt/core.h>

#include "bpf/spelling.h"
#include "frontend/resolve_parts.h"

namespace tamis::frontend {
namespace {

// Fields of the header; names are filled up with zeros.
constexpr std::uint32_t action_at = 2, reason_at = 3, interface_at = 4, ruleset_at = 20,
                        rule_at = 36, subrule_at = 40;
constexpr std::size_t longest_name = 15;

// clang-format off
struct Named {
    std::string_view name;
    std::uint8_t value;
};
constexpr Named actions[] = {
    {"pass", 0}, {"accept", 0}, {"drop", 1}, {"block", 1}, {"scrub", 2}, {"noscrub", 3},
    {"nat", 4}, {"nonat", 5}, {"binat", 6}, {"nobinat", 7}, {"rdr", 8}, {"nordr", 9},
    {"synproxy-drop", 10},
};
constexpr Named reasons[] = {
    {"match", 0}, {"bad-offset", 1}, {"fragment", 2}, {"short", 3}, {"normalize", 4},
    {"memory", 5}, {"bad-timestamp", 6}, {"congestion", 7}, {"ip-option", 8}, {"proto-cksum", 9},
    {"state-mismatch", 10}, {"state-insert", 11}, {"state-limit", 12}, {"src-limit", 13},
    {"synproxy", 14},
};
// clang-format on

class Pf : private Part {
  public:
    Pf(Resolving& resolving, Token const& word, Token const& operand)
        : Part(resolving),
          word_(word),
          operand_(operand),
          test_(tests(join(word.span, operand.span))) {}
    bool run();

  private:
    bool name_at(std::uint32_t offset);
    bool number_at(std::uint32_t offset, std::uint8_t size);
    bool value_at(std::uint32_t offset, std::string_view what, std::span<Named const> names);

    Token const& word_;
    Token const& operand_;
    Primitives test_;
};

// The beginning of a name is enough: as in libpcap.
bool Pf::name_at(std::uint32_t offset) {
    if (operand_.kind != Kind::name)
        return error(operand_.span, fmt::format("expected a name after '{}'", text(word_)));
    std::string_view const name = text_of(operand_, c_.text);
    if (name.size() > longest_name)
        return error(operand_.span, fmt::format("'{}' is too long a name", text(operand_)),
                     fmt::format("names there have at most {} characters", longest_name));
    std::size_t const mark = formula().mark();
    for (std::size_t end = name.size(); end > 0;) {  // the last ones first, as libpcap does
        std::size_t const size = end >= 4 ? 4 : end >= 2 ? 2 : 1;
        end -= size;
        std::uint32_t value = 0;
        for (char const c : name.substr(end, size))
            value = value << 8 | static_cast<unsigned char>(c);
        test_.is(
            test_.link(offset + static_cast<std::uint32_t>(end), static_cast<std::uint8_t>(size)),
            value);
    }
    formula().all(mark);
    return true;
}

bool Pf::number_at(std::uint32_t offset, std::uint8_t size) {
    if (operand_.kind != Kind::number)
        return error(operand_.span, fmt::format("expected a number after '{}'", text(word_)));
    test_.is(test_.link(offset, size), operand_.value);
    return true;
}

bool Pf::value_at(std::uint32_t offset, std::string_view what, std::span<Named const> names) {
    Named const* best = nullptr;
    unsigned limit = 3;
    std::string all = "they are";
    for (Named const& row : names) {
        unsigned const distance = edit_distance(row.name, text(operand_));
        if (distance == 0 && operand_.kind == Kind::name) {
            test_.is(test_.link(offset, 1), row.value);
            return true;
        }
        all += fmt::format("{} {}", &row == names.data() ? "" : ",", row.name);
        if (distance >= limit) continue;
        best = &row;
        limit = distance;
    }
    return error(operand_.span, fmt::format("'{}' is no {} of PF", text(operand_), what),
                 best != nullptr ? fmt::format("did you mean '{}'?", best->name) : all);
}

bool Pf::run() {
    if (c_.at.type->number != dlt_pflog)
        return error(word_.span,
                     fmt::format("there is no '{}' on link type {}", text(word_), link_name()),
                     "the packet filter of OpenBSD writes it, on PFLOG");
    Word const word = word_.word;
    if (word == Word::ifname) return name_at(interface_at);
    if (word == Word::ruleset) return name_at(ruleset_at);
    if (word == Word::rulenum) return number_at(rule_at, 4);
    if (word == Word::subrulenum) return number_at(subrule_at, 4);
    if (word == Word::action) return value_at(action_at, "action", actions);
    if (operand_.kind == Kind::number) return number_at(reason_at, 1);
    return value_at(reason_at, "reason", reasons);
}

}  // namespace

bool resolve_pf(Resolving& resolving, Token const& word, Token const& operand) {
    return Pf(resolving, word, operand).run();
}

}  // namespace tamis::frontend
