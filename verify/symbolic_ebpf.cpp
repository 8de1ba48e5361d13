// What instructions do: the kernel's Documentation/bpf/standardization/instruction-set.rst; what
// helpers do: linux/bpf.h and net/core/filter.c.
#include "verify/symbolic_ebpf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "bpf/ebpf_text.h"
#include "verify/symbolic_cbpf.h"

namespace tamis::verify {
namespace {

using namespace ebpf;

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

// ------------------------------------------------------------------------------- values and state

enum class Type : std::uint8_t {
    nothing,     // never written, clobbered, or not the same kind on all paths
    scalar,      // term
    packet,      // data + term
    packet_end,  // data_end
    context,
    frame,        // the end of frame `index`, plus `offset`
    map,          // a handle for map `index`
    map_value,    // the value that look-up `index` found, plus `offset`
    maybe_value,  // that, or null when `term` is true
};

struct Value {
    Type type = Type::nothing;
    Term term{};  // 64 bits; of maybe_value a truth value
    u32 index = 0;
    s32 offset = 0;
    bool operator==(Value const&) const = default;
};

// Memory that is written in units: stack frames and map values.  The key is region and offset.
struct Place {
    u32 region;
    s32 offset;
    auto operator<=>(Place const&) const = default;
};
struct Cell {
    unsigned size;
    Value value;  // of a scalar: `8 * size` bits
};
using Memory = std::map<Place, Cell>;

constexpr u32 first_map_region = 8;  // regions below are stack frames
constexpr unsigned max_frames = 8;
constexpr s32 stack_bytes = 512;

struct State {
    Term guard{};
    std::array<Value, 11> regs{};
    Memory memory{};
    Term redirected{};
};

// What context fields mean, by their offset in linux/bpf.h.
struct ContextField {
    s32 offset;
    cbpf::Anc value;
    bool network_order = false;
};
constexpr ContextField sk_buff_fields[] = {
    {4, cbpf::Anc::pkttype},
    {8, cbpf::Anc::mark},
    {12, cbpf::Anc::queue},
    {16, cbpf::Anc::protocol, true},
    {20, cbpf::Anc::vlan_tag_present},
    {24, cbpf::Anc::vlan_tag},
    {28, cbpf::Anc::vlan_tpid, true},
    {40, cbpf::Anc::ifindex},
    {68, cbpf::Anc::rxhash},
};
constexpr ContextField xdp_fields[] = {{12, cbpf::Anc::ifindex}};

constexpr u64 negated(s64 error) { return static_cast<u64>(-error); }
constexpr s64 efault = 14;

class Machine {
  public:
    Machine(Program const& program, HookRow const& hook, Terms& terms, PacketModel& packet)
        : program_(program),
          insns_(program.insns),
          hook_(hook),
          xdp_(hook.context == "xdp_md"),
          t_(terms),
          packet_(packet) {}

    Result<ExtendedRun> run() {
        State start;
        start.guard = t_.truth(true);
        start.redirected = t_.constant(0, 32);
        start.regs[1] = {Type::context};
        std::optional<State> const end = function(0, 0, std::move(start));
        if (refusal_) return fail(*refusal_);
        if (!end || end->regs[0].type != Type::scalar) {
            refuse("the program ends without a number in r0");
            return fail(*refusal_);
        }
        out_.result = end->regs[0].term;
        out_.redirected = end->redirected;
        for (std::size_t i = 0; i < out_.maps.size(); ++i) collect_fields(i, *end);
        return std::move(out_);
    }

  private:
    // ---- Control flow

    // The state behind a function's exits, r0 included; none when nothing gets there.
    struct Frame {
        u32 depth;
        std::vector<std::optional<State>> pending;
        std::optional<State> end;
        Outcomes results;  // what r0 is, where it is a number
    };

