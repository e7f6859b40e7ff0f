// SPDX-License-Identifier: Apache-2.0
// Shifts and flips of images against a search over all of them.
#include "trireme/data/image_augmentation.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace trireme::test {
namespace {

using Image = std::vector<std::int32_t>;

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kColumns = 5;
constexpr std::int64_t kChannels = 2;

Image sound_image() {
  Image image(static_cast<std::size_t>(kRows * kColumns * kChannels));
  std::iota(image.begin(), image.end(), 1);
  return image;
}

/// The pixel at a place, or zeros outside of the image.
std::int32_t value(const Image& image, std::int64_t row, std::int64_t column,
                   std::int64_t channel) {
  if (row < 0 || row >= kRows || column < 0 || column >= kColumns) return 0;
  return image[static_cast<std::size_t>((row * kColumns + column) * kChannels + channel)];
}

Image changed(std::int64_t down, std::int64_t right, bool mirrored) {
  const Image from = sound_image();
  Image to;
  for (std::int64_t i = 0; i < kRows * kColumns * kChannels; ++i) {
    const std::int64_t column = i / kChannels % kColumns - right;
    to.push_back(value(from, i / kChannels / kColumns - down,
                       mirrored ? kColumns - 1 - column : column, i % kChannels));
  }
  return to;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(image_augmentation)

BOOST_AUTO_TEST_CASE(every_shift_and_both_sides_occur_and_no_other_image) {
  std::set<Image> possible;
  for (std::int64_t down = -1; down <= 1; ++down) {
    for (std::int64_t right = -1; right <= 1; ++right) {
      possible.insert(changed(down, right, false));
      possible.insert(changed(down, right, true));
    }
  }
  const ImageAugmentation rule{.shift = 1, .flip = true};
  std::set<Image> seen;
  for (std::uint64_t k = 0; k < 400; ++k) {
    Image image = sound_image();
    rule.apply(3, k, Shape{kRows, kColumns, kChannels}, image);
    BOOST_TEST(possible.contains(image));
    Image again = sound_image();
    rule.apply(3, k, Shape{kRows, kColumns, kChannels}, again);
    BOOST_TEST(image == again);
    seen.insert(image);
  }
  BOOST_TEST(seen.size() == possible.size());
}

BOOST_AUTO_TEST_CASE(without_a_rule_an_image_stays) {
  Image image = sound_image();
  ImageAugmentation{}.apply(3, 1, Shape{kRows, kColumns, kChannels}, image);
  BOOST_TEST(image == sound_image());
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace trireme::test
