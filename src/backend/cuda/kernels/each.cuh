// SPDX-License-Identifier: Apache-2.0
// Runs a job for each element of a matrix, 16 bytes at a time if addresses and row strides
// allow.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "trireme/tensor/tensor.hpp"

#include "types.cuh"

namespace trireme::cuda {

/// A matrix's address and row stride.
template <class T>
struct Matrix {
  T* data;
  std::int64_t stride;
  __device__ __forceinline__ T* at(std::int64_t row, std::int64_t col) const {
    return data + row * stride + col;
  }
};
template <class T>
Matrix<const T> matrix(const ConstView& v) {
  return {static_cast<const T*>(v.raw()), v.row_stride()};
}
template <class T>
Matrix<T> matrix(const View& v) {
  return {static_cast<T*>(v.raw()), v.row_stride()};
}

template <int N, class T>
__device__ __forceinline__ Pack<std::remove_const_t<T>, N> load(T* from) {
  return *reinterpret_cast<const Pack<std::remove_const_t<T>, N>*>(from);
}
template <class T, int N>
__device__ __forceinline__ void store(T* to, const Pack<T, N>& values) {
  *reinterpret_cast<Pack<T, N>*>(to) = values;
}

/// Whether vectors of n elements are aligned in each row. With `flat`, the array is read as one
/// long row, and strides don't matter.
inline bool vectors_fit(const ConstView& v, int n, bool flat = false) {
  const auto bytes = static_cast<std::uintptr_t>(n) * size_of(v.dtype());
  return v.empty() || (reinterpret_cast<std::uintptr_t>(v.raw()) % bytes == 0 &&
                       (flat || v.rows() <= 1 || v.row_stride() % n == 0));
}
inline bool vectors_fit(std::initializer_list<ConstView> views, int n, bool flat = false) {
  return std::all_of(views.begin(), views.end(),
                     [=](const ConstView& v) { return vectors_fit(v, n, flat); });
}

/// Elements in a 16-byte vector of the widest of these types.
template <class... T>
inline constexpr int kVector = 16 / static_cast<int>(std::max({sizeof(T)...}));

/// Rows and columns of a job. With `flat`, arrays without gaps count as one long row.
struct Extent {
  std::int64_t rows;
  std::int64_t cols;
};
inline Extent extent_of(std::initializer_list<ConstView> views, bool flat = true) {
  const ConstView& first = *views.begin();
  flat = flat && std::all_of(views.begin(), views.end(),
                             [](const ConstView& v) { return v.empty() || v.contiguous(); });
  return flat ? Extent{1, first.count()} : Extent{first.rows(), first.cols()};
}

/// The position where a vector starts; place_of() finds that of vector `at`, counted over rows.
struct Place {
  std::int64_t row;
  std::int64_t col;
};
template <int N>
__device__ __forceinline__ Place place_of(std::int64_t at, std::int64_t rows,
                                          std::int64_t per_row) {
  if (rows == 1) return {0, at * N};
  if (((at | per_row) >> 31) == 0) {  // a 64-bit division takes five times as long
    const auto narrow = static_cast<std::uint32_t>(at);
    const auto row = narrow / static_cast<std::uint32_t>(per_row);
    return {row,
            static_cast<std::int64_t>(narrow - row * static_cast<std::uint32_t>(per_row)) * N};
  }
  const std::int64_t row = at / per_row;
  return {row, (at - row * per_row) * N};
}

inline constexpr int kEachThreads = 256;
inline constexpr int kEachSteps = 2;  ///< vectors per thread, all loaded before one is stored

/// A Job has load<N>(row, col), which returns the inputs of N elements, and store(inputs, row,
/// col).
template <int N, class Job>
__global__ void __launch_bounds__(kEachThreads)
    each_kernel(Job job, std::int64_t rows, std::int64_t cols) {
  const std::int64_t per_row = (cols + N - 1) / N;
  const std::int64_t total = rows * per_row;
  const std::int64_t first =
      static_cast<std::int64_t>(blockIdx.x) * (kEachThreads * kEachSteps) + threadIdx.x;
  decltype(job.template load<N>(0, 0)) held[kEachSteps];
  Place place[kEachSteps];
#pragma unroll
  for (int i = 0; i < kEachSteps; ++i) {
    const std::int64_t at = first + i * kEachThreads;
    place[i] = {0, cols};
    if (at < total) place[i] = place_of<N>(at, rows, per_row);
    if (place[i].col + N <= cols) held[i] = job.template load<N>(place[i].row, place[i].col);
  }
#pragma unroll
  for (int i = 0; i < kEachSteps; ++i) {
    const Place p = place[i];
    if (p.col + N <= cols) {
      job.store(held[i], p.row, p.col);
    } else if constexpr (N > 1) {
      for (std::int64_t c = p.col; c < cols; ++c) {
        job.store(job.template load<1>(p.row, c), p.row, c);
      }
    }
  }
}

template <int N, class Job>
void for_each(cudaStream_t stream, const Extent& extent, bool vectors, const Job& job) {
  if (extent.rows == 0 || extent.cols == 0) return;
  const std::int64_t per_row = vectors ? (extent.cols + N - 1) / N : extent.cols;
  constexpr std::int64_t kPerBlock = kEachThreads * kEachSteps;
  const auto blocks =
      static_cast<unsigned>((extent.rows * per_row + kPerBlock - 1) / kPerBlock);
  if (vectors) {
    launch(each_kernel<N, Job>, dim3(blocks), dim3(kEachThreads), 0, stream, job, extent.rows,
           extent.cols);
  } else {
    launch(each_kernel<1, Job>, dim3(blocks), dim3(kEachThreads), 0, stream, job, extent.rows,
           extent.cols);
  }
}

/// Runs a job over arrays of one shape, some of which may be empty. The job must not depend on
/// positions.
template <int N, class Job>
void for_each(cudaStream_t stream, std::initializer_list<ConstView> views, const Job& job) {
  const Extent extent = extent_of(views);
  for_each<N>(stream, extent, vectors_fit(views, N, extent.rows == 1), job);
}

}  // namespace trireme::cuda
