#include "runtime/release.h"

#include <charconv>
#include <string_view>

#include <fmt/core.h>
#include <sys/utsname.h>

namespace tamis::runtime {

std::string text_of(Release release) { return fmt::format("{}.{}", release.major, release.minor); }

Release running_kernel() {
    static Release const release = [] {
        utsname name{};
        uname(&name);
        std::string_view text = name.release;
        Release out{0, 0};
        auto const [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), out.major);
        if (error == std::errc{} && *end == '.')
            std::from_chars(end + 1, text.data() + text.size(), out.minor);
        return out;
    }();
    return release;
}

}  // namespace tamis::runtime
