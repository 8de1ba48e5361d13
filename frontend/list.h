// std::vector for what the optimiser makes and throws away again: hundreds of lists of a few
// elements for every filter.  Freed blocks are kept for the next list of their size, by thread, so
// that an ordinary filter takes as long as what is done with it and not as long as malloc.  What
// the lists of a long filter take is mapped by itself: it is given back at once, and what was
// reserved and never used takes no memory.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include <sys/mman.h>

namespace tamis::frontend {

class Blocks {
  public:
    static void* take(std::size_t bytes) {
        if (bytes >= mapped) return map(bytes);
        std::size_t const kind = kind_of(bytes);
        if (kind >= kinds) return ::operator new(bytes);
        Block* const block = free_[kind];
        if (block == nullptr) return ::operator new(smallest << kind);
        free_[kind] = block->next;
        return block;
    }
    static void give_back(void* memory, std::size_t bytes) noexcept {
        if (bytes >= mapped) {
            munmap(memory, bytes);
            return;
        }
        std::size_t const kind = kind_of(bytes);
        if (kind >= kinds) return ::operator delete(memory);
        Block* const next = free_[kind];
        if (next == nullptr) free_when_thread_ends();
        std::size_t const left = next == nullptr ? most(kind) : next->left;
        if (left == 0) return ::operator delete(memory);
        free_[kind] = new (memory) Block{next, left - 1};
    }

  private:
    static void* map(std::size_t bytes) {
        void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        return memory;
    }
    struct Block {
        Block* next;
        std::size_t left;  // how many more of this size are kept
    };
    // AddressSanitizer is to see every use after the end.
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool sanitized = true;
#elif defined(__has_feature)
    static constexpr bool sanitized = __has_feature(address_sanitizer);
#else
    static constexpr bool sanitized = false;
#endif
    static constexpr std::size_t sizes = 8, smallest = 64;  // 64 bytes to 8 KiB
    static constexpr std::size_t kinds = sanitized ? 0 : sizes;
    static constexpr std::size_t mapped = sanitized ? ~std::size_t{0} : 256 * 1024;
    // Of each size 4 KiB, or four blocks.
    static constexpr std::size_t most(std::size_t kind) {
        return std::max<std::size_t>(4, 64 >> kind);
    }
    static constexpr std::size_t kind_of(std::size_t bytes) {
        return static_cast<std::size_t>(std::bit_width((bytes - 1) / smallest));
    }
    static void free_when_thread_ends() {
        static thread_local struct Owner {
            ~Owner() {
                for (Block*& first : free_)
                    while (first != nullptr) ::operator delete(std::exchange(first, first->next));
            }
        } owner;
    }
    // Without a destructor of its own, so that reading it costs nothing.
    static inline constinit thread_local std::array<Block*, sizes> free_{};
};

template <class T>
struct Recycling {
    using value_type = T;
    Recycling() = default;
    template <class U>
    Recycling(Recycling<U> const&) {}
    T* allocate(std::size_t count) { return static_cast<T*>(Blocks::take(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t count) noexcept {
        Blocks::give_back(memory, count * sizeof(T));
    }
    bool operator==(Recycling const&) const = default;
};

template <class T>
using List = std::vector<T, Recycling<T>>;

}  // namespace tamis::frontend
