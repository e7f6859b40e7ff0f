// SPDX-License-Identifier: Apache-2.0
// Loops over OpenMP threads, dispatch by element type, and Eigen windows on Views.
#pragma once

#include <algorithm>
#include <cstdint>
#include <omp.h>

#include <Eigen/Core>

#include "trireme/tensor/tensor.hpp"

namespace trireme::cpu {

/// With fewer elements than this, a second thread costs more than it saves.
inline constexpr std::int64_t kGrain = 1 << 14;

/// Calls f(begin, end) on consecutive ranges of [0, n) that begin at multiples of `align`.
/// `work` is the number of elements per index. Ranges depend on n and the thread count alone.
template <class F>
void parallel_for(std::int64_t n, std::int64_t work, std::int64_t align, F&& f) {
  if (n <= 0) return;
  const std::int64_t blocks = (n + align - 1) / align;
  const std::int64_t useful =
      std::max<std::int64_t>(1, n * std::max<std::int64_t>(work, 1) / kGrain);
  const int threads =
      static_cast<int>(std::min<std::int64_t>({omp_get_max_threads(), useful, blocks}));
  if (threads <= 1 || omp_in_parallel() != 0) {
    f(std::int64_t{0}, n);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const std::int64_t t = omp_get_thread_num();
    const std::int64_t count = omp_get_num_threads();
    const std::int64_t begin = std::min(n, blocks * t / count * align);
    const std::int64_t end = std::min(n, blocks * (t + 1) / count * align);
    if (begin < end) f(begin, end);
  }
}

template <class F>
void parallel_rows(const ConstView& x, F&& f) {
  parallel_for(x.rows(), x.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) f(r);
  });
}

/// Calls f with a value of the type used to compute: double for fp64, else float.
template <class F>
void by_type(DType type, F&& f) {
  if (type == DType::f64) {
    f(double{});
  } else if (floating(type)) {
    f(float{});
  } else {
    throw Error(fmt::format("the CPU backend does not compute in {}", name_of(type)));
  }
}

template <class T>
using Row = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;
template <class T>
using ConstRow = Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>>;
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using MatrixMap = Eigen::Map<Matrix<T>, 0, Eigen::OuterStride<>>;
template <class T>
using ConstMatrixMap = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;

template <class T>
T* row_data(const View& v, std::int64_t r) {
  return static_cast<T*>(v.raw()) + r * v.row_stride();
}
template <class T>
const T* row_data(const ConstView& v, std::int64_t r) {
  return static_cast<const T*>(v.raw()) + r * v.row_stride();
}

}  // namespace trireme::cpu
