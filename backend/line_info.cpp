#include "backend/line_info.h"

#include <algorithm>
#include <cassert>

namespace tamis::backend {
namespace {

constexpr std::uint32_t max_line = (1U << 22) - 1,
                        max_column = (1U << 10) - 1;  // struct bpf_line_info

// What the kernel and bpftool print as it is: on one line, without control bytes, not too long.
std::string shown(std::string_view text) {
    std::string out;
    bool blank = false;
    for (char const c : text) {
        bool const space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (!space) {
            if (blank && !out.empty()) out += ' ';
            out += c == '\\' ? std::string(1, c) : escape({&c, 1});
            if (out.size() > max_line_text) return out.substr(0, max_line_text - 3) + "...";
        }
        blank = space;
    }
    return out;
}

// Lines and columns of places in a text, each found in logarithmic time.
class Places {
  public:
    explicit Places(Source const& source) : source_(source), file_(escape(source.name)) {
        for (std::size_t i = 0; i < source.text.size(); ++i)
            if (source.text[i] == '\n') begins_.push_back(static_cast<std::uint32_t>(i + 1));
    }

    LineInfo at(std::uint32_t insn, Span span) const {
        auto const end = std::min<std::size_t>(span.end, source_.text.size());
        auto const begin = std::min<std::size_t>(span.begin, end);
        auto const line = std::upper_bound(begins_.begin(), begins_.end(), begin) - begins_.begin();
        auto const column = begin - begins_[static_cast<std::size_t>(line - 1)] + 1;
        return {.insn = insn,
                .file = file_,
                .text = shown(std::string_view(source_.text).substr(begin, end - begin)),
                .line = std::min(static_cast<std::uint32_t>(line), max_line),
                .column = static_cast<std::uint32_t>(std::min<std::size_t>(column, max_column))};
    }

  private:
    Source const& source_;
    std::string file_;
    std::vector<std::uint32_t> begins_{0};
};

}  // namespace

std::vector<LineInfo> line_info(ebpf::Program const& program, Source const* source,
                                std::vector<std::string> const& declarations) {
    assert(declarations.size() == program.functions.size());
    std::optional<Places> const places =
        source ? std::optional<Places>(*source) : std::optional<Places>();
    std::vector<LineInfo> out;
    std::size_t next = 0;  // the function that begins next
    Span last{};
    for (std::uint32_t i = 0; i < program.insns.size(); ++i) {
        bool const begins = next < program.functions.size() && program.functions[next].begin == i;
        if (begins) ++next;
        Span const span = places ? program.origin[i].text : Span{};
        if (begins || span != last) {
            if (span.begin < span.end)
                out.push_back(places->at(i, span));
            else
                out.push_back({i, "<tamis>", declarations[next - 1]});
        }
        last = span;
        if (ebpf::is_ld_imm64(program.insns[i])) ++i;  // no record may begin at its second half
    }
    return out;
}

}  // namespace tamis::backend
