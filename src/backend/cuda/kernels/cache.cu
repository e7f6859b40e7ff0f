// SPDX-License-Identifier: Apache-2.0
// The cache of keys and values: appending to it, and attention of one token over it. A thread
// block has one query head of a sequence; its warps share out the keys.
#include <cmath>

#include "trireme/ops/alibi.hpp"

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
  std::int64_t elements;  ///< keys of all rows, by elements
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
  float softcap;
  int window;
  int alibi_heads;
  int first_head;
};

/// The keys of one query head that a warp takes: every kWarps-th. Lane l has entries l, l +
/// kWarp, … of a head.
struct WarpAttention {
  float query[kPerLane];
  float sum[kPerLane];
  float top = -INFINITY;
  float total = 0;

  template <class T>
  __device__ __forceinline__ void begin(const T* from, float scale, int dim, int lane) {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int entry = lane + i * kWarp;
      sum[i] = 0;
      query[i] = entry < dim ? scale * to_float(from[entry]) : 0.0F;
    }
  }
  template <class T>
  __device__ __forceinline__ float product(const T* key, int dim, int lane) const {
    float x = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int entry = lane + i * kWarp;
      if (entry < dim) x += query[i] * to_float(key[entry]);
    }
    return over_warp(x);
  }
  template <class T>
  __device__ __forceinline__ void absorb(float score, const T* value, int dim, int lane) {
    const float higher = fmaxf(top, score);
    const float shrink = expf(top - higher);
    const float weight = expf(score - higher);
    top = higher;
    total = total * shrink + weight;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int entry = lane + i * kWarp;
      if (entry < dim) sum[i] = sum[i] * shrink + weight * to_float(value[entry]);
    }
  }
};

/// What the warps of a thread block leave for each other.
struct BlockAttention {
  float sums[kWarps][kMostDim];
  float tops[kWarps];
  float totals[kWarps];

  __device__ __forceinline__ void put(const WarpAttention& from, int warp, int lane, int dim) {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int entry = lane + i * kWarp;
      if (entry < dim) sums[warp][entry] = from.sum[i];
    }
    if (lane == 0) {
      tops[warp] = from.top;
      totals[warp] = from.total;
    }
  }
  /// An entry of the result over all warps.
  __device__ __forceinline__ float joined(int entry) const {
    float highest = -INFINITY;
    for (int w = 0; w < kWarps; ++w) highest = fmaxf(highest, tops[w]);
    float sum = 0;
    float total = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (totals[w] == 0) continue;  // the warp had no key
      const float weight = expf(tops[w] - highest);
      sum += weight * sums[w][entry];
      total += weight * totals[w];
    }
    return sum / total;
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) attend_kernel(Attend<T> a) {
  __shared__ BlockAttention block;
  const CacheShape& s = a.shape;
  const int head = static_cast<int>(blockIdx.x);
  const std::int64_t sequence = blockIdx.y;
  const int group = head / s.queries_per_kv;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int query = s.lengths[sequence];
  const int seen = a.window > 0 && query >= a.window ? query - a.window + 1 : 0;
  const float slope = a.alibi_heads > 0
                          ? static_cast<float>(alibi_slope(a.first_head + head, a.alibi_heads))
                          : 0.0F;
  WarpAttention mine;
  mine.begin(a.qkv.at(sequence, s.column(group, head % s.queries_per_kv)), a.scale, s.head_dim,
             lane);
  const std::int64_t first = s.row(sequence, group, 0) * s.head_dim;
  for (int key = seen + warp; key <= query; key += kWarps) {
    const std::int64_t at = first + static_cast<std::int64_t>(key) * s.head_dim;
    float score = mine.product(a.keys + at, s.head_dim, lane);
    if (a.softcap > 0) score = a.softcap * tanhf(score / a.softcap);
    score = fmaf(slope, static_cast<float>(key - query), score);
    mine.absorb(score, a.values + at, s.head_dim, lane);
  }
  block.put(mine, warp, lane, s.head_dim);
  __syncthreads();
  for (int entry = static_cast<int>(threadIdx.x); entry < s.head_dim; entry += kThreads) {
    *a.out.at(sequence, static_cast<std::int64_t>(head) * s.head_dim + entry) =
        from_float<T>(block.joined(entry));
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
  const ScoreRule& rule = op.scores;
  with_type(op.qkv.dtype(), [&]<class T>(TypeTag<T>) {
    launch(attend_kernel<T>,
           dim3(static_cast<unsigned>(op.shape.heads()), static_cast<unsigned>(op.shape.batch)),
           dim3(kThreads), 0, native(s),
           Attend<T>{
               cache_shape(op.shape, op.keys, op.slots, op.lengths), matrix<T>(op.qkv),
               static_cast<const T*>(op.keys.raw()), static_cast<const T*>(op.values.raw()),
               matrix<T>(op.out),
               static_cast<float>(rule.scale > 0
                                      ? rule.scale
                                      : 1 / std::sqrt(static_cast<double>(op.shape.head_dim))),
               static_cast<float>(rule.softcap), static_cast<int>(rule.window),
               static_cast<int>(rule.alibi_heads), static_cast<int>(op.shape.first_head)});
  });
}

}  // namespace trireme::cuda
