#include "backend/c_source.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "backend/c_names.h"
#include "backend/c_prelude.h"
#include "backend/c_text.h"

namespace tamis::backend {
namespace {

using cbpf::Anc;
using cbpf::Insn;
using cbpf::Kind;

constexpr std::size_t deepest = 12;        // nested blocks; what is deeper becomes a function
constexpr std::size_t longest_value = 48;  // of an expression without a name
constexpr std::size_t max_arguments = 4;   // beside the packet, of a function of BPF

// What a register or a memory cell holds: an expression, and what that is.
struct Value {
    std::string text = "0";
    Meaning meaning = Meaning::number;
    bool simple = true;  // needs no parentheses as an operand
    bool operator==(Value const&) const = default;
    std::string operand() const { return simple ? text : "(" + text + ")"; }
};

enum Slot : std::size_t { A, X, M };  // cell k is M + k
constexpr std::size_t slots = M + cbpf::memory_words;
using Slots = std::uint32_t;  // a bit for each

struct State {
    std::array<Value, slots> values;
    Network network = Network::unknown;
    std::map<std::string, Value> read;  // fields that have been read, by what reads them
};

// A function of the C: the program from an instruction on.
struct Function {
    std::string name;
    State start;
    bool reached = false;
};

class Writer {
  public:
    Writer(cbpf::Program const& program, Source const& text, COptions const& options)
        : insns_(program.insns),
          origin_(program.origin),
          text_(text),
          options_(options),
          prelude_(options) {}

    Result<std::string> run() {
        find_live();
        find_functions();
        std::vector<std::string> bodies;
        // Functions lie behind those that call them, and are called from what stands before.
        for (auto at = functions_.begin(); at != functions_.end(); ++at)
            if (at->second.reached) bodies.push_back(function(at->first, at->second));
        if (refused_) return fail(*refused_);
        std::string out = prelude_.begin(comment_text(text_.text));
        for (std::string const& definition : definitions_) out += definition + "\n";
        if (!definitions_.empty()) out += "\n";
        out += prelude_.readers(used_sizes_);
        for (auto body = bodies.rbegin(); body != bodies.rend(); ++body) out += *body + "\n";
        return out + prelude_.entry();
    }

  private:
    // ---- What is known of the program

    static Kind kind(Insn const& insn) { return cbpf::find(insn.code)->kind; }

    // Past jumps.
    std::size_t target(std::size_t pc) const {
        while (kind(insns_[pc]) == Kind::jump) pc = cbpf::targets(insns_[pc], pc, Kind::jump).taken;
        return pc;
    }

    template <class Visit>
    void for_each_next(std::size_t pc, Visit const& visit) const {
        Kind const k = kind(insns_[pc]);
        if (k == Kind::ret) return;
        if (k != Kind::branch) return visit(target(k == Kind::jump ? pc : pc + 1));
        auto const [taken, fallen] = cbpf::targets(insns_[pc], pc, k);
        visit(target(taken));
        if (target(fallen) != target(taken)) visit(target(fallen));
    }

    static Slots reads(Insn const& insn) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        if (op.kind == Kind::load_mem) return Slots{1} << (M + insn.k);
        Slots out = op.reads & (cbpf::A | cbpf::X);
        cbpf::Ancillary const* anc =
            op.kind == Kind::load_abs ? cbpf::find_ancillary(insn.k) : nullptr;
        if (anc && anc->number == Anc::alu_xor_x) out |= cbpf::A | cbpf::X;
        if (anc && anc->number == Anc::ifindex) out |= cbpf::A;
        return out;
    }
    static Slots writes(Insn const& insn) {
        cbpf::Op const& op = *cbpf::find(insn.code);
        if (op.kind == Kind::store) return Slots{1} << (M + insn.k);
        return op.writes & (cbpf::A | cbpf::X);
    }

