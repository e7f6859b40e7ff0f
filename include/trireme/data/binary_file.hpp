// SPDX-License-Identifier: Apache-2.0
// Reads parts of a binary file by offset. Unlike a mapping, a read of a file that shrinks or of
// a failing disk is an Error, and no signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace trireme {

class BinaryFile {
 public:
  /// Throws Error unless `path` is a regular file that can be read.
  explicit BinaryFile(const std::string& path);
  ~BinaryFile();
  BinaryFile(const BinaryFile&) = delete;
  BinaryFile& operator=(const BinaryFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  /// Reads `count` bytes from `offset` on. Throws Error if the file ends before.
  void read(std::int64_t offset, void* to, std::int64_t count) const;
  /// A hash of the size and of 64 parts of 4 KiB, which lie from the beginning to the end. Two
  /// files that differ elsewhere alone have one hash.
  [[nodiscard]] std::uint64_t sampled_hash() const;

 private:
  std::string path_;
  int file_;
  std::int64_t bytes_ = 0;
};

}  // namespace trireme
