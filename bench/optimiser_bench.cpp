// How long optimised programs are, beside those of libpcap: instructions and longest path, for the
// filters of a corpus and for generated ones.
//
//     optimiser_bench [--corpus FILE] [--generated N] [--seed S]... [--all]
//
// N filters for each seed, those that one of both refuses not counted.
//
// Prints filters that lose, or all of them, and sums.  Exit code 1 when a filter loses.
//
// libpcap's optimiser leaves out what packets of full length do not need, and makes mistakes. Where
// its program accepts a packet that the text, in three-valued logic, does not, or rejects one that
// its own unoptimised program accepts, the mark is `w`, for wrong: such a length is no measure.
// Neither is that of a program that jumps back, for a protochain: Linux refuses it.  The mark is
// `b`.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <pcap/pcap.h>

#include "bpf/cbpf_check.h"
#include "frontend/compile.h"
#include "frontend/lex.h"
#include "frontend/parse.h"
#include "frontend/resolve.h"
#include "runtime/cbpf_vm.h"
#include "tests/support/random_expr.h"
#include "tests/support/steer.h"
#include "tests/support/three_valued.h"

namespace {

using namespace tamis;

constexpr std::uint32_t netmask = 0xffffff00;

// Filters of the corpus that are for another link type than Ethernet.
struct Elsewhere {
    int link_type;
    char const* name;
    char const* text;
};
constexpr Elsewhere elsewhere[] = {{dlt_radiotap, "IEEE802_11_RADIO", "tcp port 80"}};

struct Size {
    std::size_t instructions = 0, path = 0;
};

Size size_of(std::vector<cbpf::Insn> const& insns) {
    return {insns.size(), cbpf::longest_path(insns)};
}

// libpcap walks a protochain in a loop; Linux refuses programs that jump back.
bool loops(std::vector<cbpf::Insn> const& insns) {
    return std::any_of(insns.begin(), insns.end(), [](cbpf::Insn const& insn) {
        return cbpf::find(insn.code)->kind == cbpf::Kind::jump && insn.k > 0x7fffffff;
    });
}

// Whether some packet shows that a program is not what the text says.
bool is_wrong(std::string const& text, std::vector<cbpf::Insn> const& insns, int link_type) {
    frontend::Options const options{.link_type = link_type, .netmask = netmask, .optimise = false};
    auto const plain = frontend::compile(text, options);
    auto const tokens = frontend::lex(text);
    auto const tree = frontend::parse(text, *tokens);
    auto const resolved = frontend::resolve(text, *tokens, *tree, options);
    std::mt19937_64 random(1);
    auto packets = test::steer(plain->program, random, 400);
    cbpf::Program const theirs{insns, {}};
    for (auto& packet : test::steer(theirs, random, 400)) packets.push_back(std::move(packet));
    for (auto const& packet : packets) {
        for (std::size_t size = packet.size() + 1; size-- > 0;) {
            runtime::Packet seen;
            seen.bytes = std::span(packet).first(size);
            seen.length = static_cast<std::uint32_t>(packet.size());
            bool const got = runtime::run(insns, seen, runtime::Rules::libpcap) != 0;
            bool const meant =
                runtime::run(plain->program.insns, seen, runtime::Rules::libpcap) != 0;
            if (got == meant) continue;
            if (meant || test::evaluate(resolved->formula, seen, runtime::Rules::libpcap) !=
                             test::Truth::yes)
                return true;
        }
    }
    return false;
}

class Comparison {
  public:
    explicit Comparison(bool all) : all_(all) {}

