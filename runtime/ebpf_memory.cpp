#include "runtime/ebpf_memory.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "bpf/bytes.h"
#include "runtime/ebpf_arithmetic.h"

namespace tamis::runtime {
namespace {

using arithmetic::s64;
using arithmetic::u32;
using arithmetic::u64;

// ---- Addresses: a region in the upper 16 bits, an offset in the rest ----

namespace region {
constexpr u64 context = 1, packet = 2, map = 3, skb = 4;
constexpr u64 stack = 16;      // one region per frame
constexpr u64 map_value = 32;  // one region per map, in which a value is 2^24 apart from the next
}  // namespace region

// Offset 0 is in the middle of its region, so that a little less is still seen as a place near it.
constexpr unsigned region_shift = 48;
constexpr s64 middle = s64{1} << (region_shift - 1);
constexpr u64 address(u64 region, u64 offset = 0) {
    return (region << region_shift) + static_cast<u64>(middle) + offset;
}
constexpr u64 region_of(u64 address) { return address >> region_shift; }
constexpr s64 offset_of(u64 address) {
    return static_cast<s64>(address & ((u64{1} << region_shift) - 1)) - middle;
}
// The same for the entries of a map.
constexpr unsigned value_shift = 24;
constexpr s64 value_middle = s64{1} << (value_shift - 1);
constexpr s64 entry_of(u64 address) { return (offset_of(address) + value_middle) >> value_shift; }
constexpr s64 offset_in_value(u64 address) {
    return offset_of(address) - entry_of(address) * (s64{1} << value_shift);
}

constexpr s64 nf_ctx_skb = 8;  // struct bpf_nf_ctx

constexpr std::size_t index_of(cbpf::Anc number) { return static_cast<std::size_t>(number) / 4; }

}  // namespace

u64 Memory::fault(std::string why) {
    if (!fault_) fault_ = std::move(why);
    return 0;
}

u64 Memory::context() { return address(region::context); }
u64 Memory::packet() { return address(region::packet); }
u64 Memory::packet_end() const { return address(region::packet, linear_size()); }
u64 Memory::skb() { return address(region::skb); }
u64 Memory::map(u64 index) { return address(region::map, index); }
u64 Memory::map_value(u64 map, u64 entry, u64 offset) {
    return address(region::map_value + map, (entry << value_shift) + offset);
}

std::optional<u64> Memory::map_at(u64 at) const {
    auto const index = static_cast<u64>(offset_of(at));
    if (region_of(at) != region::map || index >= maps_.size()) return std::nullopt;
    return index;
}

u64 Memory::push_stack() {
    stacks_.emplace_back();
    return address(region::stack + stacks_.size() - 1, stack_bytes);
}

// ---- What there is around an address ----

Memory::Stack* Memory::stack_at(u64 at) {
    u64 const depth = region_of(at) - region::stack;  // wraps below: no stack
    return depth < stacks_.size() ? &stacks_[depth] : nullptr;
}

bool Memory::is_map_value(u64 at) const {
    return region_of(at) >= region::map_value && region_of(at) - region::map_value < maps_.size();
}

bool Memory::is_read_only(u64 at) {
    return region_of(at) == region::context || region_of(at) == region::packet;
}

// What a program may write there: its stack, or one value of a map.
std::span<std::uint8_t> Memory::writable(u64 at) {
    if (Stack* stack = stack_at(at)) return stack->bytes;
    if (!is_map_value(at)) return {};
    u64 const map = region_of(at) - region::map_value;
    u64 const size = program_.maps[map].value_size();
    s64 const entry = entry_of(at);
    if (entry < 0 || std::cmp_greater_equal(entry, program_.maps[map].max_entries)) return {};
    return std::span(maps_[map]).subspan(static_cast<u64>(entry) * size, size);
}

std::span<std::uint8_t const> Memory::readable(u64 at) {
    if (region_of(at) != region::packet) return writable(at);
    return packet_.bytes.first(linear_size());
}

// Where an address is in the span that the two functions above give for it.
s64 Memory::offset_in(u64 at) const {
    return is_map_value(at) ? offset_in_value(at) : offset_of(at);
}

bool Memory::inside(u64 at, u64 size, std::size_t limit) {
    s64 const offset = offset_in(at);
    if (offset >= 0 && std::cmp_less_equal(offset, limit) &&
        size <= limit - static_cast<u64>(offset))
        return true;
    fault(fmt::format("{} bytes at offset {} of {}", size, offset, place_name(at)));
    return false;
}

std::string Memory::place_name(u64 at) const {
    u64 const where = region_of(at);
    if (where == region::context) return "the context";
    if (where == region::packet) return fmt::format("a packet of {}", linear_size());
    if (where >= region::stack && where < region::map_value) return "the stack";
    return is_map_value(at) ? "a map value" : "no memory";
}

// ---- Accesses ----

std::span<std::uint8_t const> Memory::bytes_to_read(u64 at, u64 size) {
    std::span<std::uint8_t const> const bytes = readable(at);
    if (!inside(at, size, bytes.size())) return {};
    auto const offset = static_cast<u64>(offset_in(at));
    if (Stack const* stack = stack_at(at))
        for (u64 i = 0; i < size; ++i)
            if (!stack->written[offset + i]) {
                fault("stack bytes that were never written");
                return {};
            }
    return bytes.subspan(offset, size);
}

std::span<std::uint8_t> Memory::bytes_to_write(u64 at, u64 size) {
    if (is_read_only(at)) {
        fault("packet and context are read-only");
        return {};
    }
    std::span<std::uint8_t> const bytes = writable(at);
    if (!inside(at, size, bytes.size())) return {};
    auto const offset = static_cast<u64>(offset_in(at));
    if (Stack* stack = stack_at(at))
        for (u64 i = 0; i < size; ++i) stack->written.set(offset + i);
    return bytes.subspan(offset, size);
}

void Memory::need_alignment(u64 at, unsigned size, bool always) {
    if ((always || stack_at(at) != nullptr) && offset_in(at) % s64{size} != 0)
        fault("the access is not aligned");
}

u64 Memory::load(u64 at, unsigned size) {
    if (region_of(at) == region::context) return load_context(offset_of(at), size);
    need_alignment(at, size);
    std::span<std::uint8_t const> const bytes = bytes_to_read(at, size);
    return bytes.empty() ? 0 : tamis::load(bytes, 0, size, Endian::little);
}

void Memory::store(u64 at, unsigned size, u64 value) {
    need_alignment(at, size);
    std::span<std::uint8_t> const bytes = bytes_to_write(at, size);
    if (!bytes.empty()) tamis::store(bytes, 0, size, Endian::little, value);
}

// ---- Packet and context ----

u32 Memory::metadata(cbpf::Anc number) const { return packet_.ancillary[index_of(number)]; }

u64 Memory::linear_size() const {
    return std::min<u64>(packet_.linear.value_or(packet_.bytes.size()), packet_.bytes.size());
}

// The kernel turns the 32-bit fields data and data_end into whole pointers.
std::optional<u64> Memory::packet_pointer(s64 offset) const {
    if (hook_.access != Access::pointer) return std::nullopt;
    if (offset == hook_.fields.data) return packet();
    if (offset == hook_.fields.data_end) return packet_end();
    return std::nullopt;
}

std::optional<u32> Memory::context_field(s64 offset) const {
    if (hook_.fields.len >= 0 && offset == hook_.fields.len) return packet_.length;
    auto const at = std::find_if(hook_.metadata.begin(), hook_.metadata.end(),
                                 [&](Metadata const& m) { return m.offset == offset; });
    if (at == hook_.metadata.end()) return std::nullopt;
    u32 const value = metadata(at->number);
    return at->network_order ? static_cast<u32>(arithmetic::swap_bytes(value, 16)) : value;
}

u64 Memory::load_context(s64 offset, unsigned size) {
    if (hook_.access == Access::dynptr && offset == nf_ctx_skb && size == 8) return skb();
    if (offset >= 0 && size <= 4 && offset % s64{size} == 0) {
        std::optional<u64> const pointer = packet_pointer(offset);
        if (pointer && size == 4) return *pointer;
        std::optional<u32> const value = context_field(offset - offset % 4);
        if (value) return arithmetic::zero_extend(*value >> (8 * (offset % 4)), 8 * size);
    }
    return fault(fmt::format("{} bytes at offset {} are no field of the context", size, offset));
}

}  // namespace tamis::runtime
