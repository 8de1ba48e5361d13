// The older format of capture files (draft-ietf-opsawg-pcap): a header, then packets of one link
// type.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bpf/bytes.h"
#include "bpf/result.h"
#include "runtime/capture_file.h"
#include "runtime/capture_io.h"

namespace tamis::runtime {

class Pcap {
  public:
    static constexpr std::size_t header_size = 24;

    // None: the bytes begin no such file.
    static Result<std::optional<Pcap>> open(InputBuffer& input);
    // A nanosecond file, little-endian.
    static Pcap create(int link_type, std::uint32_t snaplen);

    int link_type() const;
    // The most bytes that a packet has; 0: the header promises nothing.
    std::uint32_t snaplen() const;
    // Packets of the other file are promised, too.
    void widen(Pcap const& other);
    bool in_nanoseconds() const { return units_ == 1'000'000'000; }
    std::span<std::uint8_t const> header() const { return header_; }
    // Whether packets of the other file can be copied into one that begins with this header.
    bool same_kind(Pcap const& other) const;

    Result<std::optional<Item>> next(InputBuffer& input) const;
    // The packet as a record of this file, appended.
    void append(Record const& record, std::vector<std::uint8_t>& to) const;

  private:
    std::array<std::uint8_t, header_size> header_{};
    Endian endian_ = Endian::little;
    std::uint32_t units_ = 0;        // of the clock, in a second
    std::size_t record_header_ = 0;  // bytes
    bool lengths_swapped_ = false;   // in files of before 1998
};

}  // namespace tamis::runtime