    void find_live() {
        live_.assign(insns_.size(), 0);
        for (std::size_t pc = insns_.size(); pc-- > 0;) {
            Slots after = 0;
            for_each_next(pc, [&](std::size_t next) { after |= live_[next]; });
            live_[pc] = (after & ~writes(insns_[pc])) | reads(insns_[pc]);
        }
    }

    // Blocks that several ways lead to.
    void find_functions() {
        std::vector<unsigned> ways(insns_.size());
        std::size_t const first = target(0);
        ways[first] = 1;
        for (std::size_t pc = 0; pc < insns_.size(); ++pc)
            if (ways[pc] > 0) for_each_next(pc, [&](std::size_t next) { ++ways[next]; });
        functions_[first] = {"filter", {}, true};
        names_.insert({"filter", options_.name});
        for (std::size_t pc = first + 1; pc < insns_.size(); ++pc)
            if (ways[pc] > 1 && kind(insns_[pc]) != Kind::ret) make_function(pc);
    }

    std::string words(std::size_t pc) const {
        if (origin_.empty() || origin_[pc].end <= origin_[pc].begin) return {};
        Span const span = origin_[pc];
        return text_.text.substr(span.begin, std::min<std::size_t>(span.end - span.begin, 100));
    }

    void make_function(std::size_t pc) {
        std::string name = "from_";
        for (char const c : words(pc).substr(0, 32)) {
            bool const plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
            if (plain || name.back() != '_') name += plain ? c : '_';
        }
        while (name.back() == '_') name.pop_back();
        std::string unique = name;
        for (int n = 2; !names_.insert(unique).second; ++n) unique = fmt::format("{}_{}", name, n);
        functions_[pc] = {unique, {}, false};
    }

    bool is_function(std::size_t pc) const { return functions_.contains(pc); }

    std::vector<std::size_t> arguments(std::size_t pc) const {
        std::vector<std::size_t> out;
        if (pc == functions_.begin()->first) return out;
        for (std::size_t slot = 0; slot < slots; ++slot)
            if ((live_[pc] >> slot & 1) != 0) out.push_back(slot);
        return out;
    }

    static std::string slot_name(std::size_t slot) {
        return slot == A ? "a" : slot == X ? "x" : fmt::format("m{}", slot - M);
    }

    // ---- Functions

    std::string function(std::size_t pc, Function const& f) {
        State state;
        state.network = f.start.network;
        locals_.clear();
        body_.clear();
        shown_.clear();
        std::string parameters = prelude_.parameter();
        auto const passed = arguments(pc);
        for (std::size_t const slot : passed) {
            Value const& value = f.start.values[slot];
            bool const named = value.simple && !value.text.empty() &&
                               std::isalpha(static_cast<unsigned char>(value.text[0])) != 0;
            std::string const name = local(named ? value.text : slot_name(slot));
            state.values[slot] = {name, value.meaning, true};
            parameters += ", u32 " + name;
        }
        block(pc, std::move(state), 1);
        std::string const where =
            passed.size() > max_arguments ? "__always_inline " : prelude_.linkage(f.name);
        return fmt::format("static {}u32 {}({})\n{{\n{}}}\n", where, f.name, parameters, body_);
    }

    void line(std::size_t depth, std::string const& text) {
        body_.append(4 * depth, ' ').append(text) += '\n';
    }

    std::string local(std::string const& wanted) {
        std::string out = wanted;
        for (int n = 2; !locals_.insert(out).second; ++n) out = fmt::format("{}_{}", wanted, n);
        return out;
    }

    // The words behind what follows, where they are others than before.
    void show(std::size_t pc, std::size_t depth) {
        std::string const text = words(pc);
        if (text.empty() || text == shown_) return;
        shown_ = text;
        line(depth, "/* " + comment_text(text) + " */");
    }

