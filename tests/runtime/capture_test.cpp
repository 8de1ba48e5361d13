// Capture files: whole and damaged ones in, whole packets out.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/capture_file.h"
#include "tests/support/capture_bytes.h"
#include "tests/support/shell.h"

namespace tamis {
namespace {

using runtime::CaptureReader;
using runtime::CaptureWriter;
using runtime::Record;
using testing::EndsWith;
using testing::HasSubstr;

constexpr test::CaptureBytes bytes_of{};

std::string two_packets() {
    return bytes_of.pcap_header() + bytes_of.pcap_record("first", 5, 1000, 7) +
           bytes_of.pcap_record("second", 60, 1001, 999999);
}

std::string contents(std::string const& path) {
    std::stringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

// What a reader says about a file: each packet, then `end` or the error.
std::vector<std::string> read_all(Result<CaptureReader> reader) {
    if (!reader) return {reader.error().message};
    std::vector<std::string> out;
    for (;;) {
        auto const record = reader->next();
        if (!record) {
            EXPECT_EQ(record.error().fault, Fault::input);
            out.push_back(reader->where().name + ": " + record.error().message);
            return out;
        }
        if (!*record) {
            out.emplace_back("end");
            return out;
        }
        Record const& r = **record;
        out.push_back(std::to_string(r.seconds) + "." + std::to_string(r.nanoseconds) + " " +
                      std::to_string(r.length) + " " + std::string(r.bytes.begin(), r.bytes.end()));
    }
}

Result<CaptureWriter> copy_of(std::string const& path, CaptureReader const& reader) {
    return CaptureWriter::create(path, std::span(&reader, 1));
}

class Capture : public testing::Test {
  protected:
    std::vector<std::string> read_bytes(std::string const& bytes) {
        std::ofstream(path_) << bytes;
        return read_all(CaptureReader::open(path_));
    }
    CaptureReader opened(std::string const& bytes) {
        std::ofstream(path_) << bytes;
        auto reader = CaptureReader::open(path_);
        EXPECT_TRUE(reader.has_value());
        return *reader;
    }
    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "in.pcap";
};

std::span<std::uint8_t const> octets(std::string_view text) {
    return {reinterpret_cast<std::uint8_t const*>(text.data()), text.size()};
}

TEST_F(Capture, ReadsMicrosecondsAndNanoseconds) {
    EXPECT_EQ(read_bytes(two_packets()),
              (std::vector<std::string>{"1000.7000 5 first", "1001.999999000 60 second", "end"}));
    EXPECT_EQ(
        read_bytes(bytes_of.pcap_header(0xa1b23c4d) + bytes_of.pcap_record("x", 1, 5, 123456789)),
        (std::vector<std::string>{"5.123456789 1 x", "end"}));
    EXPECT_EQ(read_bytes(bytes_of.pcap_header()), std::vector<std::string>{"end"});
}

TEST_F(Capture, KnowsTheLinkType) {
    auto const reader = opened(two_packets());
    EXPECT_EQ(reader.link_type(), 1);
    EXPECT_EQ(opened(bytes_of.pcap_header(0xa1b2c3d4, 147)).link_type(), 147);  // a user's own
}

TEST_F(Capture, ReadsWholePacketsOfACutFile) {
    std::string const whole = two_packets();
    std::size_t const first_ends = bytes_of.pcap_header().size() + 16 + 5;
    for (std::size_t size = first_ends + 1; size < whole.size(); ++size) {
        auto const got = read_bytes(whole.substr(0, size));
        ASSERT_EQ(got.size(), 2U) << size;
        EXPECT_EQ(got[0], "1000.7000 5 first");
        EXPECT_THAT(got[1], HasSubstr("in.pcap:45: truncated packet: ")) << size;
    }
    EXPECT_EQ(read_bytes(whole.substr(0, first_ends)),
              (std::vector<std::string>{"1000.7000 5 first", "end"}));
}

TEST_F(Capture, RefusesWhatIsNoCapture) {
    auto const refusal = [](std::string const& path) {
        auto const reader = CaptureReader::open(path);
        if (reader) return std::string("no error");
        EXPECT_EQ(reader.error().fault, Fault::input);
        return reader.error().message;
    };
    std::string const none = folder_ / "none";
    EXPECT_EQ(refusal(none), "cannot read '" + none + "': No such file or directory");
    EXPECT_THAT(refusal(folder_.path()), EndsWith("Is a directory"));
    EXPECT_THAT(refusal("/dev/null"), HasSubstr("truncated"));
    std::ofstream(path_) << "#!/bin/sh\necho this is not a capture at all\n";
    EXPECT_THAT(refusal(path_),
                HasSubstr("neither pcap nor pcapng begins with the bytes 23 21 2f 62"));
    EXPECT_THAT(refusal("/none/\x1b[2J"), HasSubstr("'/none/\\x1b[2J'"));
}

TEST_F(Capture, RefusesDamagedPackets) {
    std::string bytes = two_packets();
    bytes.replace(24 + 8, 4, bytes_of.number(0x7fffffff));  // captured length of the first packet
    auto const got = read_bytes(bytes);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_THAT(got[0], HasSubstr("in.pcap:24: a packet of 2147483647 bytes"));
}

TEST_F(Capture, WritesWhatItReads) {
    auto reader = opened(two_packets());
    auto writer = copy_of(folder_ / "out.pcap", reader);
    ASSERT_TRUE(writer.has_value());
    while (auto const item = reader.next_item().value()) ASSERT_TRUE(writer->copy(reader, *item));
    ASSERT_TRUE(writer->close());
    EXPECT_TRUE(writer->close());  // again: nothing to do
    EXPECT_EQ(contents(folder_ / "out.pcap"), two_packets());
}

TEST_F(Capture, WritesFilesOfItsOwn) {
    auto writer = CaptureWriter::create(folder_ / "out.pcap", 12, 65535);
    ASSERT_TRUE(writer.has_value());
    ASSERT_TRUE(writer->write(
        {.seconds = 1000, .nanoseconds = 7000, .length = 60, .bytes = octets("first")}));
    ASSERT_TRUE(writer->close());
    EXPECT_EQ(contents(folder_ / "out.pcap"), bytes_of.pcap_header(0xa1b23c4d, 101) +
                                                  bytes_of.pcap_record("first", 60, 1000, 7000));
}

TEST_F(Capture, KeepsTheLinkType) {
    auto const reader = opened(bytes_of.pcap_header(0xa1b2c3d4, 105));
    ASSERT_TRUE(copy_of(folder_ / "out.pcap", reader)->close());
    EXPECT_EQ(CaptureReader::open(folder_ / "out.pcap")->link_type(), 105);
}

// A header of 0 promises no length, and one of several files all of theirs.
TEST_F(Capture, PromisesWhatAllItsSourcesPromise) {
    auto const with = [&](std::string const& name, std::uint32_t snaplen) {
        std::string const path = folder_ / name;
        std::ofstream(path) << bytes_of.pcap_header(0xa1b2c3d4, 1, snaplen)
                            << bytes_of.pcap_record("first", 5, 1000, 7);
        return CaptureReader::open(path).value();
    };
    for (std::uint32_t const wide : {0U, 65535U, 0x80000000U}) {
        std::vector<CaptureReader> sources{with("narrow", 3), with("wide", wide)};
        auto writer = CaptureWriter::create(folder_ / "both", sources);
        auto const item = sources[1].next_item().value();
        ASSERT_TRUE(writer->copy(sources[1], *item) && writer->close());
        EXPECT_THAT(read_all(CaptureReader::open(folder_ / "both")),
                    testing::ElementsAre("1000.7000 5 first", "end"))
            << wide;
    }
}

// Cut at any time, as by SIGKILL, the file is a valid one.
TEST_F(Capture, FileGrowsByWholePackets) {
    auto const reader = opened(two_packets());
    std::string const out = folder_ / "out.pcap";
    auto writer = copy_of(out, reader);
    ASSERT_TRUE(writer.has_value());
    std::string const bytes(999, 'x');
    std::set<std::size_t> counts;
    for (std::uint32_t i = 0; i < 2000; ++i) {
        ASSERT_TRUE(writer->write(
            {.seconds = 0, .nanoseconds = i, .length = 2000, .bytes = octets(bytes)}));
        if (i % 50 != 0) continue;
        std::size_t const size = std::filesystem::file_size(out);
        EXPECT_TRUE(size == 0 || (size - 24) % (16 + bytes.size()) == 0) << size;
        counts.insert(size);
    }
    EXPECT_GT(counts.size(), 4U);  // it did grow on the way
    ASSERT_TRUE(writer->flush());
    EXPECT_EQ(std::filesystem::file_size(out), 24 + 2000 * (16 + bytes.size()));
}

TEST_F(Capture, WritesPacketsLargerThanItsBuffer) {
    auto const reader = opened(two_packets());
    auto writer = copy_of(folder_ / "out.pcap", reader);
    std::string const bytes(300000, 'y');
    ASSERT_TRUE(
        writer->write({.seconds = 0, .nanoseconds = 0, .length = 300000, .bytes = octets(bytes)}));
    ASSERT_TRUE(writer->close());
    EXPECT_EQ(std::filesystem::file_size(folder_ / "out.pcap"), 24U + 16 + 300000);
}

TEST_F(Capture, ReportsLostWrites) {
    auto reader = opened(two_packets());
    auto writer = copy_of("/dev/full", reader);
    ASSERT_TRUE(writer.has_value());
    auto const record = reader.next().value();
    EXPECT_TRUE(writer->write(*record));
    auto const lost = writer->flush();
    ASSERT_FALSE(lost.has_value());
    EXPECT_EQ(lost.error().message, "cannot write '/dev/full': No space left on device");
    EXPECT_EQ(lost.error().fault, Fault::system);
    EXPECT_FALSE(writer->close().has_value());

    auto const nowhere = copy_of(folder_ / "none/f", reader);
    ASSERT_FALSE(nowhere.has_value());
    EXPECT_THAT(nowhere.error().message, EndsWith("No such file or directory"));
}

TEST_F(Capture, DoesNotOverwriteWhatItReads) {
    auto const reader = opened(two_packets());
    std::filesystem::create_symlink(path_, folder_ / "link");
    for (std::string const& path : {path_, folder_ / "link"}) {
        auto const writer = copy_of(path, reader);
        ASSERT_FALSE(writer.has_value());
        EXPECT_THAT(writer.error().message, EndsWith("is the capture that is read"));
    }
    EXPECT_EQ(contents(path_), two_packets());
}

TEST_F(Capture, DashIsStandardInputAndOutput) {
    std::ofstream(path_) << two_packets();
    pid_t const child = fork();
    if (child == 0) {
        int const in = open(path_.c_str(), O_RDONLY);
        int const out = open((folder_ / "out").c_str(), O_WRONLY | O_CREAT, 0600);
        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) _exit(1);
        auto reader = CaptureReader::open("-");
        if (!reader) _exit(2);
        auto writer = copy_of("-", *reader);
        if (!writer) _exit(3);
        while (auto const record = reader->next().value())
            if (!writer->write(*record)) _exit(4);
        _exit(writer->close() ? 0 : 5);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(read_all(CaptureReader::open(folder_ / "out")),
              (std::vector<std::string>{"1000.7000 5 first", "1001.999999000 60 second", "end"}));
}

// What libpcap says of a file, in the words of read_all(), up to its first error.
std::vector<std::string> libpcap_reads(std::string const& path) {
    char words[PCAP_ERRBUF_SIZE];
    std::unique_ptr<pcap_t, decltype(&pcap_close)> const file(
        pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, words),
        pcap_close);
    std::vector<std::string> out;
    if (!file) return out;
    out.push_back(std::to_string(pcap_datalink(file.get())));
    pcap_pkthdr* header = nullptr;
    u_char const* bytes = nullptr;
    while (pcap_next_ex(file.get(), &header, &bytes) == 1)
        // Seconds have no sign since 1.10.5.
        out.push_back(std::to_string(static_cast<std::uint32_t>(header->ts.tv_sec)) + "." +
                      std::to_string(header->ts.tv_usec) + " " + std::to_string(header->len) + " " +
                      std::string(bytes, bytes + header->caplen));
    return out;
}

// TAMIS_CAPTURES names a folder of captures beside the one that is here.
TEST_F(Capture, ReadsWhatLibpcapReads) {
    std::vector<std::filesystem::path> files = {TAMIS_SOURCE_ROOT "/examples/capture.pcap"};
    if (char const* const folder = std::getenv("TAMIS_CAPTURES"))
        for (auto const& entry : std::filesystem::directory_iterator(folder))
            if (entry.path().extension().string().starts_with(".pcap")) files.push_back(entry);
    for (std::filesystem::path const& file : files) {
        SCOPED_TRACE(file);
        auto const theirs = libpcap_reads(file);
        auto const reader = CaptureReader::open(file);
        if (theirs.empty()) continue;
        ASSERT_TRUE(reader.has_value());
        auto ours = read_all(*reader);
        ours.pop_back();  // `end`, or an error
        ours.insert(ours.begin(), std::to_string(reader->link_type()));
        EXPECT_EQ(ours, theirs);
    }
}

}  // namespace
}  // namespace tamis
