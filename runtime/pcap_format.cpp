#include "runtime/pcap_format.h"

#include <algorithm>

#include <fmt/core.h>

#include "bpf/link_types.h"
#include "runtime/capture_limits.h"

namespace tamis::runtime {
namespace {

struct Magic {
    std::uint32_t number;
    std::uint32_t units;
    std::size_t record_header;
};
constexpr Magic magics[] = {
    {0xa1b2c3d4, 1'000'000, 16},
    {0xa1b23c4d, 1'000'000'000, 16},
    {0xa1b2cd34, 1'000'000, 24},  // Linux 2.2 with a patch: behind the lengths, 8 bytes of device
    {0xa12b3c4d, 1'000'000, 16},  // Navtel
};

// Places in the header of a file.
constexpr std::size_t major_at = 4, minor_at = 6, snaplen_at = 16, link_type_at = 20;
constexpr std::uint32_t link_type_mask = 0xffff;  // what is above says how long checksums are

}  // namespace

Result<std::optional<Pcap>> Pcap::open(InputBuffer& input) {
    auto const bytes = input.peek(header_size);
    if (bytes.size() < 4) return std::nullopt;
    Pcap out;
    bool found = false;
    for (Endian const endian : {Endian::little, Endian::big}) {
        for (Magic const& magic : magics) {
            if (load32(bytes, 0, endian) != magic.number) continue;
            found = true;
            out.endian_ = endian;
            out.units_ = magic.units;
            out.record_header_ = magic.record_header;
        }
    }
    if (!found) return std::nullopt;
    if (bytes.size() < header_size) return fail(truncated("header", bytes.size(), header_size));
    std::copy_n(bytes.begin(), header_size, out.header_.begin());
    unsigned const major = load16(bytes, major_at, out.endian_);
    unsigned const minor = load16(bytes, minor_at, out.endian_);
    // 543.0 is what DG/UX wrote.
    if (major != 2 && !(major == 543 && minor == 0))
        return fail({fmt::format("version {}.{} of pcap is not known", major, minor),
                     std::nullopt,
                     {{"2.4 is", std::nullopt}}});
    out.lengths_swapped_ = major == 2 && minor < 3;
    input.consume(header_size);
    return out;
}

Pcap Pcap::create(int link_type, std::uint32_t snaplen) {
    Pcap out;
    out.units_ = magics[1].units;
    out.record_header_ = magics[1].record_header;
    std::span const header(out.header_);
    store(header, 0, 4, Endian::little, magics[1].number);
    store(header, major_at, 2, Endian::little, 2);
    store(header, minor_at, 2, Endian::little, 4);
    store(header, snaplen_at, 4, Endian::little, snaplen);
    store(header, link_type_at, 4, Endian::little, number_in_file(link_type));
    return out;
}

int Pcap::link_type() const {
    return link_type_of_file(load32(header_, link_type_at, endian_) & link_type_mask);
}

// A header that promises too much promises nothing at all, as for libpcap.
std::uint32_t Pcap::snaplen() const {
    std::uint32_t const said = load32(header_, snaplen_at, endian_);
    return said <= 0x7fffffff ? said : 0;
}

void Pcap::widen(Pcap const& other) {
    std::uint32_t const ours = snaplen(), theirs = other.snaplen();
    if (ours == theirs) return;
    bool const bounded = ours != 0 && theirs != 0;
    store(std::span(header_), snaplen_at, 4, endian_, bounded ? std::max(ours, theirs) : 0);
}

bool Pcap::same_kind(Pcap const& other) const {
    Pcap like = *this;
    std::copy_n(other.header_.begin() + snaplen_at, 4, like.header_.begin() + snaplen_at);
    return like.header_ == other.header_;
}

Result<std::optional<Item>> Pcap::next(InputBuffer& input) const {
    auto bytes = input.peek(record_header_);
    if (bytes.size() < record_header_) {
        if (bytes.empty()) return std::nullopt;
        return fail(truncated("packet", bytes.size(), record_header_));
    }
    std::uint32_t captured = load32(bytes, 8, endian_), length = load32(bytes, 12, endian_);
    if (lengths_swapped_) std::swap(captured, length);
    if (captured > max_captured) return fail(too_long("packet", captured, max_captured));
    std::size_t const size = record_header_ + captured;
    bytes = input.peek(size);
    if (bytes.size() < size) return fail(truncated("packet", bytes.size(), size));
    input.consume(size);
    std::uint32_t const seconds = load32(bytes, 0, endian_), fraction = load32(bytes, 4, endian_);
    // Some writers kept more of a packet than the header promises; libpcap leaves that away.
    std::uint32_t const promised = snaplen();
    return Item{.packet = Record{.seconds = std::int64_t{seconds} + fraction / units_,
                                 .nanoseconds = fraction % units_ * (1'000'000'000 / units_),
                                 .length = length,
                                 .bytes = bytes.subspan(
                                     record_header_,
                                     promised != 0 ? std::min(captured, promised) : captured),
                                 .link_type = link_type()},
                .raw = bytes.first(size)};
}

void Pcap::append(Record const& record, std::vector<std::uint8_t>& to) const {
    std::size_t const at = to.size();
    to.resize(at + record_header_);
    std::span const header = std::span(to).subspan(at);
    auto const captured = static_cast<std::uint32_t>(record.bytes.size());
    store(header, 0, 4, endian_, static_cast<std::uint64_t>(record.seconds));
    store(header, 4, 4, endian_, record.nanoseconds / (1'000'000'000 / units_));
    store(header, 8, 4, endian_, captured);
    store(header, 12, 4, endian_, record.length);
    to.insert(to.end(), record.bytes.begin(), record.bytes.end());
}

}  // namespace tamis::runtime
