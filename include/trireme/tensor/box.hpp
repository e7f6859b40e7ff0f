// SPDX-License-Identifier: Apache-2.0
// Box: a rectangular region of a global array, by offset and extent on each axis.
#pragma once

#include <optional>
#include <vector>

#include "trireme/core/shape.hpp"

namespace trireme {

struct Box {
  Shape offset;
  Shape extent;

  Box() = default;
  Box(const Shape& at, const Shape& size) : offset(at), extent(size) {}
  /// The box that covers an array of shape `global`.
  static Box whole(const Shape& global);

  [[nodiscard]] std::int64_t count() const { return extent.count(); }
  [[nodiscard]] bool inside(const Shape& global) const;
  friend bool operator==(const Box& a, const Box& b) = default;
};

/// The intersection of two boxes of one array, or nullopt if it is empty.
[[nodiscard]] std::optional<Box> intersect(const Box& a, const Box& b);

/// Splits `count` elements of an array, from `first` on in row-major order, into boxes. The
/// boxes are in order; an array of d axes needs at most 2d − 1.
[[nodiscard]] std::vector<Box> boxes_of_range(const Shape& shape, std::int64_t first,
                                              std::int64_t count);

}  // namespace trireme
