// A list with room for a few elements in itself, as most lists of a filter need: a block of memory
// is only taken when there are more.
#pragma once

#include <cstddef>
#include <span>

#include <boost/container/small_vector.hpp>

#include "frontend/list.h"

namespace tamis::frontend {

template <class T, std::size_t room>
struct Few : boost::container::small_vector<T, room, Recycling<T>> {
    using boost::container::small_vector<T, room, Recycling<T>>::small_vector;
    operator std::span<T const>() const { return {this->data(), this->size()}; }
};

}  // namespace tamis::frontend