    std::optional<State> function(std::size_t entry, u32 depth, State start) {
        if (depth == max_frames) return refuse("more than 8 frames"), std::nullopt;
        std::vector<u32> const order = topological(entry);
        if (refusal_) return std::nullopt;
        start.regs[10] = {Type::frame, {}, depth, 0};
        Term const guard = start.guard;
        Frame* const caller = frame_;
        Frame frame{depth, std::vector<std::optional<State>>(insns_.size()), std::nullopt,
                    Outcomes(t_, 64)};
        frame_ = &frame;
        frame.pending[entry] = std::move(start);
        for (std::size_t i = 0; i < order.size() && !refusal_; ++i) {
            pc_ = order[i];
            std::optional<State>& here = frame.pending[pc_];
            if (starts_block(pc_, entry))
                out_.blocks.push_back({pc_, here ? here->guard : t_.truth(false)});
            if (!here) continue;
            s_ = std::move(*here);
            here.reset();
            step(insns_[pc_]);
        }
        frame_ = caller;
        if (frame.end) {
            frame.end->guard = guard;  // without loops all that begins ends
            Value& result = frame.end->regs[0];
            if (result.type == Type::scalar) result.term = frame.results.value();
        }
        return std::move(frame.end);
    }

    // Entered by a jump, or behind a conditional one.
    bool starts_block(std::size_t pc, std::size_t entry) const {
        if (pc == entry || is_target_[pc]) return true;
        Insn const& before = insns_[pc - 1];
        bool const jumps = class_of(before) == Class::jmp || class_of(before) == Class::jmp32;
        return jumps && op_of(before) != static_cast<u32>(Jump::call);
    }

    struct Ways {
        std::array<std::size_t, 2> to{};
        unsigned count = 0;
        void add(std::size_t pc) { to[count++] = pc; }
    };

    Ways ways_from(std::size_t pc) const {
        Insn const& insn = insns_[pc];
        Ways ways;
        bool const wide = class_of(insn) == Class::jmp;
        if (wide || class_of(insn) == Class::jmp32) {
            auto const op = static_cast<Jump>(op_of(insn));
            if (op == Jump::exit) return ways;
            if (op != Jump::call) {
                s32 const distance = op == Jump::ja && !wide ? insn.imm : insn.off;
                ways.add(pc + 1 + static_cast<std::size_t>(static_cast<s64>(distance)));
                if (op == Jump::ja) return ways;
            }
        }
        ways.add(pc + (is_ld_imm64(insn) ? 2U : 1U));
        return ways;
    }

