// What the direct form knows about a classic program before it emits anything: one record per
// instruction, filled in by short passes.  Classic programs only jump forward, so each pass is one
// walk over the instructions, forward where it follows the packet's way, backward where it asks
// what is still to come.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/hooks.h"
#include "translator/translate.h"

namespace tamis::translator {

// How many bytes behind `data`, and behind data + X, are known to lie before `data_end`, and where
// the pointers that were compared with it stand.
struct Checked {
    static constexpr std::int32_t unknown = -1;
    std::uint32_t bytes = 0;          // from the packet's start
    std::int32_t end = unknown;       // `checked` = data + end
    std::int32_t indexed = unknown;   // `checked_x` = data + X + indexed
    std::uint32_t indexed_bytes = 0;  // from X on
    bool operator==(Checked const&) const = default;
};

// The order of the bytes of a value in A: a number, or 2 or 4 bytes as they lie in the packet.
enum class Order : std::uint8_t { host, net16, net32 };

// What becomes of a word and its comparison in the fast version: the first of two reads and
// compares both, the second has no code.
enum class Joined : std::uint8_t { no, first, second };

struct Facts {
    static constexpr std::uint32_t never = ~std::uint32_t{0};
    static constexpr std::uint32_t any = ~std::uint32_t{0};

    bool reached = false;  // by some path from the start
    // Upper bounds of A, X and the kept cell before the instruction.
    std::uint32_t most_a = any, most_x = any, most_cell = any;
    std::optional<std::uint32_t> constant;  // A before the instruction, where it is always the same
    // Bytes from the packet's start, and from X on, that every path from here to an accepting end
    // reads; `never` where no path accepts.
    std::uint32_t needed = 0, needed_x = 0;
    std::uint32_t live = 0;      // state that is still read from here on: see state_a and so on
    std::uint32_t live_out = 0;  // the same behind the instruction
    Order order = Order::host;   // of A before the instruction
    bool raw = false;            // a load whose value stays in network order
    Joined joined = Joined::no;
    std::int32_t joined_constant = 0;  // of a comparison that is the first
    Checked before, after;             // in the fast version
    bool fast = false;                 // the fast version gets here,
    bool slow = false;                 // or the slow one does, coming from the fast one's failures
    bool enters_slow = false;          // the fast version goes on in the slow one from here
    // In the slow version the branch is always taken, or never.
    std::optional<bool> slow_way{};
};

// Bits of Facts::live.
inline constexpr std::uint32_t state_a = 1, state_x = 2;
constexpr std::uint32_t state_cell(std::uint32_t k) { return 4U << k; }
// What an instruction reads and writes, metadata that work on A and X included.
std::uint32_t reads(cbpf::Insn const& insn, HookRow const& hook);
std::uint32_t writes(cbpf::Insn const& insn);

// A load of metadata that ends the program with A where the packet has no device
// (net/core/filter.c).
bool may_return_a(cbpf::Insn const& insn, HookRow const& hook);

// A load of packet bytes.
bool reads_packet(cbpf::Insn const& insn);

// A copy of A, to X or to a cell.
bool copies_a(cbpf::Insn const& insn);

// Loads that a pointer reaches: the offset field of a load has 16 bits with a sign, and the
// verifier follows a packet pointer up to 65,535 bytes (MAX_PACKET_OFF).
inline constexpr std::uint32_t max_reach = 0x7fff, max_pointer_reach = 0xffff;
// An indexed load whose X is known to be small: a pointer data + X can be checked once and kept.
bool keeps_pointer(cbpf::Insn const& insn, Facts const& facts);

// Where only pointers read packet bytes: what lies behind `max_pointer_reach` is missing, as is
// what lies outside of the linear part.  A call that reads further would be code for packets that
// nobody sends.
bool only_pointers(HookRow const& hook, Shape const& shape);

// True where a load from this constant offset fails at the hook, whatever the packet.
bool always_fails(HookRow const& hook, Shape const& shape, cbpf::Insn const& insn);

// How A changes when bytes are swapped: the constant to compare or combine it with.
std::uint32_t in_order(Order order, std::uint32_t k);

struct Knowledge {
    std::vector<Facts> facts;  // by instruction
    // A cell that is sure to have a register, if it is used: there the verifier follows its bounds.
    std::optional<std::uint32_t> kept_cell;
    // X is nothing but an index, and has no register: whatever sets it sets `checked_x` to X bytes
    // behind `checked`, or behind `data` where that is unknown.
    bool x_is_pointer = false;
};

// ---- The passes, in their order.  Each relies on the ones before it.

struct Subject {
    cbpf::Program const& program;
    HookRow const& hook;
    Shape const& shape;
};
void find_bounds(Subject const& subject, Knowledge& known);     // bounds.cpp
void find_constants(Subject const& subject, Knowledge& known);  // bounds.cpp
void find_needs(Subject const& subject, Knowledge& known);      // needs.cpp
void find_live(Subject const& subject, Knowledge& known);       // needs.cpp
void find_orders(Subject const& subject, Knowledge& known);     // orders.cpp
void find_checks(Subject const& subject, Knowledge& known);     // checks.cpp
void find_slow(Subject const& subject, Knowledge& known);       // slow_version.cpp
void find_joins(Subject const& subject, Knowledge& known);      // joins.cpp

// Runs all passes.
Knowledge find_facts(cbpf::Program const& program, HookRow const& hook, Shape const& shape);

}  // namespace tamis::translator
