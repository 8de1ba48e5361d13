#include "cli/counters.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace tamis::cli {
namespace {

Json json_of(runtime::Counter const& counter) {
    return {{"packets", counter.packets}, {"bytes", counter.bytes}};
}

}  // namespace

std::string text_of(runtime::Counters const& counters) {
    return fmt::format("matched {} packets {} bytes, passed {} packets {} bytes",
                       counters.matched.packets, counters.matched.bytes, counters.passed.packets,
                       counters.passed.bytes);
}

void add_to(Json& object, runtime::Counters const& counters) {
    object["matched"] = json_of(counters.matched);
    object["passed"] = json_of(counters.passed);
}

}  // namespace tamis::cli
