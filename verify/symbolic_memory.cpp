// Packet, stack, map values and context, as eBPF reads and writes them.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "bpf/ebpf_text.h"
#include "verify/symbolic_machine.h"

namespace tamis::verify::symbolic {

using namespace ebpf;

namespace {

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

// Fields that are pointers (data_meta, flow_keys, sk), and where the last number ends.
constexpr s32 sk_buff_pointers[] = {140, 144, 148, 168, 172}, sk_buff_end = 192;
constexpr s32 xdp_pointers[] = {8}, xdp_end = 24;

constexpr s32 nf_ctx_skb = 8;  // struct bpf_nf_ctx

}  // namespace

std::optional<Term> Machine::byte_at(Memory const& memory, Place at) {
    auto cell = memory.upper_bound(at);
    if (cell == memory.begin()) return std::nullopt;
    --cell;
    auto const distance = at.offset - cell->first.offset;
    if (cell->first.region != at.region || std::cmp_greater_equal(distance, cell->second.size) ||
        cell->second.value.type != Type::scalar)
        return std::nullopt;
    return t_.extract(cell->second.value.term, 8 * static_cast<unsigned>(distance), 8);
}

// Region and offset of a pointer to memory that is written.
std::optional<Place> Machine::place(Value const& pointer, s32 offset, unsigned size) {
    Place at{0, pointer.offset + offset};
    if (pointer.type == Type::frame) {
        at.region = pointer.index;
        if (at.offset >= -stack_bytes && at.offset + static_cast<s32>(size) <= 0) return at;
        refuse(fmt::format("{} bytes at r10{:+} are outside the stack", size, at.offset));
        return std::nullopt;
    }
    at.region = first_map_region + pointer.index;
    u32 const limit = program_.maps[out_.maps[pointer.index].map].value_size();
    if (at.offset >= 0 && std::cmp_less_equal(at.offset + static_cast<s32>(size), limit)) return at;
    refuse(fmt::format("{} bytes at offset {} are outside the map value", size, at.offset));
    return std::nullopt;
}

void Machine::store_cell(Place at, unsigned size, Value const& value) {
    forget(at, size);
    s_.memory[at] = {size, value};
}

// What is known of these bytes.  What is covered in part stays readable byte by byte.
void Machine::forget(Place at, unsigned size) {
    Memory rest;
    auto cell = s_.memory.lower_bound({at.region, at.offset - (dynptr_bytes - 1)});
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
}

Value Machine::load_cell(Place at, unsigned size) {
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

void Machine::store(Value const& pointer, s32 offset, unsigned size, Value const& value) {
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
    if (pointer.type == Type::map_value && foreign_) return;  // load_map_value() knows nothing
    if (pointer.type == Type::map_value) old_field(*at, size);
    store_cell(*at, size, scalar(t_.low(value.term, 8 * size)));
}

Value Machine::load(Value const& pointer, s32 offset, unsigned size) {
    switch (pointer.type) {
        case Type::context:
            return load_context(pointer.offset + offset, size);
        case Type::packet:
            return load_packet_bytes(t_.add(pointer.term, number(static_cast<u64>(s64{offset}))),
                                     size);
        case Type::map_value:
            return load_map_value(pointer, offset, size);
        case Type::slice:
            return load_slice(pointer, offset, size);
        case Type::frame: {
            std::optional<Place> const at = place(pointer, offset, size);
            if (!at) return scalar(number(0));
            if (at->offset % static_cast<s32>(size) != 0) refuse("the access is not aligned");
            return load_cell(*at, size);
        }
        case Type::maybe_value:
        case Type::maybe_slice:
            refuse("the pointer may be null");
            break;
        case Type::nothing:
        case Type::scalar:
        case Type::packet_end:
        case Type::map:
        case Type::socket_buffer:
        case Type::dynptr:
            refuse("it reads through something that is no pointer to memory");
            break;
    }
    return scalar(number(0));
}

// Through a pointer: inside the linear part, or the proof fails.  Least significant byte first.
Value Machine::load_packet_bytes(Term offset, unsigned size) {
    oblige(packet_.inside(offset, size, packet_.linear()),
           fmt::format("it reads {} bytes outside the packet's linear part", size));
    return packet_bytes(t_.low(offset, 32), size);
}

// In the order of a little-endian machine.
Value Machine::packet_bytes(Term at, unsigned size) {
    Term value = packet_.byte(at);
    for (unsigned i = 1; i < size; ++i)
        value = t_.concat(packet_.byte(t_.add(at, t_.constant(i, 32))), value);
    return scalar(t_.zext(value, 64));
}

// A slice that is not null lies inside the packet.
Value Machine::load_slice(Value const& pointer, s32 offset, unsigned size) {
    Slice const& slice = slices_[pointer.index];
    s32 const at = pointer.offset + offset;
    if (at < 0 || std::cmp_greater(at + static_cast<s32>(size), slice.size)) {
        refuse(fmt::format("{} bytes at offset {} are outside the slice", size, at));
        return scalar(number(0));
    }
    return packet_bytes(t_.add(slice.offset, t_.constant(static_cast<u32>(at), 32)), size);
}

// Of other people's maps nothing is known, and it may change at any time; constants do not.
Value Machine::load_map_value(Value const& pointer, s32 offset, unsigned size) {
    std::optional<Place> const at = place(pointer, offset, size);
    if (!at) return scalar(number(0));
    if (at->offset % static_cast<s32>(size) != 0) refuse("the access is not aligned");
    if (!foreign_) {
        old_field(*at, size);
        return load_cell(*at, size);
    }
    MapSpec const& map = program_.maps[out_.maps[pointer.index].map];
    if (!map.constant) return scalar(t_.zext(unknown("map value", 8 * size), 64));
    u64 value = 0;
    for (unsigned i = size; i-- > 0;)
        value = value << 8 | map.content[static_cast<std::size_t>(at->offset) + i];
    return scalar(number(value));
}

void Machine::load_imm64(Insn const& insn) {
    u64 const low = static_cast<u32>(insn.imm), high = static_cast<u32>(insns_[pc_ + 1].imm);
    auto const what = static_cast<Pseudo>(insn.src);
    if (what == Pseudo::none) return write(insn.dst, scalar(number(high << 32 | low)));
    bool const is_value = foreign_ && what == Pseudo::map_index_value;
    if ((what != Pseudo::map_index && !is_value) || low >= program_.maps.size())
        return refuse("only numbers and maps by their index are loaded");
    if (!is_value) return write(insn.dst, {Type::map, {}, static_cast<u32>(low), 0});
    // Global variables: the only entry of an array.
    auto const lookup = static_cast<u32>(out_.maps.size());
    out_.maps.push_back({pc_, static_cast<u32>(low), s_.guard, t_.constant(0, 32), {}});
    write(insn.dst, {Type::map_value, {}, lookup, static_cast<s32>(high & 0x7fffffff)});
}

// LD_ABS and LD_IND: a load that fails ends the function with 0.
void Machine::load_packet(Insn const& insn) {
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

Value Machine::load_context(s32 offset, unsigned size) {
    if (hook_.access == Access::dynptr && offset == nf_ctx_skb && size == 8)
        return {Type::socket_buffer};
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

std::optional<Term> Machine::context_field(s32 offset) {
    if (offset == hook_.fields.len) return packet_.length();
    std::span<ContextField const> const fields =
        xdp_ ? std::span<ContextField const>(xdp_fields) : std::span(sk_buff_fields);
    auto const at = std::find_if(fields.begin(), fields.end(),
                                 [&](ContextField const& f) { return f.offset == offset; });
    if (at == fields.end()) {
        // Whatever it is, every look at it sees the same.
        std::span<s32 const> const pointers =
            xdp_ ? std::span<s32 const>(xdp_pointers) : std::span(sk_buff_pointers);
        bool const is_number =
            foreign_ && offset >= 0 && offset < (xdp_ ? xdp_end : sk_buff_end) &&
            std::find(pointers.begin(), pointers.end(), offset) == pointers.end();
        if (!is_number) return std::nullopt;
        return t_.variable(fmt::format("context field {}", offset), 32);
    }
    Term const value = packet_.ancillary(at->value);
    return at->network_order ? t_.zext(swapped(value, 2), 32) : value;
}

// The first touch of a map value's field makes it known.
void Machine::old_field(Place at, unsigned size) {
    if (s_.memory.contains(at)) return;
    s_.memory[at] = {size, old_value(at, size)};
}

Value Machine::old_value(Place at, unsigned size) {
    return scalar(t_.low(t_.variable(old_name(at), 64), 8 * size));
}

std::string Machine::old_name(Place at) {
    return fmt::format("look-up {} at {}", at.region - first_map_region, at.offset);
}

void Machine::atomic(Insn const& insn) {
    if (static_cast<Atomic>(insn.imm) != Atomic::add) return refuse("only `lock +=` is modelled");
    Value const pointer = read(insn.dst);
    unsigned const size = bytes(size_of(insn));
    Value const old = load(pointer, insn.off, size);
    if (old.type != Type::scalar) return refuse("it adds to a pointer");
    store(pointer, insn.off, size, scalar(t_.add(old.term, read_scalar(insn.src))));
}

}  // namespace tamis::verify::symbolic
