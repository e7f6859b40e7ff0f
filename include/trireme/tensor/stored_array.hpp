// SPDX-License-Identifier: Apache-2.0
// Elements that don't lie in memory as such: in a file, or in fewer bits.
#pragma once

#include <cstdint>

#include "trireme/core/dtype.hpp"

namespace trireme {

class StoredArray {
 public:
  StoredArray() = default;
  virtual ~StoredArray() = default;
  StoredArray(const StoredArray&) = delete;
  StoredArray& operator=(const StoredArray&) = delete;

  [[nodiscard]] virtual DType dtype() const = 0;
  /// Whether a copy of the elements costs no more than memory. A file's elements stay there.
  [[nodiscard]] virtual bool may_be_copied() const { return false; }
  /// Copies elements [first, first + count) to or from host memory, and waits. Throws Error if
  /// the elements can't be reached.
  virtual void read(std::int64_t first, std::int64_t count, void* to) = 0;
  virtual void write(std::int64_t first, std::int64_t count, const void* from) = 0;
};

}  // namespace trireme
