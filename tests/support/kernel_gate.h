// Kernel tests without the privilege they need skip, saying why; where the kernel is required
// (TAMIS_REQUIRE_KERNEL=1) they fail instead, so that no skipped test passes for a run one.  Where
// the kernel is not to be touched (TAMIS_KERNEL=no) they skip whatever they may do.
#pragma once

#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>

namespace tamis::test {

inline bool environment_says(char const* name, std::string_view word) {
    char const* value = std::getenv(name);
    return value != nullptr && value == word;
}
inline bool kernel_required() { return environment_says("TAMIS_REQUIRE_KERNEL", "1"); }
inline bool kernel_refused() { return environment_says("TAMIS_KERNEL", "no"); }

}  // namespace tamis::test

// Ends the test unless `condition` holds; `capability` says what is missing otherwise.
#define TAMIS_NEED_KERNEL(capability, condition)                                          \
    do {                                                                                  \
        if (::tamis::test::kernel_refused()) GTEST_SKIP() << "TAMIS_KERNEL=no";           \
        if (!(condition)) {                                                               \
            if (::tamis::test::kernel_required()) GTEST_FAIL() << "needs " << capability; \
            GTEST_SKIP() << "needs " << capability;                                       \
        }                                                                                 \
    } while (false)
