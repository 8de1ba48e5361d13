#include "bpf/diagnostic.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

namespace tamis {
namespace {

constexpr std::size_t max_columns = 100;  // of the source line, around the span

// A piece of the source line, made safe for a terminal; a tab stays a tab so that the caret line
// can repeat it.
struct Shown {
    std::string text;   // escaped
    std::string blank;  // as wide as text: what stands in the caret line instead
};

Shown shown(std::string_view bytes) {
    Shown out;
    for (char const c : bytes) {
        std::string const piece = c == '\t' || c == '\\' ? std::string(1, c) : escape({&c, 1});
        out.text += piece;
        out.blank += c == '\t' ? piece : std::string(piece.size(), ' ');
    }
    return out;
}

struct Line {
    std::size_t begin, end, number;
};

Line line_of(std::string_view text, std::size_t at) {
    std::size_t const newline = at == 0 ? text.npos : text.rfind('\n', at - 1);
    std::size_t const begin = newline == text.npos ? 0 : newline + 1;
    auto const head = text.substr(0, begin);
    return {begin, std::min(text.find('\n', at), text.size()),
            1 + static_cast<std::size_t>(std::count(head.begin(), head.end(), '\n'))};
}

std::string render_one(std::string_view label, std::string_view message,
                       std::optional<Span> const& span, Source const& source) {
    std::string const name = escape(source.name);
    if (!span) return fmt::format("{}: {}: {}\n", name, label, message);

    std::string_view const text = source.text;
    std::size_t const at = std::min<std::size_t>(span->begin, text.size());
    Line const line = line_of(text, at);
    std::size_t const end = std::clamp<std::size_t>(span->end, at, line.end);

    // The window: a third of it before the span, the rest from the span on.
    std::size_t const from = std::max(line.begin, at - std::min(at, max_columns / 3));
    std::size_t const first = line.end - line.begin <= max_columns ? line.begin : from;
    std::size_t const last = std::min(line.end, first + max_columns);
    std::size_t const under = std::min(end, last);

    Shown const before = shown(text.substr(first, at - first));
    Shown const marked = shown(text.substr(at, under - at));
    Shown const after = shown(text.substr(under, last - under));
    std::string_view const head = first > line.begin ? "..." : "";
    std::string_view const tail = last < line.end ? "..." : "";
    std::size_t const width = std::max<std::size_t>(1, marked.text.size());
    return fmt::format("{}:{}:{}: {}: {}\n    {}{}{}{}{}\n    {}{}^{}\n", name, line.number,
                       at - line.begin + 1, label, message, head, before.text, marked.text,
                       after.text, tail, std::string(head.size(), ' '), before.blank,
                       std::string(width - 1, '~'));
}

}  // namespace

Span join(Span a, Span b) { return {std::min(a.begin, b.begin), std::max(a.end, b.end)}; }

std::string render(Diagnostic const& diagnostic, Source const& source, Severity severity) {
    constexpr std::string_view labels[] = {"error", "warning", "note"};
    std::string out = render_one(labels[static_cast<std::size_t>(severity)], diagnostic.message,
                                 diagnostic.span, source);
    for (Note const& note : diagnostic.notes)
        out += note.span ? render_one("note", note.message, note.span, source)
                         : fmt::format("note: {}\n", note.message);
    return out;
}

std::string escape(std::string_view foreign) {
    std::string out;
    for (char const c : foreign) {
        auto const byte = static_cast<unsigned char>(c);
        if (c == '\n')
            out += "\\n";
        else if (c == '\t')
            out += "\\t";
        else if (c == '\r')
            out += "\\r";
        else if (c == '\\')
            out += "\\\\";
        else if (byte >= 0x20 && byte < 0x7f)
            out += c;
        else
            out += fmt::format("\\x{:02x}", byte);
    }
    return out;
}

Diagnostic system_error(std::string_view what, int error) {
    return {fmt::format("{}: {}", what, std::strerror(error)), std::nullopt, {}, Fault::system};
}

}  // namespace tamis
