// The kernel's translation.  Everything here is Linux's choice: registers, order, junk fields that
// are carried along, checks that do nothing.  Facts are those of kernels 5.10 to 7.3.
#include "translator/kernel_form.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <limits>

#include "bpf/cbpf_check.h"
#include "translator/target.h"

namespace tamis::translator {
namespace {

using cbpf::Anc;
using cbpf::Kind;
using Use = KernelModel::Use;

// The kernel's registers beside A, X, context and frame, which target.h has.
constexpr Reg temporary = Reg::r2, skb_data = Reg::r8, head_length = Reg::r9;

// The opcodes that the translation consists of; `_k` takes the immediate, `_x` a register.
enum Code : std::uint8_t {
    mov_x = 0xbf,
    mov_k = 0xb7,
    mov32_x = 0xbc,
    mov32_k = 0xb4,
    xor32_x = 0xac,
    sub32_x = 0x1c,
    add_k = 0x07,
    sub_k = 0x17,
    and32_k = 0x54,
    lsh32_k = 0x64,
    rsh32_k = 0x74,
    to_be = 0xdc,
    load_byte = 0x71,
    load_half = 0x69,
    load_word = 0x61,
    load_dword = 0x79,
    store_word = 0x63,
    jump_always = 0x05,
    jeq_k = 0x15,
    jne_k = 0x55,
    jslt_k = 0xc5,
    jsge_k = 0x75,
    call = 0x85,
    exit_ = 0x95,
};

// What a seccomp filter sees in place of a packet (struct seccomp_data).
constexpr std::uint32_t seccomp_data_size = 64;

constexpr std::int32_t signed_k(std::uint32_t k) { return static_cast<std::int32_t>(k); }
constexpr unsigned number(Reg reg) { return static_cast<unsigned>(reg); }

// Ancillary values that are one field of the sk_buff, and what is done to it.
struct FieldRow {
    Anc ancillary;
    Symbol field;
    Code load;
    bool network_order;  // 16 bits
};
constexpr FieldRow fields[] = {
    {Anc::protocol, Symbol::protocol, load_half, true},
    {Anc::mark, Symbol::mark, load_word, false},
    {Anc::rxhash, Symbol::hash, load_word, false},
    {Anc::queue, Symbol::queue_mapping, load_half, false},
    {Anc::vlan_tag, Symbol::vlan_tci, load_half, false},
    {Anc::vlan_tpid, Symbol::vlan_proto, load_half, true},
};

// Ancillary values that a function of (skb, A, X) computes.
struct FunctionRow {
    Anc ancillary;
    Symbol function;
};
constexpr FunctionRow functions[] = {
    {Anc::pay_offset, Symbol::pay_offset},   {Anc::nlattr, Symbol::nlattr},
    {Anc::nlattr_nest, Symbol::nlattr_nest}, {Anc::cpu, Symbol::cpu_id},
    {Anc::random, Symbol::random},
};

template <class Row, std::size_t N>
Row const* find(Row const (&rows)[N], Anc ancillary) {
    auto const* at = std::find_if(std::begin(rows), std::end(rows),
                                  [&](Row const& r) { return r.ancillary == ancillary; });
    return at == std::end(rows) ? nullptr : at;
}

bool is_ancillary(cbpf::Insn const& insn, Kind kind) {
    return kind == Kind::load_abs && cbpf::find_ancillary(insn.k) != nullptr;
}

bool reads_packet(cbpf::Insn const& insn, Kind kind) {
    return (kind == Kind::load_abs && !is_ancillary(insn, kind)) || kind == Kind::load_ind ||
           kind == Kind::load_msh;
}

class Conversion {
  public:
    Conversion(cbpf::Program const& program, KernelModel const& model)
        : program_(program), model_(model) {}

    tl::expected<KernelProgram, KernelRefusal> run() {
        std::size_t const size = program_.insns.size();
        out_.insns.reserve(6 * size);
        out_.origin.reserve(6 * size);
        out_.symbols.reserve(6 * size);
        prologue();
        for (pc_ = 0; pc_ < size; ++pc_) {
            address_.push_back(out_.insns.size());
            origin_.classic = static_cast<std::uint32_t>(pc_);
            if (pc_ < program_.origin.size()) origin_.text = program_.origin[pc_];
            instruction();
        }
        if (auto refused = patch_jumps()) return tl::unexpected(std::move(*refused));
        return std::move(out_);
    }

  private:
    struct Jump {
        std::size_t index, classic, target;
    };

    cbpf::Insn const& insn() const { return program_.insns[pc_]; }

