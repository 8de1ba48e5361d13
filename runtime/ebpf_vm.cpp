// An interpreter for the eBPF that tamis emits: registers, instructions and calls.  What the
// instructions do is in the kernel's Documentation/bpf/standardization/instruction-set.rst; what
// the context holds is in linux/bpf.h.
#include "runtime/ebpf_vm.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "bpf/bytes.h"
#include "bpf/cbpf.h"
#include "bpf/ebpf_text.h"
#include "runtime/ebpf_arithmetic.h"
#include "runtime/ebpf_memory.h"

namespace tamis::runtime {
namespace {

using namespace ebpf;
using namespace arithmetic;

constexpr std::size_t max_frames = 8;
constexpr u64 max_steps = 4'000'000;

struct Frame {
    std::array<u64, 11> regs{};
    std::bitset<11> set;  // registers that hold something
    std::size_t return_to = 0;
};

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
          memory_(program, hook, packet, maps),
          executed_(executed) {
        push_frame(0);
        if (has_context(hook_)) {
            write(1, Memory::context());
        } else {
            write(1, Memory::packet());
            write(2, memory_.packet_end());
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
            if (memory_.fault()) return stopped(at, *memory_.fault());
        }
        return result_;
    }

  private:
    [[nodiscard]] tl::unexpected<Diagnostic> stopped(std::size_t at, std::string_view why) const {
        std::string const text =
            at < insns_.size() ? disassemble(insns_.subspan(at), &program_) : "end of program";
        return fail({fmt::format("instruction {} '{}': {}", at, text, why), std::nullopt, {}});
    }

    u64 fault(std::string why) { return memory_.fault(std::move(why)); }

    // ---- Registers and frames ----

    Frame& frame() { return frames_.back(); }

