// Capture files, through libpcap: pcap and pcapng in, pcap out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "bpf/result.h"

namespace tamis::runtime {

struct Record {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
    std::uint32_t length = 0;             // on the wire
    std::span<std::uint8_t const> bytes;  // captured; valid until the next call
};

class CaptureReader {
  public:
    static Result<CaptureReader> open(std::string const& path);  // `-` is standard input
    int link_type() const;                                       // DLT_*
    std::uint32_t snaplen() const;
    Result<std::optional<Record>> next();  // none at the end; an error for a damaged file

  private:
    friend class CaptureWriter;
    struct Handle;
    explicit CaptureReader(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Handle> handle_;
};

// Written in place, whole packets only, so that a file cut at any time is a valid one (nanosecond
// pcap).
class CaptureWriter {
  public:
    static Result<CaptureWriter> create(std::string const& path,
                                        CaptureReader const& like);  // `-` is standard output
    static Result<CaptureWriter> create(std::string const& path, int link_type,
                                        std::uint32_t snaplen);
    Result<void> write(Record const& record);
    Result<void> flush();
    Result<void> close();  // flushes; the destructor does not report

  private:
    struct Handle;
    static Result<CaptureWriter> create(std::string const& path, void* source);
    explicit CaptureWriter(std::shared_ptr<Handle> handle) : handle_(std::move(handle)) {}
    std::shared_ptr<Handle> handle_;
};

}  // namespace tamis::runtime
