// SPDX-License-Identifier: Apache-2.0
// Random changes of images while samples are read.
#pragma once

#include <cstdint>
#include <span>

#include "trireme/core/shape.hpp"

namespace trireme {

/// Shows another view of an image in each epoch. Pixels from outside of the image are 0.
struct ImageAugmentation {
  std::int64_t shift = 0;  ///< most rows, and most columns, by which an image moves
  bool flip = false;       ///< every second image has left and right in each other's place

  [[nodiscard]] bool changes() const { return shift > 0 || flip; }
  /// Changes the bytes of sample `k`, [rows, columns] or [rows, columns, channels]. A sample
  /// always changes in one way.
  void apply(std::uint64_t seed, std::uint64_t k, const Shape& shape,
             std::span<std::int32_t> image) const;
  friend bool operator==(const ImageAugmentation&, const ImageAugmentation&) = default;
};

}  // namespace trireme
