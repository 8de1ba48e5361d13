// Capture files, pcap and pcapng: packets in, whole packets out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "bpf/result.h"

namespace tamis::runtime {

struct Record {
    std::int64_t seconds = 0;  // since 1970
    std::uint32_t nanoseconds = 0;
    std::uint32_t length = 0;             // on the wire
    std::span<std::uint8_t const> bytes;  // captured; valid until the next call
    int link_type = 1;                    // DLT_*: of the interface that saw it
    bool timed = true;                    // a simple packet of pcapng has no time
};

// One piece of a file: a packet, or a block of pcapng that is none.
struct Item {
    std::optional<Record> packet;
    std::span<std::uint8_t const> raw;  // as it is in the file; valid until the next call
};

class CaptureReader {
  public:
    static Result<CaptureReader> open(std::string const& path);  // `-` is standard input

    // DLT_*, of the first interface; Ethernet where a file has none.  Packets of pcapng can differ.
    int link_type() const;
    bool is_pcapng() const;

    // None at the end; an error for a damaged file, whose place is where().
    Result<std::optional<Item>> next_item();
    Result<std::optional<Record>> next();  // the next that is a packet

    Source where() const;  // `FILE:OFFSET`, of the item that next() would give
    std::uint64_t offset() const;
    std::uint64_t size() const;  // 0 where it is not known
    // Called in front of each read from the file, with whether that will wait.
    void on_read(std::function<void(bool waits)> call);

  private:
    friend class CaptureWriter;
    struct Handle;
    explicit CaptureReader(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Handle> handle_;
};

// Written in place, whole packets only, so that a file cut at any time is a valid one.
class CaptureWriter {
  public:
    // A nanosecond pcap; `-` is standard output.
    static Result<CaptureWriter> create(std::string const& path, int link_type,
                                        std::uint32_t snaplen);
    // In the format of all these files, which are pcapng or pcap of one kind; pcapng when they
    // differ, with a section for each.  None of them may be the file that is written.
    static Result<CaptureWriter> create(std::string const& path,
                                        std::span<CaptureReader const> sources);

    Result<void> write(Record const& record);  // of the link type that the writer was created with
    // What one of the sources gave, byte for byte where formats do not differ.  All items of a
    // pcapng that are no packets belong into the copy.
    Result<void> copy(CaptureReader const& source, Item const& item);
    Result<void> flush();
    Result<void> close();  // flushes; the destructor does not report

  private:
    struct Handle;
    explicit CaptureWriter(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Handle> handle_;
};

}  // namespace tamis::runtime