    // What ends the function at an instruction: its verdict, or another function's; empty where the
    // instruction is to follow.
    std::string end(std::size_t pc, State const& state) {
        Insn const& insn = insns_[pc];
        if (kind(insn) == Kind::ret) {
            bool const returns_a = cbpf::find(insn.code)->reads == cbpf::A;
            Value const& a = state.values[A];
            if (!returns_a) return prelude_.verdict(insn.k);
            return prelude_.returns_values() ? a.text : a.operand() + " != 0";
        }
        auto const at = functions_.find(pc);
        if (at == functions_.end()) return {};
        arrive(at->second, state);
        std::string call = at->second.name + "(" + std::string(prelude_.argument());
        for (std::size_t const slot : arguments(pc)) call += ", " + state.values[slot].text;
        return call + ")";
    }

    static void arrive(Function& f, State const& state) {
        if (!f.reached) f.start = {state.values, state.network, {}};
        if (f.start.network != state.network) f.start.network = Network::unknown;
        for (std::size_t slot = 0; slot < slots; ++slot)
            if (f.start.values[slot].meaning != state.values[slot].meaning)
                f.start.values[slot].meaning = Meaning::number;
        f.reached = true;
    }

    // ---- Blocks

    void block(std::size_t pc, State state, std::size_t depth) {
        for (bool first = true;; first = false) {
            pc = target(pc);
            if (!first || kind(insns_[pc]) == Kind::ret) {
                if (std::string const value = end(pc, state); !value.empty())
                    return line(depth, "return " + value + ";");
            }
            show(pc, depth);
            if (kind(insns_[pc]) == Kind::branch) {
                auto const next = branch(pc, state, depth);
                if (!next) return;
                pc = *next;
            } else {
                instruction(pc, state, depth);
                ++pc;
            }
        }
    }

    // Returns where the straight path goes on.
    std::optional<std::size_t> branch(std::size_t pc, State& state, std::size_t depth) {
        auto const [t, f] = cbpf::targets(insns_[pc], pc, Kind::branch);
        std::size_t taken = target(t), fallen = target(f);
        if (taken == fallen) return taken;
        State yes = state, no = state;
        learn(pc, yes);
        // Neither ends here: the shorter one is nested, or is a function where that is deep.
        bool const ends_yes = is_end(taken), ends_no = is_end(fallen);
        if (!ends_yes && !ends_no && depth > deepest) make_function(std::max(taken, fallen));
        if (is_end(taken)) {
            line(depth,
                 fmt::format("if ({}) return {};", condition(pc, state, true), end(taken, yes)));
            state = std::move(no);
            return fallen;
        }
        if (is_end(fallen)) {
            line(depth,
                 fmt::format("if ({}) return {};", condition(pc, state, false), end(fallen, no)));
            state = std::move(yes);
            return taken;
        }
        line(depth, fmt::format("if ({}) {{", condition(pc, state, true)));
        std::string const shown = shown_;
        auto const outer = locals_;
        block(taken, std::move(yes), depth + 1);
        locals_ = outer;
        shown_ = shown;
        line(depth, "}");
        state = std::move(no);
        return fallen;
    }

    bool is_end(std::size_t pc) const { return kind(insns_[pc]) == Kind::ret || is_function(pc); }

    std::string condition(std::size_t pc, State const& state, bool holds) {
        static constexpr std::string_view positive[] = {"==", ">", ">="},
                                          negative[] = {"!=", "<=", "<"};
        Insn const& insn = insns_[pc];
        cbpf::Op const& op = *cbpf::find(insn.code);
        Value const& a = state.values[A];
        std::string const right =
            (op.reads & cbpf::X) != 0 ? state.values[X].operand() : number(a.meaning, insn.k);
        if (op.cond() == cbpf::Cond::set)
            return fmt::format(fmt::runtime(holds ? "{} & {}" : "!({} & {})"), a.operand(), right);
        auto const index = static_cast<std::size_t>(op.cond());
        return fmt::format("{} {} {}", a.operand(), holds ? positive[index] : negative[index],
                           right);
    }

