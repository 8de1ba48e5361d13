#include "cli/output.h"

#include <cerrno>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace tamis::cli {
namespace {

bool lost = false;
int lost_error = 0;

}  // namespace

Json object_of(std::string_view kind) {
    Json object;
    object["tamis"] = 1;
    object["kind"] = kind;
    return object;
}

void print(std::string_view text) {
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && !lost) {
        lost = true;
        lost_error = errno;
    }
}

void print_json(Json const& object) {
    print(object.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n");
}

Result<void> flush() {
    errno = 0;
    if (std::fflush(stdout) != 0 && !lost) {
        lost = true;
        lost_error = errno;
    }
    if (lost) return fail(system_error("cannot write to standard output", lost_error));
    return {};
}

void complain(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

Exit report(Diagnostic const& diagnostic, Source const& source) {
    complain(render(diagnostic, source));
    return diagnostic.fault == Fault::input ? Exit::usage : Exit::refused;
}

Exit report(Diagnostic const& diagnostic) {
    return report({diagnostic.message, std::nullopt, diagnostic.notes, diagnostic.fault},
                  {"tamis", ""});
}

}  // namespace tamis::cli
