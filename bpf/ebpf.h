// eBPF as data: the instruction, the program with its maps and functions, and the tables of the
// instruction set.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/diagnostic.h"
#include "bpf/result.h"

namespace tamis::ebpf {

struct Insn {  // struct bpf_insn, bit for bit; a 64-bit immediate load takes two of them
    std::uint8_t code = 0;
    std::uint8_t dst : 4 = 0;
    std::uint8_t src : 4 = 0;
    std::int16_t off = 0;
    std::int32_t imm = 0;
    constexpr bool operator==(Insn const&) const = default;
};
static_assert(sizeof(Insn) == 8);

// Of a program, and of what the verifier walks through on all ways together
// (BPF_COMPLEXITY_LIMIT_INSNS, include/linux/bpf.h).
inline constexpr std::size_t max_insns = 1'000'000;

// An instruction from plain numbers; what does not fit a field is cut off.
constexpr Insn make_insn(unsigned code, unsigned dst = 0, unsigned src = 0, int off = 0,
                         std::int32_t imm = 0) {
    Insn insn;
    insn.code = static_cast<std::uint8_t>(code);
    insn.dst = dst & 15;
    insn.src = src & 15;
    insn.off = static_cast<std::int16_t>(off);
    insn.imm = imm;
    return insn;
}

enum class Reg : std::uint8_t { r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 };

// The eight instruction classes: the low three bits of an opcode.
enum class Class : std::uint8_t { ld, ldx, st, stx, alu, jmp, jmp32, alu64 };
// Operand width of a memory access, in the opcode's bits 3-4.
enum class Size : std::uint8_t { word = 0x00, half = 0x08, byte = 0x10, dword = 0x18 };
constexpr unsigned bytes(Size size) {
    return size == Size::word ? 4 : size == Size::half ? 2 : size == Size::byte ? 1 : 8;
}
constexpr Size size_of(unsigned bytes) {
    return bytes == 1   ? Size::byte
           : bytes == 2 ? Size::half
           : bytes == 4 ? Size::word
                        : Size::dword;
}
// Memory access modes, in the opcode's bits 5-7.
enum class Mode : std::uint8_t {
    imm = 0x00,
    abs = 0x20,
    ind = 0x40,
    mem = 0x60,
    memsx = 0x80,
    atomic = 0xc0
};

enum class Alu : std::uint8_t {
    add = 0x00,
    sub = 0x10,
    mul = 0x20,
    div = 0x30,
    or_ = 0x40,
    and_ = 0x50,
    lsh = 0x60,
    rsh = 0x70,
    neg = 0x80,
    mod = 0x90,
    xor_ = 0xa0,
    mov = 0xb0,
    arsh = 0xc0,
    end = 0xd0,
};
enum class Cond : std::uint8_t {
    eq = 0x10,
    gt = 0x20,
    ge = 0x30,
    set = 0x40,
    ne = 0x50,
    sgt = 0x60,
    sge = 0x70,
    lt = 0xa0,
    le = 0xb0,
    slt = 0xc0,
    sle = 0xd0,
};
// Other operations of the jump classes.
enum class Jump : std::uint8_t { ja = 0x00, call = 0x80, exit = 0x90, may_goto = 0xe0 };

// Operations of Mode::atomic, in the immediate (linux/bpf.h; 1 is BPF_FETCH).
enum class Atomic : std::int32_t {
    add = 0x00,
    or_ = 0x40,
    and_ = 0x50,
    xor_ = 0xa0,
    fetch_add = 0x01,
    fetch_or = 0x41,
    fetch_and = 0x51,
    fetch_xor = 0xa1,
    xchg = 0xe1,
    cmpxchg = 0xf1,
    load_acquire = 0x100,
    store_release = 0x110,
};

inline constexpr std::uint8_t source_imm = 0x00,
                              source_reg = 0x08;  // bit 3 of ALU and jump opcodes

// src of a 64-bit immediate load: what the immediate stands for (linux/bpf.h BPF_PSEUDO_*).
enum class Pseudo : std::uint8_t {
    none = 0,
    map_fd = 1,
    map_value = 2,
    btf_id = 3,
    func = 4,
    map_index = 5,
    map_index_value = 6,
};
// src of a call (BPF_PSEUDO_CALL, BPF_PSEUDO_KFUNC_CALL).
enum class Callee : std::uint8_t { helper = 0, local = 1, kfunc = 2 };

// Kernel helpers by number (linux/bpf.h); only those that emitted code may call.
enum class Helper : std::int32_t {
    map_lookup_elem = 1,
    get_prandom_u32 = 7,
    get_smp_processor_id = 8,
    redirect = 23,
    skb_load_bytes = 26,
    probe_read_kernel = 113,
    xdp_get_buff_len = 188,
    xdp_load_bytes = 189,
};

// Kernel functions that emitted code may call, by our own numbers: an instruction names one as a
// call with Callee::kfunc and that number; the object writer turns it into a relocation against the
// name, which the loader looks up in the kernel's BTF.
enum class Kfunc : std::int32_t { dynptr_from_skb, dynptr_slice, dynptr_size, xdp_vlan_tag };
std::string_view name_of(Kfunc function);
inline constexpr std::int32_t kfunc_count = 4;

// A map that a program uses.  Instructions name it by its index in Program::maps, as a 64-bit
// immediate load with Pseudo::map_index; the object writer turns that into a relocation.  The
// kernel's number of the type (BPF_MAP_TYPE_*); those named here are the ones that we make.
enum class MapType : std::uint32_t { array = 2, percpu_array = 6 };
struct MapSpec {
    std::string name;  // at most 15 characters (BPF_OBJ_NAME_LEN - 1)
    MapType type = MapType::array;
    std::uint32_t key_size = 4, max_entries = 1;
    std::string value_type{};  // the BTF struct's name
    // The value's members, all of them 64-bit unsigned counters: enough for BTF to name the fields.
    std::vector<std::string> value_fields{};
    // Of maps in other people's objects.
    std::uint32_t plain_size = 0;         // of a value that is no counters
    std::uint32_t flags = 0;              // BPF_F_*
    std::vector<std::uint8_t> content{};  // global variables: the only value, as it begins
    bool constant = false;                // and it stays like that

