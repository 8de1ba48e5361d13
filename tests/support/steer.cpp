#include "tests/support/steer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "bpf/bytes.h"

namespace tamis::test {
namespace {

using cbpf::Alu;
using cbpf::Cond;
using cbpf::Insn;
using cbpf::Kind;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t all_ones = ~std::uint32_t{0};
constexpr std::size_t longest = 1514;

// Where a register's value came from, as long as it can be traced: bits of a field, or the length.
struct Origin {
    enum class From : std::uint8_t { nowhere, field, length };
    From from = From::nowhere;
    std::uint32_t offset = 0;
    unsigned size = 0;
    std::uint32_t mask = all_ones;
};

struct Value {
    std::uint32_t value = 0;
    Origin origin{};
};

class Walk {
  public:
    Walk(cbpf::Program const& program, std::mt19937_64& random)
        : insns_(program.insns), random_(random) {}

    Bytes packet();

  private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    void base_packet();
    void run();
    bool step(Insn const& insn, cbpf::Op const& op);  // false: the program ends here
    bool load(std::uint64_t offset, unsigned size);
    void alu(Insn const& insn, cbpf::Op const& op);
    bool branch(Insn const& insn, cbpf::Op const& op);
    bool decide(Cond cond, std::uint32_t k);
    bool write(std::uint32_t value);
    void change_one_field();

