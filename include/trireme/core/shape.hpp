// SPDX-License-Identifier: Apache-2.0
// The extents of an array, at most four, without an allocation.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace trireme {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  /// Throws Error on more than kMaxRank extents or a negative one.
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(std::span<const std::int64_t> extents);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] std::int64_t operator[](int axis) const {
    return extents_[static_cast<std::size_t>(axis)];
  }
  std::int64_t& operator[](int axis) { return extents_[static_cast<std::size_t>(axis)]; }
  /// Product of all extents; 1 for rank 0.
  [[nodiscard]] std::int64_t count() const;
  /// Last extent (1 for rank 0): the columns of the array seen as a matrix.
  [[nodiscard]] std::int64_t cols() const { return rank_ == 0 ? 1 : (*this)[rank_ - 1]; }
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] std::span<const std::int64_t> extents() const {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }
  [[nodiscard]] std::string str() const;  ///< "[2, 3]"
  friend bool operator==(const Shape& a, const Shape& b) = default;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace trireme
