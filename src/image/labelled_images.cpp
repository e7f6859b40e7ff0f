// SPDX-License-Identifier: Apache-2.0
// Reads images with classes from arrays, CIFAR's files and folders.
#include "trireme/image/labelled_images.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "array_file.hpp"
#include "packed_bytes.hpp"
#include "picture.hpp"

namespace trireme {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 36U;
constexpr std::int64_t kMostLabel = 999'999;
constexpr std::int64_t kCifarSide = 32;
constexpr std::int64_t kCifarPixels = kCifarSide * kCifarSide;
constexpr std::int64_t kColours = 3;

using Shape = std::vector<std::int64_t>;

void require_shape(LabelledImages& images, const std::string& path, const Shape& shape) {
  if (images.shape.empty()) images.shape = shape;
  TRM_REQUIRE(images.shape == shape,
              "{}: images of [{}], but those before have [{}]; all images of a file have one "
              "shape",
              path, fmt::join(shape, ", "), fmt::join(images.shape, ", "));
}

void add_label(LabelledImages& images, const std::string& path, std::int64_t label) {
  TRM_REQUIRE(label >= 0 && label <= kMostLabel, "{}: label {}; labels are 0 to {}", path,
              label, kMostLabel);
  images.labels.push_back(label);
}

void add_arrays(LabelledImages& to, const std::string& path, const IntegerArray& images,
                const std::string& label_path) {
  TRM_REQUIRE(
      images.shape.size() >= 3 && !images.bytes.empty(),
      "{}: an array of [{}]; images are bytes (uint8) of shape [images, rows, columns] or "
      "[images, rows, columns, 3], and the file of their labels follows them",
      path, fmt::join(images.shape, ", "));
  TRM_REQUIRE(!label_path.empty(), "{}: name the file of labels behind this file of images",
              path);
  const auto labels = array_of(label_path, unpacked_bytes(label_path, kMostBytes));
  TRM_REQUIRE(labels && labels->shape.size() == 1 && labels->shape[0] == images.shape[0],
              "{}: expected the labels of the {} images of {}, as IDX or .npy", label_path,
              images.shape[0], path);
  require_shape(to, path, Shape(images.shape.begin() + 1, images.shape.end()));
  to.bytes.insert(to.bytes.end(), images.bytes.begin(), images.bytes.end());
  for (std::size_t i = 0; i < static_cast<std::size_t>(labels->shape[0]); ++i) {
    add_label(to, label_path, labels->value(i));
  }
}

/// Names beside CIFAR's files, a line each.
std::vector<std::string> cifar_names(const fs::path& file, const char* name) {
  std::vector<std::string> names;
  std::ifstream lines(file.parent_path() / name);
  for (std::string line; std::getline(lines, line) && names.size() < 100;) {
    if (!line.empty()) names.push_back(printable(line));
  }
  return names;
}

/// Whether the bytes are CIFAR's: a label, or two, and three planes of 32 × 32.
bool add_cifar(LabelledImages& to, const std::string& path,
               const std::vector<std::uint8_t>& bytes) {
  const auto holds = [&](std::int64_t record) {
    return !bytes.empty() && static_cast<std::int64_t>(bytes.size()) % record == 0;
  };
  constexpr std::int64_t kImage = kColours * kCifarPixels;
  const std::int64_t heads = holds(kImage + 1) ? 1 : holds(kImage + 2) ? 2 : 0;
  if (heads == 0 || path.find(".bin") == std::string::npos) return false;
  require_shape(to, path, {kCifarSide, kCifarSide, kColours});
  const auto record = static_cast<std::size_t>(kImage + heads);
  for (std::size_t at = 0; at < bytes.size(); at += record) {
    const std::uint8_t* const planes = &bytes[at + static_cast<std::size_t>(heads)];
    const std::int64_t label = planes[-1];
    TRM_REQUIRE(label < (heads == 1 ? 10 : 100), "{}: label {} of image {}: no file of CIFAR's",
                path, label, at / record);
    add_label(to, path, label);
    for (std::int64_t i = 0; i < kImage; ++i) {
      to.bytes.push_back(planes[i % kColours * kCifarPixels + i / kColours]);
    }
  }
  const auto names =
      cifar_names(path, heads == 1 ? "batches.meta.txt" : "fine_label_names.txt");
  if (static_cast<std::int64_t>(names.size()) == (heads == 1 ? 10 : 100)) to.names = names;
  return true;
}

/// Names in a folder, in the order of their bytes. Those that begin with a dot are passed over.
std::vector<fs::path> sorted(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with('.')) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  return paths;
}

void add_folder(LabelledImages& to, const std::string& folder) {
  std::vector<std::string> names;
  for (const fs::path& path : sorted(folder)) {
    TRM_REQUIRE(fs::is_directory(path),
                "{}: a file beside the folders of classes; a folder of images has a folder for "
                "each class",
                path.string());
    names.push_back(path.filename().string());
  }
  TRM_REQUIRE(!names.empty(), "{}: it has no folder for each class", folder);
  if (to.names.empty() && to.labels.empty()) to.names = names;
  TRM_REQUIRE(to.names == names, "{}: its classes are {}, but those before {}", folder,
              printable(fmt::to_string(fmt::join(names, ", "))),
              printable(fmt::to_string(fmt::join(to.names, ", "))));
  to.in_order_of_classes = true;
  for (std::size_t label = 0; label < names.size(); ++label) {
    for (const fs::path& path : sorted(fs::path(folder) / names[label])) {
      const Picture p = read_picture(path.string());
      require_shape(
          to, path.string(),
          p.channels == 1 ? Shape{p.rows, p.columns} : Shape{p.rows, p.columns, p.channels});
      to.bytes.insert(to.bytes.end(), p.bytes.begin(), p.bytes.end());
      to.labels.push_back(static_cast<std::int64_t>(label));
    }
  }
}

}  // namespace

std::int64_t LabelledImages::image_bytes() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

LabelledImages read_labelled_images(const std::vector<std::string>& paths) {
  LabelledImages images;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const std::string& path = paths[i];
    std::error_code error;
    if (fs::is_directory(path, error)) {
      add_folder(images, path);
      continue;
    }
    std::vector<std::uint8_t> bytes = unpacked_bytes(path, kMostBytes);
    if (add_cifar(images, path, bytes)) continue;
    const auto array = array_of(path, std::move(bytes));
    TRM_REQUIRE(
        array,
        "{}: expected IDX, .npy, a .bin file of CIFAR-10 or CIFAR-100, or a folder with "
        "a folder of PNG or JPEG files for each class",
        path);
    add_arrays(images, path, *array, i + 1 < paths.size() ? paths[++i] : std::string());
  }
  TRM_REQUIRE(!images.labels.empty(), "{}: there is no image", fmt::join(paths, ", "));
  return images;
}

}  // namespace trireme
