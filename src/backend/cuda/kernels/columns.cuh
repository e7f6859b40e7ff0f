// SPDX-License-Identifier: Apache-2.0
// Adds partial column sums in a fixed order.
#pragma once

#include "trireme/tensor/tensor.hpp"

#include "reduce.cuh"
#include "types.cuh"

namespace trireme::cuda {

inline constexpr int kPartGroups = 16;  ///< warps that share the partial sums

/// Where sums go: columns before `split` to `first`, the others to `second`.
template <class To>
struct PartSums {
  To* first;
  To* second;
  std::int64_t split;
  std::int64_t cols;  ///< columns of both arrays together
};

template <class To>
__global__ void __launch_bounds__(kWarp* kPartGroups)
    add_parts_kernel(const float* parts, int count, std::int64_t part_stride, PartSums<To> to) {
  __shared__ float room[kPartGroups][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kWarp + lane;
  float share = 0;
  if (col < to.cols) {
#pragma unroll 8
    for (int p = group; p < count; p += kPartGroups) share += parts[p * part_stride + col];
  }
  room[group][lane] = share;
  __syncthreads();
  if (group != 0 || col >= to.cols) return;
  float total = 0;
#pragma unroll
  for (int g = 0; g < kPartGroups; ++g) total += room[g][lane];
  To* const sum = col < to.split ? to.first + col : to.second + (col - to.split);
  *sum = from_float<To>(to_float(*sum) + total);
}

/// first [cols] += Σ over p of parts[p · part_stride + col]. `second`, unless empty, receives
/// the sums of the columns that follow.
inline void add_parts(cudaStream_t stream, const float* parts, int count,
                      std::int64_t part_stride, const View& first, const View& second = {}) {
  const std::int64_t cols = first.count() + (second.empty() ? 0 : second.count());
  TRM_CHECK(second.empty() || second.dtype() == first.dtype(), "sums of {} and {}",
            name_of(first.dtype()), name_of(second.dtype()));
  with_type(first.dtype(), [&]<class To>(TypeTag<To>) {
    launch(add_parts_kernel<To>, dim3(static_cast<unsigned>((cols + kWarp - 1) / kWarp)),
           dim3(kWarp * kPartGroups), 0, stream, parts, count, part_stride,
           PartSums<To>{static_cast<To*>(first.raw()), static_cast<To*>(second.raw()),
                        first.count(), cols});
  });
}

}  // namespace trireme::cuda
