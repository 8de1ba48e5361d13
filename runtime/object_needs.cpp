#include "runtime/object_needs.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/core.h>
#include <linux/bpf.h>

#include "bpf/diagnostic.h"
#include "runtime/helpers.h"
#include "runtime/kernel_functions.h"
#include "runtime/program_types.h"

namespace tamis::runtime {
namespace {

// Where the context is known to lie at some instruction: for each register, and for each slot of
// the stack by its offset, how far from the context's beginning it points.
struct Known {
    std::array<std::optional<std::int32_t>, 11> registers;
    std::map<std::int16_t, std::int32_t> stack;
    bool operator==(Known const&) const = default;

    // What both know.  Whether that is less than we knew.
    bool meet(Known const& other) {
        Known const before = *this;
        for (std::size_t i = 0; i < registers.size(); ++i)
            if (registers[i] != other.registers[i]) registers[i].reset();
        std::erase_if(stack, [&](auto const& slot) {
            auto const theirs = other.stack.find(slot.first);
            return theirs == other.stack.end() || theirs->second != slot.second;
        });
        return *this != before;
    }
};

std::uint32_t bytes(std::uint8_t code) {
    switch (BPF_SIZE(code)) {
        case BPF_B:
            return 1;
        case BPF_H:
            return 2;
        case BPF_W:
            return 4;
        default:
            return 8;
    }
}

constexpr std::size_t stack_pointer = 10;

// Follows the context through one function.
class Walk {
  public:
    Walk(Function const& function, std::set<ContextAccess>& accesses)
        : function_(function), code_(function.code), accesses_(accesses) {}

    // Functions that get the context as their first argument.
    std::set<std::size_t> run() {
        Known entry;
        entry.registers[1] = 0;
        reach(0, entry);
        while (!waiting_.empty()) {
            std::size_t const at = *waiting_.begin();
            waiting_.erase(waiting_.begin());
            go(at, states_.at(at));
        }
        return passed_;
    }

  private:
    void reach(std::size_t at, Known const& known) {
        if (at >= code_.size()) return;
        auto const [state, is_new] = states_.emplace(at, known);
        if (is_new || state->second.meet(known)) waiting_.insert(at);
    }

    // Straight on until the next jump.
    void go(std::size_t at, Known known) {
        for (; at < code_.size(); ++at) {
            ebpf::Insn const& insn = code_[at];
            std::uint8_t const kind = BPF_CLASS(insn.code), op = BPF_OP(insn.code);
            if (kind == BPF_JMP || kind == BPF_JMP32) {
                if (op == BPF_CALL) {
                    called(at, known);
                    continue;
                }
                ebpf::Ways const on = ebpf::ways(insn, at);
                for (std::size_t const to : on.all()) reach(to, known);
                return;
            }
            step(insn, known);
            if (insn.code == (BPF_LD | BPF_IMM | BPF_DW)) ++at;
        }
    }

    void called(std::size_t at, Known& known) {
        if (known.registers[1] == 0)
            for (Function::Reference const& reference : function_.references)
                if (reference.insn == at) passed_.insert(reference.function);
        for (std::size_t i = 0; i <= 5; ++i) known.registers[i].reset();
    }

    void step(ebpf::Insn const& insn, Known& known) {
        if (insn.dst > stack_pointer || insn.src > stack_pointer) return;  // no such register
        auto& to = known.registers[insn.dst];
        auto const& from = known.registers[insn.src];
        bool const whole =
            insn.code == (BPF_STX | BPF_MEM | BPF_DW) || insn.code == (BPF_LDX | BPF_MEM | BPF_DW);
        switch (BPF_CLASS(insn.code)) {
            case BPF_LDX:
                if (from) access(*from + insn.off, bytes(insn.code), false);
                to.reset();
                if (whole && insn.src == stack_pointer)
                    if (auto const slot = known.stack.find(insn.off); slot != known.stack.end())
                        to = slot->second;
                return;
            case BPF_ST:
            case BPF_STX:
                if (to) access(*to + insn.off, bytes(insn.code), true);
                if (insn.dst != stack_pointer) return;
                known.stack.erase(insn.off);
                if (whole && from && is_slot(insn.off)) known.stack[insn.off] = *from;
                return;
            case BPF_ALU64:
                if (insn.code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn.off == 0)
                    to = from;
                else if (insn.code == (BPF_ALU64 | BPF_ADD | BPF_K) && to)
                    to = static_cast<std::int32_t>(std::int64_t{*to} + insn.imm);
                else
                    to.reset();
                return;
            default:  // the instruction set's classes, not ours
                to.reset();
        }
    }