    std::string number(Meaning meaning, std::uint32_t value) {
        if (std::string const d = definition(meaning, value); !d.empty()) definitions_.insert(d);
        return constant(meaning, value);
    }

    void learn(std::size_t pc, State& state) const {
        Insn const& insn = insns_[pc];
        cbpf::Op const& op = *cbpf::find(insn.code);
        if (op.cond() != cbpf::Cond::eq || (op.reads & cbpf::X) != 0) return;
        Network const network = network_of(state.values[A].meaning, insn.k);
        if (network != Network::unknown) state.network = network;
    }

    // ---- Instructions

    void instruction(std::size_t pc, State& state, std::size_t depth) {
        Insn const& insn = insns_[pc];
        cbpf::Op const& op = *cbpf::find(insn.code);
        Value& to = state.values[(op.writes & cbpf::X) != 0 ? X : A];
        switch (op.kind) {
            case Kind::load_imm:
                to = {number(Meaning::number, insn.k), Meaning::number, true};
                return;
            case Kind::load_abs:
                if (cbpf::Ancillary const* anc = cbpf::find_ancillary(insn.k))
                    return metadata(pc, *anc, state, depth);
                to = field(op.arg, fmt::format("{}", insn.k),
                           field_name(options_.link_type, state.network, insn.k, op.arg), state,
                           depth);
                return;
            case Kind::load_ind:
                to = field(op.arg, prelude_.sum(state.values[X].operand(), insn.k),
                           state.values[X].meaning == Meaning::header_length
                               ? field_behind_header(options_.link_type, insn.k, op.arg)
                               : FieldName{op.arg == 1   ? "octet"
                                           : op.arg == 2 ? "half"
                                                         : "word",
                                           Meaning::number},
                           state, depth);
                return;
            case Kind::load_msh: {
                Value const octet =
                    field(1, fmt::format("{}", insn.k),
                          field_name(options_.link_type, Network::ip4, insn.k, 1), state, depth);
                std::string const name = local("header_length");
                line(depth, fmt::format("u32 {} = 4 * ({} & 15);", name, octet.text));
                to = {name,
                      begins_network(options_.link_type, insn.k) ? Meaning::header_length
                                                                 : Meaning::number,
                      true};
                return;
            }
            case Kind::load_len:
                to = {std::string(prelude_.length()), Meaning::number, true};
                return;
            case Kind::load_mem:
                to = state.values[M + insn.k];
                return;
            case Kind::store:
                state.values[M + insn.k] = state.values[(op.reads & cbpf::X) != 0 ? X : A];
                return;
            case Kind::copy:
                to = state.values[(op.writes & cbpf::X) != 0 ? A : X];
                return;
            case Kind::neg:
                to = {"-" + to.operand(), Meaning::number, false};
                return;
            case Kind::alu:
                return arithmetic(op, insn.k, state, depth);
            case Kind::jump:
            case Kind::branch:
            case Kind::ret:
                return;
        }
    }

    // Reads what has not been read before on this way.
    Value field(unsigned size, std::string const& offset, FieldName const& name, State& state,
                std::size_t depth) {
        std::string const how = fmt::format("read{}({}, {}", 8 * size, prelude_.argument(), offset);
        auto const known = state.read.find(how);
        if (known != state.read.end()) return known->second;
        std::string const variable = local(std::string(name.name));
        used_sizes_.insert(size);
        line(depth, fmt::format("u32 {};", variable));
        line(depth, fmt::format("if (!{}, &{})) return 0;", how, variable));
        return state.read[how] = {variable, name.meaning, true};
    }

