// SPDX-License-Identifier: Apache-2.0
// Box: a rectangular part of a global array (offset and extent on each axis). Pure arithmetic.
#pragma once

#include <optional>

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

}  // namespace trireme
