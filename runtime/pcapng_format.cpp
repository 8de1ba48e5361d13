#include "runtime/pcapng_format.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "bpf/link_types.h"
#include "runtime/capture_limits.h"

namespace tamis::runtime {
namespace {

enum BlockType : std::uint32_t {
    section_header = 0x0a0d0d0a,  // the same in both byte orders
    interface_description = 1,
    obsolete_packet = 2,
    simple_packet = 3,
    enhanced_packet = 6,
};
enum Option : std::uint16_t { end_of_options = 0, if_tsresol = 9, if_tsoffset = 14 };

constexpr bool is_packet(std::uint32_t type) {
    return type == enhanced_packet || type == simple_packet || type == obsolete_packet;
}

constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::size_t block_header = 8, block_overhead = 12;  // the length stands at its end again
constexpr std::size_t smallest_section = 28;

__extension__ using Wide = unsigned __int128;

std::optional<Endian> endian_of_section(std::span<std::uint8_t const> block) {
    for (Endian const endian : {Endian::little, Endian::big})
        if (load32(block, block_header, endian) == byte_order_magic) return endian;
    return std::nullopt;
}

Diagnostic no_byte_order() { return {"a section header without a byte order", std::nullopt, {}}; }

// The units in a second of a clock, from if_tsresol: a power of ten, or of two.
Result<std::uint64_t> resolution(std::uint8_t value) {
    bool const binary = (value & 0x80) != 0;
    unsigned const power = value & 0x7f;
    if (power > (binary ? 63U : 19U))
        return fail(
            {fmt::format("a clock of {} to the power of -{} seconds", binary ? 2 : 10, power),
             std::nullopt,
             {{"2 to the power of -63 and 10 to the power of -19 can be read", std::nullopt}}});
    std::uint64_t units = 1;
    for (unsigned i = 0; i < power; ++i) units *= binary ? 2 : 10;
    return units;
}

// How long the block at the beginning of `bytes` says it is.
Result<std::uint32_t> block_size(std::span<std::uint8_t const> bytes, Endian endian) {
    std::uint32_t const size = load32(bytes, 4, endian);
    if (size < block_overhead || size % 4 != 0)
        return fail(
            {fmt::format("a block of {} bytes, which no block can have", size), std::nullopt, {}});
    if (size > max_block) return fail(too_long("block", size, max_block));
    return size;
}

// The link type of the first interface, if one comes before any packet; nothing is consumed.
std::optional<int> peek_link_type(InputBuffer& input) {
    constexpr std::size_t look_at_most = std::size_t{1} << 20;
    Endian endian = Endian::little;
    for (std::size_t at = 0; at < look_at_most;) {
        auto bytes = input.peek(at + block_overhead);
        if (bytes.size() < at + block_overhead) return std::nullopt;
        std::uint32_t const type = load32(bytes, at, endian);
        if (type == section_header) {
            auto const order = endian_of_section(bytes.subspan(at));
            if (!order) return std::nullopt;
            endian = *order;
        }
        if (type == interface_description)
            return link_type_of_file(load16(bytes, at + block_header, endian));
        if (is_packet(type)) return std::nullopt;
        auto const size = block_size(bytes.subspan(at), endian);
        if (!size) return std::nullopt;
        at += *size;
    }
    return std::nullopt;
}

void put(std::vector<std::uint8_t>& to, unsigned size, std::uint64_t value) {
    to.resize(to.size() + size);
    store(to, to.size() - size, size, Endian::little, value);
}

// Appends a block, whose body `fill` appends; padded, and with its length at both ends.
template <class Fill>
void append_block(std::vector<std::uint8_t>& to, std::uint32_t type, Fill const& fill) {
    std::size_t const at = to.size();
    put(to, 4, type);
    put(to, 4, 0);
    fill();
    while ((to.size() - at) % 4 != 0) to.push_back(0);
    std::size_t const size = to.size() - at + 4;
    put(to, 4, size);
    store(to, at + 4, 4, Endian::little, size);
}

}  // namespace

// A whole block; places count from behind its header.
struct Pcapng::Block {
    std::uint32_t type;
    std::span<std::uint8_t const> body;
    Endian endian;

