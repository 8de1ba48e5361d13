// Control flow of eBPF on a packet that is not known.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "bpf/ebpf_text.h"
#include "verify/symbolic_machine.h"

namespace tamis::verify::symbolic {

using namespace ebpf;

State Machine::initial() {
    State start;
    start.guard = t_.truth(true);
    start.redirected = t_.constant(0, 32);
    start.regs[1] = {Type::context};
    return start;
}

Result<ExtendedRun> Machine::run() {
    std::optional<State> const end = function(0, 0, initial());
    if (!refusal_ && (!end || end->regs[0].type != Type::scalar))
        refuse("the program ends without a number in r0");
    if (refusal_) return fail(*refusal_);
    out_.result = end->regs[0].term;
    out_.redirected = end->redirected;
    for (std::size_t i = 0; i < out_.maps.size(); ++i) collect_fields(i, *end);
    return std::move(out_);
}

std::optional<State> Machine::function(std::size_t entry, u32 depth, State start) {
    if (depth == max_frames) return refuse("more than 8 frames"), std::nullopt;
    std::vector<u32> const order = topological(entry, depth);
    if (refusal_) return std::nullopt;
    start.regs[10] = {Type::frame, {}, depth, 0};
    Term const guard = start.guard;
    Frame* const caller = frame_;
    Frame frame{depth, {}, std::nullopt, Outcomes(t_, 64)};
    frame_ = &frame;
    frame.pending[static_cast<u32>(entry)] = std::move(start);
    for (std::size_t i = 0; i < order.size() && !refusal_; ++i) {
        pc_ = order[i];
        auto here = frame.pending.extract(pc_);
        if (starts_block(pc_, entry))
            out_.blocks.push_back({pc_, here ? here.mapped().guard : t_.truth(false)});
        if (!here) continue;
        if (depth == 0 && is_cut(pc_, entry)) {
            arrivals_.emplace(pc_, std::move(here.mapped()));
            continue;
        }
        s_ = std::move(here.mapped());
        step(insns_[pc_]);
    }
    frame_ = caller;
    if (frame.end) {
        // Without loops all that begins ends, or gets to a cut.
        if (depth != 0 || !cuts_) frame.end->guard = guard;
        Value& result = frame.end->regs[0];
        if (result.type == Type::scalar) result.term = frame.results.value();
    }
    return std::move(frame.end);
}

bool Machine::is_cut(std::size_t pc, std::size_t entry) const {
    return cuts_ && pc != entry && (*cuts_)[pc];
}

Result<Machine::Region> Machine::region(u32 from, State start, std::vector<bool> const& cuts) {
    cuts_ = &cuts;
    out_ = {};
    arrivals_.clear();
    Region out;
    out.end = function(from, 0, std::move(start));
    if (!refusal_ && out.end && out.end->regs[0].type != Type::scalar)
        refuse("the program ends without a number in r0");
    if (refusal_) return fail(*refusal_);
    if (out.end) {
        out_.result = out.end->regs[0].term;
        out_.redirected = out.end->redirected;
        for (std::size_t i = 0; i < out_.maps.size(); ++i) collect_fields(i, *out.end);
    }
    out.arrivals = std::move(arrivals_);
    out.run = std::move(out_);
    return out;
}

std::vector<u32> Machine::joins() {
    std::vector<unsigned> arrivals(insns_.size(), 0);
    std::vector<u32> order = topological(0, 0);
    for (u32 const pc : order) {
        ebpf::Ways const on = ebpf::ways(insns_[pc], pc);
        for (std::size_t const to : on.all()) ++arrivals[to];
    }
    std::erase_if(order, [&](u32 pc) { return arrivals[pc] < 2; });
    return order;
}

// Entered by a jump, or behind a conditional one.
bool Machine::starts_block(std::size_t pc, std::size_t entry) const {
    if (pc == entry || is_target_[pc]) return true;
    Insn const& before = insns_[pc - 1];
    bool const jumps = class_of(before) == Class::jmp || class_of(before) == Class::jmp32;
    return jumps && op_of(before) != static_cast<u32>(Jump::call);
}

// The instructions that can be reached from `entry` inside its function, each behind all that
// lead to it.
std::vector<u32> Machine::topological(std::size_t entry, u32 depth) {
    enum class Mark : std::uint8_t { unseen, open, done };
    std::vector<Mark> marks(insns_.size(), Mark::unseen);
    is_target_.resize(insns_.size(), false);
    std::vector<std::pair<std::size_t, std::size_t>> path{{entry, 0}};
    std::vector<u32> reversed;
    marks[entry] = Mark::open;
    while (!path.empty()) {
        auto& [pc, way] = path.back();
        auto const ways =
            depth == 0 && is_cut(pc, entry) ? ebpf::Ways{} : ebpf::ways(insns_[pc], pc);
        if (way == ways.count) {
            marks[pc] = Mark::done;
            reversed.push_back(static_cast<u32>(pc));
            path.pop_back();
            continue;
        }
        std::size_t const to = ways.to[way++];
        if (to >= insns_.size() || !known(std::span(insns_).subspan(to))) {
            pc_ = static_cast<u32>(pc);
            refuse("it leads to no instruction");
            return {};
        }
        if (to != pc + 1 && !is_ld_imm64(insns_[pc])) is_target_[to] = true;
        if (marks[to] == Mark::open) {
            pc_ = static_cast<u32>(pc);
            refuse("it closes a loop");
            return {};
        }
        if (marks[to] == Mark::done) continue;
        marks[to] = Mark::open;
        path.push_back({to, 0});
    }
    std::reverse(reversed.begin(), reversed.end());
    return reversed;
}

void Machine::go(std::size_t to, Term guard) {
    if (t_.is(guard, 0)) return;
    auto const [there, fresh] = frame_->pending.try_emplace(static_cast<u32>(to), s_);
    if (fresh)
        there->second.guard = guard;
    else
        merge(there->second, guard, s_);
}

void Machine::go_on(std::size_t to) {
    if (t_.is(s_.guard, 0)) return;
    auto const there = frame_->pending.find(static_cast<u32>(to));
    if (there == frame_->pending.end())
        frame_->pending.emplace(static_cast<u32>(to), std::move(s_));
    else
        merge(there->second, s_.guard, s_);
}

// `state` arrives, too, when `guard` is true.
void Machine::merge(State& there, Term guard, State const& state) {
    for (std::size_t i = 0; i < there.regs.size(); ++i)
        there.regs[i] = choose(guard, state.regs[i], there.guard, there.regs[i]);
    there.memory = choose(guard, state.memory, there.guard, there.memory);
    there.redirected = t_.join(guard, state.redirected, there.guard, there.redirected);
    there.guard = t_.or_(there.guard, guard);
}

Value Machine::choose(Term one, Value const& a, Term other, Value const& b) {
    if (a == b) return a;
    bool const alike = a.type == b.type && a.index == b.index && a.offset == b.offset;
    if (!alike) return {};
    switch (a.type) {
        case Type::scalar:
        case Type::packet:
        case Type::maybe_value:
        case Type::maybe_slice:
            return {a.type, t_.join(one, a.term, other, b.term), a.index, a.offset};
        case Type::nothing:
        case Type::packet_end:
        case Type::context:
        case Type::frame:
        case Type::map:
        case Type::map_value:
        case Type::socket_buffer:
        case Type::dynptr:
        case Type::slice:
            break;
    }
    return a;
}

// Only what was written on both sides can be read afterwards; map values hold what they held.
Memory Machine::choose(Term one, Memory const& a, Term other, Memory const& b) {
    Memory out;
    for (auto const& [place, cell] : b)
        if (place.region >= first_map_region && !a.contains(place))
            out[place] = {cell.size, choose(one, old_value(place, cell.size), other, cell.value)};
    for (auto const& [place, cell] : a) {
        if (place.region >= first_map_region && !b.contains(place)) {
            out[place] = {cell.size, choose(one, cell.value, other, old_value(place, cell.size))};
            continue;
        }
        auto const there = b.find(place);
        if (there != b.end() && there->second.size == cell.size) {
            Value const value = choose(one, cell.value, other, there->second.value);
            if (value.type != Type::nothing) out[place] = {cell.size, value};
            continue;
        }
        // Units of different sizes: byte by byte.
        for (unsigned i = 0; i < cell.size; ++i) {
            Place const at{place.region, place.offset + static_cast<s32>(i)};
            auto const x = byte_at(a, at), y = byte_at(b, at);
            if (x && y) out[at] = {1, {Type::scalar, t_.join(one, *x, other, *y)}};
        }
    }
    return out;
}

void Machine::refuse(std::string why) {
    if (refusal_) return;
    std::string const text = pc_ < insns_.size() && known(std::span(insns_).subspan(pc_))
                                 ? disassemble(std::span(insns_).subspan(pc_), &program_)
                                 : "no instruction";
    refusal_ = Diagnostic{
        fmt::format("instruction {} '{}': {}", pc_, text, std::move(why)), std::nullopt, {}};
}

void Machine::oblige(Term condition, std::string what) {
    Term const broken = t_.and_(s_.guard, t_.not_(condition));
    if (!t_.is(broken, 0)) out_.obligations.push_back({pc_, broken, std::move(what)});
}

Value Machine::read(unsigned reg) {
    Value const value = s_.regs[reg];
    if (value.type == Type::nothing)
        refuse(fmt::format("r{} holds nothing, or not the same kind of thing on all paths", reg));
    return value;
}

// A number; 0 after a refusal.
Term Machine::read_scalar(unsigned reg) {
    Value const value = read(reg);
    if (value.type == Type::scalar) return value.term;
    refuse(fmt::format("r{} is no number", reg));
    return number(0);
}

u64 Machine::read_constant(unsigned reg) {
    Term const term = t_.low(read_scalar(reg), 32);
    if (!t_.is_constant(term)) refuse(fmt::format("r{} is not constant", reg));
    return t_[term].value;
}

void Machine::write(unsigned reg, Value const& value) {
    if (reg == 10) return refuse("r10 is read-only");
    s_.regs[reg] = value;
}

void Machine::clobber() {
    for (std::size_t reg = 1; reg <= 5; ++reg) s_.regs[reg] = {};
}

void Machine::step(Insn const& insn) {
    std::size_t const next = pc_ + (is_ld_imm64(insn) ? 2U : 1U);
    switch (class_of(insn)) {
        case Class::ld:
            if (is_ld_imm64(insn))
                load_imm64(insn);
            else
                load_packet(insn);
            break;
        case Class::ldx: {
            unsigned const size = bytes(size_of(insn));
            Value value = load(read(insn.src), insn.off, size);
            if (mode_of(insn) == Mode::memsx)
                value.term = t_.sext(t_.low(value.term, 8 * size), 64);
            write(insn.dst, value);
            break;
        }
        case Class::st:
            store(read(insn.dst), insn.off, bytes(size_of(insn)),
                  scalar(number(static_cast<u64>(s64{insn.imm}))));
            break;
        case Class::stx:
            if (mode_of(insn) == Mode::atomic)
                atomic(insn);
            else
                store(read(insn.dst), insn.off, bytes(size_of(insn)), read(insn.src));
            break;
        case Class::alu:
        case Class::alu64:
            alu(insn);
            break;
        case Class::jmp:
        case Class::jmp32:
            if (static_cast<Jump>(op_of(insn)) != Jump::call) return jump(insn);
            call(insn);
            break;
    }
    if (!refusal_) go_on(next);
}

void Machine::leave(Term guard, State const& state) {
    if (t_.is(guard, 0)) return;
    if (frame_->end) {
        merge(*frame_->end, guard, state);
    } else {
        frame_->end = state;
        frame_->end->guard = guard;
    }
    if (state.regs[0].type == Type::scalar) frame_->results.add(guard, state.regs[0].term);
}

void Machine::jump(Insn const& insn) {
    switch (static_cast<Jump>(op_of(insn))) {
        case Jump::ja:
            return go(ebpf::ways(insn, pc_).to[0], s_.guard);
        case Jump::exit:
            return leave(s_.guard, s_);
        case Jump::may_goto:
            return refuse("loops are not modelled");
        case Jump::call:
            return;
    }
    std::optional<Term> const taken = condition(insn);
    if (!taken) return;
    State const before = s_;
    for (bool const way : {true, false}) {
        Term const holds = way ? *taken : t_.not_(*taken);
        refine(insn, way);
        go(way ? ebpf::ways(insn, pc_).to[0] : pc_ + 1, t_.and_(before.guard, holds));
        s_ = before;
    }
}

// A test for null tells what a look-up or a slice gave.
void Machine::refine(Insn const& insn, bool taken) {
    Value& value = s_.regs[insn.dst];
    if (value.type != Type::maybe_value && value.type != Type::maybe_slice) return;
    bool const is_null = (static_cast<Cond>(op_of(insn)) == Cond::eq) == taken;
    Type const found = value.type == Type::maybe_value ? Type::map_value : Type::slice;
    value = is_null ? scalar(number(0)) : Value{found, {}, value.index, value.offset};
}

std::optional<Term> Machine::condition(Insn const& insn) {
    Value const a = read(insn.dst), b = operand(insn);
    auto const cond = static_cast<Cond>(op_of(insn));
    if (refusal_) return std::nullopt;
    unsigned const width = class_of(insn) == Class::jmp ? 64 : 32;
    if (a.type == Type::scalar && b.type == Type::scalar)
        return holds(cond, t_.low(a.term, width), t_.low(b.term, width));
    bool const equality = cond == Cond::eq || cond == Cond::ne;
    bool const may_be_null = a.type == Type::maybe_value || a.type == Type::maybe_slice;
    if (may_be_null && b.type == Type::scalar && t_.is(b.term, 0) && equality && width == 64)
        return cond == Cond::eq ? a.term : t_.not_(a.term);
    std::optional<Term> const x = packet_offset(a), y = packet_offset(b);
    if (x && y && width == 64) return holds(cond, *x, *y);
    refuse("this comparison with a pointer means nothing");
    return std::nullopt;
}

// Where a packet pointer points.  Offsets compare like the addresses as long as those do not
// wrap.
std::optional<Term> Machine::packet_offset(Value const& value) {
    if (value.type == Type::packet_end) return t_.zext(packet_.linear(), 64);
    if (value.type != Type::packet) return std::nullopt;
    oblige(t_.ule(value.term, number(u64{1} << 40)), "the packet pointer may have wrapped");
    return value.term;
}

}  // namespace tamis::verify::symbolic

namespace tamis::verify {

Result<ExtendedRun> run_symbolically(ebpf::Program const& program, HookRow const& hook,
                                     Terms& terms, PacketModel& packet, Code code) {
    return symbolic::Machine(program, hook, terms, packet, code).run();
}

}  // namespace tamis::verify
