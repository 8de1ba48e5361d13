// The frontend's door: filter text to a classic program.
//
//     text --lex--> tokens --parse--> syntax tree --resolve--> formula of tests --lower-->
//     cbpf::Program
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/link_types.h"
#include "bpf/result.h"
#include "frontend/formula.h"
#include "frontend/graph.h"
#include "frontend/names.h"

namespace tamis::frontend {

// What the program will look at: nothing (a dead handle), a capture file, or packets on this
// machine.
enum class Context : std::uint8_t { dead, savefile, live };

// Of live packets: where the outer VLAN tag is.
enum class Tags : std::uint8_t {
    taken_out,  // the kernel keeps it beside the packet
    in_packet,
    unsure,  // in the packet, unless something took it out that tells nobody: worth a warning
};

struct Options {
    int link_type = en10mb;
    Context context = Context::dead;
    Tags tags = Tags::taken_out;
    std::uint32_t snaplen = 262144;          // what a match returns, in bytes
    std::optional<std::uint32_t> netmask{};  // for `ip broadcast`, host order
    bool optimise = true;
    unsigned protochain_max = 8;   // headers that `protochain` goes through
    Names const* names = nullptr;  // of hosts and nets, and of what the built-in tables lack
    bool names_first = false;      // ask there before looking into the tables
};

struct Compiled {
    cbpf::Program program;  // origin is filled in
    std::vector<Diagnostic> warnings;
    std::optional<Graph> graph{};  // what an optimised program was made from
};

// Compiles `text`; an empty or blank one matches every packet.  The verdict is the one of libpcap's
// unoptimised program (snaplen or 0).  Spans point into `text`.  Jumps of the result fit classic
// BPF whatever its size; its length is not limited.
Result<Compiled> compile(std::string_view text, Options const& options);

// What `text` asks of a packet, before any instruction is chosen: for proofs and other readers.
// An empty text asks for nothing and is true.  Fails where compile() does.
Result<Formula> formula(std::string_view text, Options const& options);

inline constexpr std::size_t max_text = std::size_t{16} << 20;  // bytes of filter text
inline constexpr std::size_t max_word = std::size_t{64} << 10;  // bytes of one word
inline constexpr unsigned max_protochain = 64;
inline constexpr unsigned max_nesting = 200;  // parentheses, brackets, `not` and unary minus

}  // namespace tamis::frontend