    void put(unsigned code, Reg dst = Reg::r0, Reg src = Reg::r0, int off = 0, std::int32_t imm = 0,
             Symbol symbol = Symbol::none) {
        out_.insns.push_back(ebpf::make_insn(code, number(dst), number(src), off, imm));
        out_.origin.push_back(origin_);
        out_.symbols.push_back(symbol);
    }
    void put_k(Code code, Reg dst, std::int32_t imm) { put(code, dst, Reg::r0, 0, imm); }
    void load_field(Code code, Reg dst, Reg base, Symbol field) {
        put(code, dst, base, 0, 0, field);
    }
    void call_function(Symbol function) { put(call, Reg::r0, Reg::r0, 0, 0, function); }

    void prologue() {
        put(xor32_x, A, A);
        put(xor32_x, X, X);
        put(mov_x, context, Reg::r1);
        // seccomp's loads are none of these.
        bool const loads =
            std::any_of(program_.insns.begin(), program_.insns.end(), [&](cbpf::Insn const& i) {
                return !is_seccomp_word(i) && reads_packet(i, cbpf::find(i.code)->kind);
            });
        if (!loads) return;
        load_field(load_dword, skb_data, context, Symbol::data);
        load_field(load_word, head_length, context, Symbol::len);
        load_field(load_word, temporary, context, Symbol::data_len);
        put(sub32_x, head_length, temporary);
    }

    bool is_seccomp_word(cbpf::Insn const& i) const {
        return model_.use == Use::seccomp && i.code == 0x20;
    }

    void instruction() {
        cbpf::Op const& op = *cbpf::find(insn().code);
        std::int32_t const k = signed_k(insn().k);
        bool const with_x = (op.reads & cbpf::X) != 0;
        Reg const dst = (op.writes & cbpf::X) != 0 ? X : A;
        switch (op.kind) {
            case Kind::load_imm:
                put_k(mov32_k, dst, k);
                break;
            case Kind::load_abs:
                if (is_seccomp_word(insn()))
                    put(load_word, A, context, k);
                else if (cbpf::Ancillary const* const found = cbpf::find_ancillary(insn().k))
                    ancillary(found->number);
                else
                    packet(op.arg, false);
                break;
            case Kind::load_ind:
                packet(op.arg, true);
                break;
            case Kind::load_mem:
                put(load_word, dst, frame, cell(insn().k));
                break;
            case Kind::load_len:
                if (model_.use == Use::seccomp)
                    put_k(mov32_k, dst, signed_k(seccomp_data_size));
                else
                    load_field(load_word, dst, context, Symbol::len);
                break;
            case Kind::load_msh:
                put(mov_x, X, A);
                packet(1, false);
                put_k(and32_k, A, 0xf);
                put_k(lsh32_k, A, 2);
                put(mov_x, temporary, X);
                put(mov_x, X, A);
                put(mov_x, A, temporary);
                break;
            case Kind::store:
                put(store_word, frame, with_x ? X : A, cell(insn().k));
                out_.stack_depth = std::max(out_.stack_depth, 4 * insn().k + 4);
                break;
            case Kind::alu:
                if (with_x && (op.alu() == cbpf::Alu::div || op.alu() == cbpf::Alu::mod))
                    end_if_x_is_zero();
                [[fallthrough]];
            case Kind::neg:
                // Both operands go along, whichever the instruction uses.
                put(insn().code, A, X, 0, k);
                break;
            case Kind::jump:
                jump_to(jump_always, Reg::r0, Reg::r0, 0,
                        cbpf::targets(insn(), pc_, op.kind).taken);
                break;
            case Kind::branch:
                branch(op, with_x);
                break;
            case Kind::ret:
                if (op.reads == cbpf::none) put_k(mov32_k, A, k);
                put(exit_);
                break;
            case Kind::copy:
                put(mov_x, dst, dst == X ? A : X);
                break;
        }
    }

    void end_if_x_is_zero() {
        put(mov32_x, X, X);
        put(jne_k, X, Reg::r0, 2);
        put(xor32_x, A, A);
        put(exit_);
    }

    void branch(cbpf::Op const& op, bool with_x) {
        std::int32_t k = signed_k(insn().k);
        Reg src = with_x ? X : Reg::r0;
        unsigned code = insn().code;
        // A 64-bit comparison sign-extends its immediate; A is zero-extended.
        if (!with_x && k < 0) {
            put_k(mov32_k, temporary, k);
            src = temporary;
            code |= ebpf::source_reg;
            k = 0;
        }
        auto const [taken, fallen] = cbpf::targets(insn(), pc_, op.kind);
        if (insn().jf == 0) {
            jump_to(code, A, src, k, taken);
        } else if (insn().jt == 0 && op.cond() != cbpf::Cond::set) {
            jump_to(inverted(op.cond()) | (code & ebpf::source_reg), A, src, k, fallen);
        } else {
            jump_to(code, A, src, k, taken);
            jump_to(jump_always, Reg::r0, Reg::r0, 0, fallen);
        }
    }

