// The newer format of capture files (draft-ietf-opsawg-pcapng): blocks, in sections that have their
// own byte order and their own interfaces.  A reader here looks into packets and interfaces only;
// all else goes by as it is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bpf/bytes.h"
#include "bpf/result.h"
#include "runtime/capture_file.h"
#include "runtime/capture_io.h"

namespace tamis::runtime {

class Pcapng {
  public:
    // None: the bytes begin no such file.
    static Result<std::optional<Pcapng>> open(InputBuffer& input);

    int link_type() const { return link_type_; }  // of the first interface
    // The next block.  A section's length is taken out of its header, since a copy can be shorter.
    Result<std::optional<Item>> next(InputBuffer& input);

    // A section with one interface, and a packet of it, appended as blocks.
    static void append_section(int link_type, std::uint32_t snaplen, bool in_nanoseconds,
                               std::vector<std::uint8_t>& to);
    static void append(Record const& record, bool in_nanoseconds, std::vector<std::uint8_t>& to);

  private:
    struct Interface {
        int link_type = 0;
        std::uint32_t snaplen = 0;
        std::uint64_t units = 1'000'000;  // of its clock, in a second
        std::uint64_t offset = 0;         // seconds, two's complement, that its clock is behind
    };
    struct Block;

    Result<void> read_section(std::span<std::uint8_t> block);
    Result<void> read_interface(Block const& block);
    Result<Record> read_packet(Block const& block) const;
    Result<Record> read_simple_packet(Block const& block) const;

    Endian endian_ = Endian::little;
    std::vector<Interface> interfaces_;
    int link_type_ = 1;
};

}  // namespace tamis::runtime
