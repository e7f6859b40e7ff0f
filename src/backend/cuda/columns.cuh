// SPDX-License-Identifier: Apache-2.0
// Partial column sums, added up in the order of the parts.
#pragma once

#include "trireme/tensor/tensor.hpp"

#include "reduce.cuh"
#include "types.cuh"

namespace trireme::cuda {

/// Parts that a sum over rows is cut into, at most: two blocks for each multiprocessor of an
/// H100. Of no device's own count, so that sums have the same bits on all.
inline constexpr int kMaxParts = 264;

inline constexpr int kPartGroups = 16;  ///< warps of a block, each with its share of the parts

template <class To>
__global__ void __launch_bounds__(kWarp* kPartGroups)
    add_parts_kernel(const float* parts, int count, std::int64_t part_stride, std::int64_t cols,
                     To* sum) {
  __shared__ float room[kPartGroups][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kWarp + lane;
  float share = 0;
  if (col < cols) {
#pragma unroll 4
    for (int p = group; p < count; p += kPartGroups) share += parts[p * part_stride + col];
  }
  room[group][lane] = share;
  __syncthreads();
  if (group != 0 || col >= cols) return;
  float total = 0;
#pragma unroll
  for (int g = 0; g < kPartGroups; ++g) total += room[g][lane];
  sum[col] = from_float<To>(to_float(sum[col]) + total);
}

/// sum [cols] += Σ over p of parts[p · part_stride + col].
inline void add_parts(cudaStream_t stream, const float* parts, int count,
                      std::int64_t part_stride, const View& sum) {
  const std::int64_t cols = sum.count();
  with_type(sum.dtype(), [&]<class To>(TypeTag<To>) {
    launch(add_parts_kernel<To>, dim3(static_cast<unsigned>((cols + kWarp - 1) / kWarp)),
           dim3(kWarp * kPartGroups), 0, stream, parts, count, part_stride, cols,
           static_cast<To*>(sum.raw()));
  });
}

}  // namespace trireme::cuda
