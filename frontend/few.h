// A list with room for a few elements in itself, as most lists of a filter need: a block of memory
// is only taken when there are more.  As std::vector otherwise, as far as it is needed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <type_traits>
#include <utility>

#include "frontend/list.h"

namespace tamis::frontend {

template <class T, std::size_t room>
class Few {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    Few() = default;
    Few(std::initializer_list<T> elements) : Few(elements.begin(), elements.end()) {}
    template <class Iterator>
    Few(Iterator first, Iterator last) {
        insert(end(), first, last);
    }
    Few(Few const& other) : Few(other.begin(), other.end()) {}
    Few(Few&& other) noexcept { take(other); }
    Few& operator=(Few const& other) {
        if (this != &other) assign(other.begin(), other.end());
        return *this;
    }
    Few& operator=(Few&& other) noexcept {
        if (this == &other) return *this;
        give_back();
        take(other);
        return *this;
    }
    ~Few() { give_back(); }

    T* begin() { return first_; }
    T* end() { return first_ + size_; }
    T const* begin() const { return first_; }
    T const* end() const { return first_ + size_; }
    T* data() { return first_; }
    T const* data() const { return first_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T& operator[](std::size_t i) { return first_[i]; }
    T const& operator[](std::size_t i) const { return first_[i]; }
    T& back() { return first_[size_ - 1]; }

    void reserve(std::size_t count) {
        if (count <= capacity_) return;
        count = std::max(count, 2 * capacity_);
        T* const block = static_cast<T*>(Blocks::take(count * sizeof(T)));
        std::copy(begin(), end(), block);
        give_back();
        first_ = block;
        capacity_ = count;
    }
    void push_back(T const& element) {
        T const copy = element;  // it may be one of these
        reserve(size_ + 1);
        first_[size_++] = copy;
    }
    void pop_back() { --size_; }
    void clear() { size_ = 0; }
    void shrink(std::size_t count) { size_ = count; }
    template <class Iterator>
    void assign(Iterator first, Iterator last) {
        clear();
        insert(end(), first, last);
    }
    // Not of elements of the list itself.
    template <class Iterator>
    void insert(T* place, Iterator first, Iterator last) {
        auto const before = place - first_;
        auto const count = static_cast<std::size_t>(std::distance(first, last));
        reserve(size_ + count);
        std::copy_backward(first_ + before, end(), end() + count);
        std::copy(first, last, first_ + before);
        size_ += count;
    }
    void insert(T* place, T element) { insert(place, &element, &element + 1); }
    void erase(T* first, T* last) {
        size_ = static_cast<std::size_t>(std::copy(last, end(), first) - first_);
    }

  private:
    T* own() { return reinterpret_cast<T*>(room_); }
    void give_back() noexcept {
        if (first_ != own()) Blocks::give_back(first_, capacity_ * sizeof(T));
    }
    void take(Few& other) noexcept {
        bool const block = other.first_ != other.own();
        first_ = block ? std::exchange(other.first_, other.own()) : own();
        capacity_ = block ? std::exchange(other.capacity_, room) : room;
        size_ = std::exchange(other.size_, 0);
        if (!block) std::copy(other.first_, other.first_ + size_, first_);
    }

    T* first_ = own();
    std::size_t size_ = 0, capacity_ = room;
    alignas(T) std::byte room_[room * sizeof(T)];
};

}  // namespace tamis::frontend
