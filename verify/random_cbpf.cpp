#include "verify/random_cbpf.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <utility>

namespace tamis::verify {
namespace {

using cbpf::Insn;
using cbpf::Kind;
using cbpf::Op;

// The instructions that programs are steered with.
constexpr std::uint16_t ldx_imm = 0x01, ldxb_msh = 0xb1, st = 0x02, and_imm = 0x54, tax = 0x07,
                        ret_imm = 0x06, ret_a = 0x16;

bool has_k(Op const& op) {
    return op.operands.find("$k") != std::string_view::npos ||
           op.operands.find("$x") != std::string_view::npos;
}

bool is(Op const& op, std::initializer_list<cbpf::Alu> operations) {
    return op.kind == Kind::alu &&
           std::find(operations.begin(), operations.end(), op.alu()) != operations.end();
}

}  // namespace

// Writes one program from front to back and knows at every instruction which cells are written, as
// bpf_check_classic does.
class RandomPrograms::Writer {
  public:
    Writer(RandomPrograms& random, std::size_t length)
        : random_(random), options_(random.options_), length_(length), at_entry_(length, all) {}

    cbpf::Program write() {
        // A small verdict made from A tells more than one that is larger than the packet.
        bool const folds = length_ > 2 && random_.one_in(2);
        std::size_t const body = length_ - (folds ? 2 : 1);
        while (size() < body) step(body);
        if (folds) put({and_imm, 0, 0, random_.one_in(2) ? 0x3fu : 0xffu});
        if (folds || random_.one_in(2))
            put({ret_a, 0, 0, 0});
        else
            put({ret_imm, 0, 0, verdict()});
        return std::move(program_);
    }

  private:
    static constexpr std::uint16_t all = 0xffff;

    std::size_t size() const { return program_.insns.size(); }

    void step(std::size_t body) {
        Op const& op = cbpf::ops()[random_.below(cbpf::ops().size())];
        if (op.kind == Kind::ret && !random_.one_in(8)) return;
        bool const has_room = body - size() >= 3;
        if (op.kind == Kind::load_mem && written_now() == 0) {
            if (has_room) put({st, 0, 0, cell()});
            return;
        }
        if (has_room) steer(op);
        put(random_insn(op));
    }

    // Gives X a value with which the next instruction is likely to go on.
    void steer(Op const& op) {
        if (op.kind == Kind::load_ind && !random_.one_in(8))
            small_x();
        else if (is(op, {cbpf::Alu::div, cbpf::Alu::mod}) && (op.reads & cbpf::X) &&
                 !random_.one_in(8))
            put({ldx_imm, 0, 0, std::max(1u, random_.constant())});
        else if (is(op, {cbpf::Alu::lsh, cbpf::Alu::rsh}) && (op.reads & cbpf::X) &&
                 random_.one_in(2))
            put({ldx_imm, 0, 0, u32(random_.below(40))});
    }

    void small_x() {
        switch (random_.below(3)) {
            case 0:
                put({ldx_imm, 0, 0, u32(random_.below(options_.packet_length / 2 + 1))});
                break;
            case 1:
                put({ldxb_msh, 0, 0, u32(random_.below(options_.packet_length / 2 + 1))});
                break;
            case 2:
                put({and_imm, 0, 0, 0x1f});
                put({tax, 0, 0, 0});
                break;
        }
    }

    Insn random_insn(Op const& op) {
        Insn insn{op.code, 0, 0, 0};
        if (op.kind == Kind::branch) {
            insn.jt = static_cast<std::uint8_t>(skip(255));
            insn.jf = random_.one_in(16) ? insn.jt : static_cast<std::uint8_t>(skip(255));
        }
        if (has_k(op)) insn.k = k_of(op);
        return insn;
    }

    std::uint32_t k_of(Op const& op) {
        switch (op.kind) {
            case Kind::load_abs:
                if (!options_.ancillaries.empty() && random_.one_in(3))
                    return cbpf::ancillary_base +
                           static_cast<std::uint32_t>(
                               options_.ancillaries[random_.below(options_.ancillaries.size())]);
                return offset(options_.packet_length, op.arg);
            case Kind::load_ind:
                return offset(options_.packet_length / 2, op.arg);
            case Kind::load_msh:
                return offset(options_.packet_length, op.arg);
            case Kind::load_mem:
                return written_cell();
            case Kind::store:
                return cell();
            case Kind::alu:
                if (op.k_max != ~0u) return u32(random_.below(op.k_max + 1));
                if (is(op, {cbpf::Alu::div, cbpf::Alu::mod}))
                    return std::max(1u, random_.constant());
                return random_.constant();
            case Kind::jump:
                return u32(skip(std::numeric_limits<std::size_t>::max()));
            case Kind::ret:
                return verdict();
            case Kind::load_imm:
            case Kind::branch:
            case Kind::load_len:
            case Kind::neg:
            case Kind::copy:
                return random_.constant();
        }
        return 0;
    }

