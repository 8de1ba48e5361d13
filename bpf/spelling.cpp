#include "bpf/spelling.h"

#include <algorithm>
#include <array>

namespace tamis {
namespace {

constexpr std::size_t longest = 32;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

unsigned edit_distance(std::string_view a, std::string_view b) {
    if (a.size() > longest || b.size() > longest) return ~0U;
    // d[i][j]: cost of turning the first i letters of a into the first j of b.
    std::array<std::array<unsigned, longest + 1>, longest + 1> d{};
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                d[i][j] = static_cast<unsigned>(i + j);
                continue;
            }
            bool const same = lower(a[i - 1]) == lower(b[j - 1]);
            d[i][j] =
                std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0U : 1U)});
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.size()][b.size()];
}

}  // namespace tamis
