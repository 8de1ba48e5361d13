// tamis match: which packets of a capture file an expression matches.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/args.h"
#include "cli/input.h"
#include "cli/verbs.h"
#include "runtime/capture_file.h"
#include "runtime/cbpf_vm.h"
#include "runtime/ebpf_vm.h"
#include "runtime/kernel.h"
#include "runtime/summary.h"
#include "translator/translate.h"

namespace tamis::cli {
namespace {

using runtime::CaptureReader;
using runtime::CaptureWriter;
using runtime::Packet;
using runtime::Record;

struct MatchOptions {
    InputOptions input;
    std::vector<std::string> read;
    std::string write, engine = "classic";
    std::uint64_t limit = 0;
    bool count = false, verdicts = false, json = false;
};

// Runs the filter on one packet: the classic program's value, 0 for no match.
using Matcher = std::function<Result<std::uint32_t>(Packet const&)>;

Matcher classic_matcher(cbpf::Program program) {
    return [program = std::move(program)](Packet const& packet) -> Result<std::uint32_t> {
        return runtime::run(program.insns, packet, runtime::Rules::libpcap);
    };
}

Result<Matcher> ebpf_matcher(cbpf::Program const& program) {
    HookRow const& hook = row(Hook::socket);
    auto translated = translator::translate_filter(program, hook);
    if (!translated) return fail(translated.error());
    return [translated = std::move(*translated),
            &hook](Packet const& packet) -> Result<std::uint32_t> {
        runtime::MapMemory maps;
        auto const r0 = runtime::run(translated, hook, packet, maps);
        if (!r0) return fail(r0.error());
        return static_cast<std::uint32_t>(*r0);
    };
}

// The kernel runs the classic program on a datagram of the captured bytes and says how many it
// kept.
Result<Matcher> kernel_matcher(cbpf::Program const& program) {
    auto pair = runtime::DatagramPair::open();
    if (!pair) return fail(pair.error());
    if (auto attached = runtime::attach_classic(pair->receiver(), program.insns); !attached)
        return fail(attached.error());
    auto const shared = std::make_shared<runtime::DatagramPair>(std::move(*pair));
    return [shared](Packet const& packet) -> Result<std::uint32_t> {
        auto const kept = shared->send(packet.bytes);
        if (!kept) return fail(kept.error());
        return static_cast<std::uint32_t>(kept->value_or(0));
    };
}

Result<Matcher> choose_engine(std::string const& name, cbpf::Program const& program) {
    if (name == "classic") return classic_matcher(program);
    if (name == "ebpf") return ebpf_matcher(program);
    if (name == "kernel") return kernel_matcher(program);
    return fail({fmt::format("unknown engine '{}'", escape(name)),
                 std::nullopt,
                 {{"--engine takes classic, ebpf or kernel", std::nullopt}}});
}

// The expression, compiled for each link type that is met.
class Filter {
  public:
    explicit Filter(MatchOptions const& options) : o_(options) {}

    // Errors are already reported when this returns.
    tl::expected<Matcher const*, Exit> for_link_type(int link_type) {
        for (auto const& [known, matcher] : matchers_)
            if (known == link_type) return &matcher;
        auto input = matchers_.empty() ? compile_input(o_.input, link_type, savefile)
                                       : compile_again(link_type);
        if (!input) {
            if (!matchers_.empty())
                complain(fmt::format("note: other packets are of link type {}\n", link_type));
            return tl::unexpected(input.error());
        }
        auto matcher = choose_engine(o_.engine, input->program);
        if (!matcher) return tl::unexpected(report(matcher.error(), input->source));
        if (matchers_.empty()) first_ = std::move(*input);
        return &matchers_.emplace_back(link_type, std::move(*matcher)).second;
    }

  private:
    static constexpr auto savefile = frontend::Context::savefile;

    // The source may have been standard input; a classic program is what it is on any link type.
    tl::expected<Input, Exit> compile_again(int link_type) const {
        if (!o_.input.cbpf.empty()) return *first_;
        return compile_text(o_.input, first_->source, link_type, savefile);
    }

    MatchOptions const& o_;
    std::optional<Input> first_;
    std::deque<std::pair<int, Matcher>> matchers_;
};

// `2026-11-23T22:29:02.123456789Z`
std::string time_of(Record const& record) {
    std::time_t const seconds = record.seconds;
    std::tm utc{};
    if (!record.timed) return "-";
    if (!gmtime_r(&seconds, &utc))
        return fmt::format("{}.{:09}", record.seconds, record.nanoseconds);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900,
                       utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                       record.nanoseconds);
}

// One line on a terminal, from one second on, that says how far we are.
class Progress {
  public:
    using Clock = std::chrono::steady_clock;

