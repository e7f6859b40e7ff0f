// SPDX-License-Identifier: Apache-2.0
// Products of small matrices that lie in the L1 cache: keys by queries, and weights by values.
// A second operand lies in panels of kPanel columns, one panel after another.
#pragma once

#include "lanes.hpp"

namespace trireme::cpu {

/// Rows and vectors of a result that registers hold at once.
inline constexpr int kProductRows = 6;
inline constexpr int kProductVectors = 2;
template <class T>
inline constexpr std::int64_t kPanel = kProductVectors* kLanes<T>;

/// n in whole panels.
template <class T>
constexpr std::int64_t in_panels(std::int64_t n) {
  return (n + kPanel<T> - 1) / kPanel<T> * kPanel<T>;
}

/// A matrix whose element (r, k) is data[r · row + k · depth].
template <class T>
struct Factor {
  const T* data;
  std::int64_t row;
  std::int64_t depth;
};

/// R rows and one panel of c = a b, or c += a b.
template <int R, class T>
[[gnu::always_inline]] inline void product_block(const Factor<T>& a, const T* panel,
                                                 std::int64_t depth, T* c, std::int64_t stride,
                                                 bool adds) {
  constexpr int vectors = kProductVectors;
  Lanes<T> sum[R * vectors] = {};
  if (adds) {
#pragma GCC unroll 16
    for (int i = 0; i < R * vectors; ++i) {
      sum[i] = load_lanes(c + i / vectors * stride + i % vectors * kLanes<T>);
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Lanes<T> b[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) b[v] = load_lanes(panel + k * kPanel<T> + v * kLanes<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Lanes<T> x = a.data[r * a.row + k * a.depth] - Lanes<T>{};  // in all lanes
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) add_product<T>(sum[r * vectors + v], b[v], x);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R * vectors; ++i) {
    std::memcpy(c + i / vectors * stride + i % vectors * kLanes<T>, &sum[i], sizeof sum[i]);
  }
}

/// c = a b, or c += a b, where c is [rows, cols] with `stride` elements between rows. Whole
/// panels of c are written.
template <class T>
void multiply_panels(const Factor<T>& a, std::int64_t rows, const T* panels, std::int64_t cols,
                     std::int64_t depth, T* c, std::int64_t stride, bool adds) {
  for (std::int64_t at = 0; at < cols; at += kPanel<T>) {
    const T* const panel = panels + at * depth;
    const auto block = [&]<int R>(std::int64_t r) {
      product_block<R>(Factor<T>{a.data + r * a.row, a.row, a.depth}, panel, depth,
                       c + r * stride + at, stride, adds);
    };
    std::int64_t r = 0;
    for (; r + kProductRows <= rows; r += kProductRows) {
      block.template operator()<kProductRows>(r);
    }
    if (r + 4 <= rows) {
      block.template operator()<4>(r);
      r += 4;
    }
    for (; r < rows; ++r) block.template operator()<1>(r);
  }
}

/// Puts the columns of x, or x's rows if `transposes`, into panels of `depth` rows. Columns
/// beyond the last one are zeros.
template <class T>
void fill_panels(const ConstMatrixMap<T>& x, bool transposes, T* panels) {
  const std::int64_t depth = transposes ? x.cols() : x.rows();
  const std::int64_t cols = transposes ? x.rows() : x.cols();
  for (std::int64_t at = 0; at < cols; at += kPanel<T>) {
    MatrixMap<T> panel(panels + at * depth, depth, kPanel<T>, Eigen::OuterStride<>(kPanel<T>));
    const std::int64_t n = std::min(kPanel<T>, cols - at);
    if (n < kPanel<T>) panel.setZero();
    if (transposes) {
      panel.leftCols(n) = x.middleRows(at, n).transpose();
    } else {
      panel.leftCols(n) = x.middleCols(at, n);
    }
  }
}

}  // namespace trireme::cpu
