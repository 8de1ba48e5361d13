// pcapng: every kind of block in both byte orders, damaged ones, and copies that keep what they do
// not know.
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/capture_file.h"
#include "tests/support/capture_bytes.h"
#include "tests/support/shell.h"

namespace tamis {
namespace {

using runtime::CaptureReader;
using runtime::CaptureWriter;
using test::CaptureBytes;
using testing::ElementsAre;
using testing::HasSubstr;

class Pcapng : public testing::Test {
  protected:
    // Each packet as `link type, seconds.nanoseconds, length, bytes`, then `end`, or the error and
    // its place.
    std::vector<std::string> read(std::string const& bytes) {
        std::ofstream(path_) << bytes;
        auto reader = CaptureReader::open(path_);
        if (!reader) return {reader.error().message};
        std::vector<std::string> out;
        for (;;) {
            auto const record = reader->next();
            if (!record) {
                std::string const place = reader->where().name;
                EXPECT_EQ(place.substr(0, path_.size()), path_);
                out.push_back("@" + place.substr(path_.size() + 1) + " " + record.error().message);
                return out;
            }
            if (!*record) {
                out.emplace_back("end");
                return out;
            }
            runtime::Record const& r = **record;
            std::ostringstream line;
            line << r.link_type << " ";
            if (r.timed)
                line << r.seconds << "." << r.nanoseconds;
            else
                line << "-";
            line << " " << r.length << " " << std::string(r.bytes.begin(), r.bytes.end());
            out.push_back(line.str());
        }
    }

    // What a copy of all items of these files is.
    std::string copied(std::vector<std::string> const& files) {
        std::vector<CaptureReader> readers;
        for (std::size_t i = 0; i < files.size(); ++i) {
            std::string const path = folder_ / std::to_string(i);
            std::ofstream(path) << files[i];
            readers.push_back(*CaptureReader::open(path));
        }
        std::string const to = folder_ / "out";
        auto writer = CaptureWriter::create(to, readers);
        if (!writer) return writer.error().message;
        for (CaptureReader& reader : readers)
            while (auto const item = reader.next_item().value())
                EXPECT_TRUE(writer->copy(reader, *item));
        EXPECT_TRUE(writer->close());
        std::ostringstream out;
        out << std::ifstream(to).rdbuf();
        return out.str();
    }

