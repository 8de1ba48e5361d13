// Long lists to measure compilers with: `host A or host B or ...`, the same ones every time.
#pragma once

#include <cstddef>
#include <random>
#include <string>
#include <string_view>

#include <fmt/core.h>

namespace tamis::bench {

struct List {
    std::string_view name;
    std::string (*term)(std::mt19937_64&);
};

inline std::string quad(std::mt19937_64& random) {
    return fmt::format("{}.{}.{}", 1 + random() % 223, random() % 256, random() % 256);
}

inline constexpr List lists[] = {
    {"host", [](std::mt19937_64& r) { return "host " + quad(r) + fmt::format(".{}", r() % 256); }},
    {"src host",
     [](std::mt19937_64& r) { return "src host " + quad(r) + fmt::format(".{}", r() % 256); }},
    {"net", [](std::mt19937_64& r) { return "net " + quad(r) + ".0/24"; }},
    {"port", [](std::mt19937_64& r) { return fmt::format("port {}", r() % 65536); }},
    {"ip6 host",
     [](std::mt19937_64& r) {
         return fmt::format("ip6 host 2001:db8:{:x}::{:x}", r() % 65536, r() % 65536);
     }},
    {"ether host",
     [](std::mt19937_64& r) {
         return fmt::format("ether host 2:0:{:x}:{:x}:{:x}:{:x}", r() % 256, r() % 256, r() % 256,
                            r() % 256);
     }},
};

inline std::string text_of(List const& list, std::size_t terms) {
    std::mt19937_64 random(1);
    std::string text = list.term(random);
    for (std::size_t i = 1; i < terms; ++i) text += " or " + list.term(random);
    return text;
}

}  // namespace tamis::bench
