// SPDX-License-Identifier: Apache-2.0
// Bytes that memory has no room for, in a file without a name: the file is gone when its
// process is, however that ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme {

class ScratchFile {
 public:
  /// Makes the file in a folder. Throws Error if that is not possible.
  explicit ScratchFile(const std::string& folder);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  /// Returns the offset of the bytes. Throws Error if the disk is full.
  std::int64_t append(std::string_view bytes);
  [[nodiscard]] std::string read(std::int64_t offset, std::int64_t bytes) const;
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  std::string folder_;
  int file_;
  std::int64_t bytes_ = 0;
};

}  // namespace trireme
