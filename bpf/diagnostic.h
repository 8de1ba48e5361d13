// Errors and warnings as data: what is wrong, where in the user's text, and what would be right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tamis {

// A half-open range of bytes [begin, end) in a source text.
struct Span {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    bool operator==(Span const&) const = default;
};

// The smallest span that covers both.
Span join(Span a, Span b);

// Who has to act: the user's text or options (exit code 2), or the system that refused (exit code
// 3).
enum class Fault : std::uint8_t { input, system };

struct Note {
    std::string message;
    std::optional<Span> span;
};

struct Diagnostic {
    std::string message;       // lower case, no full stop, the user's words in '...'
    std::optional<Span> span;  // none: the message is about no place in the text
    std::vector<Note> notes;
    Fault fault = Fault::input;
};

// The text a span points into, and the name it goes by: `filter`, a file's name, `<stdin>`.
struct Source {
    std::string name;
    std::string text;
};

enum class Severity : std::uint8_t { error, warning, note };

// `name:line:col: error: message`, the line (at most 100 columns of it around the span) and a caret
// under the span, then the notes in the same form; every line ends in '\n'.  Lines and columns
// count from 1, columns in bytes.
std::string render(Diagnostic const& diagnostic, Source const& source,
                   Severity severity = Severity::error);

// Bytes that are not ours made safe to print: printable ASCII as it is, everything else (and the
// backslash) as \n, \t, \r, \\ or \xNN.
std::string escape(std::string_view foreign);

// A refusal by the system: `what: <strerror(error)>`, Fault::system.
Diagnostic system_error(std::string_view what, int error);

}  // namespace tamis
