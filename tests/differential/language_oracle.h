// libpcap as the judge of what a filter means, and the places where the judge is known to differ.
//
// The language is the one of libpcap's development version (1.11); Debian has 1.10.3.  Where the
// two part, a row says so: how it is seen in the text or in a packet, and what is done about it.
// The rows are about features, never about single expressions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pcap/pcap.h>

#include "bpf/cbpf.h"
#include "frontend/lex.h"
#include "tests/support/steer.h"

namespace tamis::test {

inline constexpr std::uint32_t oracle_netmask = 0xffffff00;

enum class Effect : std::uint8_t {
    reworded,       // 1.10.3 is asked for the same in other words: everything is compared
    both_reworded,  // so are we
    refused_here,   // 1.10.3 accepts what later versions refuse
    refused_there,  // 1.10.3 refuses what later versions accept
    some_packets,   // verdicts differ on packets that the row tells
};

// A filter as the rows look at it.
struct Text {
    std::string_view text;
    std::span<frontend::Token const> tokens;  // without the end
    int link_type;
};

// A place in the text, and what libpcap is asked there instead.
struct Edit {
    Span place;
    std::string by;
};

struct Difference {
    std::string_view name;
    Effect effect;
    std::string_view source;
    int link_type;
    std::string_view example;  // on that link type, where it is seen
    // Whether the text is concerned; those of the rewording effects say how.
    bool (*applies)(Text const& text, std::vector<Edit>& edits);
    // Of `some_packets`: whether the packet is one of those.
    bool (*sets_aside)(Text const& text, cbpf::Program const& ours, cbpf::Program const& theirs,
                       Probe const& probe) = nullptr;
};
std::span<Difference const> differences();

// The text with all edits made; they do not overlap.
std::string edited(std::string text, std::vector<Edit> edits);

// A handle for one link type; not to be shared by threads.
class Oracle {
  public:
    explicit Oracle(int link_type);
    Oracle(Oracle const&) = delete;
    Oracle& operator=(Oracle const&) = delete;
    ~Oracle();

    // libpcap's unoptimised program; nothing when it refuses the filter, and why() says why.
    std::optional<cbpf::Program> compile(std::string const& text);
    std::string why() const;

  private:
    pcap_t* handle_;
};

// A program in libpcap's interpreter.  Memory that was not written to is 0, as with us: programs of
// 1.10.3 read it behind Geneve, and bpf_filter has there whatever was on its stack.
class Interpreted {
  public:
    explicit Interpreted(cbpf::Program const& program);
    bool valid() const;
    bool matches(Probe const& probe) const;

  private:
    std::vector<bpf_insn> insns_;
};

// The packets in the captures of a folder, by link type; at most `most` of a file.
std::map<int, std::vector<Probe>> captured(std::string const& folder, std::size_t most);

}  // namespace tamis::test
