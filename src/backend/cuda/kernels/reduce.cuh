// SPDX-License-Identifier: Apache-2.0
// Sums and maxima over a warp or a thread block, in a fixed order. Every thread receives the
// result.
#pragma once

#include "simt.cuh"

namespace trireme::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kMaxWarps = 32;  ///< in a thread block, at most
inline constexpr unsigned kAllLanes = 0xffffffffU;

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <class T, class F = Sum>
__device__ __forceinline__ T over_warp(T x, F f = {}) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    x = f(x, __shfl_xor_sync(kAllLanes, x, distance));
  }
  return x;
}

/// Reduces over a thread block. `room`: shared, [kMaxWarps]; `none`: the neutral element. Has
/// two barriers.
template <class T, class F = Sum>
__device__ __forceinline__ T over_block(T x, T* room, T none = T{0}, F f = {}) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  x = over_warp(x, f);
  __syncthreads();  // all threads have read the last result in `room`
  if (lane == 0) room[threadIdx.x / kWarp] = x;
  __syncthreads();
  return over_warp(lane < warps ? room[lane] : none, f);
}

}  // namespace trireme::cuda