    test::TemporaryFolder folder_;
    std::string path_ = folder_ / "in.pcapng";
    CaptureBytes const little_{}, big_{Endian::big};
};

TEST_F(Pcapng, ReadsEveryKindOfPacketInBothByteOrders) {
    for (CaptureBytes const& b : {little_, big_}) {
        EXPECT_THAT(read(b.section() + b.interface() + b.packet(0, 2500001, "abcd", 90) +
                         b.obsolete_packet(0, 3000000, "efghi", 5) + b.simple_packet("jkl", 3)),
                    ElementsAre("1 2.500001000 90 abcd", "1 3.0 5 efghi", "1 - 3 jkl", "end"));
    }
}

TEST_F(Pcapng, SectionsHaveTheirOwnByteOrderAndInterfaces) {
    EXPECT_THAT(read(little_.section() + little_.interface(1) + little_.packet(0, 0, "a", 1) +
                     big_.section() + big_.interface(101) + big_.interface(105) +
                     big_.packet(1, 1, "b", 1) + big_.packet(0, 2, "c", 1)),
                ElementsAre("1 0.0 1 a", "105 0.1000 1 b", "12 0.2000 1 c", "end"));
    EXPECT_THAT(
        read(little_.section() + little_.interface() + big_.section() + big_.packet(0, 0, "a", 1)),
        ElementsAre("@76 a packet of interface 0, of 0 in its section"));
}

TEST_F(Pcapng, KnowsClocks) {
    auto const time = [&](std::string const& options, std::uint64_t ticks) {
        return read(little_.section() + little_.interface(1, 0, options) +
                    little_.packet(0, ticks, "x", 1))[0];
    };
    auto const resolution = [&](unsigned value) {
        return little_.option(9, std::string(1, static_cast<char>(value)));
    };
    EXPECT_EQ(time(resolution(9), 5'123456789), "1 5.123456789 1 x");
    EXPECT_EQ(time(resolution(0), 7), "1 7.0 1 x");
    EXPECT_EQ(time(resolution(12), 1'500000000001), "1 1.500000000 1 x");
    EXPECT_EQ(time(resolution(19), 12345678901234567890U), "1 1.234567890 1 x");
    EXPECT_EQ(time(resolution(0x80 | 10), 1024 + 512), "1 1.500000000 1 x");
    EXPECT_EQ(time(resolution(0x80 | 63), std::uint64_t{3} << 62), "1 1.500000000 1 x");
    EXPECT_EQ(time(resolution(6) + little_.option(14, little_.number(100, 8)), 1),
              "1 100.1000 1 x");
    std::uint64_t const past = ~std::uint64_t{0};  // -1
    EXPECT_EQ(time(little_.option(14, little_.number(past, 8)), 2'000000), "1 1.0 1 x");
    EXPECT_EQ(time(little_.option(2, "eth0") + little_.option(0, "") + resolution(9), 1000000),
              "1 1.0 1 x");  // behind the end of options
    EXPECT_THAT(time(resolution(20), 0), HasSubstr("10 to the power of -20"));
    EXPECT_THAT(time(resolution(0xff), 0), HasSubstr("2 to the power of -127"));
}

TEST_F(Pcapng, SimplePacketsEndAtTheSnapLength) {
    EXPECT_THAT(
        read(little_.section() + little_.interface(1, 4) + little_.simple_packet("abcd", 99)),
        ElementsAre("1 - 99 abcd", "end"));
}

TEST_F(Pcapng, TellsItsFirstLinkType) {
    auto const first = [&](std::string const& bytes) {
        std::ofstream(path_) << bytes;
        return CaptureReader::open(path_)->link_type();
    };
    EXPECT_EQ(first(big_.section() + big_.block(0xbad, "unknown") + big_.interface(105)), 105);
    EXPECT_EQ(first(little_.section()), 1);
    EXPECT_EQ(first(little_.section() + big_.section() + big_.interface(101)), 12);
}

TEST_F(Pcapng, SaysWhatIsWrongAndWhere) {
    std::string const good =
        little_.section() + little_.interface() + little_.packet(0, 0, "abcd", 4);
    auto const error = [&](std::string const& behind) {
        auto const lines = read(good + behind);
        EXPECT_EQ(lines.size(), 2U) << "the good packet, then the error";
        EXPECT_EQ(lines[0], "1 0.0 4 abcd");
        EXPECT_EQ(lines.back().substr(0, 4), "@84 ") << lines.back();
        return lines.back().substr(4);
    };
    CaptureBytes const& b = little_;
    EXPECT_EQ(error(b.number(6) + b.number(0xfffffffc) + b.number(0)),
              "a block of 4294967292 bytes; at most 135266304 can be read");
    EXPECT_EQ(error(b.number(6) + b.number(8) + b.number(8)),
              "a block of 8 bytes, which no block can have");
    EXPECT_EQ(error(b.number(6) + b.number(13) + std::string(20, 'x')),
              "a block of 13 bytes, which no block can have");
    EXPECT_EQ(error(b.number(6) + b.number(1 << 20) + b.number(0)),
              "truncated block: 12 of 1048576 bytes are there");
    EXPECT_EQ(error("abc"), "truncated block: 3 of 12 bytes are there");
    EXPECT_EQ(error(b.number(5) + b.number(12) + b.number(16)),
              "a block of 12 bytes that says at its end it has 16");
    EXPECT_EQ(error(b.packet(1, 0, "x", 1)), "a packet of interface 1, of 1 in its section");
    EXPECT_EQ(error(b.block(6, std::string(16, '\0'))),
              "a packet block of 16 bytes; its fields are 20 bytes");
    EXPECT_EQ(error(b.block(3, "")), "a simple packet block of 0 bytes; its fields are 4 bytes");
    EXPECT_EQ(error(b.block(6, b.number(0) + b.number(0) + b.number(0) + b.number(0xffffffff) +
                                   b.number(1) + "data")),
              "a packet of 4294967295 bytes in a block that has 4 for it");
    EXPECT_EQ(error(b.simple_packet("abcd", 5)),
              "a packet of 5 bytes in a block that has 4 for it");
    EXPECT_EQ(error(b.block(1, "1234")), "an interface of 4 bytes; its fields are 8 bytes");
    EXPECT_EQ(error(b.interface(1, 0, b.number(2, 2) + b.number(99, 2) + "name")),
              "option 2 of an interface is 99 bytes long, in a block that has 4 left");
    EXPECT_EQ(error(b.block(0x0a0d0d0a, "abcd" + std::string(12, '\0'))),
              "a section header without a byte order");
    EXPECT_EQ(
        error(b.block(0x0a0d0d0a, b.number(0x1a2b3c4d) + b.number(2, 2) + std::string(10, '\0'))),
        "version 2 of pcapng is not known");
    EXPECT_EQ(error(b.block(0x0a0d0d0a, b.number(0x1a2b3c4d))),
              "a section header of 16 bytes; the least is 28");
    EXPECT_THAT(read(b.section() + b.simple_packet("abcd", 4)),
                ElementsAre("@28 a simple packet in a section without an interface"));
    EXPECT_THAT(read(b.number(0x0a0d0d0a) + "abcd"),
                ElementsAre(HasSubstr("truncated section header")));
    EXPECT_THAT(read(b.number(0x0a0d0d0a) + b.number(28) + "abcdefgh"),
                ElementsAre(HasSubstr("without a byte order")));
}

std::string everything(CaptureBytes const& b, std::uint64_t length) {
    return b.section(length, b.option(1, "a comment") + b.option(0, "")) +
           b.interface(1, 96,
                       b.option(2, "eth0") + b.option(0x8000, "not known") + b.option(0, "")) +
           b.block(4, "names") +
           b.packet(0, 1, "abcde", 5, b.option(1, "see here") + b.option(0, "")) +
           b.block(0xbad, "a custom block") + b.simple_packet("x", 1) +
           b.obsolete_packet(0, 2, "yy", 2) + b.block(5, "statistics");
}

TEST_F(Pcapng, CopiesAllThatItDoesNotKnow) {
    std::uint64_t const unknown = ~std::uint64_t{0};
    for (CaptureBytes const& b : {little_, big_}) {
        // A copy can be shorter than the section said.
        EXPECT_EQ(copied({everything(b, 4242)}), everything(b, unknown));
        EXPECT_EQ(copied({everything(b, unknown), everything(little_, unknown)}),
                  everything(b, unknown) + everything(little_, unknown));
    }
}

TEST_F(Pcapng, TakesPcapFilesThatDiffer) {
    CaptureBytes const& b = little_;
    std::string const micro =
        big_.pcap_header(0xa1b2c3d4, 101, 99) + big_.pcap_record("ab", 7, 5, 6);
    std::string const nano = b.pcap_header(0xa1b23c4d) + b.pcap_record("cde", 3, 8, 9);
    std::string const micro_section =
        b.section() + b.interface(101, 99) + b.packet(0, 5000006, "ab", 7);
    std::string const nano_section = b.section() +
                                     b.interface(1, 65535, b.option(9, "\x09") + b.option(0, "")) +
                                     b.packet(0, 8000000009, "cde", 3);
    EXPECT_EQ(copied({micro, nano, micro}), micro_section + nano_section + micro_section);
    EXPECT_EQ(copied({nano, everything(big_, 0)}),
              nano_section + everything(big_, ~std::uint64_t{0}));
    EXPECT_THAT(read(copied({micro, nano})), ElementsAre("12 5.6000 7 ab", "1 8.9 3 cde", "end"));
}

TEST_F(Pcapng, CopiesPcapOfOneKindAsItIs) {
    for (CaptureBytes const& b : {little_, big_}) {
        for (std::uint32_t const magic : {0xa1b2c3d4U, 0xa1b23c4dU, 0xa12b3c4dU}) {
            std::string const header = b.pcap_header(magic, 105, 100);
            std::string const packet = b.pcap_record("ab", 7, 5, 6);
            EXPECT_EQ(copied({header + packet}), header + packet);
            EXPECT_EQ(copied({header + packet, b.pcap_header(magic, 105, 200) + packet}),
                      b.pcap_header(magic, 105, 200) + packet + packet);
        }
    }
    // Linux 2.2 with a patch has more in front of a packet.
    std::string const patched = little_.pcap_header(0xa1b2cd34) + little_.number(5) +
                                little_.number(6) + little_.number(2) + little_.number(7) +
                                "devproto" + "ab";
    EXPECT_EQ(copied({patched}), patched);
    EXPECT_THAT(read(patched), ElementsAre("1 5.6000 7 ab", "end"));
}

// Cut or changed anywhere, a file is read up to there or refused; nothing else happens.
TEST_F(Pcapng, AnyDamageIsAnError) {
    std::string const whole = everything(big_, 0) + everything(little_, 0);
    std::size_t const packets = read(whole).size();
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_LE(read(whole.substr(0, size)).size(), packets) << size;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (char const to : {'\0', '\x7f', '\xff'}) {
            std::string changed = whole;
            changed[at] = to;
            EXPECT_LE(read(changed).size(), packets + 1) << at;
        }
    }
}

}  // namespace
}  // namespace tamis