    void arithmetic(cbpf::Op const& op, std::uint32_t k, State& state, std::size_t depth) {
        static constexpr std::string_view symbols[] = {"+", "-",  "*",  "/", "|",
                                                       "&", "<<", ">>", "%", "^"};
        bool const with_x = (op.reads & cbpf::X) != 0;
        cbpf::Alu const alu = op.alu();
        bool const divides = alu == cbpf::Alu::div || alu == cbpf::Alu::mod,
                   shifts = alu == cbpf::Alu::lsh || alu == cbpf::Alu::rsh,
                   bits = alu == cbpf::Alu::and_ || alu == cbpf::Alu::or_ || alu == cbpf::Alu::xor_;
        Value& a = state.values[A];
        Value const& x = state.values[X];
        if (with_x && divides) line(depth, fmt::format("if ({} == 0) return 0;", x.operand()));
        std::string right = with_x ? x.operand()
                            : bits ? fmt::format("{:#x}", k)
                                   : std::to_string(k);
        std::string const symbol(symbols[static_cast<std::size_t>(alu)]);
        if (shifts && (with_x || k > 31)) {
            a = {prelude_.shift(a.operand(), symbol, right), Meaning::number, false};
        } else {
            bool const masks = alu == cbpf::Alu::and_ && !with_x;
            a = {fmt::format("{} {} {}", a.operand(), symbol, right),
                 masks ? a.meaning : Meaning::number, false};
        }
        if (a.text.size() <= longest_value) return;
        std::string const name = local("value");
        line(depth, fmt::format("u32 {} = {};", name, a.text));
        a = {name, a.meaning, true};
    }

    void metadata(std::size_t pc, cbpf::Ancillary const& anc, State& state, std::size_t depth) {
        Value& a = state.values[A];
        if (anc.number == Anc::alu_xor_x) {
            a = {fmt::format("{} ^ {}", a.operand(), state.values[X].operand()), Meaning::number,
                 false};
            return;
        }
        std::string const source = prelude_.metadata(anc.number);
        if (source.empty()) return refuse(pc, anc);
        if (anc.number == Anc::ifindex && options_.hook->context == "__sk_buff") {
            // A packet without a device ends the program with the value that it has.
            line(depth, fmt::format("if ({} == 0) return {};", source,
                                    prelude_.returns_values() ? a.text : a.operand() + " != 0"));
        }
        std::string name(anc.name);
        std::replace_if(
            name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
        std::string const variable = local(name);
        line(depth, fmt::format("u32 {} = {};", variable, source));
        a = {variable,
             anc.number == Anc::protocol || anc.number == Anc::vlan_tpid ? Meaning::ether_type
                                                                         : Meaning::number,
             true};
    }

    void refuse(std::size_t pc, cbpf::Ancillary const& anc) {
        if (refused_) return;
        refused_ =
            Diagnostic{fmt::format("the metadata '{}' cannot be read {}", anc.name,
                                   options_.hook ? fmt::format("at hook {}", options_.hook->name)
                                                 : "in memory"),
                       origin_.empty() ? std::nullopt : std::optional(origin_[pc]),
                       {}};
    }

    std::vector<Insn> const& insns_;
    std::vector<Span> const& origin_;
    Source const& text_;
    COptions const& options_;
    CPrelude prelude_;
    std::vector<Slots> live_;
    std::map<std::size_t, Function> functions_;
    std::set<std::string> names_;        // of functions
    std::set<std::string> definitions_;  // that the text uses
    std::set<unsigned> used_sizes_;
    std::optional<Diagnostic> refused_;
    // Of the function that is being written.
    std::set<std::string> locals_;
    std::string body_, shown_;
};

}  // namespace

Result<std::string> c_source(cbpf::Program const& program, Source const& text,
                             COptions const& options) {
    if (options.hook && options.hook->access == Access::dynptr)
        return fail({fmt::format("no C for hook {}", options.hook->name),
                     std::nullopt,
                     {{"--emit object and --emit ebpf have it", std::nullopt}}});
    return Writer(program, text, options).run();
}

}  // namespace tamis::backend
