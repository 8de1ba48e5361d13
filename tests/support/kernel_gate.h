// Kernel tests without the privilege they need skip, saying why; where the kernel is required
// (TAMIS_REQUIRE_KERNEL=1) they fail instead, so that no skipped test passes for a run one.
#pragma once

#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>

namespace tamis::test {

inline bool kernel_required() {
    char const* value = std::getenv("TAMIS_REQUIRE_KERNEL");
    return value != nullptr && std::string_view(value) == "1";
}

}  // namespace tamis::test

// Ends the test unless `condition` holds; `capability` says what is missing otherwise.
#define TAMIS_NEED_KERNEL(capability, condition)                                          \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            if (::tamis::test::kernel_required()) GTEST_FAIL() << "needs " << capability; \
            GTEST_SKIP() << "needs " << capability;                                       \
        }                                                                                 \
    } while (false)
