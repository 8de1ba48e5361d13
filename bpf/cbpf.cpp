// The classic instruction set: 49 rows from which everything else works.
#include "bpf/cbpf.h"

#include <iterator>

namespace tamis::cbpf {
namespace {

constexpr std::uint8_t u(auto e) { return static_cast<std::uint8_t>(e); }

// clang-format off
constexpr Op table[] = {
    // code  name    operands         kind             arg           reads  writes  k_max
    {0x00, "ld",   "#$x",           Kind::load_imm,  4,            none,  A},
    {0x20, "ld",   "[$k]",          Kind::load_abs,  4,            none,  A},
    {0x28, "ldh",  "[$k]",          Kind::load_abs,  2,            none,  A},
    {0x30, "ldb",  "[$k]",          Kind::load_abs,  1,            none,  A},
    {0x40, "ld",   "[x + $k]",      Kind::load_ind,  4,            X,     A},
    {0x48, "ldh",  "[x + $k]",      Kind::load_ind,  2,            X,     A},
    {0x50, "ldb",  "[x + $k]",      Kind::load_ind,  1,            X,     A},
    {0x60, "ld",   "M[$k]",         Kind::load_mem,  4,            M,     A,    15},
    {0x80, "ld",   "#pktlen",       Kind::load_len,  4,            none,  A},
    {0x01, "ldx",  "#$x",           Kind::load_imm,  4,            none,  X},
    {0x61, "ldx",  "M[$k]",         Kind::load_mem,  4,            M,     X,    15},
    {0x81, "ldx",  "#pktlen",       Kind::load_len,  4,            none,  X},
    {0xb1, "ldxb", "4*([$k]&0xf)",  Kind::load_msh,  1,            none,  X},
    {0x02, "st",   "M[$k]",         Kind::store,     4,            A,     M,    15},
    {0x03, "stx",  "M[$k]",         Kind::store,     4,            X,     M,    15},
    {0x04, "add",  "#$k",           Kind::alu,       u(Alu::add),  A,     A},
    {0x0c, "add",  "x",             Kind::alu,       u(Alu::add),  A|X,   A},
    {0x14, "sub",  "#$k",           Kind::alu,       u(Alu::sub),  A,     A},
    {0x1c, "sub",  "x",             Kind::alu,       u(Alu::sub),  A|X,   A},
    {0x24, "mul",  "#$k",           Kind::alu,       u(Alu::mul),  A,     A},
    {0x2c, "mul",  "x",             Kind::alu,       u(Alu::mul),  A|X,   A},
    {0x34, "div",  "#$k",           Kind::alu,       u(Alu::div),  A,     A},
    {0x3c, "div",  "x",             Kind::alu,       u(Alu::div),  A|X,   A},
    {0x44, "or",   "#$x",           Kind::alu,       u(Alu::or_),  A,     A},
    {0x4c, "or",   "x",             Kind::alu,       u(Alu::or_),  A|X,   A},
    {0x54, "and",  "#$x",           Kind::alu,       u(Alu::and_), A,     A},
    {0x5c, "and",  "x",             Kind::alu,       u(Alu::and_), A|X,   A},
    {0x64, "lsh",  "#$k",           Kind::alu,       u(Alu::lsh),  A,     A,    31},
    {0x6c, "lsh",  "x",             Kind::alu,       u(Alu::lsh),  A|X,   A},
    {0x74, "rsh",  "#$k",           Kind::alu,       u(Alu::rsh),  A,     A,    31},
    {0x7c, "rsh",  "x",             Kind::alu,       u(Alu::rsh),  A|X,   A},
    {0x84, "neg",  "",              Kind::neg,       0,            A,     A},
    {0x94, "mod",  "#$k",           Kind::alu,       u(Alu::mod),  A,     A},
    {0x9c, "mod",  "x",             Kind::alu,       u(Alu::mod),  A|X,   A},
    {0xa4, "xor",  "#$x",           Kind::alu,       u(Alu::xor_), A,     A},
    {0xac, "xor",  "x",             Kind::alu,       u(Alu::xor_), A|X,   A},
    {0x05, "ja",   "$k",            Kind::jump,      0,            none,  none},
    {0x15, "jeq",  "#$x, $t, $f",   Kind::branch,    u(Cond::eq),  A,     none},
    {0x1d, "jeq",  "x, $t, $f",     Kind::branch,    u(Cond::eq),  A|X,   none},
    {0x25, "jgt",  "#$x, $t, $f",   Kind::branch,    u(Cond::gt),  A,     none},
    {0x2d, "jgt",  "x, $t, $f",     Kind::branch,    u(Cond::gt),  A|X,   none},
    {0x35, "jge",  "#$x, $t, $f",   Kind::branch,    u(Cond::ge),  A,     none},
    {0x3d, "jge",  "x, $t, $f",     Kind::branch,    u(Cond::ge),  A|X,   none},
    {0x45, "jset", "#$x, $t, $f",   Kind::branch,    u(Cond::set), A,     none},
    {0x4d, "jset", "x, $t, $f",     Kind::branch,    u(Cond::set), A|X,   none},
    {0x06, "ret",  "#$k",           Kind::ret,       0,            none,  none},
    {0x16, "ret",  "a",             Kind::ret,       0,            A,     none},
    {0x07, "tax",  "",              Kind::copy,      0,            A,     X},
    {0x87, "txa",  "",              Kind::copy,      0,            X,     A},
};

constexpr Ancillary ancillary_table[] = {
    {Anc::protocol,         "proto",     "proto"},
    {Anc::pkttype,          "type",      "type"},
    {Anc::ifindex,          "ifidx",     "ifidx"},
    {Anc::nlattr,           "nla",       "nla"},
    {Anc::nlattr_nest,      "nlan",      "nlan"},
    {Anc::mark,             "mark",      "mark"},
    {Anc::queue,            "queue",     "queue"},
    {Anc::hatype,           "hatype",    "hatype"},
    {Anc::rxhash,           "rxhash",    "rxhash"},
    {Anc::cpu,              "cpu",       "cpu"},
    {Anc::alu_xor_x,        "xor_x",     "xor_x"},
    {Anc::vlan_tag,         "vlan_tci",  "vlan_tci"},
    {Anc::vlan_tag_present, "vlanp",     "vlan_avail"},
    {Anc::pay_offset,       "poff",      "poff"},
    {Anc::random,           "random",    "rand"},
    {Anc::vlan_tpid,        "vlan_tpid", "vlan_tpid"},
};
// clang-format on

// Opcodes fit in a byte, so looking one up is an array index.
constexpr auto by_code = [] {
    std::array<std::int8_t, 256> index{};
    index.fill(-1);
    for (std::int8_t i = 0; auto const& op : table) index[op.code] = i++;
    return index;
}();
static_assert(std::size(table) == 49);
static_assert(std::size(ancillary_table) == 16);

}  // namespace

std::span<Op const> ops() { return table; }

Op const* find(std::uint16_t code) {
    int const i = code < by_code.size() ? by_code[code] : -1;
    return i < 0 ? nullptr : &table[i];
}

std::span<Ancillary const> ancillaries() { return ancillary_table; }

Ancillary const* find_ancillary(std::uint32_t k) {
    std::uint32_t const number = k - ancillary_base;
    return number % 4 == 0 && number / 4 < std::size(ancillary_table) ? &ancillary_table[number / 4]
                                                                      : nullptr;
}

}  // namespace tamis::cbpf
