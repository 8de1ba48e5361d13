// Lists of words in tables: "mark priority cb".
#pragma once

#include <algorithm>
#include <string_view>

namespace tamis::runtime {

// Whether the word is one of those, which have blanks between them.
constexpr bool lists(std::string_view words, std::string_view word) {
    while (!words.empty()) {
        std::size_t const end = std::min(words.find(' '), words.size());
        if (words.substr(0, end) == word) return true;
        words.remove_prefix(std::min(end + 1, words.size()));
    }
    return false;
}

}  // namespace tamis::runtime