    // Mostly inside `length` bytes, sometimes across their end.
    std::uint32_t offset(std::uint32_t length, std::uint32_t load_size) {
        if (options_.header_offsets && random_.one_in(8)) return header_offset();
        if (random_.one_in(64)) return random_.constant() & 0x7fffffff;
        if (random_.one_in(12)) return length - std::min(length, 6u) + u32(random_.below(8));
        return u32(random_.below(length > load_size ? length - load_size + 1 : 1));
    }

    std::uint32_t header_offset() {
        constexpr std::uint32_t bases[] = {cbpf::network_base, cbpf::network_base, cbpf::link_base,
                                           0x80000000};
        return bases[random_.below(std::size(bases))] +
               u32(random_.below(options_.packet_length + 4));
    }

    std::uint32_t verdict() {
        switch (random_.below(4)) {
            case 0:
                return 0;
            case 1:
                return ~0u;
            case 2:
                return u32(random_.below(options_.packet_length + 4));
            default:
                return random_.constant();
        }
    }

    // To the next few instructions, anywhere, or as far as it goes.
    std::size_t skip(std::size_t most) {
        most = std::min(most, length_ - size() - 2);
        switch (random_.below(8)) {
            case 0:
                return most;
            case 1:
                return random_.below(most + 1);
            default:
                return random_.below(std::min<std::size_t>(most, 3) + 1);
        }
    }

    std::uint32_t cell() { return u32(random_.below(cbpf::memory_words)); }

    std::uint32_t written_cell() {
        std::uint32_t k = cell();
        while (!(written_now() >> k & 1)) k = (k + 1) % cbpf::memory_words;
        return k;
    }

    std::uint16_t written_now() const { return written_ & at_entry_[size()]; }

    void put(Insn insn) {
        Op const& op = *cbpf::find(insn.code);
        written_ = written_now();
        if (op.kind == Kind::store) {
            written_ = static_cast<std::uint16_t>(written_ | 1u << insn.k);
        } else if (op.kind == Kind::jump || op.kind == Kind::branch) {
            cbpf::Targets const to = cbpf::targets(insn, size(), op.kind);
            at_entry_[to.taken] &= written_;
            at_entry_[to.fallen] &= written_;
            written_ = all;
        }
        if (options_.junk_fields) fill_junk(insn, op);
        program_.insns.push_back(insn);
    }

    void fill_junk(Insn& insn, Op const& op) {
        if (!has_k(op)) insn.k = random_.constant();
        if (op.kind == Kind::branch) return;
        insn.jt = static_cast<std::uint8_t>(random_.below(256));
        insn.jf = static_cast<std::uint8_t>(random_.below(256));
    }

    static std::uint32_t u32(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

    RandomPrograms& random_;
    Options const& options_;
    std::size_t length_;
    cbpf::Program program_;
    std::vector<std::uint16_t> at_entry_;  // per instruction, the cells that all jumps there wrote
    std::uint16_t written_ = 0;
};

RandomPrograms::RandomPrograms(std::uint64_t seed) : RandomPrograms(seed, Options()) {}

RandomPrograms::RandomPrograms(std::uint64_t seed, Options options)
    : random_(seed), options_(std::move(options)) {}

cbpf::Program RandomPrograms::next() {
    std::size_t const span = options_.max_length - options_.min_length + 1;
    return program(options_.min_length + below(span));
}

cbpf::Program RandomPrograms::program(std::size_t length) { return Writer(*this, length).write(); }

// Not a std::uniform_int_distribution: its numbers differ between standard libraries.
std::uint64_t RandomPrograms::below(std::uint64_t n) { return random_() % n; }

std::uint32_t RandomPrograms::constant() {
    constexpr std::uint32_t borders[] = {0,          1,          0xff,       0x7fff,
                                         0x8000,     0xffff,     0x7fffffff, 0x80000000,
                                         0x80000001, 0xfffffffe, 0xffffffff};
    switch (below(4)) {
        case 0:
            return borders[below(std::size(borders))];
        case 1:
            return static_cast<std::uint32_t>(below(64));
        case 2:
            return static_cast<std::uint32_t>(below(65536));
        default:
            return static_cast<std::uint32_t>(random_());
    }
}

std::vector<std::uint8_t> RandomPrograms::packet(std::size_t length) {
    std::vector<std::uint8_t> bytes(length);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(below(one_in(2) ? 256 : 8));
    return bytes;
}

}  // namespace tamis::verify
