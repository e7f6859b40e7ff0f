// SPDX-License-Identifier: Apache-2.0
// Images with classes in HDF5: /images, u8 [images, …], and /labels, integers [images] from 0
// on. /label_names, texts, may name the classes. Attribute `classes` of the file's root is the
// number of classes; without it, the largest label says it. Any program may write such a file.
#pragma once

#include <memory>
#include <mutex>

#include "trireme/data/token_source.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

/// Whether the path leads to an HDF5 file with /images, and nothing before HDF5's own bytes.
[[nodiscard]] bool is_image_file(const std::string& path);

/// An image is a document: its bytes in row-major order, and its class as the last number. The
/// classes are the vocabulary.
class ImageFile final : public TokenSource {
 public:
  /// Reads all labels. Throws Error that names the array which has another type or shape.
  explicit ImageFile(const std::string& path);

  [[nodiscard]] std::int64_t pixels() const override { return pixels_; }
  [[nodiscard]] Shape image_shape() const override { return shape_; }
  [[nodiscard]] const std::vector<std::string>& class_names() const override { return names_; }
  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] std::string format() const override { return "images with classes"; }
  [[nodiscard]] std::int64_t tokens() const override { return documents() * (pixels_ + 1); }
  [[nodiscard]] std::int64_t documents() const override { return std::ssize(labels_); }
  [[nodiscard]] std::int64_t token_bytes() const override { return 1; }
  [[nodiscard]] std::int64_t vocab_size() const override { return classes_; }
  [[nodiscard]] std::int32_t end_of_document() const override { return -1; }
  [[nodiscard]] const std::string& tokenizer_kind() const override { return none_; }
  [[nodiscard]] const std::string& tokenizer_definition() const override { return none_; }
  /// A checksum of all images and labels, computed at the first call.
  [[nodiscard]] const std::string& source_hash() const override;
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const override {
    return i * (pixels_ + 1);
  }
  void read(std::int64_t offset, std::span<std::int32_t> to) const override;
  void verify(const std::function<void(std::int64_t bytes)>& progress) const override;

 private:
  /// Images [first, first + count), each pixels_ bytes.
  void read_images(std::int64_t first, std::int64_t count, std::uint8_t* to) const;
  /// Calls f(bytes, size) with all images, some at a time.
  void each_part(const std::function<void(const std::uint8_t*, std::size_t)>& f) const;

  std::string path_;
  h5::Dataset images_;
  Shape shape_;
  std::int64_t pixels_ = 0;
  std::int64_t classes_ = 0;
  std::vector<std::int32_t> labels_;
  std::vector<std::string> names_;
  std::string none_;
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

}  // namespace trireme