    void push_frame(std::size_t return_to) {
        Frame next;
        next.return_to = return_to;
        next.regs[10] = memory_.push_stack();
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
        memory_.pop_stack();
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

    // ---- Instructions ----

    void execute(Insn const& insn) {
        switch (class_of(insn)) {
            case Class::ld:
                return is_ld_imm64(insn) ? load_imm64(insn) : load_packet(insn);
            case Class::ldx:
                return load_memory(insn);
            case Class::st:
                return memory_.store(read(insn.dst) + static_cast<u64>(s64{insn.off}),
                                     bytes(size_of(insn)), static_cast<u64>(s64{insn.imm}));
            case Class::stx:
                if (mode_of(insn) == Mode::atomic) return atomic(insn);
                return memory_.store(read(insn.dst) + static_cast<u64>(s64{insn.off}),
                                     bytes(size_of(insn)), read(insn.src));
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
        u64 const value = memory_.load(read(insn.src) + static_cast<u64>(s64{insn.off}), size);
        write(insn.dst, mode_of(insn) == Mode::memsx ? sign_extend(value, 8 * size) : value);
    }

    void load_imm64(Insn const& insn) {
        Insn const& second = insns_[pc_++];
        u64 const low = static_cast<u32>(insn.imm), high = static_cast<u32>(second.imm);
        auto const what = static_cast<Pseudo>(insn.src);
        if (what == Pseudo::none) return write(insn.dst, high << 32 | low);
        bool const is_map = what == Pseudo::map_index || what == Pseudo::map_index_value;
        if (!is_map) return void(fault("maps have indices here, and nothing else is loaded"));
        if (low >= program_.maps.size()) return void(fault(fmt::format("there is no map {}", low)));
        if (what == Pseudo::map_index) return write(insn.dst, Memory::map(low));
        if (high >= program_.maps[low].value_size())
            return void(fault(fmt::format("offset {} is outside the map value", high)));
        write(insn.dst, Memory::map_value(low, 0, high));
    }

    // LD_ABS and LD_IND: a load outside the packet ends the function with 0.
    void load_packet(Insn const& insn) {
        if (is_xdp_) return void(fault("packet loads need a socket buffer"));
        if (read(6) != Memory::context()) return void(fault("r6 is not the context"));
        u64 const x = mode_of(insn) == Mode::ind ? read(insn.src) : 0;
        if (memory_.fault()) return;
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
        if (Memory::is_read_only(at)) return void(fault("atomic access to context or packet"));
        memory_.need_alignment(at, size, true);
        if (acquire) return write(insn.dst, memory_.load(at, size));
        u64 const value = read(insn.src);
        if (op == Atomic::store_release) return memory_.store(at, size, value);
        u64 const old = memory_.load(at, size);
        if (op == Atomic::cmpxchg) {
            bool const equal = old == zero_extend(read(0), 8 * size);
            memory_.store(at, size, equal ? value : old);
            return write(0, old);
        }
        memory_.store(at, size, changed(op, old, value));
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
                return memory_.metadata(cbpf::Anc::random);
            case Helper::get_smp_processor_id:
                return memory_.metadata(cbpf::Anc::cpu);
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
        if (skb != Memory::skb()) return fault("r1 is not the socket buffer");
        std::span<std::uint8_t> const out = memory_.bytes_to_write(to, dynptr_bytes);
        if (!out.empty()) {
            tamis::store(out, 0, 8, Endian::little, dynptr_mark);
            std::fill(out.begin() + 8, out.end(), std::uint8_t{0});
        }
        return flags == 0 ? 0 : failed(einval);
    }

    void need_dynptr(u64 at) {
        std::span<std::uint8_t const> const bytes = memory_.bytes_to_read(at, dynptr_bytes);
        if (bytes.empty() || tamis::load(bytes, 0, 8, Endian::little) != dynptr_mark)
            fault("r1 is not a dynptr");
    }

    // Bytes that are not linear are copied; a whole copy is as good for what reads them.
    u64 dynptr_slice(u64 from, u64 offset, u64 buffer, u64 size) {
        need_dynptr(from);
        std::span<std::uint8_t> const out = memory_.bytes_to_write(buffer, static_cast<u32>(size));
        if (memory_.fault() || !in_packet(static_cast<u32>(offset), out.size())) return 0;
        std::copy_n(packet_.bytes.begin() + static_cast<u32>(offset), out.size(), out.begin());
        return buffer;
    }

    // What a driver does that took the tag out.
    u64 xdp_vlan_tag(u64 context, u64 protocol, u64 control) {
        if (!is_xdp_) return fault("hook '" + std::string(hook_.name) + "' has no such function");
        need_context(context);
        if (memory_.metadata(cbpf::Anc::vlan_tag_present) == 0) return failed(enodata);
        memory_.store(protocol, 2, swap_bytes(memory_.metadata(cbpf::Anc::vlan_tpid), 16));
        memory_.store(control, 2, memory_.metadata(cbpf::Anc::vlan_tag));
        return 0;
    }

    void need_context(u64 pointer) {
        if (pointer != Memory::context()) fault("r1 is not the context");
    }

    u64 map_lookup(u64 map, u64 key) {
        auto const index = memory_.map_at(map);
        if (!index) return fault("r1 is not a map");
        MapSpec const& spec = program_.maps[*index];
        if (!spec.is_array()) return 0;  // nobody has put anything in
        std::span<std::uint8_t const> const bytes = memory_.bytes_to_read(key, spec.key_size);
        if (bytes.empty()) return 0;
        u64 const entry = tamis::load(bytes, 0, spec.key_size, Endian::little);
        if (entry >= spec.max_entries) return 0;
        return Memory::map_value(*index, entry, 0);
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
        std::span<std::uint8_t> const out = memory_.bytes_to_write(to, static_cast<u32>(size));
        if (out.empty()) return fault("the length is zero");
        bool const ok = in_packet(static_cast<u32>(offset), out.size());
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = ok ? packet_.bytes[static_cast<u32>(offset) + i] : 0;
        return ok ? 0 : failed(efault);
    }

    u64 probe_read(u64 to, u64 size, u64 from) {
        std::span<std::uint8_t> const out = memory_.bytes_to_write(to, static_cast<u32>(size));
        std::span<std::uint8_t const> const in = memory_.bytes_to_read(from, out.size());
        std::copy(in.begin(), in.end(), out.begin());
        return 0;
    }

    u64 xdp_load_bytes(u64 context, u64 offset, u64 to, u64 size) {
        need_context(context);
        std::span<std::uint8_t> const out = memory_.bytes_to_write(to, static_cast<u32>(size));
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
    Memory memory_;
    std::span<u64> executed_;
    std::vector<Frame> frames_;
    std::size_t pc_ = 0;
    u64 result_ = 0;
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