    void run(std::string const& text, int link_type = en10mb, std::string const& link = "") {
        std::unique_ptr<pcap_t, decltype(&pcap_close)> const handle(
            pcap_open_dead(link_type, 262144), pcap_close);
        auto const compiled = frontend::compile(text, {.link_type = link_type, .netmask = netmask});
        bpf_program program{};
        bool const good = pcap_compile(handle.get(), &program, text.c_str(), 1, netmask) == 0;
        bool const rejects_all =
            !good && std::strstr(pcap_geterr(handle.get()), "rejects all packets") != nullptr;
        if (!compiled || (!good && !rejects_all)) {
            ++skipped_;
            if (all_ || !compiled)
                fmt::print("{:>19}  {}\n", compiled ? "libpcap refuses" : "we refuse", text);
            return;
        }
        std::vector<cbpf::Insn> theirs{{0x06, 0, 0, 0}};
        if (good) theirs.clear();
        for (unsigned i = 0; good && i < program.bf_len; ++i) {
            bpf_insn const& insn = program.bf_insns[i];
            theirs.push_back({insn.code, insn.jt, insn.jf, insn.k});
        }
        pcap_freecode(&program);
        Size const a = size_of(compiled->program.insns), b = size_of(theirs);
        ++filters_;
        ours_ += a.instructions;
        theirs_ += b.instructions;
        bool const longer = a.instructions > b.instructions, slower = a.path > b.path;
        bool const looping = loops(theirs);
        bool const wrong = (longer || slower) && !looping && is_wrong(text, theirs, link_type);
        bool const comparable = !wrong && !looping;
        wrong_ += wrong;
        looping_ += looping;
        longer_ += longer && comparable;
        slower_ += slower && comparable;
        if (comparable) {
            comparable_ours_ += a.instructions;
            comparable_theirs_ += b.instructions;
        }
        shorter_ += a.instructions < b.instructions;
        if (all_ || longer || slower)
            fmt::print("{:>4}/{:<4} {:>4}/{:<4}{} {}{}\n", a.instructions, a.path, b.instructions,
                       b.path,
                       wrong     ? 'w'
                       : looping ? 'b'
                       : longer  ? '!'
                       : slower  ? '~'
                                 : ' ',
                       link.empty() ? "" : "-y " + link + " ", text);
    }

    void print_sums(std::string const& what) const {
        fmt::print(
            "{}: {} filters, {} instructions for libpcap's {} ({:+.1f} %); shorter {}, longer {}, "
            "longest path longer {}; libpcap's wrong {}, with loops {}, without both {} "
            "instructions "
            "for {} ({:+.1f} %); {} that libpcap does not compile\n",
            what, filters_, ours_, theirs_, percent(ours_, theirs_), shorter_, longer_, slower_,
            wrong_, looping_, comparable_ours_, comparable_theirs_,
            percent(comparable_ours_, comparable_theirs_), skipped_);
    }
    bool lost() const { return longer_ + slower_ > 0; }
    std::size_t filters() const { return filters_; }

  private:
    static double percent(std::size_t ours, std::size_t theirs) {
        return 100.0 * (static_cast<double>(ours) / static_cast<double>(theirs) - 1);
    }

    bool all_;
    std::size_t filters_ = 0, skipped_ = 0, ours_ = 0, theirs_ = 0, longer_ = 0, slower_ = 0,
                shorter_ = 0, wrong_ = 0, looping_ = 0, comparable_ours_ = 0,
                comparable_theirs_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    std::string corpus = TAMIS_CORPUS;
    std::size_t generated = 500;
    std::vector<std::uint64_t> seeds;
    bool all = false;
    for (int i = 1; i < argc; ++i) {
        std::string_view const word = argv[i];
        if (word == "--all") all = true;
        if (i + 1 == argc) break;
        if (word == "--corpus") corpus = argv[++i];
        if (word == "--generated") generated = std::strtoull(argv[++i], nullptr, 10);
        if (word == "--seed") seeds.push_back(std::strtoull(argv[++i], nullptr, 10));
    }
    if (seeds.empty()) seeds = {1, 2, 3, std::random_device{}()};
    fmt::print("instructions/longest path, ours and {}'s\n", pcap_lib_version());

    Comparison written(all);
    std::ifstream file(corpus);
    for (std::string line; std::getline(file, line);)
        if (!line.empty() && line[0] != '#') written.run(line);
    for (Elsewhere const& row : elsewhere) written.run(row.text, row.link_type, row.name);
    written.print_sums("corpus");
    bool lost = written.lost();
    for (std::uint64_t const seed : seeds) {
        Comparison made(all);
        test::RandomExpressions expressions(seed);
        while (made.filters() < generated) made.run(expressions.next());
        made.print_sums(fmt::format("generated, seed {}", seed));
        lost |= made.lost();
    }
    return lost ? 1 : 0;
}
