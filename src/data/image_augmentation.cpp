// SPDX-License-Identifier: Apache-2.0
// Shifts and flips images.
#include "trireme/data/image_augmentation.hpp"

#include <algorithm>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/random.hpp"

namespace trireme {

void ImageAugmentation::apply(std::uint64_t seed, std::uint64_t k, const Shape& shape,
                              std::span<std::int32_t> image) const {
  if (!changes()) return;
  TRM_CHECK(shape.rank() >= 2 && shape.count() == std::ssize(image), "an image {} of {} bytes",
            shape.str(), image.size());
  const std::int64_t rows = shape[0];
  const std::int64_t columns = shape[1];
  const std::int64_t channels = shape.count() / (rows * columns);
  const auto words = philox({seed, stream_of("image augmentation")}, k);
  const auto moved = [&](std::uint32_t word) {  // −shift to shift
    const auto choices = static_cast<std::uint64_t>(2 * shift + 1);
    return static_cast<std::int64_t>((word * choices) >> 32U) - shift;
  };
  const std::int64_t down = moved(words[0]);
  const std::int64_t right = moved(words[1]);
  const bool mirrored = flip && words[2] % 2 == 1;
  const std::vector<std::int32_t> before(image.begin(), image.end());
  std::ranges::fill(image, 0);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t from_row = r - down;
      const std::int64_t inside = c - right;
      const std::int64_t from_column = mirrored ? columns - 1 - inside : inside;
      const bool exists =
          from_row >= 0 && from_row < rows && from_column >= 0 && from_column < columns;
      if (!exists) continue;
      std::copy_n(before.begin() + (from_row * columns + from_column) * channels, channels,
                  image.begin() + (r * columns + c) * channels);
    }
  }
}

}  // namespace trireme
