// SPDX-License-Identifier: Apache-2.0
// Windows on arrays in T, the type used to compute. Windows on an array of T lie on its memory.
// Half precision is widened into scratch memory, which the next window reuses, and narrowed on
// store(). Each object belongs to one thread.
#pragma once

#include <type_traits>

#include "trireme/core/convert.hpp"

#include "parallel.hpp"

namespace trireme::cpu {

/// columns per piece; pieces of several arrays fit into the L1 cache
inline constexpr std::int64_t kPiece = 1024;

inline const void* address(const ConstView& v, std::int64_t r, std::int64_t c) {
  const auto at = static_cast<std::size_t>(r * v.row_stride() + c) * size_of(v.dtype());
  return static_cast<const std::byte*>(v.raw()) + at;
}
inline void* address(const View& v, std::int64_t r, std::int64_t c) {
  return const_cast<void*>(address(static_cast<const ConstView&>(v), r, c));
}

template <class T>
class Scratch {
 public:
  [[nodiscard]] T* take(std::int64_t n) {
    if (memory_.size() < n) memory_.resize(n);
    return memory_.data();
  }

 private:
  Eigen::Array<T, 1, Eigen::Dynamic> memory_;
};

/// An array to read.
template <class T>
class Source {
 public:
  explicit Source(const ConstView& x) : x_(x), direct_(x.dtype() == kDTypeOf<T>) {}

  [[nodiscard]] ConstMatrixMap<T> tile(std::int64_t r, std::int64_t rows, std::int64_t c,
                                       std::int64_t cols) {
    if (direct_) {
      return {row_data<T>(x_, r) + c, rows, cols, Eigen::OuterStride<>(x_.row_stride())};
    }
    T* to = scratch_.take(rows * cols);
    if constexpr (std::is_same_v<T, float>) {
      for (std::int64_t i = 0; i < rows; ++i) {
        widen(x_.dtype(), address(x_, r + i, c), to + i * cols, cols);
      }
    }
    return {to, rows, cols, Eigen::OuterStride<>(cols)};
  }
  [[nodiscard]] ConstRow<T> row(std::int64_t r, std::int64_t c, std::int64_t n) {
    return {tile(r, 1, c, n).data(), n};
  }
  [[nodiscard]] ConstRow<T> row(std::int64_t r) { return row(r, 0, x_.cols()); }

 private:
  ConstView x_;
  bool direct_;
  Scratch<T> scratch_;
};

/// An array to write. Call store() at the end of each window.
template <class T>
class Target {
 public:
  explicit Target(const View& y) : y_(y), direct_(y.dtype() == kDTypeOf<T>) {}

  /// Returns a window that is not initialised.
  [[nodiscard]] MatrixMap<T> tile(std::int64_t r, std::int64_t rows, std::int64_t c,
                                  std::int64_t cols) {
    if (direct_) {
      return {row_data<T>(y_, r) + c, rows, cols, Eigen::OuterStride<>(y_.row_stride())};
    }
    r_ = r;
    rows_ = rows;
    c_ = c;
    cols_ = cols;
    window_ = scratch_.take(rows * cols);
    return {window_, rows, cols, Eigen::OuterStride<>(cols)};
  }
  [[nodiscard]] Row<T> row(std::int64_t r, std::int64_t c, std::int64_t n) {
    return {tile(r, 1, c, n).data(), n};
  }
  [[nodiscard]] Row<T> row(std::int64_t r) { return row(r, 0, y_.cols()); }
  /// Returns a window with the array's values.
  [[nodiscard]] Row<T> loaded(std::int64_t r, std::int64_t c, std::int64_t n) {
    const Row<T> window = row(r, c, n);
    if constexpr (std::is_same_v<T, float>) {
      if (!direct_) widen(y_.dtype(), address(y_, r, c), window_, n);
    }
    return window;
  }
  void store() const {
    if constexpr (std::is_same_v<T, float>) {
      if (direct_) return;
      for (std::int64_t i = 0; i < rows_; ++i) {
        narrow(window_ + i * cols_, y_.dtype(), address(y_, r_ + i, c_), cols_);
      }
    }
  }

 private:
  View y_;
  bool direct_;
  Scratch<T> scratch_;
  T* window_ = nullptr;
  std::int64_t r_ = 0;
  std::int64_t rows_ = 0;
  std::int64_t c_ = 0;
  std::int64_t cols_ = 0;
};

/// Calls make() once per thread. The result is called with (row, column, width) of each piece
/// of x; pieces begin at multiples of kPiece columns.
template <class F>
void by_pieces(const ConstView& x, F&& make) {
  const std::int64_t per_row = (x.cols() + kPiece - 1) / kPiece;
  const std::int64_t work = std::min(kPiece, x.cols());
  parallel_for(x.rows() * per_row, work, 1, [&](std::int64_t begin, std::int64_t end) {
    auto f = make();
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t c = i % per_row * kPiece;
      f(i / per_row, c, std::min(kPiece, x.cols() - c));
    }
  });
}

}  // namespace trireme::cpu
