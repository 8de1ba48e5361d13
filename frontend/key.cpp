#include "frontend/key.h"

namespace tamis::frontend {

namespace {
constexpr std::uint32_t all_ones = ~std::uint32_t{0};
}

std::uint16_t variables_read(Field const& field) {
    if (field.at.variable == Offset::constant) return 0;
    return static_cast<std::uint16_t>(1U << field.at.variable);
}

Key key_of(Field const& field, std::uint32_t mask) {
    bool const in_packet = field.base == Base::packet || field.base == Base::transport;
    bool const metadata = is_metadata(field);
    Key key{.field = field, .reads = variables_read(field)};
    if (in_packet && !metadata) key.max = all_ones >> (32 - 8 * field.size);
    if (in_packet) key.reach = all_ones;
    if (in_packet && !metadata && field.at.variable == Offset::constant) {
        if (field.base == Base::packet) key.reach = field.at.value + field.size;
        key.needs = field.base == Base::packet ? key.reach : field.header + 1;
    }
    if ((mask & key.max) != key.max) key.mask = key.max = mask & key.max;
    return key;
}

}  // namespace tamis::frontend
