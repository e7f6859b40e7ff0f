// SPDX-License-Identifier: Apache-2.0
// Reads images and their classes.
#include "image_file.hpp"

#include <algorithm>
#include <fstream>
#include <string_view>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/h5/checksum.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kMostClasses = 1'000'000;
constexpr std::int64_t kMostPixels = std::int64_t{1} << 30U;
constexpr std::int64_t kPart = std::int64_t{1} << 22U;  // bytes of images read at once

std::vector<std::int32_t> read_labels(const h5::File& file, std::int64_t images) {
  const h5::Dataset labels = file.dataset("labels");
  TRM_REQUIRE(labels.shape().rank() == 1 && labels.shape()[0] == images,
              "{}: {} of the classes of {} images; a class for each is expected",
              labels.where(), labels.shape().str(), images);
  std::vector<std::int64_t> wide(static_cast<std::size_t>(images));
  labels.read(View(wide.data(), DType::i64, Shape{images}));
  std::vector<std::int32_t> narrow;
  narrow.reserve(wide.size());
  for (std::size_t i = 0; i < wide.size(); ++i) {
    TRM_REQUIRE(wide[i] >= 0 && wide[i] < kMostClasses,
                "{}: class {} of image {}; classes are numbered from 0 to at most {}",
                labels.where(), wide[i], i, kMostClasses - 1);
    narrow.push_back(static_cast<std::int32_t>(wide[i]));
  }
  return narrow;
}

}  // namespace

bool is_image_file(const std::string& path) {
  // A token file begins with its seal, which must be checked before HDF5 reads the file.
  constexpr std::string_view kHdf5 = "\x89HDF\r\n\x1a\n";
  if (!other_kind(path).empty()) return false;  // to open a named pipe would wait for ever
  std::string start(kHdf5.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(start.data(), static_cast<std::streamsize>(start.size()))) return false;
  if (start != kHdf5) return false;
  bool found = false;
  return !failure_of([&] { found = h5::File(path, h5::Mode::read).has_dataset("images"); }) &&
         found;
}

ImageFile::ImageFile(const std::string& path) : path_(path) {
  const h5::File file(path, h5::Mode::read);
  images_ = file.dataset("images", 0);
  const Shape all = images_.shape();
  TRM_REQUIRE(images_.dtype() == DType::u8 && all.rank() >= 2 && all.count() > 0,
              "{}: {} {}; bytes (uint8) of shape [images, …] are expected", images_.where(),
              all.str(), name_of(images_.dtype()));
  shape_ = Shape(all.extents().subspan(1));
  pixels_ = shape_.count();
  TRM_REQUIRE(pixels_ <= kMostPixels, "{}: images of {} bytes; {} are possible",
              images_.where(), pixels_, kMostPixels);
  TRM_REQUIRE(file.has_dataset("labels"),
              "{}: there is no array /labels, the class of each image", path);
  labels_ = read_labels(file, all[0]);
  if (file.has("label_names")) names_ = file.read_texts("label_names");
  const std::int64_t largest = *std::ranges::max_element(labels_);
  classes_ = file.has_attribute("classes") ? file.integer("classes")
             : names_.empty()              ? largest + 1
                                           : std::ssize(names_);
  TRM_REQUIRE(classes_ > largest && classes_ <= kMostClasses,
              "{}: the attribute classes is {}, but a label is {}", path, classes_, largest);
  TRM_REQUIRE(names_.empty() || std::ssize(names_) == classes_,
              "{}: /label_names has {} texts for {} classes", path, names_.size(), classes_);
}

void ImageFile::read_images(std::int64_t first, std::int64_t count, std::uint8_t* to) const {
  Shape begin = images_.shape();
  Shape extent = begin;
  for (int axis = 0; axis < begin.rank(); ++axis) begin[axis] = 0;
  begin[0] = first;
  extent[0] = count;
  images_.read(Box(begin, extent), View(to, DType::u8, extent));
}

void ImageFile::read(std::int64_t offset, std::span<std::int32_t> to) const {
  TRM_REQUIRE(offset >= 0 && offset + std::ssize(to) <= tokens(),
              "{}: {} numbers from {} on are not in the {} of the file", path_, to.size(),
              offset, tokens());
  thread_local std::vector<std::uint8_t> bytes;
  bytes.resize(static_cast<std::size_t>(pixels_));
  const std::int64_t stride = pixels_ + 1;
  for (std::size_t done = 0; done < to.size();) {
    const std::int64_t at = offset + static_cast<std::int64_t>(done);
    const std::int64_t image = at / stride;
    const std::int64_t inside = at % stride;
    const std::int64_t n =
        std::min(stride - inside, static_cast<std::int64_t>(to.size() - done));
    const auto part = to.subspan(done, static_cast<std::size_t>(n));
    if (inside < pixels_) read_images(image, 1, bytes.data());
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t pixel = inside + i;
      part[static_cast<std::size_t>(i)] = pixel < pixels_
                                              ? bytes[static_cast<std::size_t>(pixel)]
                                              : labels_[static_cast<std::size_t>(image)];
    }
    done += static_cast<std::size_t>(n);
  }
}

void ImageFile::each_part(
    const std::function<void(const std::uint8_t*, std::size_t)>& f) const {
  const std::int64_t some = std::max<std::int64_t>(kPart / pixels_, 1);
  std::vector<std::uint8_t> bytes;
  for (std::int64_t at = 0; at < documents(); at += some) {
    const std::int64_t n = std::min(some, documents() - at);
    bytes.resize(static_cast<std::size_t>(n * pixels_));
    read_images(at, n, bytes.data());
    f(bytes.data(), bytes.size());
  }
}

const std::string& ImageFile::source_hash() const {
  std::call_once(hashed_, [this] {
    std::vector<std::uint64_t> sums{
        h5::checksum_of(labels_.data(), labels_.size() * sizeof(labels_.front()))};
    each_part([&](const std::uint8_t* bytes, std::size_t n) {
      sums.push_back(h5::checksum_of(bytes, n));
    });
    hash_ = fmt::format("{:016x}",
                        h5::checksum_of(sums.data(), sums.size() * sizeof(sums.front())));
  });
  return hash_;
}

void ImageFile::verify(const std::function<void(std::int64_t bytes)>& progress) const {
  each_part(
      [&](const std::uint8_t*, std::size_t n) { progress(static_cast<std::int64_t>(n)); });
}

}  // namespace trireme
