// SPDX-License-Identifier: Apache-2.0
// Box arithmetic.
#include "trireme/tensor/box.hpp"

#include <algorithm>

#include "trireme/core/error.hpp"

namespace trireme {

Box Box::whole(const Shape& global) {
  Box b{global, global};
  for (int i = 0; i < global.rank(); ++i) b.offset[i] = 0;
  return b;
}

bool Box::inside(const Shape& global) const {
  if (offset.rank() != global.rank() || extent.rank() != global.rank()) return false;
  for (int i = 0; i < global.rank(); ++i) {
    if (offset[i] < 0 || extent[i] < 0 || offset[i] > global[i] - extent[i]) return false;
  }
  return true;
}

std::optional<Box> intersect(const Box& a, const Box& b) {
  TRM_CHECK(a.extent.rank() == b.extent.rank(), "boxes of different rank");
  Box c = a;
  for (int i = 0; i < a.extent.rank(); ++i) {
    const std::int64_t begin = std::max(a.offset[i], b.offset[i]);
    const std::int64_t end = std::min(a.offset[i] + a.extent[i], b.offset[i] + b.extent[i]);
    if (end <= begin) return std::nullopt;
    c.offset[i] = begin;
    c.extent[i] = end - begin;
  }
  return c;
}

}  // namespace trireme
