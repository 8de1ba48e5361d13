// tamis match: which packets of a capture file an expression matches.
#include <ctime>
#include <functional>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "bpf/link_types.h"
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
    std::string read, write, engine = "classic";
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

// `2026-11-23T22:29:02.123456789Z`
std::string time_of(Record const& record) {
    std::time_t const seconds = record.seconds;
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900,
                       utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                       record.nanoseconds);
}

class Matching {
  public:
    Matching(MatchOptions const& options, CaptureReader reader, Matcher matcher,
             std::optional<CaptureWriter> writer)
        : o_(options),
          reader_(std::move(reader)),
          matcher_(std::move(matcher)),
          writer_(std::move(writer)) {}

    // Until the end of the file, -c packets, or an error.
    Result<void> run() {
        while (o_.limit == 0 || matched_ < o_.limit) {
            auto const record = reader_.next();
            if (!record) return fail(record.error());
            if (!*record) return {};
            if (auto done = one(**record); !done) return done;
        }
        return {};
    }

    Result<void> finish() {
        if (writer_)
            if (auto closed = writer_->close(); !closed) return closed;
        if (o_.json) {
            Json total = object_of("match");
            total["matched"] = matched_;
            total["packets"] = seen_;
            print_json(total);
        } else if (o_.count) {
            print(fmt::format("{}\n", matched_));
        }
        complain(fmt::format("{} of {} packets matched\n", matched_, seen_));
        return {};
    }

    Exit exit() const { return matched_ > 0 ? Exit::success : Exit::nothing; }

  private:
    Result<void> one(Record const& record) {
        ++seen_;
        auto const verdict = matcher_({.bytes = record.bytes,
                                       .length = record.length,
                                       .ancillary = {},
                                       .network = {},
                                       .link = {}});
        if (!verdict) return fail(verdict.error());
        if (*verdict != 0) ++matched_;
        if (*verdict != 0 && writer_)
            if (auto written = writer_->write(record); !written) return written;
        show(record, *verdict);
        return {};
    }

    void show(Record const& record, std::uint32_t verdict) {
        if (o_.count || writer_) return;
        if (o_.json) {
            if (verdict == 0 && !o_.verdicts) return;
            Json line = object_of("packet");
            line["number"] = seen_;
            line["time"] = time_of(record);
            line["length"] = record.length;
            line["captured"] = record.bytes.size();
            line["verdict"] = verdict;
            line["summary"] = runtime::summary(record.bytes, reader_.link_type());
            print_json(line);
        } else if (o_.verdicts) {
            print(fmt::format("{} {}\n", seen_, verdict));
        } else if (verdict != 0) {
            print(fmt::format("{} {} {} {}\n", seen_, time_of(record), record.length,
                              runtime::summary(record.bytes, reader_.link_type())));
        }
    }

    MatchOptions const& o_;
    CaptureReader reader_;
    Matcher matcher_;
    std::optional<CaptureWriter> writer_;
    std::uint64_t seen_ = 0, matched_ = 0;
};

// Writing begins by emptying the file.
bool same_file(std::string const& a, std::string const& b) {
    struct stat first {
    }, second{};
    return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
           S_ISREG(first.st_mode) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Exit run(MatchOptions const& o) {
    if (o.read.empty())
        return report({"no capture file", std::nullopt, {{"name one with -r", std::nullopt}}});
    if (same_file(o.read, o.write))
        return report({fmt::format("'{}' is the capture that is read", escape(o.write)),
                       std::nullopt,
                       {{"write to another file", std::nullopt}}});
    auto reader = CaptureReader::open(o.read);
    if (!reader) return report(reader.error());
    auto const input = compile_input(o.input, reader->link_type(), frontend::Context::savefile);
    if (!input) return input.error();
    auto matcher = choose_engine(o.engine, input->program);
    if (!matcher) return report(matcher.error(), input->source);
    std::optional<CaptureWriter> writer;
    if (!o.write.empty()) {
        auto created = CaptureWriter::create(o.write, *reader);
        if (!created) return report(created.error());
        writer = std::move(*created);
    }
    Matching matching(o, std::move(*reader), std::move(*matcher), std::move(writer));
    auto const ran = matching.run();
    auto const finished = matching.finish();  // what was matched before an error counts
    if (!ran) return report(ran.error());
    if (!finished) return report(finished.error());
    return matching.exit();
}

}  // namespace

Exit match(std::vector<std::string> const& args) {
    MatchOptions o;
    CLI::App app{"Prints the packets of a capture file that an expression matches.", "tamis match"};
    o.input.add_to(app);
    app.add_option("-r", o.read, "read packets from FILE ('-': standard input)")->type_name("FILE");
    app.add_option("-w", o.write, "write matching packets to FILE instead of printing them")
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
