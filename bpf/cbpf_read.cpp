// Reads classic programs back from text.  cbpf_text.cpp goes the other way.
//
// Lines of source and of a `tcpdump -d` listing are matched against patterns: those of the opcode
// table and a few more spellings.  The pattern that fits up to the furthest word decides what an
// error says and where it points.
#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <fmt/format.h>

#include "bpf/cbpf_text.h"

namespace tamis::cbpf {
namespace {

constexpr std::size_t max_text = 16u << 20;
constexpr std::size_t max_line_tokens = 16;  // the longest instruction has 13
constexpr std::int64_t max_skip = 255;

// ---- words ------------------------------------------------------------------------------------

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// A word, a number or a single character; empty at the end of the line.
struct Token {
    std::string_view text;
    std::uint32_t at = 0;

    bool is_end() const { return text.empty(); }
    bool is_word() const { return !is_end() && (is_letter(text[0]) || text[0] == '%'); }
    bool is_number() const {
        return !is_end() && (is_digit(text[0]) || (text[0] == '-' && text.size() > 1));
    }
    Span span() const { return {at, at + static_cast<std::uint32_t>(text.size())}; }
};

std::string quoted(std::string_view text) {
    constexpr std::size_t most = 40;
    return fmt::format("'{}{}'", escape(text.substr(0, most)), text.size() > most ? "..." : "");
}
std::string quoted(Token const& token) { return quoted(token.text); }

tl::unexpected<Diagnostic> fail_at(Token const& token, std::string message,
                                   std::vector<Note> notes = {}) {
    return fail({std::move(message), token.span(), std::move(notes)});
}

// The tokens of text[begin, end).
class Lexer {
  public:
    Lexer(std::string_view text, std::size_t begin, std::size_t end)
        : text_(text.substr(0, end)), at_(begin) {}

    Token next() {
        while (at_ < text_.size() && is_space(text_[at_])) ++at_;
        std::size_t const begin = at_;
        if (begin == text_.size()) return token(begin);
        char const first = text_[at_++];
        bool const is_minus = first == '-' && at_ < text_.size() && is_digit(text_[at_]);
        if (is_letter(first) || is_digit(first) || first == '%' || is_minus)
            while (at_ < text_.size() && continues_word(text_[at_])) ++at_;
        return token(begin);
    }

    Token peek() const { return Lexer(*this).next(); }

  private:
    static bool continues_word(char c) { return is_letter(c) || is_digit(c) || c == '.'; }
    Token token(std::size_t begin) const {
        return {text_.substr(begin, at_ - begin), static_cast<std::uint32_t>(begin)};
    }

