#include "runtime/verifier_log.h"

#include <algorithm>
#include <cassert>

namespace tamis::runtime {

std::vector<std::string_view> lines(std::string_view text) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
        std::size_t const end = std::min(text.find('\n'), text.size());
        if (end > 0) out.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

std::string_view reason(std::vector<std::string_view> const& log) {
    assert(!log.empty());
    bool const statistics = log.size() > 1 && log.back().starts_with("processed ");
    return log[log.size() - (statistics ? 2 : 1)];
}

void note_last_lines(Diagnostic& diagnostic, std::vector<std::string_view> const& text) {
    constexpr std::size_t shown = 10, most = 30;
    std::size_t from = text.size() - std::min(shown, text.size());
    std::size_t const first = text.size() - std::min(most, text.size());
    for (std::size_t i = text.size(); i > first; --i)
        if (text[i - 1].starts_with("; ")) {
            from = std::min(from, i - 1);
            break;
        }
    for (std::size_t i = from; i < text.size(); ++i)
        diagnostic.notes.push_back({.message = escape(text[i]), .span = {}});
}

}  // namespace tamis::runtime