    // The opcode, immediate form, of the opposite comparison; a bit test has none.
    static unsigned inverted(cbpf::Cond cond) {
        switch (cond) {
            case cbpf::Cond::eq:
                return 0x55;
            case cbpf::Cond::gt:
                return 0xb5;
            case cbpf::Cond::ge:
                return 0xa5;
            case cbpf::Cond::set:
                break;
        }
        assert(false);
        return 0;
    }

    void jump_to(unsigned code, Reg dst, Reg src, std::int32_t imm, std::size_t target) {
        jumps_.push_back({out_.insns.size(), pc_, target});
        put(code, dst, src, 0, imm);
    }

    bool reads_directly(std::uint32_t size) const {
        if (signed_k(insn().k) < 0) return false;  // relative to a header
        switch (model_.alignment) {
            case KernelModel::Alignment::any:
                return true;
            case KernelModel::Alignment::offset_zero:
                return insn().k + model_.ip_align % size == 0;
            case KernelModel::Alignment::aligned:
                return (insn().k + model_.ip_align) % size == 0;
        }
        return false;
    }

    // A = `size` bytes of the packet: directly where all of them lie in the linear part, else by a
    // function, whose negative answer ends the program.
    void packet(std::uint32_t size, bool indexed) {
        if (!indexed && reads_directly(size)) read_directly(static_cast<int>(size));
        std::int32_t const k = signed_k(insn().k);
        put(mov_x, Reg::r1, context);
        put(mov_x, Reg::r2, skb_data);
        put(mov_x, Reg::r3, head_length);
        if (indexed) {
            put(mov_x, Reg::r4, X);
            if (k != 0) put_k(add_k, Reg::r4, k);
        } else {
            put_k(mov_k, Reg::r4, k);
        }
        call_function(size == 1 ? Symbol::load_8 : size == 2 ? Symbol::load_16 : Symbol::load_32);
        put(jsge_k, A, Reg::r0, 2);
        put(xor32_x, A, A);
        put(exit_);
    }

    void read_directly(int size) {
        constexpr int by_function = 8;  // what packet() puts behind this
        std::int32_t const k = signed_k(insn().k);
        bool const far = k > std::numeric_limits<std::int16_t>::max(), swaps = size > 1;
        Code const load = size == 1 ? load_byte : size == 2 ? load_half : load_word;
        put(mov_x, temporary, head_length);
        if (k != 0) put_k(sub_k, temporary, k);
        put(jslt_k, temporary, Reg::r0, 2 + (swaps ? 1 : 0) + (far ? 2 : 0), size);
        if (far) {
            put(mov_x, temporary, skb_data);
            put_k(add_k, temporary, k);
            put(load, A, temporary);
        } else {
            put(load, A, skb_data, k);
        }
        if (swaps) put_k(to_be, A, 8 * size);
        put(jump_always, Reg::r0, Reg::r0, by_function);
    }

    void ancillary(Anc ancillary) {
        if (FieldRow const* const row = find(fields, ancillary)) {
            load_field(row->load, A, context, row->field);
            if (row->network_order) put_k(to_be, A, 16);
            return;
        }
        if (FunctionRow const* const row = find(functions, ancillary)) {
            put(mov_x, Reg::r1, context);
            put(mov_x, Reg::r2, A);
            put(mov_x, Reg::r3, X);
            call_function(row->function);
            return;
        }
        switch (ancillary) {
            case Anc::pkttype:
                load_field(load_byte, A, context, Symbol::pkt_type);
                put_k(and32_k, A, model_.big_endian ? 7 << 5 : 7);
                if (model_.big_endian) put_k(rsh32_k, A, 5);
                break;
            case Anc::ifindex:
                device(load_word, Symbol::ifindex);
                break;
            case Anc::hatype:
                device(load_half, Symbol::type);
                break;
            case Anc::vlan_tag_present:
                vlan_tag_present();
                break;
            case Anc::alu_xor_x:
                put(xor32_x, A, X);
                break;
            case Anc::protocol:
            case Anc::mark:
            case Anc::rxhash:
            case Anc::queue:
            case Anc::vlan_tag:
            case Anc::vlan_tpid:  // fields, above
            case Anc::pay_offset:
            case Anc::nlattr:
            case Anc::nlattr_nest:
            case Anc::cpu:
            case Anc::random:  // functions, above
                assert(false);
                break;
        }
    }

