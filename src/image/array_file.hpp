// SPDX-License-Identifier: Apache-2.0
// Files that hold one array: IDX of MNIST, and NumPy's .npy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

/// An array of integers. Elements of one byte stay bytes; others are widened.
struct IntegerArray {
  std::vector<std::int64_t> shape{};
  std::vector<std::uint8_t> bytes{};   ///< elements, if each has one byte and no sign
  std::vector<std::int64_t> values{};  ///< elements otherwise
  [[nodiscard]] std::int64_t value(std::size_t i) const {
    return values.empty() ? bytes[i] : values[i];
  }
};

/// Reads an array. Empty if the bytes begin as neither form does. Throws Error that begins with
/// `path` if the array is damaged, or of another type than integers.
[[nodiscard]] std::optional<IntegerArray> array_of(const std::string& path,
                                                   std::vector<std::uint8_t> bytes);

}  // namespace trireme