    Progress(bool shown, std::span<CaptureReader const> readers) : shown_(shown) {
        for (CaptureReader const& reader : readers) {
            if (reader.size() == 0) total_ = std::nullopt;
            if (total_) *total_ += reader.size();
        }
    }
    ~Progress() { clear(); }
    Progress(Progress const&) = delete;
    Progress& operator=(Progress const&) = delete;

    void show(std::uint64_t bytes, std::uint64_t packets, std::uint64_t matched) {
        if (!shown_) return;
        visible_ = true;
        std::string const share =
            total_ ? fmt::format("{} %, ", 100 * std::min(bytes, *total_) /
                                               std::max(*total_, std::uint64_t{1}))
                   : "";
        complain(fmt::format("\r{}{} MB, {} packets, {} matched\033[K", share, bytes / 1'000'000,
                             packets, matched));
    }
    // So that a line can be printed.
    void clear() {
        if (std::exchange(visible_, false)) complain("\r\033[K");
    }

  private:
    bool shown_, visible_ = false;
    std::optional<std::uint64_t> total_ = 0;  // bytes; none: not known
};

class Matching {
  public:
    Matching(MatchOptions const& options, Filter& filter, std::span<CaptureReader> readers,
             std::optional<CaptureWriter> writer)
        : o_(options),
          filter_(filter),
          readers_(readers),
          writer_(std::move(writer)),
          prints_lines_(!options.count && !writer_),
          progress_(isatty(STDERR_FILENO) != 0 && !(prints_lines_ && isatty(STDOUT_FILENO) != 0),
                    readers) {
        for (CaptureReader& reader : readers_)
            reader.on_read([this, &reader](bool waits) { on_read(reader, waits); });
    }
    ~Matching() {
        for (CaptureReader& reader : readers_) reader.on_read(nullptr);
    }
    Matching(Matching const&) = delete;
    Matching& operator=(Matching const&) = delete;

    Exit run() {
        for (CaptureReader& reader : readers_) {
            if (full()) break;
            if (auto const stop = read(reader)) {
                finish();
                return *stop;
            }
            bytes_before_ += reader.offset();
        }
        if (Exit const finished = finish(); finished != Exit::success) return finished;
        if (damaged_) return *damaged_;
        return matched_ > 0 ? Exit::success : Exit::nothing;
    }

  private:
    bool full() const { return o_.limit != 0 && matched_ == o_.limit; }

    // Until the end of the file, or -c packets.  A damaged file ends where the damage is; only what
    // no other file can mend stops everything.
    std::optional<Exit> read(CaptureReader& reader) {
        while (!full()) {
            auto const item = reader.next_item();
            if (!item) {
                progress_.clear();
                damaged_ = report(item.error(), reader.where());
                return std::nullopt;
            }
            if (!*item) return std::nullopt;
            bool matched = true;
            if ((*item)->packet) {
                auto const matches = one(*(*item)->packet);
                if (!matches) return matches.error();
                matched = *matches;
            }
            if (matched && writer_)
                if (auto written = writer_->copy(reader, **item); !written) {
                    writer_.reset();
                    progress_.clear();
                    return report(written.error());
                }
        }
        return std::nullopt;
    }

    tl::expected<bool, Exit> one(Record const& record) {
        ++seen_;
        if (record.link_type != link_type_) {
            auto const matcher = filter_.for_link_type(record.link_type);
            if (!matcher) return tl::unexpected(matcher.error());
            matcher_ = *matcher;
            link_type_ = record.link_type;
        }
        auto const verdict = (*matcher_)({.bytes = record.bytes,
                                          .length = record.length,
                                          .ancillary = {},
                                          .network = {},
                                          .link = {}});
        if (!verdict) return tl::unexpected(report(verdict.error()));
        if (*verdict != 0) ++matched_;
        if (prints_lines_) print_line(record, *verdict);
        return *verdict != 0;
    }

    void print_line(Record const& record, std::uint32_t verdict) {
        if (verdict == 0 && !o_.verdicts) return;
        if (o_.json) {
            Json line = object_of("packet");
            line["number"] = seen_;
            line["time"] = record.timed ? Json(time_of(record)) : Json();
            line["length"] = record.length;
            line["captured"] = record.bytes.size();
            line["verdict"] = verdict;
            line["summary"] = runtime::summary(record.bytes, record.link_type);
            print_json(line);
        } else if (o_.verdicts) {
            print(fmt::format("{} {}\n", seen_, verdict));
        } else {
            print(fmt::format("{} {} {} {}\n", seen_, time_of(record), record.length,
                              runtime::summary(record.bytes, record.link_type)));
        }
    }