    // A packet without a device ends the program with whatever A is.
    void device(Code load, Symbol field) {
        load_field(load_dword, temporary, context, Symbol::dev);
        put(jne_k, temporary, Reg::r0, 1);
        put(exit_);
        load_field(load, A, temporary, field);
    }

    void vlan_tag_present() {
        switch (model_.vlan_present) {
            case KernelModel::VlanPresent::word:
                load_field(load_word, A, context, Symbol::vlan_all);
                put(jeq_k, A, Reg::r0, 1);
                put_k(mov32_k, A, 1);
                break;
            case KernelModel::VlanPresent::bit:
                load_field(load_byte, A, context, Symbol::vlan_present);
                if (model_.vlan_present_bit != 0) put_k(rsh32_k, A, model_.vlan_present_bit);
                put_k(and32_k, A, 1);
                break;
        }
    }

    // The kernel emits twice with one table of addresses.  The first time all targets ahead, which
    // are all there are, still count as address 0: a jump beyond 32,767 then does not fit, however
    // short it will be.
    std::optional<KernelRefusal> patch_jumps() {
        constexpr std::size_t most = std::numeric_limits<std::int16_t>::max();
        for (Jump const& jump : jumps_)
            if (jump.index > most)
                return KernelRefusal{EINVAL, jump.classic,
                                     "its translation puts a jump at instruction " +
                                         std::to_string(jump.index) +
                                         "; the last place for one is " + std::to_string(most)};
        for (Jump const& jump : jumps_) {
            std::size_t const distance = address_[jump.target] - jump.index - 1;
            if (distance > most)
                return KernelRefusal{EINVAL, jump.classic,
                                     "its translation jumps over " + std::to_string(distance) +
                                         " instructions, at most " + std::to_string(most)};
            out_.insns[jump.index].off = static_cast<std::int16_t>(distance);
        }
        return std::nullopt;
    }

    cbpf::Program const& program_;
    KernelModel const& model_;
    KernelProgram out_;
    std::vector<std::size_t> address_;  // of every classic instruction's group
    std::vector<Jump> jumps_;
    ebpf::Origin origin_;
    std::size_t pc_ = 0;
};

// What seccomp lets through of that which passed bpf_check_classic (seccomp_check_filter).
std::optional<KernelRefusal> seccomp_refusal(std::vector<cbpf::Insn> const& insns) {
    for (std::size_t pc = 0; pc < insns.size(); ++pc) {
        cbpf::Op const& op = *cbpf::find(insns[pc].code);
        std::uint32_t const k = insns[pc].k;
        auto const refuse = [&](std::string rule) { return KernelRefusal{EINVAL, pc, rule}; };
        if (op.kind == Kind::load_abs && op.arg != 4)
            return refuse("a seccomp filter loads whole words");
        if (op.kind == Kind::load_abs && (k >= seccomp_data_size || k % 4 != 0))
            return refuse("offset " + std::to_string(k) +
                          " is no word of struct seccomp_data, which are 0, 4, ... 60");
        if (op.kind == Kind::load_ind || op.kind == Kind::load_msh)
            return refuse("a seccomp filter has no packet to load from");
        if (op.kind == Kind::alu && op.alu() == cbpf::Alu::mod)
            return refuse("a seccomp filter may not use 'mod'");
    }
    return std::nullopt;
}

}  // namespace

tl::expected<KernelProgram, KernelRefusal> kernel_form(cbpf::Program const& program,
                                                       KernelModel const& model) {
    if (auto const refused = cbpf::refusal(program.insns))
        return tl::unexpected(KernelRefusal{EINVAL, refused->index, refused->rule});
    if (model.use == Use::seccomp)
        if (auto refused = seccomp_refusal(program.insns))
            return tl::unexpected(std::move(*refused));
    auto converted = Conversion(program, model).run();
    if (!converted || model.optmem_max == 0) return converted;
    std::uint64_t const bytes = model.program_header + 8 * std::uint64_t{converted->insns.size()};
    if (bytes < model.optmem_max) return converted;
    return tl::unexpected(
        KernelRefusal{ENOMEM, program.insns.size(),
                      "its translation takes " + std::to_string(bytes) +
                          " bytes; the sysctl net.core.optmem_max allows less than " +
                          std::to_string(model.optmem_max)});
}

Diagnostic describe(KernelRefusal const& refusal, cbpf::Program const& program) {
    std::optional<Span> span;
    if (refusal.index < program.origin.size()) span = program.origin[refusal.index];
    std::string const where = refusal.index < program.insns.size()
                                  ? "instruction " + std::to_string(refusal.index) + ": "
                                  : "";
    return {.message = where + refusal.rule, .span = span, .notes = {}};
}

}  // namespace tamis::translator
