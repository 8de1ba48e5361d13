// What an interpreted eBPF program can read and write.  Memory is a handful of regions with
// addresses of our own, and every access is checked: the program never sees a host address.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/cbpf.h"
#include "bpf/ebpf.h"
#include "bpf/hooks.h"
#include "runtime/ebpf_vm.h"
#include "runtime/packet.h"

namespace tamis::runtime {

// Context, packet, stacks and maps of one run.  Sizes are bytes, numbers are little-endian.
class Memory {
  public:
    using u64 = std::uint64_t;
    using s64 = std::int64_t;

    Memory(ebpf::Program const& program, HookRow const& hook, Packet const& packet, MapMemory& maps)
        : program_(program), hook_(hook), packet_(packet), maps_(maps) {}

    // The first reason to stop is kept; what is computed after it does not matter.  Returns 0.
    u64 fault(std::string why);
    [[nodiscard]] std::optional<std::string> const& fault() const { return fault_; }

    // Addresses: of what a program is given, ...
    static u64 context();
    static u64 packet();
    [[nodiscard]] u64 packet_end() const;  // of its linear part
    static u64 skb();                      // struct sk_buff; nothing to read there
    // ... of what stands for a map, and the index of the map that an address stands for, ...
    static u64 map(u64 index);
    [[nodiscard]] std::optional<u64> map_at(u64 at) const;
    // ... and of a byte of a map's value.
    static u64 map_value(u64 map, u64 entry, u64 offset);

    // One stack for each function that runs; push_stack() returns where it ends (r10).
    u64 push_stack();
    void pop_stack() { stacks_.pop_back(); }

    // The bytes that an access reads or writes; none after a fault.
    std::span<std::uint8_t const> bytes_to_read(u64 at, u64 size);
    std::span<std::uint8_t> bytes_to_write(u64 at, u64 size);
    // Of at most 8 bytes.  The verifier wants accesses to the stack, and atomic ones anywhere,
    // aligned.
    u64 load(u64 at, unsigned size);
    void store(u64 at, unsigned size, u64 value);
    void need_alignment(u64 at, unsigned size, bool always = false);
    static bool is_read_only(u64 at);

    [[nodiscard]] std::uint32_t metadata(cbpf::Anc number) const;

  private:
    static constexpr std::size_t stack_bytes = 512;
    struct Stack {
        std::array<std::uint8_t, stack_bytes> bytes{};
        std::bitset<stack_bytes> written;
    };

    Stack* stack_at(u64 at);
    [[nodiscard]] bool is_map_value(u64 at) const;
    std::span<std::uint8_t> writable(u64 at);
    std::span<std::uint8_t const> readable(u64 at);
    [[nodiscard]] s64 offset_in(u64 at) const;
    bool inside(u64 at, u64 size, std::size_t limit);
    [[nodiscard]] std::string place_name(u64 at) const;
    [[nodiscard]] u64 linear_size() const;
    [[nodiscard]] std::optional<u64> packet_pointer(s64 offset) const;
    [[nodiscard]] std::optional<std::uint32_t> context_field(s64 offset) const;
    u64 load_context(s64 offset, unsigned size);

    ebpf::Program const& program_;
    HookRow const& hook_;
    Packet const& packet_;
    MapMemory& maps_;
    std::vector<Stack> stacks_;
    std::optional<std::string> fault_;
};

}  // namespace tamis::runtime
