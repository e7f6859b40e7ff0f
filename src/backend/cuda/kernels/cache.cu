// SPDX-License-Identifier: Apache-2.0
// The cache of keys and values: appending to it, and attention of one token over it. A thread
// block has one query head of a sequence; its warps share out the keys.
#include <cmath>

#include "../runtime/stream.hpp"
#include "each.cuh"
#include "kernels.hpp"
#include "reduce.cuh"

namespace trireme::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kMostDim = 512;  ///< entries of a head
constexpr int kPerLane = kMostDim / kWarp;

struct CacheShape {
  std::int64_t seq;
  int kv_heads;
  int queries_per_kv;
  int head_dim;
  std::int64_t max_length;
  const std::int32_t* slots;
  const std::int32_t* lengths;

  /// Row of a token in the cache's matrix of keys or values.
  __device__ __forceinline__ std::int64_t row(std::int64_t sequence, int group,
                                              std::int64_t token) const {
    return (static_cast<std::int64_t>(slots[sequence]) * kv_heads + group) * max_length + token;
  }
  __device__ __forceinline__ std::int64_t column(int group, int head) const {
    return static_cast<std::int64_t>(group * (queries_per_kv + 2) + head) * head_dim;
  }
};

template <class T>
struct Append {
  CacheShape shape;
  const std::int32_t* counts;
  Matrix<const T> qkv;
  T* keys;
  T* values;
  std::int64_t elements;  ///< of keys in all rows
};

template <class T>
__global__ void __launch_bounds__(kThreads) append_kernel(Append<T> a) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= a.elements) return;
  const CacheShape& s = a.shape;
  const std::int64_t width = static_cast<std::int64_t>(s.kv_heads) * s.head_dim;
  const std::int64_t row = at / width;
  const int within = static_cast<int>(at - row * width);
  const int group = within / s.head_dim;
  const int entry = within - group * s.head_dim;
  const std::int64_t sequence = row / s.seq;
  const std::int64_t token = row - sequence * s.seq;
  if (token >= a.counts[sequence]) return;
  const std::int64_t to =
      s.row(sequence, group, s.lengths[sequence] + token) * s.head_dim + entry;
  a.keys[to] = *a.qkv.at(row, s.column(group, s.queries_per_kv) + entry);
  a.values[to] = *a.qkv.at(row, s.column(group, s.queries_per_kv + 1) + entry);
}

template <class T>
struct Attend {
  CacheShape shape;
  Matrix<const T> qkv;
  const T* keys;
  const T* values;
  Matrix<T> out;
  float scale;
};

/// A warp takes every kWarps-th key. Lane l has entries l, l + kWarp, … of a head.
template <class T>
__global__ void __launch_bounds__(kThreads) attend_kernel(Attend<T> a) {
  __shared__ float sums[kWarps][kMostDim];
  __shared__ float tops[kWarps];
  __shared__ float totals[kWarps];
  const CacheShape& s = a.shape;
  const int head = static_cast<int>(blockIdx.x);
  const std::int64_t sequence = blockIdx.y;
  const int group = head / s.queries_per_kv;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  float query[kPerLane];
  float sum[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int entry = lane + i * kWarp;
    sum[i] = 0;
    query[i] = 0;
    if (entry < s.head_dim) {
      query[i] = a.scale * to_float(*a.qkv.at(
                               sequence, s.column(group, head % s.queries_per_kv) + entry));
    }
  }
  float top = -INFINITY;
  float total = 0;
  const std::int64_t first = s.row(sequence, group, 0) * s.head_dim;
  for (int key = warp; key <= s.lengths[sequence]; key += kWarps) {
    const std::int64_t at = first + static_cast<std::int64_t>(key) * s.head_dim;
    float score = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int entry = lane + i * kWarp;
      if (entry < s.head_dim) score += query[i] * to_float(a.keys[at + entry]);
    }
    score = over_warp(score);
    const float higher = fmaxf(top, score);
    const float shrink = expf(top - higher);
    const float weight = expf(score - higher);
    top = higher;
    total = total * shrink + weight;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int entry = lane + i * kWarp;
      if (entry < s.head_dim)
        sum[i] = sum[i] * shrink + weight * to_float(a.values[at + entry]);
    }
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int entry = lane + i * kWarp;
    if (entry < s.head_dim) sums[warp][entry] = sum[i];
  }
  if (lane == 0) {
    tops[warp] = top;
    totals[warp] = total;
  }
  __syncthreads();
  float highest = -INFINITY;
  for (int w = 0; w < kWarps; ++w) highest = fmaxf(highest, tops[w]);
  for (int entry = static_cast<int>(threadIdx.x); entry < s.head_dim; entry += kThreads) {
    float joined = 0;
    float all = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (totals[w] == 0) continue;  // the warp had no key
      const float weight = expf(tops[w] - highest);
      joined += weight * sums[w][entry];
      all += weight * totals[w];
    }
    *a.out.at(sequence, static_cast<std::int64_t>(head) * s.head_dim + entry) =
        from_float<T>(joined / all);
  }
}

CacheShape cache_shape(const AttentionShape& shape, const ConstView& keys,
                       const ConstView& slots, const ConstView& lengths) {
  return {shape.seq,
          static_cast<int>(shape.kv_heads),
          static_cast<int>(shape.queries_per_kv),
          static_cast<int>(shape.head_dim),
          keys.shape()[2],
          slots.data<std::int32_t>(),
          lengths.data<std::int32_t>()};
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::CacheAppend& op) {
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t elements = op.qkv.rows() * op.shape.kv_heads * op.shape.head_dim;
    if (elements == 0) return;
    launch(
        append_kernel<T>, dim3(static_cast<unsigned>((elements + kThreads - 1) / kThreads)),
        dim3(kThreads), 0, native(s),
        Append<T>{cache_shape(op.shape, op.keys, op.slots, op.lengths),
                  op.counts.data<std::int32_t>(), matrix<T>(op.qkv),
                  static_cast<T*>(op.keys.raw()), static_cast<T*>(op.values.raw()), elements});
  });
}

void CudaKernels::run(Stream& s, const ops::AttentionCached& op) {
  TRM_REQUIRE(op.shape.head_dim <= kMostDim,
              "attention over a cache has heads of up to {}, not {}", kMostDim,
              op.shape.head_dim);
  if (op.shape.batch == 0) return;
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    launch(
        attend_kernel<T>,
        dim3(static_cast<unsigned>(op.shape.heads()), static_cast<unsigned>(op.shape.batch)),
        dim3(kThreads), 0, native(s),
        Attend<T>{cache_shape(op.shape, op.keys, op.slots, op.lengths), matrix<T>(op.qkv),
                  static_cast<const T*>(op.keys.raw()), static_cast<const T*>(op.values.raw()),
                  matrix<T>(op.out), 1.0F / std::sqrt(static_cast<float>(op.shape.head_dim))});
  });
}

}  // namespace trireme::cuda
