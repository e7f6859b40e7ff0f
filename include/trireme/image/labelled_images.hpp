// SPDX-License-Identifier: Apache-2.0
// Images with classes, from the files that other programs write.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

/// Images of one shape, end to end in memory, and the class of each.
struct LabelledImages {
  std::vector<std::int64_t> shape{};   ///< an image's: [rows, columns], or [rows, columns, 3]
  std::vector<std::uint8_t> bytes{};   ///< row-major
  std::vector<std::int64_t> labels{};  ///< one an image, from 0 on
  std::vector<std::string> names{};    ///< the classes'; may be empty
  bool in_order_of_classes = false;    ///< the images of a class stand together

  [[nodiscard]] std::int64_t image_bytes() const;
};

/// Reads all images of `paths`, which all have one shape. A path is one of these:
///   a file of images in MNIST's IDX or NumPy's .npy, which the file of their labels follows
///   a .bin file of CIFAR-10 or CIFAR-100, of which the fine labels count
///   a folder with a folder of PNG or JPEG files for each class
/// gzip may have packed IDX, .npy and .bin. Throws Error that names a file which is damaged, of
/// another form, or does not fit the others.
[[nodiscard]] LabelledImages read_labelled_images(const std::vector<std::string>& paths);

}  // namespace trireme