    Block(std::span<std::uint8_t const> whole, Endian order)
        : type(load32(whole, 0, order)),
          body(whole.subspan(block_header, whole.size() - block_overhead)),
          endian(order) {}
    std::uint16_t u16(std::size_t at) const { return load16(body, at, endian); }
    std::uint32_t u32(std::size_t at) const { return load32(body, at, endian); }
    std::uint64_t u64(std::size_t at) const { return load(body, at, 8, endian); }
    Result<void> has(std::string_view what, std::size_t size) const {
        if (body.size() >= size) return {};
        return fail(
            {fmt::format("{} of {} bytes; its fields are {} bytes", what, body.size(), size),
             std::nullopt,
             {}});
    }
};

Result<std::optional<Pcapng>> Pcapng::open(InputBuffer& input) {
    auto const bytes = input.peek(block_overhead);
    if (bytes.size() < 4 || load32(bytes, 0, Endian::little) != section_header) return std::nullopt;
    if (bytes.size() < block_overhead)
        return fail(truncated("section header", bytes.size(), smallest_section));
    if (!endian_of_section(bytes)) return fail(no_byte_order());
    Pcapng out;
    out.link_type_ = peek_link_type(input).value_or(out.link_type_);
    return out;
}

Result<std::optional<Item>> Pcapng::next(InputBuffer& input) {
    auto bytes = input.peek(block_overhead);
    if (bytes.empty()) return std::nullopt;
    if (bytes.size() < block_overhead)
        return fail(truncated("block", bytes.size(), block_overhead));
    std::uint32_t const type = load32(bytes, 0, endian_);
    if (type == section_header) {
        auto const order = endian_of_section(bytes);
        if (!order) return fail(no_byte_order());
        endian_ = *order;
    }
    auto const size = block_size(bytes, endian_);
    if (!size) return fail(size.error());
    bytes = input.peek(*size);
    if (bytes.size() < *size) return fail(truncated("block", bytes.size(), *size));
    bytes = bytes.first(*size);
    if (std::uint32_t const again = load32(bytes, *size - 4, endian_); again != *size)
        return fail(
            {fmt::format("a block of {} bytes that says at its end it has {}", *size, again),
             std::nullopt,
             {}});

    Item item{.packet = {}, .raw = bytes};
    Block const block(bytes, endian_);
    if (type == section_header) {
        if (auto read = read_section(bytes); !read) return fail(read.error());
    } else if (type == interface_description) {
        if (auto read = read_interface(block); !read) return fail(read.error());
    } else if (is_packet(type)) {
        auto record = type == simple_packet ? read_simple_packet(block) : read_packet(block);
        if (!record) return fail(record.error());
        item.packet = *record;
    }
    input.consume(*size);
    return item;
}

Result<void> Pcapng::read_section(std::span<std::uint8_t> block) {
    constexpr std::size_t major_at = 12, length_at = 16;
    if (block.size() < smallest_section)
        return fail({fmt::format("a section header of {} bytes; the least is {}", block.size(),
                                 smallest_section),
                     std::nullopt,
                     {}});
    if (unsigned const major = load16(block, major_at, endian_); major != 1)
        return fail({fmt::format("version {} of pcapng is not known", major),
                     std::nullopt,
                     {{"1 is", std::nullopt}}});
    store(block, length_at, 8, endian_, ~std::uint64_t{0});  // not known
    interfaces_.clear();
    return {};
}

Result<void> Pcapng::read_interface(Block const& block) {
    constexpr std::size_t fields = 8;
    if (auto enough = block.has("an interface", fields); !enough) return enough;
    Interface out{.link_type = link_type_of_file(block.u16(0)), .snaplen = block.u32(4)};
    for (std::size_t at = fields; at + 4 <= block.body.size();) {
        std::uint16_t const code = block.u16(at), size = block.u16(at + 2);
        if (code == end_of_options) break;
        at += 4;
        if (size > block.body.size() - at)
            return fail(
                {fmt::format("option {} of an interface is {} bytes long, in a block that has "
                             "{} left",
                             code, size, block.body.size() - at),
                 std::nullopt,
                 {}});
        if (code == if_tsresol && size == 1) {
            auto const units = resolution(block.body[at]);
            if (!units) return fail(units.error());
            out.units = *units;
        }
        if (code == if_tsoffset && size == 8) out.offset = block.u64(at);
        at += (size + 3U) & ~3U;
    }
    interfaces_.push_back(out);
    return {};
}

// An enhanced packet block, or the obsolete one, which has the same fields but a shorter number of
// the interface.
Result<Record> Pcapng::read_packet(Block const& block) const {
    constexpr std::size_t fields = 20;
    if (auto enough = block.has("a packet block", fields); !enough) return fail(enough.error());
    bool const enhanced = block.type == enhanced_packet;
    std::uint32_t const number = enhanced ? block.u32(0) : block.u16(0);
    if (number >= interfaces_.size())
        return fail({fmt::format("a packet of interface {}, of {} in its section", number,
                                 interfaces_.size()),
                     std::nullopt,
                     {}});
    Interface const& interface = interfaces_[number];
    std::uint64_t const ticks = std::uint64_t{block.u32(4)} << 32 | block.u32(8);
    std::uint32_t const captured = block.u32(12);
    if (captured > block.body.size() - fields)
        return fail({fmt::format("a packet of {} bytes in a block that has {} for it", captured,
                                 block.body.size() - fields),
                     std::nullopt,
                     {}});
    std::uint64_t const seconds = ticks / interface.units + interface.offset;
    Wide const fraction = Wide{ticks % interface.units} * 1'000'000'000 / interface.units;
    return Record{.seconds = static_cast<std::int64_t>(seconds),
                  .nanoseconds = static_cast<std::uint32_t>(fraction),
                  .length = block.u32(16),
                  .bytes = block.body.subspan(fields, captured),
                  .link_type = interface.link_type};
}

// Of the first interface, without a time; how much was captured follows from the snap length.
Result<Record> Pcapng::read_simple_packet(Block const& block) const {
    constexpr std::size_t fields = 4;
    if (auto enough = block.has("a simple packet block", fields); !enough)
        return fail(enough.error());
    if (interfaces_.empty())
        return fail({"a simple packet in a section without an interface", std::nullopt, {}});
    Interface const& interface = interfaces_.front();
    std::uint32_t const length = block.u32(0);
    std::uint32_t const captured =
        interface.snaplen == 0 ? length : std::min(length, interface.snaplen);
    if (captured > block.body.size() - fields)
        return fail({fmt::format("a packet of {} bytes in a block that has {} for it", captured,
                                 block.body.size() - fields),
                     std::nullopt,
                     {}});
    return Record{.length = length,
                  .bytes = block.body.subspan(fields, captured),
                  .link_type = interface.link_type,
                  .timed = false};
}

void Pcapng::append_section(int link_type, std::uint32_t snaplen, bool in_nanoseconds,
                            std::vector<std::uint8_t>& to) {
    append_block(to, section_header, [&] {
        put(to, 4, byte_order_magic);
        put(to, 2, 1);  // version 1.0
        put(to, 2, 0);
        put(to, 8, ~std::uint64_t{0});
    });
    append_block(to, interface_description, [&] {
        put(to, 4, number_in_file(link_type));
        put(to, 4, snaplen);
        if (!in_nanoseconds) return;
        put(to, 2, if_tsresol);
        put(to, 2, 1);
        put(to, 4, 9);
        put(to, 4, end_of_options);
    });
}

void Pcapng::append(Record const& record, bool in_nanoseconds, std::vector<std::uint8_t>& to) {
    append_block(to, enhanced_packet, [&] {
        std::uint64_t const units = in_nanoseconds ? 1'000'000'000 : 1'000'000;
        std::uint64_t const ticks = static_cast<std::uint64_t>(record.seconds) * units +
                                    record.nanoseconds / (1'000'000'000 / units);
        put(to, 4, 0);
        put(to, 4, ticks >> 32);
        put(to, 4, ticks);
        put(to, 4, record.bytes.size());
        put(to, 4, record.length);
        to.insert(to.end(), record.bytes.begin(), record.bytes.end());
    });
}

}  // namespace tamis::runtime