    std::vector<Insn> const& insns_;
    std::mt19937_64& random_;
    Bytes bytes_;
    std::vector<bool> decided_;  // bytes that a branch hangs on
    bool length_decided_ = false;
    std::size_t pc_ = 0;
    Value a_, x_;
    std::array<Value, cbpf::memory_words> memory_{};
    std::vector<Origin> fields_;  // that were read
};

bool holds(Cond cond, std::uint32_t a, std::uint32_t k) {
    switch (cond) {
        case Cond::eq:
            return a == k;
        case Cond::gt:
            return a > k;
        case Cond::ge:
            return a >= k;
        case Cond::set:
            return (a & k) != 0;
    }
    return false;
}

// Noise in an ordinary frame: the first decisions are often about its type and header lengths.
void Walk::base_packet() {
    bytes_.resize(one_in(4) ? 60 + below(200) : 96);
    for (std::uint8_t& byte : bytes_)
        byte = one_in(3) ? std::uint8_t{0} : static_cast<std::uint8_t>(random_());
    static constexpr std::uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8035, 0x0040};
    store_be(bytes_, 12, 2, types[below(std::size(types))]);
    bytes_[14] = static_cast<std::uint8_t>(one_in(4) ? 0x40 | below(16) : 0x45);
    decided_.assign(bytes_.size(), false);
}

bool Walk::load(std::uint64_t offset, unsigned size) {
    if (offset + size > bytes_.size()) {
        // Make room for it, unless the length is settled or this is far outside.
        if (length_decided_ || offset + size > longest || one_in(8)) return false;
        bytes_.resize(offset + size, 0);
        decided_.resize(bytes_.size(), false);
    }
    auto const at = static_cast<std::uint32_t>(offset);
    a_ = {load_be(bytes_, at, size), {Origin::From::field, at, size, all_ones}};
    fields_.push_back(a_.origin);
    return true;
}

void Walk::alu(Insn const& insn, cbpf::Op const& op) {
    bool const by_x = (op.reads & cbpf::X) != 0;
    std::uint32_t const b = by_x ? x_.value : insn.k;
    Origin const origin = a_.origin;
    std::uint32_t const a = a_.value;
    a_.origin = {};
    switch (op.alu()) {
        case Alu::add:
            a_.value = a + b;
            break;
        case Alu::sub:
            a_.value = a - b;
            break;
        case Alu::mul:
            a_.value = a * b;
            break;
        case Alu::div:
            a_.value = b == 0 ? 0 : a / b;
            break;
        case Alu::mod:
            a_.value = b == 0 ? 0 : a % b;
            break;
        case Alu::or_:
            a_.value = a | b;
            break;
        case Alu::xor_:
            a_.value = a ^ b;
            break;
        case Alu::lsh:
            a_.value = b > 31 ? 0 : a << b;
            break;
        case Alu::rsh:
            a_.value = b > 31 ? 0 : a >> b;
            break;
        case Alu::and_:
            a_.value = a & b;
            a_.origin = origin;
            a_.origin.mask &= b;
            break;
    }
}

// Changes the packet so that A's origin gives `value`; false when it cannot.
bool Walk::write(std::uint32_t value) {
    Origin const& from = a_.origin;
    if (from.from == Origin::From::length) {
        if (length_decided_ || value > longest || value < 1) return false;
        bytes_.resize(value, 0);
        decided_.resize(value, false);
        length_decided_ = true;
        a_.value = value;
        return true;
    }
    if (from.from != Origin::From::field || (value & ~from.mask) != 0) return false;
    if (from.size < 4 && value >> (8 * from.size) != 0) return false;
    auto const first = decided_.begin() + from.offset;
    if (std::find(first, first + from.size, true) != first + from.size && !one_in(16)) return false;
    std::uint32_t const old = load_be(bytes_, from.offset, from.size);
    store_be(bytes_, from.offset, from.size, (old & ~from.mask) | value);
    std::fill(first, first + from.size, true);
    a_.value = value;
    return true;
}

// Wishes for an outcome and returns the one that came about.
bool Walk::decide(Cond cond, std::uint32_t k) {
    bool const wish = one_in(2);
    if (holds(cond, a_.value, k) != wish) {
        std::uint32_t const bit = std::uint32_t{1} << below(32);
        std::uint32_t const mask = a_.origin.mask;
        switch (cond) {
            case Cond::eq:
                write(wish ? k : (k ^ (one_in(2) ? 1 : bit)) & mask);
                break;
            case Cond::gt:
                write(wish ? k + 1 : k);
                break;
            case Cond::ge:
                write(wish ? k : k - 1);
                break;
            case Cond::set:
                write(wish ? (a_.value | (k & (0 - k))) : a_.value & ~k);
                break;
        }
    }
    if (a_.origin.from == Origin::From::field) {
        auto const first = decided_.begin() + a_.origin.offset;
        std::fill(first, first + a_.origin.size, true);
    }
    return holds(cond, a_.value, k);
}

bool Walk::branch(Insn const& insn, cbpf::Op const& op) {
    bool const by_x = (op.reads & cbpf::X) != 0;
    auto const targets = cbpf::targets(insn, pc_, op.kind);
    pc_ = decide(op.cond(), by_x ? x_.value : insn.k) ? targets.taken : targets.fallen;
    return true;
}

bool Walk::step(Insn const& insn, cbpf::Op const& op) {
    Value& target = (op.writes & cbpf::X) != 0 ? x_ : a_;
    switch (op.kind) {
        case Kind::load_imm:
            target = {insn.k};
            break;
        case Kind::load_abs:
            if (!load(insn.k, op.arg)) return false;
            break;
        case Kind::load_ind:
            if (!load(std::uint64_t{x_.value} + insn.k, op.arg)) return false;
            break;
        case Kind::load_mem:
            target = memory_[insn.k % memory_.size()];
            break;
        case Kind::load_len:
            target = {static_cast<std::uint32_t>(bytes_.size()), {Origin::From::length}};
            break;
        case Kind::load_msh:
            if (insn.k >= bytes_.size()) return false;
            x_ = {4 * (bytes_[insn.k] & 15U)};
            decided_[insn.k] = true;
            break;
        case Kind::store:
            memory_[insn.k % memory_.size()] = (op.reads & cbpf::X) != 0 ? x_ : a_;
            break;
        case Kind::alu:
            alu(insn, op);
            break;
        case Kind::neg:
            a_ = {0 - a_.value};
            break;
        case Kind::jump:
            pc_ = cbpf::targets(insn, pc_, op.kind).taken;
            return true;
        case Kind::branch:
            return branch(insn, op);
        case Kind::ret:
            return false;
        case Kind::copy:
            ((op.writes & cbpf::X) != 0 ? x_ : a_) = (op.writes & cbpf::X) != 0 ? a_ : x_;
            break;
    }
    ++pc_;
    return true;
}

void Walk::run() {
    for (pc_ = 0; pc_ < insns_.size();) {
        cbpf::Op const* const op = cbpf::find(insns_[pc_].code);
        if (op == nullptr || !step(insns_[pc_], *op)) return;
    }
}

void Walk::change_one_field() {
    if (fields_.empty()) return;
    Origin const& field = fields_[below(fields_.size())];
    if (field.offset + field.size > bytes_.size()) return;
    std::uint32_t const value = load_be(bytes_, field.offset, field.size);
    std::uint32_t const changed = one_in(2) ? value ^ std::uint32_t{1} << below(8 * field.size)
                                            : value + (one_in(2) ? 1 : all_ones);
    store_be(bytes_, field.offset, field.size, changed);
}

Bytes Walk::packet() {
    base_packet();
    run();
    if (one_in(4)) change_one_field();
    if (one_in(8)) bytes_.resize(1 + below(bytes_.size()));
    return std::move(bytes_);
}

}  // namespace

std::vector<Bytes> steer(cbpf::Program const& program, std::mt19937_64& random, std::size_t count) {
    std::vector<Bytes> packets;
    packets.reserve(count);
    while (packets.size() < count) packets.push_back(Walk(program, random).packet());
    return packets;
}

}  // namespace tamis::test
