// std::vector for what the optimiser makes and throws away again: hundreds of lists of a few
// elements for every filter.  Freed blocks are kept for the next list of their size, by thread, so
// that an ordinary filter takes as long as what is done with it and not as long as malloc.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <new>
#include <vector>

namespace tamis::frontend {

class Blocks {
  public:
    static Blocks& of_this_thread() {
        static thread_local Blocks blocks;
        return blocks;
    }
    void* take(std::size_t bytes) {
        std::size_t const kind = kind_of(bytes);
        if (kind >= kinds) return ::operator new(bytes);
        Block*& first = free_[kind].first;
        if (first == nullptr) return ::operator new(smallest << kind);
        --free_[kind].count;
        Block* const block = first;
        first = block->next;
        return block;
    }
    void give_back(void* memory, std::size_t bytes) noexcept {
        std::size_t const kind = kind_of(bytes);
        if (kind >= kinds || free_[kind].count == most) return ::operator delete(memory);
        ++free_[kind].count;
        free_[kind].first = new (memory) Block{free_[kind].first};
    }
    ~Blocks() {
        for (Kind& kind : free_)
            while (kind.first != nullptr) {
                Block* const block = kind.first;
                kind.first = block->next;
                ::operator delete(block);
            }
    }

  private:
    struct Block {
        Block* next;
    };
    struct Kind {
        Block* first = nullptr;
        std::size_t count = 0;
    };
#if defined(__SANITIZE_ADDRESS__) || defined(TAMIS_SANITIZE)
    static constexpr std::size_t kinds = 0;  // the sanitizer is to see every use after the end
#else
    static constexpr std::size_t kinds = 8;  // 64 bytes to 8 KiB
#endif
    static constexpr std::size_t smallest = 64, most = 64;
    static constexpr std::size_t kind_of(std::size_t bytes) {
        return bytes <= smallest ? 0
                                 : static_cast<std::size_t>(std::bit_width((bytes - 1) / smallest));
    }
    std::array<Kind, 8> free_{};
};

template <class T>
struct Recycling {
    using value_type = T;
    Recycling() = default;
    template <class U>
    Recycling(Recycling<U> const&) {}
    T* allocate(std::size_t count) {
        return static_cast<T*>(Blocks::of_this_thread().take(count * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t count) noexcept {
        Blocks::of_this_thread().give_back(memory, count * sizeof(T));
    }
    bool operator==(Recycling const&) const = default;
};

template <class T>
using List = std::vector<T, Recycling<T>>;

}  // namespace tamis::frontend