    // What was found is seen within a second, and at once when the input waits for more.
    void on_read(CaptureReader const& reader, bool waits) {
        auto const now = Progress::Clock::now();
        bool const second = now - last_ >= std::chrono::seconds(1);
        if (!second && !waits) return;
        if (writer_) (void)writer_->flush();  // a failure stays, and is reported at the end
        (void)flush();
        if (!second) return;
        last_ = now;
        progress_.show(bytes_before_ + reader.offset(), seen_, matched_);
    }

    Exit finish() {
        progress_.clear();
        if (writer_)
            if (auto closed = writer_->close(); !closed) return report(closed.error());
        if (o_.json) {
            Json total = object_of("match");
            total["matched"] = matched_;
            total["packets"] = seen_;
            print_json(total);
        } else if (o_.count) {
            print(fmt::format("{}\n", matched_));
        }
        complain(fmt::format("{} of {} packets matched\n", matched_, seen_));
        return Exit::success;
    }

    MatchOptions const& o_;
    Filter& filter_;
    std::span<CaptureReader> readers_;
    std::optional<CaptureWriter> writer_;
    bool prints_lines_;
    Progress progress_;
    Progress::Clock::time_point last_ = Progress::Clock::now();
    Matcher const* matcher_ = nullptr;
    int link_type_ = -1;
    std::uint64_t seen_ = 0, matched_ = 0, bytes_before_ = 0;
    std::optional<Exit> damaged_;
};

std::optional<Diagnostic> fault_of(MatchOptions const& o) {
    if (o.read.empty())
        return Diagnostic{"no capture file", std::nullopt, {{"name one with -r", std::nullopt}}};
    if (o.write != "-") return std::nullopt;
    if (o.count || o.json)
        return Diagnostic{"with -w - standard output is a capture file, and has no place for more",
                          std::nullopt,
                          {}};
    if (isatty(STDOUT_FILENO) != 0)
        return Diagnostic{"a capture file is nothing for a terminal",
                          std::nullopt,
                          {{"send standard output to a file or a program, or name a file with -w",
                            std::nullopt}}};
    return std::nullopt;
}

// Nothing is written before everything that can be wrong with the command is known to be right.
Exit run(MatchOptions const& o) {
    if (auto const fault = fault_of(o)) return report(*fault);
    std::vector<CaptureReader> readers;
    for (std::string const& path : o.read) {
        auto reader = CaptureReader::open(path);
        if (!reader) return report(reader.error());
        readers.push_back(std::move(*reader));
    }
    Filter filter(o);
    if (auto const first = filter.for_link_type(readers.front().link_type()); !first)
        return first.error();
    std::optional<CaptureWriter> writer;
    if (!o.write.empty()) {
        auto created = CaptureWriter::create(o.write, readers);
        if (!created) return report(created.error());
        writer = std::move(*created);
    }
    return Matching(o, filter, readers, std::move(writer)).run();
}

}  // namespace

Exit match(std::vector<std::string> const& args) {
    MatchOptions o;
    CLI::App app{"Prints the packets of a capture file that an expression matches.", "tamis match"};
    o.input.add_to(app);
    app.add_option("-r", o.read,
                   "read packets from FILE, pcap or pcapng ('-': standard input); several are read "
                   "one after the other")
        ->type_name("FILE")
        ->expected(1)
        ->take_all();
    app.add_option("-w", o.write,
                   "write matching packets to FILE ('-': standard output) instead of printing "
                   "them, in the format they have")
        ->type_name("FILE");
    app.add_option("-c", o.limit, "stop after N matches")->type_name("N");
    app.add_flag("--count", o.count, "print only how many matched");
    app.add_flag("--verdicts", o.verdicts, "print `NUMBER VERDICT` for every packet");
    app.add_option(
           "--engine", o.engine,
           "an interpreter of classic BPF, one of eBPF in the socket form, or the running kernel's "
           "own translation, to which the captured part is the whole packet")
        ->type_name("classic|ebpf|kernel")
        ->capture_default_str();
    app.add_flag("--json", o.json, "one JSON object per line");
    app.footer("Example: tamis match -r capture.pcap 'udp port 53'");
    return parse_and_run(app, args, o.input.words, [&] { return run(o); });
}

}  // namespace tamis::cli
