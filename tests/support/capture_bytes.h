// Capture files for tests, put together byte by byte in either byte order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bpf/bytes.h"

namespace tamis::test {

struct CaptureBytes {
    Endian endian = Endian::little;

    std::string number(std::uint64_t value, unsigned size = 4) const {
        std::string out(size, '\0');
        for (unsigned i = 0; i < size; ++i)
            out[endian == Endian::big ? size - 1 - i : i] = static_cast<char>(value >> 8 * i);
        return out;
    }
    static std::string padded(std::string bytes) {
        bytes.resize((bytes.size() + 3) & ~std::size_t{3});
        return bytes;
    }

    std::string pcap_header(std::uint32_t magic = 0xa1b2c3d4, std::uint32_t link_type = 1,
                            std::uint32_t snaplen = 65535) const {
        return number(magic) + number(2, 2) + number(4, 2) + number(0) + number(0) +
               number(snaplen) + number(link_type);
    }
    std::string pcap_record(std::string_view bytes, std::uint32_t length, std::uint32_t seconds,
                            std::uint32_t fraction) const {
        return number(seconds) + number(fraction) + number(bytes.size()) + number(length) +
               std::string(bytes);
    }

    std::string block(std::uint32_t type, std::string const& body) const {
        std::string const inner = padded(body);
        std::string const size = number(12 + inner.size());
        return number(type) + size + inner + size;
    }
    std::string option(std::uint16_t code, std::string const& value) const {
        return number(code, 2) + number(value.size(), 2) + padded(value);
    }
    std::string section(std::uint64_t length = ~std::uint64_t{0},
                        std::string const& options = "") const {
        return block(0x0a0d0d0a, number(0x1a2b3c4d) + number(1, 2) + number(0, 2) +
                                     number(length, 8) + options);
    }
    std::string interface(std::uint16_t link_type = 1, std::uint32_t snaplen = 65535,
                          std::string const& options = "") const {
        return block(1, number(link_type, 2) + number(0, 2) + number(snaplen) + options);
    }
    std::string packet(std::uint32_t interface, std::uint64_t ticks, std::string const& bytes,
                       std::uint32_t length, std::string const& options = "") const {
        return block(6, number(interface) + number(ticks >> 32) + number(ticks) +
                            number(bytes.size()) + number(length) + padded(bytes) + options);
    }
    std::string obsolete_packet(std::uint16_t interface, std::uint64_t ticks,
                                std::string const& bytes, std::uint32_t length) const {
        return block(2, number(interface, 2) + number(7, 2) + number(ticks >> 32) + number(ticks) +
                            number(bytes.size()) + number(length) + padded(bytes));
    }
    std::string simple_packet(std::string const& bytes, std::uint32_t length) const {
        return block(3, number(length) + padded(bytes));
    }
};

}  // namespace tamis::test
