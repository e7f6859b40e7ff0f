// SPDX-License-Identifier: Apache-2.0
// Computes with shapes.
#include "trireme/core/shape.hpp"

#include <fmt/format.h>

#include "trireme/core/error.hpp"

namespace trireme {

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) {
  TRM_CHECK(extents.size() <= kMaxRank, "a shape has at most {} axes", kMaxRank);
  for (const std::int64_t e : extents) {
    TRM_CHECK(e >= 0, "negative extent {}", e);
    extents_[static_cast<std::size_t>(rank_++)] = e;
  }
}

std::int64_t Shape::count() const {
  std::int64_t n = 1;
  for (const std::int64_t e : extents()) n *= e;
  return n;
}

std::int64_t Shape::rows() const {
  std::int64_t n = 1;
  for (int i = 0; i + 1 < rank_; ++i) n *= (*this)[i];
  return n;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(extents(), ", ")); }

}  // namespace trireme