    std::uint32_t value_size() const {
        return plain_size + static_cast<std::uint32_t>(8 * value_fields.size());
    }
    bool is_array() const { return type == MapType::array || type == MapType::percpu_array; }
};

// Where an instruction comes from.
struct Origin {
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    std::uint32_t classic =
        none;   // index of the classic instruction; none for code that stands for none
    Span text;  // the filter text behind that instruction; empty where there is none
    bool operator==(Origin const&) const = default;
};

// A function inside a program: [begin, next function's begin).  functions[0] begins at 0 and is the
// entry; the others are static functions `int name(context)`, called with Callee::local and a
// relative immediate.
struct Function {
    std::string name;  // a C identifier, at most 15 characters
    std::uint32_t begin = 0;
};

struct Program {
    std::vector<Insn> insns;
    std::vector<Origin> origin;  // same size as insns
    std::vector<MapSpec> maps;
    std::vector<Function> functions;
};

// ---- Tables of the instruction set, in the words of the kernel's own listings
// (kernel/bpf/disasm.c).

struct AluOp {
    Alu op;
    std::string_view name;       // "+="
    std::string_view sign_name;  // with off == 1: "s/="; empty where off is reserved
};
struct JumpOp {
    Cond op;
    std::string_view name;  // "s>="
};
struct AtomicOp {
    Atomic op;
    // How it is written; {dst}, {src}, {off}, {size} and {width} stand for the fields.
    std::string_view text;
    bool any_size;  // also bytes and half words, not only words and double words
};
// Every operation but neg and end, whose operands have another form.
std::span<AluOp const> alu_ops();
std::span<JumpOp const> jump_ops();
std::span<AtomicOp const> atomic_ops();
// The row of an operation; null when there is none.
AluOp const* find_alu(std::uint8_t code);
JumpOp const* find_jump(std::uint8_t code);
AtomicOp const* find_atomic(std::int32_t imm);

// Whether the instruction at `insns[0]` is one that kernel 6.18 has: known opcode, reserved fields
// zero, registers in range, a 64-bit load followed by its second half.  It says nothing about what
// the verifier thinks of it.
bool known(std::span<Insn const> insns);

// True for the first slot of a 64-bit immediate load, which takes two.
constexpr bool is_ld_imm64(Insn const& insn) { return insn.code == 0x18; }

// The parts of an opcode.
constexpr Class class_of(Insn const& insn) { return static_cast<Class>(insn.code & 0x07); }
constexpr Size size_of(Insn const& insn) { return static_cast<Size>(insn.code & 0x18); }
constexpr Mode mode_of(Insn const& insn) { return static_cast<Mode>(insn.code & 0xe0); }
constexpr std::uint8_t op_of(Insn const& insn) { return insn.code & 0xf0; }  // ALU and jumps
constexpr bool source_is_reg(Insn const& insn) { return (insn.code & 0x08) == source_reg; }

// Where control may go on in a function, as absolute indices; where a jump leads comes first.  A
// call comes back; an exit has nothing behind it.
struct Ways {
    std::array<std::size_t, 2> to{};
    std::size_t count = 0;
    constexpr void add(std::size_t pc) { to[count++] = pc; }
    constexpr std::span<std::size_t const> all() const& { return std::span(to).first(count); }
    std::span<std::size_t const> all() const&& = delete;  // it would dangle
};
constexpr Ways ways(Insn const& insn, std::size_t pc) {
    Ways ways;
    bool const wide = class_of(insn) == Class::jmp;
    if (wide || class_of(insn) == Class::jmp32) {
        auto const op = static_cast<Jump>(op_of(insn));
        if (op == Jump::exit) return ways;
        if (op != Jump::call) {
            std::int64_t const distance = op == Jump::ja && !wide ? insn.imm : insn.off;
            ways.add(pc + 1 + static_cast<std::size_t>(distance));
            if (op == Jump::ja) return ways;
        }
    }
    ways.add(pc + (is_ld_imm64(insn) ? 2U : 1U));
    return ways;
}

// The instructions as the kernel takes them on a little-endian machine: 8 bytes each, opcode first.
std::vector<std::uint8_t> encode(std::span<Insn const> insns);
// The way back.  Fails when the size is no multiple of 8, and on an instruction that is not
// known(), naming its index.
Result<std::vector<Insn>> decode(std::span<std::uint8_t const> bytes);

}  // namespace tamis::ebpf