    // The instructions that can be reached from `entry` inside its function, each behind all that
    // lead to it.
    std::vector<u32> topological(std::size_t entry) {
        enum class Mark : std::uint8_t { unseen, open, done };
        std::vector<Mark> marks(insns_.size(), Mark::unseen);
        is_target_.resize(insns_.size(), false);
        std::vector<std::pair<std::size_t, unsigned>> path{{entry, 0}};
        std::vector<u32> reversed;
        marks[entry] = Mark::open;
        while (!path.empty()) {
            auto& [pc, way] = path.back();
            Ways const ways = ways_from(pc);
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

    void go(std::size_t to, Term guard) {
        if (t_.is(guard, 0)) return;
        merge(frame_->pending[to], guard, s_);
    }

    void go_on(std::size_t to) {
        std::optional<State>& there = frame_->pending[to];
        if (t_.is(s_.guard, 0)) return;
        if (there)
            merge(there, s_.guard, s_);
        else
            there = std::move(s_);
    }

    // `state` arrives, too, when `guard` is true.
    void merge(std::optional<State>& there, Term guard, State const& state) {
        if (!there) {
            there = state;
            there->guard = guard;
            return;
        }
        for (std::size_t i = 0; i < there->regs.size(); ++i)
            there->regs[i] = choose(guard, state.regs[i], there->regs[i]);
        there->memory = choose(guard, state.memory, there->memory);
        there->redirected = t_.ite(guard, state.redirected, there->redirected);
        there->guard = t_.or_(there->guard, guard);
    }

    Value choose(Term guard, Value const& yes, Value const& no) {
        if (yes == no) return yes;
        bool const alike = yes.type == no.type && yes.index == no.index && yes.offset == no.offset;
        if (!alike) return {};
        switch (yes.type) {
            case Type::scalar:
            case Type::packet:
            case Type::maybe_value:
                return {yes.type, t_.ite(guard, yes.term, no.term), yes.index, yes.offset};
            case Type::nothing:
            case Type::packet_end:
            case Type::context:
            case Type::frame:
            case Type::map:
            case Type::map_value:
                break;
        }
        return yes;
    }

    // Only what was written on both sides can be read afterwards; map values hold what they held.
    Memory choose(Term guard, Memory const& yes, Memory const& no) {
        Memory out;
        for (auto const& [place, cell] : no)
            if (place.region >= first_map_region && !yes.contains(place))
                out[place] = {cell.size, choose(guard, old_value(place, cell.size), cell.value)};
        for (auto const& [place, cell] : yes) {
            if (place.region >= first_map_region && !no.contains(place)) {
                out[place] = {cell.size, choose(guard, cell.value, old_value(place, cell.size))};
                continue;
            }
            auto const other = no.find(place);
            if (other != no.end() && other->second.size == cell.size) {
                Value const value = choose(guard, cell.value, other->second.value);
                if (value.type != Type::nothing) out[place] = {cell.size, value};
                continue;
            }
            // Units of different sizes: byte by byte.
            for (unsigned i = 0; i < cell.size; ++i) {
                Place const at{place.region, place.offset + static_cast<s32>(i)};
                auto const x = byte_at(yes, at), y = byte_at(no, at);
                if (x && y) out[at] = {1, {Type::scalar, t_.ite(guard, *x, *y)}};
            }
        }
        return out;
    }

    // ---- Faults

    void refuse(std::string why) {
        if (refusal_) return;
        std::string const text = pc_ < insns_.size() && known(std::span(insns_).subspan(pc_))
                                     ? disassemble(std::span(insns_).subspan(pc_), &program_)
                                     : "no instruction";
        refusal_ = Diagnostic{
            fmt::format("instruction {} '{}': {}", pc_, text, std::move(why)), std::nullopt, {}};
    }

    void oblige(Term condition, std::string what) {
        Term const broken = t_.and_(s_.guard, t_.not_(condition));
        if (!t_.is(broken, 0)) out_.obligations.push_back({pc_, broken, std::move(what)});
    }

    // ---- Registers

    Term number(u64 value) { return t_.constant(value, 64); }
    static Value scalar(Term term) { return {Type::scalar, term}; }

    Value read(unsigned reg) {
        Value const value = s_.regs[reg];
        if (value.type == Type::nothing)
            refuse(
                fmt::format("r{} holds nothing, or not the same kind of thing on all paths", reg));
        return value;
    }

    // A number; 0 after a refusal.
    Term read_scalar(unsigned reg) {
        Value const value = read(reg);
        if (value.type == Type::scalar) return value.term;
        refuse(fmt::format("r{} is no number", reg));
        return number(0);
    }

    u64 read_constant(unsigned reg) {
        Term const term = t_.low(read_scalar(reg), 32);
        if (!t_.is_constant(term)) refuse(fmt::format("r{} is not constant", reg));
        return t_[term].value;
    }

    void write(unsigned reg, Value const& value) {
        if (reg == 10) return refuse("r10 is read-only");
        s_.regs[reg] = value;
    }

    void clobber() {
        for (std::size_t reg = 1; reg <= 5; ++reg) s_.regs[reg] = {};
    }

    // ---- Memory

    std::optional<Term> byte_at(Memory const& memory, Place at) {
        auto cell = memory.upper_bound(at);
        if (cell == memory.begin()) return std::nullopt;
        --cell;
        auto const distance = at.offset - cell->first.offset;
        if (cell->first.region != at.region ||
            std::cmp_greater_equal(distance, cell->second.size) ||
            cell->second.value.type != Type::scalar)
            return std::nullopt;
        return t_.extract(cell->second.value.term, 8 * static_cast<unsigned>(distance), 8);
    }

    // Region and offset of a pointer to memory that is written.
    std::optional<Place> place(Value const& pointer, s32 offset, unsigned size) {
        Place at{0, pointer.offset + offset};
        if (pointer.type == Type::frame) {
            at.region = pointer.index;
            if (at.offset >= -stack_bytes && at.offset + static_cast<s32>(size) <= 0) return at;
            refuse(fmt::format("{} bytes at r10{:+} are outside the stack", size, at.offset));
            return std::nullopt;
        }
        at.region = first_map_region + pointer.index;
        u32 const limit = program_.maps[out_.maps[pointer.index].map].value_size();
        if (at.offset >= 0 && std::cmp_less_equal(at.offset + static_cast<s32>(size), limit))
            return at;
        refuse(fmt::format("{} bytes at offset {} are outside the map value", size, at.offset));
        return std::nullopt;
    }

    void store_cell(Place at, unsigned size, Value const& value) {
        // What the store covers in part stays readable byte by byte.
        Memory rest;
        auto cell = s_.memory.lower_bound({at.region, at.offset - 7});
        while (cell != s_.memory.end() && cell->first.region == at.region &&
               cell->first.offset < at.offset + static_cast<s32>(size)) {
            auto const [place, old] = *cell;
            bool const apart = place.offset + static_cast<s32>(old.size) <= at.offset;
            if (apart) {
                ++cell;
                continue;
            }
            for (unsigned i = 0; i < old.size; ++i) {
                Place const byte{place.region, place.offset + static_cast<s32>(i)};
                bool const covered =
                    byte.offset >= at.offset && byte.offset < at.offset + static_cast<s32>(size);
                if (auto const kept = byte_at(s_.memory, byte); kept && !covered)
                    rest[byte] = {1, scalar(*kept)};
            }
            cell = s_.memory.erase(cell);
        }
        s_.memory.merge(rest);
        s_.memory[at] = {size, value};
    }

    Value load_cell(Place at, unsigned size) {
        auto const whole = s_.memory.find(at);
        if (whole != s_.memory.end() && whole->second.size == size) {
            Value value = whole->second.value;
            if (value.type == Type::scalar) value.term = t_.zext(value.term, 64);
            return value;
        }
        std::optional<Term> term;
        for (unsigned i = 0; i < size; ++i) {
            auto const byte = byte_at(s_.memory, {at.region, at.offset + static_cast<s32>(i)});
            if (!byte) {
                refuse("it reads bytes that were not written on all paths");
                return scalar(number(0));
            }
            term = term ? t_.concat(*byte, *term) : *byte;
        }
        return scalar(t_.zext(*term, 64));
    }

    void store(Value const& pointer, s32 offset, unsigned size, Value const& value) {
        if (pointer.type != Type::frame && pointer.type != Type::map_value)
            return refuse("it writes to something that is neither stack nor map value");
        std::optional<Place> const at = place(pointer, offset, size);
        if (!at) return;
        if (at->offset % static_cast<s32>(size) != 0) return refuse("the access is not aligned");
        if (value.type != Type::scalar) {
            if (size != 8 || pointer.type != Type::frame)
                return refuse("a pointer is stored in part, or not on the stack");
            return store_cell(*at, size, value);
        }
        if (pointer.type == Type::map_value) old_field(*at, size);
        store_cell(*at, size, scalar(t_.low(value.term, 8 * size)));
    }

    Value load(Value const& pointer, s32 offset, unsigned size) {
        switch (pointer.type) {
            case Type::context:
                return load_context(pointer.offset + offset, size);
            case Type::packet:
                return load_packet_bytes(
                    t_.add(pointer.term, number(static_cast<u64>(s64{offset}))), size);
            case Type::map_value:
            case Type::frame: {
                std::optional<Place> const at = place(pointer, offset, size);
                if (!at) return scalar(number(0));
                if (at->offset % static_cast<s32>(size) != 0) refuse("the access is not aligned");
                if (pointer.type == Type::map_value) old_field(*at, size);
                return load_cell(*at, size);
            }
            case Type::maybe_value:
                refuse("the map value may be absent");
                break;
            case Type::nothing:
            case Type::scalar:
            case Type::packet_end:
            case Type::map:
                refuse("it reads through something that is no pointer to memory");
                break;
        }
        return scalar(number(0));
    }

    // Through a pointer: inside the linear part, or the proof fails.  Least significant byte first.
    Value load_packet_bytes(Term offset, unsigned size) {
        oblige(packet_.inside(offset, size, packet_.linear()),
               fmt::format("it reads {} bytes outside the packet's linear part", size));
        Term const at = t_.low(offset, 32);
        Term value = packet_.byte(at);
        for (unsigned i = 1; i < size; ++i)
            value = t_.concat(packet_.byte(t_.add(at, t_.constant(i, 32))), value);
        return scalar(t_.zext(value, 64));
    }

    Value load_context(s32 offset, unsigned size) {
        if (size == 4 && hook_.hook != Hook::socket) {
            if (offset == hook_.fields.data) return {Type::packet, number(0)};
            if (offset == hook_.fields.data_end) return {Type::packet_end};
        }
        s32 const word = offset & ~3;
        unsigned const skip = 8 * static_cast<unsigned>(offset & 3);
        std::optional<Term> const field = context_field(word);
        if (field && offset >= 0 && skip + 8 * size <= 32)
            return scalar(t_.zext(t_.extract(*field, skip, 8 * size), 64));
        refuse(fmt::format("{} bytes at offset {} are no field of the context", size, offset));
        return scalar(number(0));
    }

    std::optional<Term> context_field(s32 offset) {
        if (offset == hook_.fields.len) return packet_.length();
        std::span<ContextField const> const fields =
            xdp_ ? std::span<ContextField const>(xdp_fields) : std::span(sk_buff_fields);
        auto const at = std::find_if(fields.begin(), fields.end(),
                                     [&](ContextField const& f) { return f.offset == offset; });
        if (at == fields.end()) return std::nullopt;
        Term const value = packet_.ancillary(at->value);
        return at->network_order ? t_.zext(swapped(value, 2), 32) : value;
    }

    // The lowest bytes in the opposite order.
    Term swapped(Term value, unsigned bytes) {
        Term out = t_.extract(value, 0, 8);
        for (unsigned i = 1; i < bytes; ++i) out = t_.concat(out, t_.extract(value, 8 * i, 8));
        return out;
    }

    // ---- Instructions

    void step(Insn const& insn) {
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

    void load_imm64(Insn const& insn) {
        u64 const low = static_cast<u32>(insn.imm), high = static_cast<u32>(insns_[pc_ + 1].imm);
        auto const what = static_cast<Pseudo>(insn.src);
        if (what == Pseudo::none) return write(insn.dst, scalar(number(high << 32 | low)));
        if (what != Pseudo::map_index || low >= program_.maps.size())
            return refuse("only numbers and maps by their index are loaded");
        write(insn.dst, {Type::map, {}, static_cast<u32>(low), 0});
    }

    // LD_ABS and LD_IND: a load that fails ends the function with 0.
    void load_packet(Insn const& insn) {
        if (xdp_) return refuse("packet loads need a socket buffer");
        if (read(6).type != Type::context) return refuse("r6 is not the context");
        Term offset = t_.constant(static_cast<u32>(insn.imm), 32);
        if (mode_of(insn) == Mode::ind) offset = t_.add(t_.low(read_scalar(insn.src), 32), offset);
        PacketModel::Load const load = packet_.kernel_load(offset, bytes(size_of(insn)));
        State failed = s_;
        failed.regs[0] = scalar(number(0));
        leave(t_.and_(s_.guard, t_.not_(load.good)), failed);
        s_.guard = t_.and_(s_.guard, load.good);
        clobber();
        write(0, scalar(t_.zext(load.value, 64)));
    }

    void leave(Term guard, State const& state) {
        if (t_.is(guard, 0)) return;
        merge(frame_->end, guard, state);
        if (state.regs[0].type == Type::scalar) frame_->results.add(guard, state.regs[0].term);
    }

    Value operand(Insn const& insn) {
        return source_is_reg(insn) ? read(insn.src)
                                   : scalar(number(static_cast<u64>(s64{insn.imm})));
    }

    void alu(Insn const& insn) {
        bool const wide = class_of(insn) == Class::alu64;
        auto const op = static_cast<Alu>(op_of(insn));
        if (op == Alu::end) return write(insn.dst, scalar(byte_order(insn)));
        Value b = operand(insn);
        if (op == Alu::mov && insn.off == 1) return refuse("there are no address spaces here");
        if (op == Alu::mov && insn.off != 0)
            b = scalar(t_.sext(t_.low(read_scalar(insn.src), static_cast<unsigned>(insn.off)), 64));
        if (op == Alu::mov && wide) return write(insn.dst, b);
        Value const a = op == Alu::mov ? scalar(number(0)) : read(insn.dst);
        bool const numbers = a.type == Type::scalar && b.type == Type::scalar;
        if (!numbers && wide) return write(insn.dst, pointer_arithmetic(op, a, b));
        if (!numbers) return refuse("32-bit arithmetic with a pointer");
        unsigned const width = wide ? 64 : 32;
        Term const result =
            compute(op, insn.off == 1, t_.low(a.term, width), t_.low(b.term, width));
        write(insn.dst, scalar(t_.zext(result, 64)));
    }

    Value pointer_arithmetic(Alu op, Value const& a, Value const& b) {
        if (op == Alu::sub) {
            if (a.type == Type::packet && b.type == Type::packet)
                return scalar(t_.sub(a.term, b.term));
            if (a.type == Type::packet_end && b.type == Type::packet)
                return scalar(t_.sub(t_.zext(packet_.linear(), 64), b.term));
            if (a.type == Type::packet && b.type == Type::packet_end)
                return scalar(t_.sub(a.term, t_.zext(packet_.linear(), 64)));
        }
        bool const added = op == Alu::add || op == Alu::sub;
        bool const left = a.type != Type::scalar;
        Value pointer = left ? a : b;
        Value const& distance = left ? b : a;
        if (!added || distance.type != Type::scalar || (!left && op == Alu::sub)) {
            refuse("this arithmetic with a pointer means nothing");
            return pointer;
        }
        if (pointer.type == Type::packet) {
            pointer.term = op == Alu::add ? t_.add(pointer.term, distance.term)
                                          : t_.sub(pointer.term, distance.term);
            return pointer;
        }
        bool const movable = pointer.type == Type::frame || pointer.type == Type::map_value ||
                             pointer.type == Type::context;
        if (!movable || !t_.is_constant(distance.term)) {
            refuse("this pointer can only be moved by a constant");
            return pointer;
        }
        auto const by = static_cast<s64>(t_[distance.term].value);
        if (by > 1 << 20 || by < -(1 << 20)) refuse("the pointer is moved too far");
        pointer.offset += static_cast<s32>(op == Alu::add ? by : -by);
        return pointer;
    }

    Term compute(Alu op, bool is_signed, Term a, Term b) {
        unsigned const width = t_.width(a);
        Term const zero = t_.constant(0, width);
        Term const count = t_.and_(b, t_.constant(width - 1, width));
        switch (op) {
            case Alu::add:
                return t_.add(a, b);
            case Alu::sub:
                return t_.sub(a, b);
            case Alu::mul:
                return t_.binary(Op::mul, a, b);
            case Alu::div:  // by zero: 0
                return t_.ite(t_.eq(b, zero), zero,
                              t_.binary(is_signed ? Op::sdiv : Op::udiv, a, b));
            case Alu::mod:  // by zero: the dividend, as in SMT-LIB
                return t_.binary(is_signed ? Op::srem : Op::urem, a, b);
            case Alu::or_:
                return t_.or_(a, b);
            case Alu::and_:
                return t_.and_(a, b);
            case Alu::lsh:
                return t_.binary(Op::shl, a, count);
            case Alu::rsh:
                return t_.binary(Op::lshr, a, count);
            case Alu::arsh:
                return t_.binary(Op::ashr, a, count);
            case Alu::neg:
                return t_.sub(zero, a);
            case Alu::xor_:
                return t_.xor_(a, b);
            case Alu::mov:
                return b;
            case Alu::end:
                break;  // has a form of its own
        }
        return a;
    }

    // The machine is little-endian: `be` swaps and `le` only cuts.
    Term byte_order(Insn const& insn) {
        auto const bits = static_cast<unsigned>(insn.imm);
        Term const value = t_.low(read_scalar(insn.dst), bits);
        bool const swap = class_of(insn) == Class::alu64 || source_is_reg(insn);
        return t_.zext(swap ? swapped(value, bits / 8) : value, 64);
    }

    void jump(Insn const& insn) {
        switch (static_cast<Jump>(op_of(insn))) {
            case Jump::ja:
                return go(ways_from(pc_).to[0], s_.guard);
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
            go(way ? ways_from(pc_).to[0] : pc_ + 1, t_.and_(before.guard, holds));
            s_ = before;
        }
    }

    // A test for null tells what a look-up gave.
    void refine(Insn const& insn, bool taken) {
        Value& value = s_.regs[insn.dst];
        if (value.type != Type::maybe_value) return;
        bool const is_null = (static_cast<Cond>(op_of(insn)) == Cond::eq) == taken;
        value = is_null ? scalar(number(0)) : Value{Type::map_value, {}, value.index, value.offset};
    }

    std::optional<Term> condition(Insn const& insn) {
        Value const a = read(insn.dst), b = operand(insn);
        auto const cond = static_cast<Cond>(op_of(insn));
        if (refusal_) return std::nullopt;
        unsigned const width = class_of(insn) == Class::jmp ? 64 : 32;
        if (a.type == Type::scalar && b.type == Type::scalar)
            return holds(cond, t_.low(a.term, width), t_.low(b.term, width));
        bool const equality = cond == Cond::eq || cond == Cond::ne;
        if (a.type == Type::maybe_value && b.type == Type::scalar && t_.is(b.term, 0) && equality &&
            width == 64)
            return cond == Cond::eq ? a.term : t_.not_(a.term);
        std::optional<Term> const x = packet_offset(a), y = packet_offset(b);
        if (x && y && width == 64) return holds(cond, *x, *y);
        refuse("this comparison with a pointer means nothing");
        return std::nullopt;
    }

    // Where a packet pointer points.  Offsets compare like the addresses as long as those do not
    // wrap.
    std::optional<Term> packet_offset(Value const& value) {
        if (value.type == Type::packet_end) return t_.zext(packet_.linear(), 64);
        if (value.type != Type::packet) return std::nullopt;
        oblige(t_.ule(value.term, number(u64{1} << 40)), "the packet pointer may have wrapped");
        return value.term;
    }

    Term holds(Cond cond, Term a, Term b) {
        switch (cond) {
            case Cond::eq:
                return t_.eq(a, b);
            case Cond::ne:
                return t_.not_(t_.eq(a, b));
            case Cond::gt:
                return t_.ult(b, a);
            case Cond::ge:
                return t_.ule(b, a);
            case Cond::lt:
                return t_.ult(a, b);
            case Cond::le:
                return t_.ule(a, b);
            case Cond::set:
                return t_.not_(t_.eq(t_.and_(a, b), t_.constant(0, t_.width(a))));
            case Cond::sgt:
                return t_.slt(b, a);
            case Cond::sge:
                return t_.not_(t_.slt(a, b));
            case Cond::slt:
                return t_.slt(a, b);
            case Cond::sle:
                return t_.not_(t_.slt(b, a));
        }
        return t_.truth(false);
    }

    // ---- Calls

    void call(Insn const& insn) {
        switch (static_cast<Callee>(insn.src)) {
            case Callee::helper:
                return call_helper(static_cast<Helper>(insn.imm));
            case Callee::local:
                return call_local(insn);
            case Callee::kfunc:
                return refuse("kernel functions are not modelled");
        }
    }

    void call_local(Insn const& insn) {
        u32 const pc = pc_, depth = frame_->depth + 1;
        s64 const target = s64{pc} + 1 + insn.imm;
        if (target < 0 || std::cmp_greater_equal(target, insns_.size()))
            return refuse("it leads to no instruction");
        State start = s_;
        std::array<Value, 11> const saved = s_.regs;
        for (std::size_t reg = 0; reg < 11; ++reg)
            if (reg == 0 || reg > 5) start.regs[reg] = {};
        std::optional<State> end =
            function(static_cast<std::size_t>(target), depth, std::move(start));
        pc_ = pc;
        if (refusal_) return;
        if (!end) {
            s_.guard = t_.truth(false);
            return;
        }
        s_ = std::move(*end);
        std::erase_if(s_.memory, [&](auto const& cell) { return cell.first.region == depth; });
        Value const result = s_.regs[0];
        s_.regs = saved;
        clobber();
        s_.regs[0] = result;
    }

    void call_helper(Helper helper) {
        Value const result = result_of(helper);
        clobber();
        write(0, result);
    }

    Value result_of(Helper helper) {
        switch (helper) {
            case Helper::map_lookup_elem:
                return map_lookup();
            case Helper::get_prandom_u32:
                return scalar(t_.zext(packet_.ancillary(cbpf::Anc::random), 64));
            case Helper::get_smp_processor_id:
                return scalar(t_.zext(packet_.ancillary(cbpf::Anc::cpu), 64));
            case Helper::redirect:
                return redirect();
            case Helper::skb_load_bytes:
                if (xdp_) break;
                return load_bytes();
            case Helper::xdp_get_buff_len:
                if (!xdp_) break;
                need_context();
                return scalar(t_.zext(packet_.length(), 64));
            case Helper::xdp_load_bytes:
                if (!xdp_) break;
                return load_bytes();
            case Helper::probe_read_kernel:
                break;
        }
        refuse(fmt::format("helper {} is not modelled for hook {}", static_cast<int>(helper),
                           hook_.name));
        return scalar(number(0));
    }

    void need_context() {
        if (read(1).type != Type::context) refuse("r1 is not the context");
    }

    // XDP_REDIRECT or TC_ACT_REDIRECT, and otherwise a drop.
    Value redirect() {
        if (hook_.hook == Hook::socket) refuse("sockets have no such helper");
        s_.redirected = t_.low(read_scalar(1), 32);
        Term const flags = read_scalar(2);
        Term const good = t_.ule(flags, number(xdp_ ? 0 : 1));
        return scalar(t_.ite(good, number(xdp_ ? 4 : 7), number(xdp_ ? 0 : 2)));
    }

    // bpf_skb_load_bytes and bpf_xdp_load_bytes: r0 tells whether the bytes are in the packet.
    Value load_bytes() {
        need_context();
        Term const offset = t_.low(read_scalar(2), 32);
        Value const to = read(3);
        auto const size = static_cast<unsigned>(read_constant(4));
        if (to.type != Type::frame || size == 0 || size > stack_bytes)
            refuse("the destination is no room on the stack");
        std::optional<Place> const at = refusal_ ? std::nullopt : place(to, 0, size);
        if (!at) return scalar(number(0));
        Term good = packet_.inside(t_.zext(offset, 64), size, packet_.captured());
        if (xdp_) good = t_.and_(good, t_.ule(offset, t_.constant(0xffff, 32)));
        for (unsigned i = 0; i < size; ++i) {
            // Room that a failing call leaves alone may hold anything, and so it may here.
            Term const junk =
                xdp_ ? t_.variable(fmt::format("junk {}.{}", pc_, i), 8) : t_.constant(0, 8);
            Term const byte = packet_.byte(t_.add(offset, t_.constant(i, 32)));
            store_cell({at->region, at->offset + static_cast<s32>(i)}, 1,
                       scalar(t_.ite(good, byte, junk)));
        }
        return scalar(t_.ite(good, number(0), number(negated(efault))));
    }

    // ---- Maps: what they hold is not known

    Value map_lookup() {
        Value const map = read(1), key = read(2);
        if (map.type != Type::map || key.type != Type::frame) {
            refuse("r1 is not a map, or r2 not a key on the stack");
            return scalar(number(0));
        }
        MapSpec const& spec = program_.maps[map.index];
        std::optional<Place> const at = place(key, 0, spec.key_size);
        if (!at || spec.key_size != 4) {
            refuse("only keys of 4 bytes are modelled");
            return scalar(number(0));
        }
        Term const index = t_.low(load_cell(*at, 4).term, 32);
        Term const absent = t_.ule(t_.constant(spec.max_entries, 32), index);
        auto const number_of = static_cast<u32>(out_.maps.size());
        out_.maps.push_back({pc_, map.index, s_.guard, index, {}});
        return {Type::maybe_value, absent, number_of, 0};
    }

    // The first touch of a map value's field makes it known.
    void old_field(Place at, unsigned size) {
        if (s_.memory.contains(at)) return;
        s_.memory[at] = {size, old_value(at, size)};
    }

    Value old_value(Place at, unsigned size) {
        return scalar(t_.low(t_.variable(old_name(at), 64), 8 * size));
    }

    static std::string old_name(Place at) {
        return fmt::format("look-up {} at {}", at.region - first_map_region, at.offset);
    }

    void collect_fields(std::size_t lookup, State const& end) {
        u32 const region = first_map_region + static_cast<u32>(lookup);
        for (auto const& [place, cell] : end.memory) {
            if (place.region != region || cell.size != 8) continue;
            out_.maps[lookup].fields.push_back(
                {place.offset, t_.variable(old_name(place), 64), cell.value.term});
        }
    }

    void atomic(Insn const& insn) {
        if (static_cast<Atomic>(insn.imm) != Atomic::add)
            return refuse("only `lock +=` is modelled");
        Value const pointer = read(insn.dst);
        unsigned const size = bytes(size_of(insn));
        Value const old = load(pointer, insn.off, size);
        if (old.type != Type::scalar) return refuse("it adds to a pointer");
        store(pointer, insn.off, size, scalar(t_.add(old.term, read_scalar(insn.src))));
    }

    Program const& program_;
    std::vector<Insn> const& insns_;
    HookRow const& hook_;
    bool xdp_;
    Terms& t_;
    PacketModel& packet_;
    ExtendedRun out_;
    std::vector<bool> is_target_;
    Frame* frame_ = nullptr;
    State s_;
    u32 pc_ = 0;
    std::optional<Diagnostic> refusal_;
};

}  // namespace

Result<ExtendedRun> run_symbolically(Program const& program, HookRow const& hook, Terms& terms,
                                     PacketModel& packet) {
    return Machine(program, hook, terms, packet).run();
}

}  // namespace tamis::verify
