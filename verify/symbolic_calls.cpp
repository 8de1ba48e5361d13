// Calls of functions, helpers and kernel functions.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "bpf/ebpf_text.h"
#include "verify/symbolic_machine.h"

namespace tamis::verify::symbolic {

using namespace ebpf;

namespace {

constexpr u64 negated(s64 error) { return static_cast<u64>(-error); }
constexpr s64 efault = 14, enodata = 61;

}  // namespace

void Machine::call(Insn const& insn) {
    Value result = scalar(number(0));
    switch (static_cast<Callee>(insn.src)) {
        case Callee::helper:
            result = result_of(static_cast<Helper>(insn.imm));
            break;
        case Callee::local:
            return call_local(insn);
        case Callee::kfunc:
            result = result_of(static_cast<Kfunc>(insn.imm));
            break;
    }
    clobber();
    write(0, result);
}

void Machine::call_local(Insn const& insn) {
    u32 const pc = pc_, depth = frame_->depth + 1;
    s64 const target = s64{pc} + 1 + insn.imm;
    if (target < 0 || std::cmp_greater_equal(target, insns_.size()))
        return refuse("it leads to no instruction");
    State start = s_;
    std::array<Value, 11> const saved = s_.regs;
    for (std::size_t reg = 0; reg < 11; ++reg)
        if (reg == 0 || reg > 5) start.regs[reg] = {};
    std::optional<State> end = function(static_cast<std::size_t>(target), depth, std::move(start));
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

Value Machine::result_of(Helper helper) {
    switch (helper) {
        case Helper::map_lookup_elem:
            return map_lookup();
        case Helper::get_prandom_u32:
            if (foreign_) return scalar(t_.zext(unknown("random", 32), 64));
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
    if (foreign_)
        if (auto const result = foreign_helper(static_cast<u32>(helper))) return *result;
    refuse(
        fmt::format("helper {} is not modelled for hook {}", static_cast<int>(helper), hook_.name));
    return scalar(number(0));
}

// Helpers of other people's programs that look at nothing we model and change nothing of it.
std::optional<Value> Machine::foreign_helper(u32 helper) {
    constexpr u32 numbers[] = {
        2,    // map_update_elem
        3,    // map_delete_elem
        5,    // ktime_get_ns
        6,    // trace_printk
        25,   // perf_event_output
        34,   // get_hash_recalc
        42,   // get_numa_node_id
        46,   // get_socket_cookie
        47,   // get_socket_uid
        125,  // ktime_get_boot_ns
        130,  // ringbuf_output
        134,  // ringbuf_query
        160,  // ktime_get_coarse_ns
        177,  // trace_vprintk
    };
    if (std::find(std::begin(numbers), std::end(numbers), helper) == std::end(numbers))
        return std::nullopt;
    return scalar(unknown("helper", 64));
}

Term Machine::unknown(std::string_view what, unsigned width) {
    return t_.variable(fmt::format("{} {}", what, unknowns_++), width);
}

Value Machine::result_of(Kfunc function) {
    bool const has = xdp_ ? function == Kfunc::xdp_vlan_tag : hook_.access == Access::dynptr;
    if (!has) {
        refuse("the hook has no such function");
        return scalar(number(0));
    }
    switch (function) {
        case Kfunc::dynptr_from_skb:
            return dynptr_from_skb();
        case Kfunc::dynptr_slice:
            return dynptr_slice();
        case Kfunc::dynptr_size:
            need_dynptr();
            return scalar(t_.zext(packet_.length(), 64));
        case Kfunc::xdp_vlan_tag:
            return xdp_vlan_tag();
    }
    refuse("this kernel function is not modelled");
    return scalar(number(0));
}

// bpf_dynptr_from_skb(skb, flags, ptr): 0, and `ptr` stands for all of the packet.
Value Machine::dynptr_from_skb() {
    Value const skb = read(1), to = read(3);
    if (skb.type != Type::socket_buffer || !t_.is(read_scalar(2), 0) || to.type != Type::frame)
        refuse("only a dynptr of the packet, without flags, on the stack is modelled");
    std::optional<Place> const at = refusal_ ? std::nullopt : place(to, 0, dynptr_bytes);
    if (at) store_cell(*at, dynptr_bytes, {Type::dynptr});
    return scalar(number(0));
}

// bpf_xdp_metadata_rx_vlan_tag(ctx, protocol, tci): 0 and the tag that the driver took out, or an
// error, and the words are what they were.
Value Machine::xdp_vlan_tag() {
    need_context();
    Term const absent = t_.eq(packet_.ancillary(cbpf::Anc::vlan_tag_present), t_.constant(0, 32));
    Term const words[] = {swapped(packet_.ancillary(cbpf::Anc::vlan_tpid), 2),
                          t_.low(packet_.ancillary(cbpf::Anc::vlan_tag), 16)};
    for (unsigned i = 0; i < 2; ++i) {
        Value const to = read(2 + i);
        if (to.type != Type::frame) refuse(fmt::format("r{} is no room on the stack", 2 + i));
        std::optional<Place> const at = refusal_ ? std::nullopt : place(to, 0, 2);
        if (!at) return scalar(number(0));
        Term const old = t_.low(load_cell(*at, 2).term, 16);
        store_cell(*at, 2, scalar(t_.ite(absent, old, words[i])));
    }
    return scalar(t_.ite(absent, number(negated(enodata)), number(0)));
}

void Machine::need_dynptr() {
    Value const pointer = read(1);
    auto const cell = s_.memory.find({pointer.index, pointer.offset});
    if (pointer.type != Type::frame || cell == s_.memory.end() ||
        cell->second.value.type != Type::dynptr)
        refuse("r1 is not a dynptr");
}

// bpf_dynptr_slice(ptr, offset, buffer, size): where the bytes are, in the packet or copied to the
// buffer; null when they are not all in the packet.
Value Machine::dynptr_slice() {
    need_dynptr();
    Term const offset = t_.low(read_scalar(2), 32);
    Value const buffer = read(3);
    auto const size = static_cast<unsigned>(read_constant(4));
    if (buffer.type != Type::frame || size == 0 || size > stack_bytes)
        refuse("the buffer is no room on the stack");
    std::optional<Place> const at = refusal_ ? std::nullopt : place(buffer, 0, size);
    if (!at) return scalar(number(0));
    forget(*at, size);
    Term const good = packet_.inside(t_.zext(offset, 64), size, packet_.captured());
    slices_.push_back({offset, size});
    return {Type::maybe_slice, t_.not_(good), static_cast<u32>(slices_.size() - 1), 0};
}

void Machine::need_context() {
    if (read(1).type != Type::context) refuse("r1 is not the context");
}

// XDP_REDIRECT or TC_ACT_REDIRECT, and otherwise a drop.
Value Machine::redirect() {
    if (hook_.hook == Hook::socket) refuse("sockets have no such helper");
    s_.redirected = t_.low(read_scalar(1), 32);
    Term const flags = read_scalar(2);
    Term const good = t_.ule(flags, number(xdp_ ? 0 : 1));
    return scalar(t_.ite(good, number(xdp_ ? 4 : 7), number(xdp_ ? 0 : 2)));
}

// bpf_skb_load_bytes and bpf_xdp_load_bytes: r0 tells whether the bytes are in the packet.
Value Machine::load_bytes() {
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

// What maps hold is not known.  An array has an entry for every index below its end; of other maps
// it is not known whether they have it.
Value Machine::map_lookup() {
    Value const map = read(1), key = read(2);
    if (map.type != Type::map) {
        refuse("r1 is not a map");
        return scalar(number(0));
    }
    MapSpec const& spec = program_.maps[map.index];
    Term index = t_.constant(0, 32), absent = t_.truth(true);
    if (spec.is_array()) {
        std::optional<Place> const at =
            key.type == Type::frame ? place(key, 0, spec.key_size) : std::nullopt;
        if (!at || spec.key_size != 4) {
            refuse("r2 is not an index on the stack");
            return scalar(number(0));
        }
        index = t_.low(load_cell(*at, 4).term, 32);
        absent = t_.ule(t_.constant(spec.max_entries, 32), index);
    } else {
        absent = unknown("absent", 0);
    }
    auto const number_of = static_cast<u32>(out_.maps.size());
    out_.maps.push_back({pc_, map.index, s_.guard, index, {}});
    return {Type::maybe_value, absent, number_of, 0};
}

void Machine::collect_fields(std::size_t lookup, State const& end) {
    u32 const region = first_map_region + static_cast<u32>(lookup);
    for (auto const& [place, cell] : end.memory) {
        if (place.region != region || cell.size != 8) continue;
        out_.maps[lookup].fields.push_back(
            {place.offset, t_.variable(old_name(place), 64), cell.value.term});
    }
}

}  // namespace tamis::verify::symbolic
