// The header of a filter that is a function in an object of its own.
#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "backend/btf.h"
#include "backend/c_text.h"
#include "backend/object.h"

namespace tamis::backend {

std::string comment_text(std::string_view foreign) {
    std::string out;
    for (char const c : escape(foreign)) {
        bool const joins =
            !out.empty() && ((out.back() == '*' && c == '/') || (out.back() == '/' && c == '*'));
        if (joins) out += ' ';
        out += c;
    }
    return out;
}

std::string function_header(std::string_view name, HookRow const& hook, std::string_view filter) {
    std::string guard = fmt::format("TAMIS_{}_H", name);
    std::transform(guard.begin(), guard.end(), guard.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    bool const bounds = !has_context(hook);
    std::string_view const arguments =
        bounds ? "data and data_end are where the packet begins and ends: packet pointers, of the\n"
                 " * program's context.  What lies outside of them (pages of a socket buffer) is "
                 "not seen.\n"
                 " * The function is hidden, so that loaders make it a static one, which may be "
                 "given\n"
                 " * packet pointers: libbpf and what is built on it do."
               : "ctx is the program's context, as it came.";
    return fmt::format(
        "// A packet filter as a function, in an object of its own.  Made by tamis.\n"
        "#ifndef {0}\n"
        "#define {0}\n\n"
        "/*\n"
        " *     {1}\n"
        " *\n"
        " * Returns 1 for a packet that matches, 0 for any other.\n"
        " * {2}\n"
        " *\n"
        " * For programs of hook {3}, compiled by `clang -g -O2 -target bpf`.  Link the program "
        "that\n"
        " * calls it with its object, and load the result:\n"
        " *\n"
        " *     bpftool gen object linked.o program.o {4}.o\n"
        " */\n"
        "{5}extern {6}{7};\n\n"
        "#endif\n",
        guard, comment_text(filter), arguments, hook.name, name,
        bounds ? std::string() : fmt::format("struct {};\n", hook.context),
        bounds ? "__attribute__((visibility(\"hidden\"))) " : "", declaration(name, hook.context));
}

}  // namespace tamis::backend
