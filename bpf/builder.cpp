// The eBPF builder: encodes one instruction per call and patches jumps at the end.
#include "bpf/builder.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/core.h>

namespace tamis::ebpf {
namespace {

constexpr std::uint8_t u(auto e) { return static_cast<std::uint8_t>(e); }

template <class T>
constexpr bool fits(std::int64_t value) {
    return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

constexpr unsigned call_code = u(Class::jmp) | u(Jump::call);

// An instruction whose last operand is a register (source bit set) or an immediate.
Insn with_operand(unsigned code, Reg dst, Builder::Operand src) {
    if (src.is_reg) return make_insn(code | source_reg, u(dst), static_cast<unsigned>(src.value));
    return make_insn(code, u(dst), 0, 0, src.value);
}

unsigned memory(Class cls, Mode mode, Size size) { return u(cls) | u(mode) | u(size); }

Insn imm64_first(Reg dst, Pseudo what, std::uint32_t low) {
    return make_insn(0x18, u(dst), u(what), 0, static_cast<std::int32_t>(low));
}

}  // namespace

Builder& Builder::from(Origin origin) {
    current_ = origin;
    return *this;
}

Builder::Label Builder::label() {
    labels_.push_back(-1);
    return Label{static_cast<std::uint32_t>(labels_.size() - 1)};
}

Builder& Builder::bind(Label label) {
    std::int64_t& place = labels_[static_cast<std::size_t>(label)];
    assert(place < 0 && "a label is bound once");
    place = static_cast<std::int64_t>(insns_.size());
    return *this;
}

bool Builder::is_bound(Label label) const { return labels_[static_cast<std::size_t>(label)] >= 0; }

Builder& Builder::emit(Insn insn) {
    insns_.push_back(insn);
    origin_.push_back(current_);
    return *this;
}

Builder& Builder::emit_jump(Insn insn, Label target) {
    fixups_.push_back({insns_.size(), target});
    return emit(insn);
}

Builder& Builder::emit_memory(Insn insn, std::int32_t off) {
    if (!fits<std::int16_t>(off) && !overflow_) overflow_ = Overflow{insns_.size(), off};
    insn.off = static_cast<std::int16_t>(off);
    return emit(insn);
}

Builder& Builder::alu(Alu op, Reg dst, Operand src) {
    return emit(with_operand(u(Class::alu64) | u(op), dst, src));
}

Builder& Builder::alu32(Alu op, Reg dst, Operand src) {
    return emit(with_operand(u(Class::alu) | u(op), dst, src));
}

Builder& Builder::mov(Reg dst, Operand src) { return alu(Alu::mov, dst, src); }

Builder& Builder::mov32(Reg dst, Operand src) { return alu32(Alu::mov, dst, src); }

Builder& Builder::neg32(Reg dst) { return alu32(Alu::neg, dst, 0); }

Builder& Builder::to_be(unsigned bits, Reg dst) {
    assert((bits == 16 || bits == 32 || bits == 64) && "the widths that the instruction has");
    Insn insn = with_operand(u(Class::alu) | u(Alu::end), dst, static_cast<std::int32_t>(bits));
    insn.code |= source_reg;  // for this operation the source bit says big endian
    return emit(insn);
}

Builder& Builder::load(Size size, Reg dst, Reg base, std::int32_t off) {
    return emit_memory(make_insn(memory(Class::ldx, Mode::mem, size), u(dst), u(base)), off);
}

Builder& Builder::store(Size size, Reg base, std::int32_t off, Operand src) {
    Insn insn = with_operand(u(Mode::mem) | u(size), base, src);
    // Which class it is says whether a register is stored; there is no source bit here.
    insn.code =
        static_cast<std::uint8_t>(memory(src.is_reg ? Class::stx : Class::st, Mode::mem, size));
    return emit_memory(insn, off);
}

Builder& Builder::atomic_add(Size size, Reg base, std::int32_t off, Reg src) {
    assert((size == Size::word || size == Size::dword) && "the widths that atomics have");
    return emit_memory(make_insn(memory(Class::stx, Mode::atomic, size), u(base), u(src)), off);
}

Builder& Builder::load_packet(Size size, std::int32_t k) {
    assert(size != Size::dword && "packet loads have at most 32 bits");
    return emit(make_insn(memory(Class::ld, Mode::abs, size), 0, 0, 0, k));
}

Builder& Builder::load_packet(Size size, Reg x, std::int32_t k) {
    assert(size != Size::dword && "packet loads have at most 32 bits");
    return emit(make_insn(memory(Class::ld, Mode::ind, size), 0, u(x), 0, k));
}

Builder& Builder::load_map(Reg dst, std::uint32_t map) {
    return emit(imm64_first(dst, Pseudo::map_index, map)).emit({});
}

Builder& Builder::load_imm64(Reg dst, std::uint64_t value) {
    return emit(imm64_first(dst, Pseudo::none, static_cast<std::uint32_t>(value)))
        .emit(make_insn(0, 0, 0, 0, static_cast<std::int32_t>(value >> 32)));
}

Builder& Builder::jump(Cond cond, Reg dst, Operand src, Label target) {
    return emit_jump(with_operand(u(Class::jmp) | u(cond), dst, src), target);
}

Builder& Builder::jump32(Cond cond, Reg dst, Operand src, Label target) {
    return emit_jump(with_operand(u(Class::jmp32) | u(cond), dst, src), target);
}

Builder& Builder::jump(Label target) {
    return emit_jump(make_insn(u(Class::jmp) | u(Jump::ja)), target);
}

Builder& Builder::call(Helper helper) {
    return emit(make_insn(call_code, 0, u(Callee::helper), 0, static_cast<std::int32_t>(helper)));
}

Builder& Builder::call(Kfunc function) {
    return emit(make_insn(call_code, 0, u(Callee::kfunc), 0, static_cast<std::int32_t>(function)));
}

Builder& Builder::call(Label function) {
    return emit_jump(make_insn(call_code, 0, u(Callee::local)), function);
}

Builder& Builder::exit() { return emit(make_insn(u(Class::jmp) | u(Jump::exit))); }

Diagnostic Builder::at(std::size_t index, std::string_view message, std::string_view note) const {
    Diagnostic diagnostic;
    diagnostic.message = fmt::format("instruction {}: {}", index, message);
    Span const text = origin_[index].text;
    if (text != Span{}) diagnostic.span = text;
    diagnostic.notes.push_back({std::string(note), std::nullopt});
    return diagnostic;
}

bool Builder::has_far_jumps() const {
    return std::any_of(fixups_.begin(), fixups_.end(), [&](Fixup const& fixup) {
        auto const distance = place(fixup.target) - static_cast<std::int64_t>(fixup.index) - 1;
        return insns_[fixup.index].code != call_code && !fits<std::int16_t>(distance);
    });
}

// Islands stand at regular distances.  A far jump goes to the farthest island in reach, where a
// jump to the same label goes on.
void Builder::insert_islands(std::int64_t reach) {
    constexpr std::int64_t spacing = 12'000;
    struct Island {
        std::int64_t before;  // the instruction that it is put in front of
        std::vector<Label> labels;
        std::vector<Origin> origins;
        std::unordered_map<Label, std::size_t> index;  // of the labels
    };
    std::vector<Island> islands;
    for (auto at = spacing; at < std::ssize(insns_); at += spacing) {
        // Not between the two halves of an instruction.
        bool const in_pair = is_ld_imm64(insns_[static_cast<std::size_t>(at) - 1]);
        islands.push_back({at + (in_pair ? 1 : 0), {}, {}, {}});
    }
    // Where a jump goes: to an island, or to none.
    constexpr std::size_t none = ~std::size_t{0};
    auto const way = [&](std::int64_t from, Label label) {
        std::int64_t const distance = place(label) - from;
        if (std::abs(distance) <= reach) return none;
        std::int64_t const last = from + (distance > 0 ? reach : -reach);
        std::size_t const count = static_cast<std::size_t>(last / spacing);  // islands up to there
        return distance > 0 ? count - 1 : count;
    };
    std::vector<std::size_t> ways;  // of the fixups
    for (Fixup const& fixup : fixups_) {
        bool const call = insns_[fixup.index].code == call_code;
        ways.push_back(call ? none : way(static_cast<std::int64_t>(fixup.index), fixup.target));
        for (std::size_t i = ways.back(); i != none; i = way(islands[i].before, fixup.target)) {
            Island& island = islands[i];
            if (!island.index.try_emplace(fixup.target, island.labels.size()).second) break;
            island.labels.push_back(fixup.target);
            islands[i].origins.push_back(origin_[fixup.index]);
        }
    }

    // The same instructions with the islands; labels for the places in them.
    std::vector<Insn> insns;
    std::vector<Origin> origin;
    std::vector<std::size_t> moved(insns_.size() + 1);
    std::vector<Fixup> fixups;
    std::vector<std::vector<Label>> stops(islands.size());  // beside the labels of an island
    for (std::size_t i = 0; i < islands.size(); ++i)
        for (std::size_t n = 0; n < islands[i].labels.size(); ++n) stops[i].push_back(label());
    auto const stop = [&](std::size_t island, Label label) {
        return stops[island][islands[island].index.at(label)];
    };
    std::vector<std::pair<Label, std::size_t>> bound;
    std::size_t next = 0;
    for (std::size_t i = 0; i <= insns_.size(); ++i) {
        if (next < islands.size() && static_cast<std::size_t>(islands[next].before) == i) {
            Island const& island = islands[next];
            // What is reached by jumps only must not be led around: the verifier refuses dead code.
            Insn const& before = insns.back();
            bool const falls = before.code != (u(Class::jmp) | u(Jump::ja)) &&
                               before.code != (u(Class::jmp) | u(Jump::exit));
            if (!island.labels.empty() && falls) {
                insns.push_back(make_insn(u(Class::jmp) | u(Jump::ja), 0, 0,
                                          static_cast<std::int16_t>(island.labels.size())));
                origin.push_back(island.origins[0]);
            }
            for (std::size_t n = 0; n < island.labels.size(); ++n) {
                std::size_t const on = way(island.before, island.labels[n]);
                bound.push_back({stops[next][n], insns.size()});
                fixups.push_back(
                    {insns.size(), on == none ? island.labels[n] : stop(on, island.labels[n])});
                insns.push_back(make_insn(u(Class::jmp) | u(Jump::ja)));
                origin.push_back(island.origins[n]);
            }
            ++next;
        }
        moved[i] = insns.size();
        if (i == insns_.size()) break;
        insns.push_back(insns_[i]);
        origin.push_back(origin_[i]);
    }
    for (std::size_t i = 0; i < fixups_.size(); ++i) {
        Fixup const& fixup = fixups_[i];
        fixups.push_back(
            {moved[fixup.index], ways[i] == none ? fixup.target : stop(ways[i], fixup.target)});
    }
    for (std::int64_t& at : labels_)
        if (at >= 0) at = static_cast<std::int64_t>(moved[static_cast<std::size_t>(at)]);
    for (auto const& [label, at] : bound)
        labels_[static_cast<std::size_t>(label)] = static_cast<std::int64_t>(at);
    insns_ = std::move(insns);
    origin_ = std::move(origin);
    fixups_ = std::move(fixups);
}

// Islands add to the distances; where that is more than what is kept in reserve, more is kept.
void Builder::bring_jumps_near() {
    for (std::int64_t const reach : {28'000, 21'000, 14'000}) {
        Builder const before = *this;
        insert_islands(reach);
        if (!has_far_jumps()) return;
        *this = before;
    }
}

Result<Program> Builder::finish() {
    if (overflow_)
        return fail(at(overflow_->index,
                       fmt::format("offset '{}' does not fit 16 bits", overflow_->offset),
                       "an offset is at least -32768 and at most 32767"));
    if (has_far_jumps()) bring_jumps_near();
    for (Fixup const& fixup : fixups_) {
        std::int64_t const target = place(fixup.target);
        assert(target >= 0 && "every label is bound");
        std::int64_t const distance = target - static_cast<std::int64_t>(fixup.index) - 1;
        Insn& insn = insns_[fixup.index];
        bool const is_call = insn.code == call_code;
        if (is_call && fits<std::int32_t>(distance)) {
            insn.imm = static_cast<std::int32_t>(distance);
        } else if (!is_call && fits<std::int16_t>(distance)) {
            insn.off = static_cast<std::int16_t>(distance);
        } else {
            return fail(at(fixup.index,
                           fmt::format("a jump over '{}' instructions is too far", distance),
                           is_call ? "a call reaches 2147483647 instructions"
                                   : "a jump reaches 32767 instructions forward, 32768 back"));
        }
    }
    Program program;
    program.insns = std::move(insns_);
    program.origin = std::move(origin_);
    return program;
}

}  // namespace tamis::ebpf
