// SPDX-License-Identifier: Apache-2.0
// Computes with boxes.
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

std::vector<Box> boxes_of_range(const Shape& shape, std::int64_t first, std::int64_t count) {
  TRM_CHECK(first >= 0 && count >= 0 && first + count <= shape.count(),
            "{} elements from {} on of {}", count, first, shape.str());
  std::vector<Box> boxes;
  for (const std::int64_t end = first + count; first < end;) {
    // Take the longest run of whole slabs that begins here, along the first axis whose slabs
    // fit.
    Box box{shape, shape};
    std::int64_t slab = shape.count();
    std::int64_t rest = first;
    bool partial = false;
    for (int i = 0; i < shape.rank(); ++i) {
      slab /= shape[i];
      box.offset[i] = partial ? 0 : rest / slab;
      if (partial) continue;
      rest %= slab;
      box.extent[i] = 1;
      if (rest != 0 || end - first < slab) continue;
      box.extent[i] = std::min(shape[i] - box.offset[i], (end - first) / slab);
      partial = true;
    }
    boxes.push_back(box);
    first += box.count();
  }
  return boxes;
}

}  // namespace trireme