    // Others the verifier does not take.
    static bool is_slot(std::int16_t offset) {
        return offset < 0 && offset >= -512 && offset % 8 == 0;
    }

    void access(std::int32_t offset, std::uint32_t size, bool write) {
        accesses_.insert({static_cast<std::uint32_t>(offset), size, write});
    }

    Function const& function_;
    std::vector<ebpf::Insn> const& code_;
    std::set<ContextAccess>& accesses_;
    std::map<std::size_t, Known> states_;
    std::set<std::size_t> waiting_, passed_;
};

template <class Visit>
void for_all_reached(std::size_t first, Visit visit) {
    std::set<std::size_t> reached, waiting{first};
    while (!waiting.empty()) {
        std::size_t const function = *waiting.begin();
        waiting.erase(waiting.begin());
        if (!reached.insert(function).second) continue;
        for (std::size_t const next : visit(function)) waiting.insert(next);
    }
}

template <class T>
void sort_once(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

std::string place_in(Context const* context, ContextAccess const& access) {
    if (!context)
        return fmt::format("bytes {} to {} of the context", access.offset,
                           access.offset + access.size - 1);
    if (auto const* field = find_field(*context, access.offset, access.size))
        return fmt::format("{}->{}", context->type, field->name);
    if (context->type == "arguments")
        return fmt::format("argument {}", access.offset / sizeof(std::uint64_t));
    return fmt::format("bytes {} to {} of {}", access.offset, access.offset + access.size - 1,
                       context->type);
}

std::optional<Release> since(Context const* context, std::uint32_t type,
                             ContextAccess const& access) {
    if (!context) return std::nullopt;
    if (context->fields.empty()) return program_type(type).since;
    ContextField const* field = find_field(*context, access.offset, access.size);
    if (!field || !(access.write ? context->writes(*field) : context->reads(*field)))
        return std::nullopt;
    return context->since(*field);
}

}  // namespace

Needs needs_of(ElfObject const& object, std::string_view section, std::string_view function) {
    Needs out;
    auto const entry =
        std::find_if(object.functions.begin(), object.functions.end(),
                     [&](Function const& f) { return f.section == section && f.name == function; });
    if (entry == object.functions.end()) return out;
    auto const first = static_cast<std::size_t>(entry - object.functions.begin());

    for_all_reached(first, [&](std::size_t index) {
        Function const& reached = object.functions[index];
        for (ebpf::Insn const& insn : reached.code)
            if (insn.code == (BPF_JMP | BPF_CALL) && insn.src == 0)
                out.helpers.push_back(static_cast<std::uint32_t>(insn.imm));
        for (Relocation const& r : object.relocations)
            if (r.to == Refers::kernel_function && r.section == reached.section &&
                r.function == reached.name)
                out.functions.push_back(r.symbol);
        std::set<std::size_t> next;
        for (Function::Reference const& reference : reached.references)
            next.insert(reference.function);
        return next;
    });
    sort_once(out.helpers);
    sort_once(out.functions);

    std::set<ContextAccess> accesses;
    for_all_reached(
        first, [&](std::size_t index) { return Walk(object.functions[index], accesses).run(); });
    out.accesses.assign(accesses.begin(), accesses.end());
    return out;
}

std::vector<Need> hold_against_kernel(Needs const& needs, SectionRow const* row) {
    std::vector<Need> out;
    ProgramKind const kind = row ? ProgramKind{row->prog_type, row->attach_type} : ProgramKind{};
    auto const tried = [&](Support answer) { return row ? answer : Support::unknown; };
    for (std::uint32_t const helper : needs.helpers) {
        std::string_view const name = helper_name(helper);
        auto const known = row ? helper_since(kind.type, helper) : helper_since(helper);
        out.push_back({Need::What::helper,
                       name.empty() ? fmt::format("helper {}", helper) : std::string(name), known,
                       row ? may_call(kind, helper) : Support::unknown});
    }
    for (std::string const& function : needs.functions)
        out.push_back({Need::What::function, function, kernel_function_since(function),
                       row ? may_call(kind, function) : Support::unknown});
    Context const* context = row ? find_context(kind.type, kind.attach_type) : nullptr;
    for (ContextAccess const& access : needs.accesses)
        out.push_back({access.write ? Need::What::write : Need::What::read,
                       place_in(context, access), since(context, kind.type, access),
                       tried(!row           ? Support::unknown
                             : access.write ? may_write(kind, access.offset, access.size)
                                            : may_read(kind, access.offset, access.size))});
    return out;
}

}  // namespace tamis::runtime
