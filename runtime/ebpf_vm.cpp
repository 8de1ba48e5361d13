// An interpreter for the eBPF that tamis emits.  Memory is a handful of regions with addresses of
// our own, and every access is checked: the program never sees a host address.  What the
// instructions do is in the kernel's Documentation/bpf/standardization/instruction-set.rst; what
// the context holds is in linux/bpf.h.
#include "runtime/ebpf_vm.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/core.h>

#include "bpf/bytes.h"
#include "bpf/cbpf.h"
#include "bpf/ebpf_text.h"
#include "runtime/ebpf_arithmetic.h"

namespace tamis::runtime {
namespace {

using namespace ebpf;
using namespace arithmetic;

constexpr std::uint8_t u(auto e) { return static_cast<std::uint8_t>(e); }

u64 load_le(std::span<std::uint8_t const> bytes) {
    u64 value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

void store_le(std::span<std::uint8_t> bytes, u64 value) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

// ---- Addresses: a region in the upper 16 bits, an offset in the rest ----

namespace region {
constexpr u64 context = 1, packet = 2;
constexpr u64 skb = 4;         // struct sk_buff; nothing to read there
constexpr u64 map = 3;         // handles for map_lookup_elem; nothing to read there
constexpr u64 stack = 16;      // one region per frame
constexpr u64 map_value = 32;  // one region per map, in which a value is 2^24 apart from the next
}  // namespace region

// Offset 0 is in the middle of its region, so that a little less is still seen as a place near it.
constexpr unsigned region_shift = 48;
constexpr s64 middle = s64{1} << (region_shift - 1);
constexpr u64 address(u64 region, u64 offset = 0) {
    return (region << region_shift) + static_cast<u64>(middle) + offset;
}
constexpr u64 region_of(u64 address) { return address >> region_shift; }
constexpr s64 offset_of(u64 address) {
    return static_cast<s64>(address & ((u64{1} << region_shift) - 1)) - middle;
}
// The same for the entries of a map.
constexpr unsigned value_shift = 24;
constexpr s64 value_middle = s64{1} << (value_shift - 1);
constexpr s64 entry_of(u64 address) { return (offset_of(address) + value_middle) >> value_shift; }
constexpr s64 offset_in_value(u64 address) {
    return offset_of(address) - entry_of(address) * (s64{1} << value_shift);
}

constexpr std::size_t stack_bytes = 512;
constexpr std::size_t max_frames = 8;
constexpr u64 max_steps = 4'000'000;

struct Frame {
    std::array<u64, 11> regs{};
    std::bitset<11> set;  // registers that hold something
    std::array<std::uint8_t, stack_bytes> stack{};
    std::bitset<stack_bytes> written;
    std::size_t return_to = 0;
};

constexpr s64 nf_ctx_skb = 8;  // struct bpf_nf_ctx
// What the kernel keeps in a struct bpf_dynptr is its own; ours holds this, to be recognised.
constexpr u64 dynptr_bytes = 16, dynptr_mark = 0x64796e;

// Return values of helpers: negated errno values of linux/errno.h.
constexpr u64 failed(s64 error) { return static_cast<u64>(-error); }
constexpr s64 efault = 14, einval = 22, enodata = 61;

class Machine {
  public:
    Machine(Program const& program, HookRow const& hook, Packet const& packet, MapMemory& maps,
            std::span<u64> executed)
        : program_(program),
          insns_(program.insns),
          hook_(hook),
          is_xdp_(hook.context == "xdp_md"),
          packet_(packet),
          maps_(maps),
          executed_(executed) {
        push_frame(0);
        if (has_context(hook_)) {
            write(1, address(region::context));
        } else {
            write(1, address(region::packet));
            write(2, address(region::packet, linear_size()));
        }
    }

    Result<u64> run() {
        for (u64 step = 0; !frames_.empty(); ++step) {
            std::size_t const at = pc_;
            if (step == max_steps) return stopped(at, "more than 4 million steps");
            if (at >= insns_.size()) return stopped(at, "the program ends without exit");
            if (!known(insns_.subspan(at))) return stopped(at, "not an instruction");
            if (!executed_.empty()) ++executed_[at];
            ++pc_;
            execute(insns_[at]);
            if (fault_) return stopped(at, *fault_);
        }
        return result_;
    }

  private:
    [[nodiscard]] tl::unexpected<Diagnostic> stopped(std::size_t at, std::string_view why) const {
        std::string const text =
            at < insns_.size() ? disassemble(insns_.subspan(at), &program_) : "end of program";
        return fail({fmt::format("instruction {} '{}': {}", at, text, why), std::nullopt, {}});
    }

    // The first reason to stop; what is computed after it does not matter.
    u64 fault(std::string why) {
        if (!fault_) fault_ = std::move(why);
        return 0;
    }

    // ---- Registers and frames ----

    Frame& frame() { return frames_.back(); }

    void push_frame(std::size_t return_to) {
        Frame next;
        next.return_to = return_to;
        next.regs[10] = address(region::stack + frames_.size(), stack_bytes);
        next.set.set(10);
        frames_.push_back(next);
    }

    u64 read(unsigned reg) {
        if (!frame().set[reg]) return fault(fmt::format("r{} holds nothing", reg));
        return frame().regs[reg];
    }

    void write(unsigned reg, u64 value) {
        if (reg == 10) return void(fault("r10 is read-only"));
        frame().regs[reg] = value;
        frame().set.set(reg);
    }

    // Calls and packet loads leave nothing in the argument registers.
    void clobber() {
        for (std::size_t reg = 1; reg <= 5; ++reg) frame().set.reset(reg);
    }

    void leave(u64 value, bool is_set) {
        std::size_t const return_to = frame().return_to;
        frames_.pop_back();
        if (frames_.empty()) {
            if (!is_set) fault("r0 holds nothing");
            result_ = value;
            return;
        }
        clobber();
        frame().regs[0] = value;
        frame().set.set(0, is_set);
        pc_ = return_to;
    }

    // ---- Memory ----

    Frame* stack_frame(u64 at) {
        u64 const depth = region_of(at) - region::stack;  // wraps below: no frame
        return depth < frames_.size() ? &frames_[depth] : nullptr;
    }

    [[nodiscard]] bool is_map_value(u64 at) const {
        return region_of(at) >= region::map_value &&
               region_of(at) - region::map_value < maps_.size();
    }

    // What a program may write around an address: its stack frame, or one value of a map.
    std::span<std::uint8_t> writable(u64 at) {
        if (Frame* stack = stack_frame(at)) return stack->stack;
        if (!is_map_value(at)) return {};
        u64 const map = region_of(at) - region::map_value;
        u64 const size = program_.maps[map].value_size();
        s64 const entry = entry_of(at);
        if (entry < 0 || std::cmp_greater_equal(entry, program_.maps[map].max_entries)) return {};
        return std::span(maps_[map]).subspan(static_cast<u64>(entry) * size, size);
    }

    std::span<std::uint8_t const> readable(u64 at) {
        if (region_of(at) != region::packet) return writable(at);
        return packet_.bytes.first(linear_size());
    }

    // Where an address is in the span that the two functions above give for it.
    [[nodiscard]] s64 offset_in(u64 at) const {
        return is_map_value(at) ? offset_in_value(at) : offset_of(at);
    }

    bool inside(u64 at, u64 size, std::size_t limit) {
        s64 const offset = offset_in(at);
        if (offset >= 0 && std::cmp_less_equal(offset, limit) &&
            size <= limit - static_cast<u64>(offset))
            return true;
        fault(fmt::format("{} bytes at offset {} of {}", size, offset, place_name(at)));
        return false;
    }

    [[nodiscard]] std::string place_name(u64 at) const {
        u64 const where = region_of(at);
        if (where == region::context) return "the context";
        if (where == region::packet) return fmt::format("a packet of {}", linear_size());
        if (where >= region::stack && where < region::map_value) return "the stack";
        return is_map_value(at) ? "a map value" : "no memory";
    }

    // The bytes that an access reads; empty after a fault.
    std::span<std::uint8_t const> bytes_to_read(u64 at, u64 size) {
        std::span<std::uint8_t const> const bytes = readable(at);
        if (!inside(at, size, bytes.size())) return {};
        auto const offset = static_cast<u64>(offset_in(at));
        if (Frame const* stack = stack_frame(at))
            for (u64 i = 0; i < size; ++i)
                if (!stack->written[offset + i]) {
                    fault("stack bytes that were never written");
                    return {};
                }
        return bytes.subspan(offset, size);
    }

    std::span<std::uint8_t> bytes_to_write(u64 at, u64 size) {
        if (region_of(at) == region::packet || region_of(at) == region::context) {
            fault("packet and context are read-only");
            return {};
        }
        std::span<std::uint8_t> const bytes = writable(at);
        if (!inside(at, size, bytes.size())) return {};
        auto const offset = static_cast<u64>(offset_in(at));
        if (Frame* stack = stack_frame(at))
            for (u64 i = 0; i < size; ++i) stack->written.set(offset + i);
        return bytes.subspan(offset, size);
    }

    // The verifier wants accesses to the stack, and atomic ones anywhere, aligned.
    void need_alignment(u64 at, unsigned size, bool always = false) {
        if ((always || stack_frame(at) != nullptr) && offset_in(at) % s64{size} != 0)
            fault("the access is not aligned");
    }

    u64 load(u64 at, unsigned size) {
        if (region_of(at) == region::context) return load_context(offset_of(at), size);
        need_alignment(at, size);
        return load_le(bytes_to_read(at, size));
    }

    void store(u64 at, unsigned size, u64 value) {
        need_alignment(at, size);
        store_le(bytes_to_write(at, size), value);
    }

    [[nodiscard]] u32 metadata(cbpf::Anc number) const { return packet_.ancillary[u(number) / 4]; }

    [[nodiscard]] u64 linear_size() const {
        return std::min<u64>(packet_.linear.value_or(packet_.bytes.size()), packet_.bytes.size());
    }

    // The kernel turns the 32-bit fields data and data_end into whole pointers.
    [[nodiscard]] std::optional<u64> packet_pointer(s64 offset) const {
        if (hook_.access != Access::pointer) return std::nullopt;
        if (offset == hook_.fields.data) return address(region::packet);
        if (offset == hook_.fields.data_end) return address(region::packet, linear_size());
        return std::nullopt;
    }

    [[nodiscard]] std::optional<u32> context_field(s64 offset) const {
        if (hook_.fields.len >= 0 && offset == hook_.fields.len) return packet_.length;
        auto const at = std::find_if(hook_.metadata.begin(), hook_.metadata.end(),
                                     [&](Metadata const& m) { return m.offset == offset; });
        if (at == hook_.metadata.end()) return std::nullopt;
        u32 const value = metadata(at->number);
        return at->network_order ? static_cast<u32>(swap_bytes(value, 16)) : value;
    }

    u64 load_context(s64 offset, unsigned size) {
        if (hook_.access == Access::dynptr && offset == nf_ctx_skb && size == 8)
            return address(region::skb);
        if (offset >= 0 && size <= 4 && offset % s64{size} == 0) {
            std::optional<u64> const pointer = packet_pointer(offset);
            if (pointer && size == 4) return *pointer;
            std::optional<u32> const value = context_field(offset - offset % 4);
            if (value) return zero_extend(*value >> (8 * (offset % 4)), 8 * size);
        }
        return fault(
            fmt::format("{} bytes at offset {} are no field of the context", size, offset));
    }

    // ---- Instructions ----

    void execute(Insn const& insn) {
        switch (class_of(insn)) {
            case Class::ld:
                return is_ld_imm64(insn) ? load_imm64(insn) : load_packet(insn);
            case Class::ldx:
                return load_memory(insn);
            case Class::st:
                return store(read(insn.dst) + static_cast<u64>(s64{insn.off}), bytes(size_of(insn)),
                             static_cast<u64>(s64{insn.imm}));
            case Class::stx:
                if (mode_of(insn) == Mode::atomic) return atomic(insn);
                return store(read(insn.dst) + static_cast<u64>(s64{insn.off}), bytes(size_of(insn)),
                             read(insn.src));
            case Class::jmp:
            case Class::jmp32:
                return jump(insn);
            case Class::alu:
            case Class::alu64:
                return alu(insn);
        }
    }

    u64 operand(Insn const& insn) {
        return source_is_reg(insn) ? read(insn.src) : static_cast<u64>(s64{insn.imm});
    }

    void alu(Insn const& insn) {
        bool const wide = class_of(insn) == Class::alu64;
        auto const op = static_cast<Alu>(op_of(insn));
        if (op == Alu::end) return write(insn.dst, byte_order(insn, read(insn.dst)));
        if (op == Alu::mov && insn.off == 1)
            return void(fault("there are no address spaces to cast between here"));
        u64 const a = op == Alu::mov ? 0 : read(insn.dst);
        u64 b = operand(insn);
        if (op == Alu::mov && insn.off != 0) b = sign_extend(b, static_cast<unsigned>(insn.off));
        bool const is_signed = insn.off == 1;
        write(insn.dst,
              wide ? compute<u64>(op, is_signed, a, b)
                   : compute<u32>(op, is_signed, static_cast<u32>(a), static_cast<u32>(b)));
    }

    void jump(Insn const& insn) {
        bool const wide = class_of(insn) == Class::jmp;
        switch (static_cast<Jump>(op_of(insn))) {
            case Jump::ja:
                return jump_by(wide ? insn.off : insn.imm);
            case Jump::call:
                return call(insn);
            case Jump::exit:
                return leave(frame().regs[0], frame().set[0]);
            case Jump::may_goto:
                return;  // it may, and here it does not: steps are counted
        }
        auto const cond = static_cast<Cond>(op_of(insn));
        u64 const a = read(insn.dst), b = operand(insn);
        if (wide ? holds<u64>(cond, a, b)
                 : holds<u32>(cond, static_cast<u32>(a), static_cast<u32>(b)))
            jump_by(insn.off);
    }

    void jump_by(s64 distance) {
        s64 const target = static_cast<s64>(pc_) + distance;
        if (target < 0 || std::cmp_greater_equal(target, insns_.size()))
            return void(fault("the jump leaves the program"));
        pc_ = static_cast<std::size_t>(target);
    }

    void load_memory(Insn const& insn) {
        unsigned const size = bytes(size_of(insn));
        u64 const value = load(read(insn.src) + static_cast<u64>(s64{insn.off}), size);
        write(insn.dst, mode_of(insn) == Mode::memsx ? sign_extend(value, 8 * size) : value);
    }

    void load_imm64(Insn const& insn) {
        Insn const& second = insns_[pc_++];
        u64 const low = static_cast<u32>(insn.imm), high = static_cast<u32>(second.imm);
        auto const what = static_cast<Pseudo>(insn.src);
        if (what == Pseudo::none) return write(insn.dst, high << 32 | low);
        bool const is_map = what == Pseudo::map_index || what == Pseudo::map_index_value;
        if (!is_map) return void(fault("maps have indices here, and nothing else is loaded"));
        if (low >= maps_.size()) return void(fault(fmt::format("there is no map {}", low)));
        if (what == Pseudo::map_index) return write(insn.dst, address(region::map, low));
        if (high >= program_.maps[low].value_size())
            return void(fault(fmt::format("offset {} is outside the map value", high)));
        write(insn.dst, address(region::map_value + low, high));
    }

    // LD_ABS and LD_IND: a load outside the packet ends the function with 0.
    void load_packet(Insn const& insn) {
        if (is_xdp_) return void(fault("packet loads need a socket buffer"));
        if (read(6) != address(region::context)) return void(fault("r6 is not the context"));
        u64 const x = mode_of(insn) == Mode::ind ? read(insn.src) : 0;
        if (fault_) return;
        unsigned const size = bytes(size_of(insn));
        auto const at = kernel_index(packet_, static_cast<u32>(x) + static_cast<u32>(insn.imm));
        if (!at || *at + size > packet_.bytes.size()) return leave(0, true);
        clobber();
        write(0, load_be(packet_.bytes, static_cast<std::size_t>(*at), size));
    }

    void atomic(Insn const& insn) {
        unsigned const size = bytes(size_of(insn));
        auto const op = static_cast<Atomic>(insn.imm);
        bool const acquire = op == Atomic::load_acquire;  // the only one with the address in src
        u64 const at = read(acquire ? insn.src : insn.dst) + static_cast<u64>(s64{insn.off});
        if (region_of(at) == region::context || region_of(at) == region::packet)
            return void(fault("atomic access to context or packet"));
        need_alignment(at, size, true);
        if (acquire) return write(insn.dst, load(at, size));
        u64 const value = read(insn.src);
        if (op == Atomic::store_release) return store(at, size, value);
        u64 const old = load(at, size);
        if (op == Atomic::cmpxchg) {
            bool const equal = old == zero_extend(read(0), 8 * size);
            store(at, size, equal ? value : old);
            return write(0, old);
        }
        store(at, size, changed(op, old, value));
        bool const fetch = (insn.imm & 1) != 0;
        if (fetch) write(insn.src, old);
    }

    static u64 changed(Atomic op, u64 old, u64 value) {
        switch (op) {
            case Atomic::add:
            case Atomic::fetch_add:
                return old + value;
            case Atomic::or_:
            case Atomic::fetch_or:
                return old | value;
            case Atomic::and_:
            case Atomic::fetch_and:
                return old & value;
            case Atomic::xor_:
            case Atomic::fetch_xor:
                return old ^ value;
            case Atomic::xchg:
            case Atomic::cmpxchg:
            case Atomic::load_acquire:
            case Atomic::store_release:
                break;
        }
        return value;
    }

    // ---- Calls ----

    void call(Insn const& insn) {
        switch (static_cast<Callee>(insn.src)) {
            case Callee::helper:
                return call_helper(static_cast<Helper>(insn.imm));
            case Callee::local:
                return call_local(insn.imm);
            case Callee::kfunc:
                return call_kfunc(static_cast<Kfunc>(insn.imm));
        }
    }

    void call_local(s32 distance) {
        if (frames_.size() == max_frames) return void(fault("more than 8 frames"));
        Frame const caller = frame();
        push_frame(pc_);
        for (unsigned reg = 1; reg <= 5; ++reg)
            if (caller.set[reg]) write(reg, caller.regs[reg]);
        jump_by(distance);
    }

    void call_helper(Helper helper) {
        u64 const result = result_of(helper);
        clobber();
        write(0, result);
    }

    u64 result_of(Helper helper) {
        switch (helper) {
            case Helper::map_lookup_elem:
                return map_lookup(read(1), read(2));
            case Helper::get_prandom_u32:
                return metadata(cbpf::Anc::random);
            case Helper::get_smp_processor_id:
                return metadata(cbpf::Anc::cpu);
            case Helper::redirect:
                return redirect(read(1), read(2));
            case Helper::skb_load_bytes:
                if (is_xdp_) break;
                return skb_load_bytes(read(1), read(2), read(3), read(4));
            case Helper::xdp_get_buff_len:
                if (!is_xdp_) break;
                need_context(read(1));
                return packet_.bytes.size();
            case Helper::xdp_load_bytes:
                if (!is_xdp_) break;
                return xdp_load_bytes(read(1), read(2), read(3), read(4));
            case Helper::probe_read_kernel:
                if (hook_.access != Access::probe) break;
                return probe_read(read(1), read(2), read(3));
        }
        return fault("hook '" + std::string(hook_.name) + "' has no such helper");
    }

    void call_kfunc(Kfunc function) {
        if (is_xdp_ ? function != Kfunc::xdp_vlan_tag : hook_.access != Access::dynptr)
            return void(fault("hook '" + std::string(hook_.name) + "' has no such function"));
        u64 result = 0;
        switch (function) {
            case Kfunc::dynptr_from_skb:
                result = dynptr_from_skb(read(1), read(2), read(3));
                break;
            case Kfunc::dynptr_slice:
                result = dynptr_slice(read(1), read(2), read(3), read(4));
                break;
            case Kfunc::dynptr_size:
                need_dynptr(read(1));
                result = packet_.bytes.size();
                break;
            case Kfunc::xdp_vlan_tag:
                result = xdp_vlan_tag(read(1), read(2), read(3));
                break;
        }
        clobber();
        write(0, result);
    }

    u64 dynptr_from_skb(u64 skb, u64 flags, u64 to) {
        if (skb != address(region::skb)) return fault("r1 is not the socket buffer");
        std::span<std::uint8_t> const out = bytes_to_write(to, dynptr_bytes);
        if (!out.empty()) {
            store_le(out.first(8), dynptr_mark);
            store_le(out.subspan(8), 0);
        }
        return flags == 0 ? 0 : failed(einval);
    }

    void need_dynptr(u64 at) {
        std::span<std::uint8_t const> const bytes = bytes_to_read(at, dynptr_bytes);
        if (bytes.empty() || load_le(bytes) != dynptr_mark) fault("r1 is not a dynptr");
    }

    // Bytes that are not linear are copied; a whole copy is as good for what reads them.
    u64 dynptr_slice(u64 from, u64 offset, u64 buffer, u64 size) {
        need_dynptr(from);
        std::span<std::uint8_t> const out = bytes_to_write(buffer, static_cast<u32>(size));
        if (fault_ || !in_packet(static_cast<u32>(offset), out.size())) return 0;
        std::copy_n(packet_.bytes.begin() + static_cast<u32>(offset), out.size(), out.begin());
        return buffer;
    }

    // What a driver does that took the tag out.
    u64 xdp_vlan_tag(u64 context, u64 protocol, u64 control) {
        if (!is_xdp_) return fault("hook '" + std::string(hook_.name) + "' has no such function");
        need_context(context);
        if (metadata(cbpf::Anc::vlan_tag_present) == 0) return failed(enodata);
        store(protocol, 2, swap_bytes(metadata(cbpf::Anc::vlan_tpid), 16));
        store(control, 2, metadata(cbpf::Anc::vlan_tag));
        return 0;
    }

    void need_context(u64 pointer) {
        if (pointer != address(region::context)) fault("r1 is not the context");
    }

    u64 map_lookup(u64 map, u64 key) {
        if (region_of(map) != region::map) return fault("r1 is not a map");
        auto const index = static_cast<u64>(offset_of(map));
        if (index >= maps_.size()) return fault("r1 is not a map");
        MapSpec const& spec = program_.maps[index];
        if (!spec.is_array()) return 0;  // nobody has put anything in
        u64 const entry = load_le(bytes_to_read(key, spec.key_size));
        if (entry >= spec.max_entries) return 0;
        return address(region::map_value + index, entry << value_shift);
    }

    // XDP_REDIRECT, or TC_ACT_REDIRECT; nothing is sent.
    u64 redirect(u64 /*interface*/, u64 flags) {
        if (hook_.hook == Hook::socket) return fault("hook 'socket' has no such helper");
        if (is_xdp_) return flags == 0 ? 4 : 0;
        return flags <= 1 ? 7 : 2;
    }

    [[nodiscard]] bool in_packet(u64 offset, u64 size) const {
        return offset <= packet_.bytes.size() && size <= packet_.bytes.size() - offset;
    }

    // Offset and length are 32-bit arguments; the verifier bounds the length by the destination.
    u64 skb_load_bytes(u64 context, u64 offset, u64 to, u64 size) {
        need_context(context);
        std::span<std::uint8_t> const out = bytes_to_write(to, static_cast<u32>(size));
        if (out.empty()) return fault("the length is zero");
        bool const ok = in_packet(static_cast<u32>(offset), out.size());
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = ok ? packet_.bytes[static_cast<u32>(offset) + i] : 0;
        return ok ? 0 : failed(efault);
    }

    u64 probe_read(u64 to, u64 size, u64 from) {
        std::span<std::uint8_t> const out = bytes_to_write(to, static_cast<u32>(size));
        std::span<std::uint8_t const> const in = bytes_to_read(from, out.size());
        std::copy(in.begin(), in.end(), out.begin());
        return 0;
    }

    u64 xdp_load_bytes(u64 context, u64 offset, u64 to, u64 size) {
        need_context(context);
        std::span<std::uint8_t> const out = bytes_to_write(to, static_cast<u32>(size));
        if (out.empty()) return fault("the length is zero");
        if (static_cast<u32>(offset) > 0xffff || out.size() > 0xffff) return failed(efault);
        if (!in_packet(static_cast<u32>(offset), out.size())) return failed(einval);
        std::copy_n(packet_.bytes.begin() + static_cast<u32>(offset), out.size(), out.begin());
        return 0;
    }

    Program const& program_;
    std::span<Insn const> insns_;
    HookRow const& hook_;
    bool is_xdp_;
    Packet const& packet_;
    MapMemory& maps_;
    std::span<u64> executed_;
    std::vector<Frame> frames_;
    std::size_t pc_ = 0;
    u64 result_ = 0;
    std::optional<std::string> fault_;
};

// Arrays have all of their entries, other maps begin with none.
std::size_t bytes_of(MapSpec const& map) {
    return map.is_array() ? std::size_t{map.max_entries} * map.value_size() : 0;
}
constexpr std::size_t most_map_bytes = std::size_t{64} << 20;

}  // namespace

MapMemory map_memory(Program const& program) {
    MapMemory memory;
    for (MapSpec const& map : program.maps) {
        std::vector<std::uint8_t>& bytes = memory.emplace_back();
        if (bytes_of(map) > most_map_bytes) continue;
        bytes = map.content;
        bytes.resize(bytes_of(map), 0);
    }
    return memory;
}

Result<std::uint64_t> run(Program const& program, HookRow const& hook, Packet const& packet,
                          MapMemory& maps, std::span<std::uint64_t> executed) {
    bool const fits = std::equal(maps.begin(), maps.end(), program.maps.begin(), program.maps.end(),
                                 [](std::vector<std::uint8_t> const& memory, MapSpec const& map) {
                                     return memory.size() == bytes_of(map);
                                 });
    if (!fits)
        return fail(
            {"the memory given is not that of the program's maps, or one has more than 64 MiB",
             std::nullopt,
             {}});
    return Machine(program, hook, packet, maps, executed).run();
}

}  // namespace tamis::runtime
