#include "runtime/privilege.h"

#include <cctype>
#include <cerrno>
#include <vector>

#include <cap-ng.h>
#include <fmt/core.h>
#include <sys/prctl.h>

namespace tamis::runtime {
namespace {

struct Capability {
    std::string name;  // "CAP_BPF"
    unsigned number;
};
std::vector<Capability> capabilities_in(std::string_view text) {
    std::vector<Capability> out;
    for (std::size_t at = text.find("CAP_"); at != text.npos; at = text.find("CAP_", at + 1)) {
        std::size_t end = at;
        while (end < text.size() &&
               (std::isupper(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_'))
            ++end;
        std::string name(text.substr(at, end - at));
        int const number = capng_name_to_capability(name.c_str() + 4);
        if (number >= 0) out.push_back({std::move(name), static_cast<unsigned>(number)});
    }
    return out;
}

}  // namespace

std::string missing_capabilities(std::string_view wanted) {
    if (capng_get_caps_process() != 0) return {};
    std::vector<std::string> missing;
    for (Capability const& capability : capabilities_in(wanted))
        if (capng_have_capability(CAPNG_EFFECTIVE, capability.number) == 0)
            missing.push_back(capability.name);
    std::string out;
    for (std::size_t i = 0; i < missing.size(); ++i)
        out += (i == 0 ? "" : i + 1 == missing.size() ? " and " : ", ") + missing[i];
    return out;
}

void note_missing(Diagnostic& diagnostic, std::string_view wanted) {
    std::string const missing = missing_capabilities(wanted);
    diagnostic.notes.push_back(
        {missing.empty() || missing == wanted
             ? fmt::format("this needs {}", wanted)
             : fmt::format("this needs {}; {} missing", wanted,
                           missing + (missing.find(' ') == missing.npos ? " is" : " are")),
         std::nullopt});
}

Result<void> drop_capabilities(std::string_view keep) {
    if (capng_get_caps_process() != 0) return fail(system_error("cannot read capabilities", errno));
    // The bounding set may be changed by those with CAP_SETPCAP only.
    bool const all = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
    capng_clear(CAPNG_SELECT_ALL);
    for (Capability const& capability : capabilities_in(keep))
        capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                     capability.number);
    if (int const error = capng_apply(all ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS); error != 0)
        return fail(system_error("cannot give capabilities away", errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail(system_error("cannot give up new privileges", errno));
    return {};
}

}  // namespace tamis::runtime
