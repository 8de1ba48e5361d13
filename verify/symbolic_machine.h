// What runs eBPF on a packet that is not known, behind symbolic_ebpf.h.  Registers have types as in
// the kernel's verifier; what has no meaning in this model is refused with a reason, never guessed.
//
// What instructions do: the kernel's Documentation/bpf/standardization/instruction-set.rst; what
// helpers do: linux/bpf.h and net/core/filter.c.
#pragma once

#include <array>
#include <map>
#include <optional>

#include "verify/symbolic_cbpf.h"
#include "verify/symbolic_ebpf.h"

namespace tamis::verify::symbolic {

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
    frame,          // the end of frame `index`, plus `offset`
    map,            // a handle for map `index`
    map_value,      // the value that look-up `index` found, plus `offset`
    maybe_value,    // that, or null when `term` is true
    socket_buffer,  // struct sk_buff
    dynptr,         // of the packet, on the stack
    slice,          // the bytes that slice `index` of it is, plus `offset`
    maybe_slice,    // that, or null when `term` is true
};

struct Value {
    Type type = Type::nothing;
    Term term{};  // 64 bits; of what may be null a truth value
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

inline constexpr u32 first_map_region = 8;  // regions below are stack frames
inline constexpr unsigned max_frames = 8;
inline constexpr s32 stack_bytes = 512, dynptr_bytes = 16;

struct State {
    Term guard{};
    std::array<Value, 11> regs{};
    Memory memory{};
    Term redirected{};
};

// ----------------------------------------------------------------------------------- the machine

class Machine {
  public:
    Machine(ebpf::Program const& program, HookRow const& hook, Terms& terms, PacketModel& packet,
            Code code)
        : program_(program),
          insns_(program.insns),
          hook_(hook),
          xdp_(hook.context == "xdp_md"),
          foreign_(code == Code::foreign),
          t_(terms),
          packet_(packet) {}

    // The whole program.
    Result<ExtendedRun> run();
    State initial();

    // From an instruction of the entry function, in a state that is given, as far as other
    // instructions that are cuts.
    struct Region {
        std::map<u32, State> arrivals;  // at cuts; the guard says when
        std::optional<State> end;       // of the program; likewise
        ExtendedRun run;                // its result is that of `end`
    };
    Result<Region> region(u32 from, State start, std::vector<bool> const& cuts);
    // Instructions of the entry function to which more than one way leads, each behind those that
    // lead to it.
    std::vector<u32> joins();

  private:
    // ---- Control flow: symbolic_ebpf.cpp

    // The state behind a function's exits, r0 included; none when nothing gets there.
    struct Frame {
        u32 depth;
        std::map<u32, State> pending;  // by instruction
        std::optional<State> end;
        Outcomes results;  // what r0 is, where it is a number
    };

    std::optional<State> function(std::size_t entry, u32 depth, State start);
    bool is_cut(std::size_t pc, std::size_t entry) const;
    bool starts_block(std::size_t pc, std::size_t entry) const;
    std::vector<u32> topological(std::size_t entry, u32 depth);
    void go(std::size_t to, Term guard);
    void go_on(std::size_t to);
    void merge(State& there, Term guard, State const& state);
    Value choose(Term one, Value const& a, Term other, Value const& b);
    Memory choose(Term one, Memory const& a, Term other, Memory const& b);
    void step(ebpf::Insn const& insn);
    void jump(ebpf::Insn const& insn);
    void leave(Term guard, State const& state);
    std::optional<Term> condition(ebpf::Insn const& insn);
    std::optional<Term> packet_offset(Value const& value);
    void refine(ebpf::Insn const& insn, bool taken);

    // ---- Faults

    void refuse(std::string why);
    void oblige(Term condition, std::string what);

    // ---- Registers

    Term number(u64 value) { return t_.constant(value, 64); }
    static Value scalar(Term term) { return {Type::scalar, term}; }
    Value read(unsigned reg);
    Term read_scalar(unsigned reg);
    u64 read_constant(unsigned reg);
    void write(unsigned reg, Value const& value);
    void clobber();

    // ---- Arithmetic: symbolic_arithmetic.cpp

    Value operand(ebpf::Insn const& insn);
    void alu(ebpf::Insn const& insn);
    Value pointer_arithmetic(ebpf::Alu op, Value const& a, Value const& b);
    Term compute(ebpf::Alu op, bool is_signed, Term a, Term b);
    Term byte_order(ebpf::Insn const& insn);
    Term swapped(Term value, unsigned bytes);
    Term holds(ebpf::Cond cond, Term a, Term b);

    // ---- Memory: symbolic_memory.cpp

    std::optional<Term> byte_at(Memory const& memory, Place at);
    std::optional<Place> place(Value const& pointer, s32 offset, unsigned size);
    void store_cell(Place at, unsigned size, Value const& value);
    void forget(Place at, unsigned size);
    Value load_cell(Place at, unsigned size);
    void store(Value const& pointer, s32 offset, unsigned size, Value const& value);
    Value load(Value const& pointer, s32 offset, unsigned size);
    Value load_packet_bytes(Term offset, unsigned size);
    Value packet_bytes(Term at, unsigned size);
    Value load_slice(Value const& pointer, s32 offset, unsigned size);
    Value load_map_value(Value const& pointer, s32 offset, unsigned size);
    Value load_context(s32 offset, unsigned size);
    std::optional<Term> context_field(s32 offset);
    void load_imm64(ebpf::Insn const& insn);
    void load_packet(ebpf::Insn const& insn);
    void old_field(Place at, unsigned size);
    Value old_value(Place at, unsigned size);
    std::string old_name(Place at);
    void atomic(ebpf::Insn const& insn);

    // ---- Calls: symbolic_calls.cpp

    void call(ebpf::Insn const& insn);
    void call_local(ebpf::Insn const& insn);
    Value result_of(ebpf::Helper helper);
    std::optional<Value> foreign_helper(u32 helper);
    Value result_of(ebpf::Kfunc function);
    void need_context();
    Value redirect();
    Value load_bytes();
    Value map_lookup();
    Value dynptr_from_skb();
    Value dynptr_slice();
    Value xdp_vlan_tag();
    void need_dynptr();
    // A number that nothing is known of.
    Term unknown(std::string_view what, unsigned width);
    void collect_fields(std::size_t lookup, State const& end);

    struct Slice {
        Term offset;  // 32 bits
        unsigned size;
    };

    ebpf::Program const& program_;
    std::vector<ebpf::Insn> const& insns_;
    HookRow const& hook_;
    bool xdp_, foreign_;
    Terms& t_;
    PacketModel& packet_;
    ExtendedRun out_;
    std::vector<Slice> slices_;
    std::vector<bool> is_target_;
    std::size_t unknowns_ = 0;
    std::vector<bool> const* cuts_ = nullptr;
    std::map<u32, State> arrivals_;
    Frame* frame_ = nullptr;
    State s_;
    u32 pc_ = 0;
    std::optional<Diagnostic> refusal_;
};

}  // namespace tamis::verify::symbolic
