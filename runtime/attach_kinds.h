// The kinds of things that `attach` makes, a row each; for attach.cpp and nobody else.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/attach.h"

namespace tamis::runtime {

// What has to be said of the place.
enum class Needs : std::uint8_t { interface, cgroup, netfilter, route, process, nothing };

struct Kind {
    std::string_view name;
    Lifetime lifetime;
    Needs needs;
    Result<Attached> (*attach)(HookRow const&, Program const&, Where const&);
    // Of what is sticky, before anything is attached: target, mode, and what detach() will need.
    Result<Facts> (*prepare)(HookRow const&, Program const&, Where const&) = nullptr;
    Result<void> (*detach)(Pinned const&) = nullptr;
    bool local = false;  // it is the network namespace that has it
};
Kind const* find_kind(std::string_view name);  // null: there is none

// The number that the whole of a text is.
template <class Number>
std::optional<Number> whole_number(std::string_view text) {
    Number value{};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}
// 0 where the fact is none.
template <class Number>
Number number_in(Pinned const& pinned, std::string_view key) {
    return whole_number<Number>(fact(pinned.about, key)).value_or(0);
}

}  // namespace tamis::runtime
