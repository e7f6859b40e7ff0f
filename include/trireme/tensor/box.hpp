// SPDX-License-Identifier: Apache-2.0
// Box: a rectangular part of a global array (offset and extent on each axis). Pure arithmetic.
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
  /// All of an array of shape `global`.
  static Box whole(const Shape& global);

  [[nodiscard]] std::int64_t count() const { return extent.count(); }
  [[nodiscard]] bool inside(const Shape& global) const;
  friend bool operator==(const Box& a, const Box& b) = default;
};

/// The common part of two boxes of one array; nothing if it has no element.
[[nodiscard]] std::optional<Box> intersect(const Box& a, const Box& b);

/// `count` elements from `first` on of an array's row-major order, as boxes of it, in order: at
/// most 2d − 1 for d axes.
[[nodiscard]] std::vector<Box> boxes_of_range(const Shape& shape, std::int64_t first,
                                              std::int64_t count);

}  // namespace trireme