    std::string_view text_;
    std::size_t at_;
};

// A number as C writes it (or binary with 0b) that fits in 32 bits, signed or unsigned.  Base 10
// takes nothing but decimal digits.
Result<std::int64_t> number(Token const& token, int base = 0) {
    std::string_view digits = token.text;
    bool const is_negative = base == 0 && digits.starts_with('-');
    if (is_negative) digits.remove_prefix(1);
    if (base == 0) {
        base = 10;
        if (digits.starts_with("0x") || digits.starts_with("0X")) base = 16;
        if (digits.starts_with("0b") || digits.starts_with("0B")) base = 2;
        if (base != 10)
            digits.remove_prefix(2);
        else if (digits.size() > 1 && digits[0] == '0')
            base = 8;
    }
    std::uint64_t value = 0;
    char const* const end = digits.data() + digits.size();
    auto const [stop, error] = std::from_chars(digits.data(), end, value, base);
    if (stop != end || error == std::errc::invalid_argument)
        return fail_at(token, fmt::format("{} is not a number", quoted(token)));
    std::uint64_t const most = is_negative ? 0x80000000 : 0xffffffff;
    if (error != std::errc{} || value > most)
        return fail_at(token, fmt::format("{} does not fit in 32 bits", quoted(token)));
    return is_negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

// ---- how instructions are written ---------------------------------------------------------------

// A mnemonic with its operands.  In a pattern, letters and signs stand for themselves and
//   $k $x  a number for k           $c     a number for the opcode
//   $t $f  a skip or a label        $T $F  the index of an instruction
//   $j     where `ja` goes          $e     the name of an ancillary value
struct Form {
    std::uint16_t code;
    std::string pattern;
    std::vector<std::string> pieces;  // of the pattern: placeholders and tokens
};
using Forms = std::map<std::string_view, std::vector<Form>>;

// Spellings beside those of the opcode table: bpf_asm's (Documentation/networking/filter.rst in the
// kernel), and what tcpdump prints for `ret a` and for opcodes that it does not know.
struct Spelling {
    std::string_view name, pattern;
    std::uint16_t code;
};
constexpr Spelling spellings[] = {
    {"ldi", "#$k", 0x00},
    {"ldi", "$k", 0x00},
    {"ldxi", "#$k", 0x01},
    {"ldxi", "$k", 0x01},
    {"ldx", "4*([$k]&0xf)", 0xb1},
    {"ld", "#len", 0x80},
    {"ld", "len", 0x80},
    {"ldx", "#len", 0x81},
    {"ldx", "len", 0x81},
    {"jmp", "$j", 0x05},
    {"jne", "#$k, $f, $t", 0x15},
    {"jne", "x, $f, $t", 0x1d},
    {"jneq", "#$k, $f, $t", 0x15},
    {"jneq", "x, $f, $t", 0x1d},
    {"jlt", "#$k, $f, $t", 0x35},
    {"jlt", "x, $f, $t", 0x3d},
    {"jle", "#$k, $f, $t", 0x25},
    {"jle", "x, $f, $t", 0x2d},
    {"ret", "", 0x16},
    {"unimp", "$c", 0},
    {"unimp", "$c jt $T jf $F", 0},
};

void add(Forms& forms, std::string_view name, std::string pattern, std::uint16_t code) {
    Form form{code, std::move(pattern), {}};
    Lexer lexer(form.pattern, 0, form.pattern.size());
    for (Token token = lexer.next(); !token.is_end(); token = lexer.next()) {
        bool const is_placeholder = token.text == "$";
        form.pieces.push_back(is_placeholder ? "$" + std::string(lexer.next().text)
                                             : std::string(token.text));
    }
    forms[name].push_back(std::move(form));
}

// A branch with two targets may leave out the second one, which then is the next instruction, and
// is listed with absolute ones.
void add_with_variants(Forms& forms, std::string_view name, std::string_view pattern,
                       std::uint16_t code) {
    add(forms, name, std::string(pattern), code);
    std::size_t const second = pattern.rfind(',');
    if (second == std::string_view::npos) return;
    add(forms, name, std::string(pattern.substr(0, second)), code);
    add(forms, name, std::string(pattern.substr(0, pattern.find(','))) + " jt $T jf $F", code);
}

Forms all_forms() {
    Forms forms;
    for (Op const& op : ops()) {
        add_with_variants(forms, op.name, op.kind == Kind::jump ? "$j" : op.operands, op.code);
        if (op.kind == Kind::load_abs)
            for (auto const* const pattern : {"#$e", "$e", "[$e]"})
                add(forms, op.name, pattern, op.code);
    }
    for (Spelling const& spelling : spellings)
        add_with_variants(forms, spelling.name, spelling.pattern, spelling.code);
    return forms;
}

// What a person would write in place of a placeholder; of two targets, the first is for "true".
std::string_view spoken(char field, bool is_second_target) {
    switch (field) {
        case 't':
        case 'f':
            return is_second_target ? "Lf" : "Lt";
        case 'j':
            return "L";
        case 'e':
            return "ancillary";
        case 'c':
            return "opcode";
        default:
            return "k";
    }
}

std::string usage(std::string_view name, std::vector<Form> const& forms) {
    std::string out;
    for (Form const& form : forms) {
        if (form.pattern.find("$T") != std::string::npos) continue;  // only listings have it
        out +=
            fmt::format("{}{}{}", out.empty() ? "" : " | ", name, form.pattern.empty() ? "" : " ");
        unsigned targets = 0;
        for (std::size_t i = 0; i < form.pattern.size(); ++i) {
            if (form.pattern[i] != '$') {
                out += form.pattern[i];
                continue;
            }
            char const field = form.pattern[++i];
            if (field == 't' || field == 'f') ++targets;
            out += spoken(field, targets == 2);
        }
    }
    return out;
}

template <class Range, class Name>
std::string joined(Range const& range, Name name) {
    std::string out;
    for (auto const& item : range) out += fmt::format("{}{}", out.empty() ? "" : " ", name(item));
    return out;
}

// ---- source and listings ------------------------------------------------------------------------

// A jump to a label that may not have been seen yet.
struct Fixup {
    std::size_t insn;
    char field;  // 't', 'f' or 'j'
    Token label;
};

// One form tried on one line.
struct Attempt {
    Insn insn;
    std::vector<Fixup> fixups;
    std::size_t reached = 0;        // tokens that fitted
    std::optional<Diagnostic> why;  // it did not fit; none: not such a token at all
};

class Assembler {
  public:
    explicit Assembler(std::string_view text) : text_(text) {}

    Result<Program> assemble() {
        for (std::size_t begin = 0; begin < text_.size();) {
            std::size_t const end = std::min(text_.find('\n', begin), text_.size());
            if (auto read = line(Lexer(text_, begin, end)); !read) return fail(read.error());
            begin = end + 1;
        }
        for (Fixup const& fixup : fixups_)
            if (auto bound = bind(fixup); !bound) return fail(bound.error());
        return std::move(program_);
    }

  private:
    Result<void> line(Lexer lexer) {
        bool const is_numbered = lexer.peek().text == "(";
        if (is_numbered)
            if (auto index = line_number(lexer); !index) return index;
        for (;;) {
            Token const word = lexer.next();
            if (word.is_end()) return {};
            if (!word.is_word())
                return fail_at(word,
                               fmt::format("{} begins no instruction and no label", quoted(word)));
            if (lexer.peek().text != ":") return instruction(word, lexer, is_numbered);
            lexer.next();
            auto const [known, added] = labels_.try_emplace(word.text, Label{word, next_index()});
            if (!added)
                return fail_at(word,
                               fmt::format("label {} stands here a second time", quoted(word)),
                               {{"the first one", known->second.token.span()}});
        }
    }

    // `(NNN)` of a listing: the jumps count on it.
    Result<void> line_number(Lexer& lexer) {
        lexer.next();
        Token const token = lexer.next();
        auto const index = number(token, 10);
        if (!index) return fail(index.error());
        if (*index != static_cast<std::int64_t>(next_index()))
            return fail_at(token, fmt::format("instruction {} stands where {} comes next", *index,
                                              next_index()));
        Token const close = lexer.next();
        if (close.text != ")")
            return fail_at(close, fmt::format("'(' and {} want a ')' here", quoted(token)));
        return {};
    }

    Result<void> instruction(Token const& name, Lexer lexer, bool is_numbered) {
        static Forms const known = all_forms();
        auto const found = known.find(name.text);
        if (found == known.end())
            return fail_at(
                name, fmt::format("no instruction is called {}", quoted(name)),
                {{"there are: " + joined(known, [](auto& it) { return it.first; }), {}}});
        std::vector<Token> tokens;
        do tokens.push_back(lexer.next());
        while (!tokens.back().is_end() && tokens.size() < max_line_tokens);

        Attempt best;
        for (Form const& form : found->second) {
            Attempt attempt = try_form(form, tokens, is_numbered);
            if (attempt.reached == tokens.size()) return accept(name, tokens, std::move(attempt));
            bool const says_more = attempt.reached == best.reached && !best.why;
            if (attempt.reached > best.reached || says_more) best = std::move(attempt);
        }
        if (best.why) return fail(std::move(*best.why));
        return fail(refusal(name, found->second, tokens, best.reached));
    }

    // Why no form fitted: `stop` is the first token that the best one could not use.
    static Diagnostic refusal(Token const& name, std::vector<Form> const& forms,
                              std::vector<Token> const& tokens, std::size_t stop) {
        Note const note{"it is written " + usage(name.text, forms), std::nullopt};
        Token const& token = tokens[stop];
        if (!token.is_end())
            return {fmt::format("{} does not go with {} here", quoted(token), quoted(name)),
                    token.span(),
                    {note}};
        std::uint32_t const end = stop == 0 ? name.span().end : tokens[stop - 1].span().end;
        return {
            fmt::format("something is missing here for {}", quoted(name)), Span{end, end}, {note}};
    }

    Result<void> accept(Token const& name, std::vector<Token> const& tokens, Attempt attempt) {
        program_.insns.push_back(attempt.insn);
        // The last token is the end of the line.
        Span const last = tokens.size() > 1 ? tokens[tokens.size() - 2].span() : name.span();
        program_.origin.push_back(join(name.span(), last));
        fixups_.insert(fixups_.end(), attempt.fixups.begin(), attempt.fixups.end());
        return {};
    }

    Attempt try_form(Form const& form, std::vector<Token> const& tokens, bool is_numbered) const {
        Attempt attempt;
        attempt.insn.code = form.code;
        for (std::string const& piece : form.pieces) {
            Token const& token = tokens[attempt.reached];
            bool const fits = piece[0] == '$' ? fill(attempt, piece[1], token, is_numbered)
                                              : is_literal(piece, token);
            if (!fits) return attempt;
            ++attempt.reached;
        }
        if (tokens[attempt.reached].is_end()) ++attempt.reached;
        return attempt;
    }

    // bpf_asm also writes registers with a '%'.
    static bool is_literal(std::string_view piece, Token const& token) {
        if (token.text == piece) return true;
        if (token.text.starts_with('%'))
            return token.text.substr(1) == piece && is_letter(piece[0]);
        if (!is_digit(piece[0]) || !token.is_number()) return false;
        auto const value = number(token);
        return value && *value == *number(Token{piece, 0});
    }

    bool fill(Attempt& attempt, char field, Token const& token, bool is_numbered) const {
        if (field == 'e') return fill_ancillary(attempt, token);
        bool const is_target = field == 't' || field == 'f' || field == 'j';
        if (is_target && token.is_word()) {
            attempt.fixups.push_back({next_index(), field, token});
            return true;
        }
        if (!token.is_number()) return false;
        auto const value = number(token);
        auto const filled =
            value ? set(attempt.insn, field, *value, token, is_numbered) : fail(value.error());
        if (!filled) attempt.why = filled.error();
        return filled.has_value();
    }

    static bool fill_ancillary(Attempt& attempt, Token const& token) {
        if (!token.is_word()) return false;
        auto const rows = ancillaries();
        auto const row = std::find_if(rows.begin(), rows.end(), [&](Ancillary const& it) {
            return it.name == token.text || it.asm_name == token.text;
        });
        if (row != rows.end()) {
            attempt.insn.k = ancillary_base + static_cast<std::uint32_t>(row->number);
            return true;
        }
        attempt.why = Diagnostic{
            fmt::format("no ancillary value is called {}", quoted(token)),
            token.span(),
            {{"there are: len " + joined(rows, [](auto& it) { return it.asm_name; }), {}}}};
        return false;
    }

    Result<void> set(Insn& insn, char field, std::int64_t value, Token const& token,
                     bool is_numbered) const {
        bool const is_absolute = field == 'T' || field == 'F' || (field == 'j' && is_numbered);
        if (is_absolute) value -= static_cast<std::int64_t>(next_index()) + 1;
        switch (field) {
            case 't':
            case 'T':
            case 'f':
            case 'F':
                if (value < 0 || value > max_skip)
                    return fail_at(token, fmt::format("{} is out of reach: a branch skips 0 to {} "
                                                      "instructions",
                                                      quoted(token), max_skip));
                (field == 't' || field == 'T' ? insn.jt : insn.jf) =
                    static_cast<std::uint8_t>(value);
                return {};
            case 'c':
                if (value < 0 || value > 0xffff)
                    return fail_at(token, fmt::format("{} does not fit in the 16 bits of an opcode",
                                                      quoted(token)));
                insn.code = static_cast<std::uint16_t>(value);
                return {};
            default:
                insn.k = static_cast<std::uint32_t>(value);
                return {};
        }
    }

    Result<void> bind(Fixup const& fixup) {
        auto const found = labels_.find(fixup.label.text);
        if (found == labels_.end())
            return fail_at(fixup.label,
                           fmt::format("no line has the label {}", quoted(fixup.label)));
        if (found->second.index <= fixup.insn)
            return fail_at(fixup.label,
                           fmt::format("label {} stands before this jump, and classic BPF jumps "
                                       "forward only",
                                       quoted(fixup.label)),
                           {{"the label", found->second.token.span()}});
        std::size_t const skip = found->second.index - fixup.insn - 1;
        Insn& insn = program_.insns[fixup.insn];
        if (fixup.field == 'j') {
            insn.k = static_cast<std::uint32_t>(skip);
        } else if (skip <= max_skip) {
            (fixup.field == 't' ? insn.jt : insn.jf) = static_cast<std::uint8_t>(skip);
        } else {
            return fail_at(fixup.label,
                           fmt::format("label {} is out of reach: a branch skips at most {} "
                                       "instructions, not {}",
                                       quoted(fixup.label), max_skip, skip),
                           {{"branch to a 'ja' nearby", std::nullopt}});
        }
        return {};
    }

    std::size_t next_index() const { return program_.insns.size(); }

    struct Label {
        Token token;
        std::size_t index;  // of the instruction that follows
    };

    std::string_view text_;
    Program program_;
    std::map<std::string_view, Label> labels_;
    std::vector<Fixup> fixups_;
};

// ---- numbers only -------------------------------------------------------------------------------

// The fields of an instruction in the order in which all numeric forms have them.
struct Field {
    std::string_view name;
    std::int64_t most;
};
constexpr Field fields[] = {{"code", 0xffff}, {"jt", 0xff}, {"jf", 0xff}, {"k", 0xffffffff}};

Insn make_insn(std::int64_t const (&values)[4]) {
    return {static_cast<std::uint16_t>(values[0]), static_cast<std::uint8_t>(values[1]),
            static_cast<std::uint8_t>(values[2]), static_cast<std::uint32_t>(values[3])};
}

Result<std::int64_t> field_value(Token const& token, Field const& field, int base) {
    if (token.is_end())
        return fail_at(token, "an instruction ends here too early: it is code, jt, jf and k");
    auto value = number(token, base);
    if (value && (*value < 0 || *value > field.most))
        return fail_at(token, fmt::format("{} is too large for {}, at most {}", quoted(token),
                                          field.name, field.most));
    return value;
}

// `tcpdump -ddd` and the line for tc differ in what stands between instructions.
Result<Program> read_decimal(std::string_view text) {
    Program program;
    std::optional<std::int64_t> announced;
    Token count;
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t const end = std::min(text.find_first_of(",\n", begin), text.size());
        Lexer lexer(text, begin, end);
        begin = end + 1;
        if (lexer.peek().is_end()) continue;
        if (!announced) {
            count = lexer.next();
            auto const value = number(count, 10);
            if (!value) return fail(value.error());
            announced = *value;
        } else {
            std::int64_t values[4];
            Span span = lexer.peek().span();
            for (std::size_t i = 0; i < 4; ++i) {
                Token const token = lexer.next();
                auto const value = field_value(token, fields[i], 10);
                if (!value) return fail(value.error());
                values[i] = *value;
                span = join(span, token.span());
            }
            program.insns.push_back(make_insn(values));
            program.origin.push_back(span);
        }
        if (Token const extra = lexer.next(); !extra.is_end())
            return fail_at(extra, fmt::format("{} is one number too many: first the number of "
                                              "instructions, then code, jt, jf and k of each",
                                              quoted(extra)));
    }
    if (*announced != static_cast<std::int64_t>(program.insns.size()))
        return fail_at(count, fmt::format("{} instructions announced, {} follow", *announced,
                                          program.insns.size()));
    return program;
}

// `{ code, jt, jf, k },` as tcpdump -dd prints it.
Result<Program> read_initialisers(std::string_view text) {
    constexpr std::string_view follows[] = {",", ",", ",", "}"};
    Program program;
    Lexer lexer(text, 0, text.size());
    for (Token open = lexer.next(); !open.is_end(); open = lexer.next()) {
        if (open.text != "{")
            return fail_at(open, fmt::format("{} stands where '{{' begins the next instruction",
                                             quoted(open)));
        std::int64_t values[4];
        Token after;
        for (std::size_t i = 0; i < 4; ++i) {
            auto const value = field_value(lexer.next(), fields[i], 0);
            if (!value) return fail(value.error());
            values[i] = *value;
            after = lexer.next();
            if (after.text != follows[i])
                return fail_at(after,
                               fmt::format("'{}' belongs after {}", follows[i], fields[i].name));
        }
        program.insns.push_back(make_insn(values));
        program.origin.push_back(join(open.span(), after.span()));
        if (lexer.peek().text == ",") lexer.next();
    }
    return program;
}

// ---- all of it ----------------------------------------------------------------------------------

// The text with comments blanked out, so that positions stay: `/* */`, `;` to the end of the line,
// and lines that begin with `#`.
Result<std::string> without_comments(std::string_view text) {
    std::string out(text);
    auto const blank = [&](std::size_t begin, std::size_t end) {
        std::replace_if(
            out.begin() + static_cast<std::ptrdiff_t>(begin),
            out.begin() + static_cast<std::ptrdiff_t>(end), [](char c) { return c != '\n'; }, ' ');
        return end;
    };
    bool at_line_start = true;
    for (std::size_t i = 0; i < text.size();) {
        if (text.substr(i).starts_with("/*")) {
            std::size_t const close = text.find("*/", i + 2);
            if (close == std::string_view::npos)
                return fail_at({text.substr(i, 2), static_cast<std::uint32_t>(i)},
                               "this comment has no '*/'");
            at_line_start |= text.substr(i, close - i).find('\n') != std::string_view::npos;
            i = blank(i, close + 2);
        } else if (text[i] == ';' || (text[i] == '#' && at_line_start)) {
            i = blank(i, std::min(text.find('\n', i), text.size()));
        } else {
            at_line_start = text[i] == '\n' || (at_line_start && is_space(text[i]));
            ++i;
        }
    }
    return out;
}

}  // namespace

Result<Program> read(std::string_view text) {
    if (text.size() > max_text)
        return fail({fmt::format("{} bytes of text, at most {}", text.size(), max_text), {}, {}});
    auto const code = without_comments(text);
    if (!code) return fail(code.error());
    Token const first = Lexer(*code, 0, code->size()).next();
    auto program = first.is_number()   ? read_decimal(*code)
                   : first.text == "{" ? read_initialisers(*code)
                                       : Assembler(*code).assemble();
    if (program && program->insns.empty())
        return fail({"no instruction in this text", std::nullopt, {}});
    return program;
}

}  // namespace tamis::cbpf
