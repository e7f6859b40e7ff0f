// SPDX-License-Identifier: Apache-2.0
// Writes images with classes.
#include "trireme/data/image_writer.hpp"

#include <algorithm>

#include "trireme/core/replacement.hpp"
#include "trireme/data/sampler.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

void write_image_file(const std::string& path, const LabelledImages& images,
                      std::optional<std::uint64_t> shuffle) {
  const std::int64_t count = std::ssize(images.labels);
  const auto size = static_cast<std::size_t>(images.image_bytes());
  std::vector<std::int64_t> labels = images.labels;
  std::vector<std::uint8_t> moved;
  if (shuffle) {
    moved.resize(images.bytes.size());
    const Permutation order(count, *shuffle, 0);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto from = static_cast<std::size_t>(order(i));
      const auto to = static_cast<std::size_t>(i);
      labels[to] = images.labels[from];
      std::copy_n(images.bytes.begin() + static_cast<std::ptrdiff_t>(from * size), size,
                  moved.begin() + static_cast<std::ptrdiff_t>(to * size));
    }
  }
  const std::vector<std::uint8_t>& bytes = shuffle ? moved : images.bytes;
  std::vector<std::int64_t> extents{count};
  extents.insert(extents.end(), images.shape.begin(), images.shape.end());
  const Shape shape{std::span<const std::int64_t>(extents)};
  const std::int64_t largest = *std::ranges::max_element(labels);
  Replacement replacement(path);
  {
    h5::File file(replacement.temporary(), h5::Mode::create, {.checksums = true});
    file.set_attribute("classes",
                       images.names.empty() ? largest + 1 : std::ssize(images.names));
    file.create_dataset("images", DType::u8, shape)
        .write(ConstView(bytes.data(), DType::u8, shape));
    file.create_dataset("labels", DType::i64, Shape{count})
        .write(ConstView(labels.data(), DType::i64, Shape{count}));
    if (!images.names.empty()) file.write_texts("label_names", images.names);
    file.close();
  }
  replacement.commit(Durability::power);
}

}  // namespace trireme
