// SPDX-License-Identifier: Apache-2.0
// Attention's forward pass on tensor cores. A thread block has a tile of queries of one head
// and loops over the keys up to them. Values load during the GEMM with keys, and the reverse.
#pragma once

#include "half.cuh"

namespace trireme::cuda {

template <int HeadDim>
struct ForwardTiling {
  static constexpr int D = HeadDim;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  /// 16-row fragments per warp. Two halve the reads of keys and values from shared memory.
  static constexpr int M = D <= 128 ? 2 : 1;
  static constexpr int kQueries = 16 * M * kWarps;
  static constexpr int kKeys = 64;
  static constexpr int N = kKeys / 8;
  static constexpr std::size_t kSharedBytes =
      std::size_t{2} * D * (kQueries + 2 * kKeys);  // ≤ 96 KiB
};

/// The online softmax of a thread's 2·M rows. The thread has a quarter of their columns.
template <int M, int N>
class OnlineSoftmax {
 public:
  __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
    for (int m = 0; m < M; ++m) {
      max_[m][0] = max_[m][1] = -INFINITY;
      total_[m][0] = total_[m][1] = 0;
    }
  }

  /// Turns scores into exponentials relative to the new maxima. `shrink` receives the factor
  /// for earlier exponentials. `scale` is the scores' scale times log2 e.
  __device__ __forceinline__ void absorb(float (&s)[M][N][4], float scale,
                                         float (&shrink)[M][2]) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float max = max_[m][half];
#pragma unroll
        for (int n = 0; n < N; ++n) {
          max = fmaxf(max, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
        }
        max = fmaxf(max, __shfl_xor_sync(0xffffffffU, max, 1));
        max = fmaxf(max, __shfl_xor_sync(0xffffffffU, max, 2));
        // A query has seen no key yet if all keys so far are of other documents.
        const float base = max == -INFINITY ? 0.0F : max;
        shrink[m][half] = exp2_fast((max_[m][half] - base) * scale);
        max_[m][half] = max;
        const float shift = base * scale;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            s[m][n][e] = exp2_fast(fmaf(s[m][n][e], scale, -shift));
            sum += s[m][n][e];
          }
        }
        total_[m][half] = fmaf(total_[m][half], shrink[m][half], sum);
      }
    }
  }

  /// Adds up the totals of whole rows.
  __device__ __forceinline__ void finish() {
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        total_[m][half] += __shfl_xor_sync(0xffffffffU, total_[m][half], 1);
        total_[m][half] += __shfl_xor_sync(0xffffffffU, total_[m][half], 2);
      }
    }
  }
  [[nodiscard]] __device__ __forceinline__ float total(int m, int half) const {
    return total_[m][half];
  }
  /// log Σ exp(scale · score)
  [[nodiscard]] __device__ __forceinline__ float log_sum(int m, int half, float scale) const {
    return fmaf(max_[m][half], scale, logf(total_[m][half]));
  }

 private:
  float max_[M][2];
  float total_[M][2];
};

/// Sets scores of keys from a query's end on to −inf. `query` is that of this thread's first
/// row.
template <int M, int N>
__device__ __forceinline__ void mask_later_keys(float (&s)[M][N][4], const KeyBounds& bounds,
                                                int query, int key) {
  const int column = key + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = query + 16 * m + 8 * half;
      const int end = bounds.end_at_queries() ? row + 1 : bounds.end_key(row);
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          if (column + 8 * n + e % 2 >= end) s[m][n][e] = -INFINITY;
        }
      }
    }
  }
}

/// Sets scores of keys before a query's first to −inf, likewise.
template <int M, int N>
__device__ __forceinline__ void mask_earlier_keys(float (&s)[M][N][4], const KeyBounds& bounds,
                                                  int query, int key) {
  const int column = key + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int first = bounds.first_key(query + 16 * m + 8 * half);
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          if (column + 8 * n + e % 2 < first) s[m][n][e] = -INFINITY;
        }
      }
    }
  }
}

template <int M, int N>
__device__ __forceinline__ void drop_weights(float (&p)[M][N][4],
                                             const std::uint32_t (&kept)[M][2]) {
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) p[m][n][e] = kept_query(kept[m], n, e) ? p[m][n][e] : 0.0F;
    }
  }
}

template <int M, int D>
__device__ __forceinline__ void rescale(float (&sum)[M][D / 8][4],
                                        const float (&shrink)[M][2]) {
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[m][n][e] *= shrink[m][e / 2];
    }
  }
}

/// sum += P V over the keys that the tile's queries attend to. The tile begins at `first`, the
/// warp's rows at first + row.
template <class T, class Tiling, bool kDrop>
__device__ __forceinline__ void attend(const AttentionArgs& a, const DropoutDraw& draw,
                                       const KeyBounds& bounds, const T* key_from, int first,
                                       int row, T* queries,
                                       OnlineSoftmax<Tiling::M, Tiling::N>& softmax,
                                       float (&sum)[Tiling::M][Tiling::D / 8][4]) {
  constexpr int D = Tiling::D;
  constexpr int M = Tiling::M;
  constexpr int N = Tiling::N;
  constexpr int kKeys = Tiling::kKeys;
  T* keys = queries + Tiling::kQueries * D;
  T* values = keys + kKeys * D;
  const int last = bounds.keys_end(first, Tiling::kQueries);
  const int warp_end = bounds.keys_end(first + row, 16 * M);
  const int whole = bounds.end_key(first + row);  // keys that all of the warp's queries see
  const int lane_row = first + row + static_cast<int>(threadIdx.x) % 32 / 4;
  const auto load = [&](T* tile, const T* from, int key) {
    load_tile<kKeys, D, Tiling::kThreads>(tile, from + key * a.qkv_stride, a.qkv_stride,
                                          a.seq - key, a.head_dim);
    cp_async_commit();
  };
  const int begin = bounds.first_tile(first, kKeys, last);
  load(keys, key_from, begin);
  for (int key = begin; key < last; key += kKeys) {
    cp_async_wait<0>();
    __syncthreads();  // the keys have arrived, and the previous values are free
    load(values, key_from + a.head_dim, key);
    float s[M][N][4];
    if (key < warp_end) {
      std::uint32_t kept[M][2];
      if constexpr (kDrop) draw_queries<N>(kept, draw, first + row, key);
      multiply_rows<T, D>(s, queries, row_places<D>(row), keys, 0);
      if (key + kKeys > whole) mask_later_keys(s, bounds, lane_row, key);
      if (bounds.exist()) mask_earlier_keys(s, bounds, lane_row, key);
      float shrink[M][2];
      softmax.absorb(s, a.scale * kLog2E, shrink);
      if constexpr (kDrop) drop_weights(s, kept);
      rescale<M, D>(sum, shrink);
    }
    cp_async_wait<0>();
    __syncthreads();  // the values have arrived, and the keys are free
    if (key + kKeys < last) load(keys, key_from, key + kKeys);
    if (key < warp_end) accumulate_product<T, D>(sum, s, values, 0);
  }
  wait_for_unread(begin >= last);
}

/// 4·d operations for each query and each key that it attends to.
template <class T, int D, bool kDrop>
__global__ void __launch_bounds__(ForwardTiling<D>::kThreads)
    attention_forward_kernel(const AttentionArgs a, int wave) {
  using Tiling = ForwardTiling<D>;
  constexpr int M = Tiling::M;
  T* queries = shared_memory<T>();
  const int tiles = (a.seq + Tiling::kQueries - 1) / Tiling::kQueries;
  const BlockPlace block = place_of_block(a.groups * a.queries_per_kv, tiles, wave);
  const int first = (tiles - 1 - block.tile) * Tiling::kQueries;  // the longest first
  const int head = static_cast<int>(block.head % a.queries_per_kv);
  const GroupPlace place = place_of_group(a, block.head / a.queries_per_kv);
  const T* group = static_cast<const T*>(a.qkv) + place.row * a.qkv_stride + place.column;
  load_tile<Tiling::kQueries, D, Tiling::kThreads>(
      queries, group + first * a.qkv_stride + static_cast<std::int64_t>(head) * a.head_dim,
      a.qkv_stride, a.seq - first, a.head_dim);

  float sum[M][D / 8][4] = {};
  OnlineSoftmax<M, Tiling::N> softmax;
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 * M;
  attend<T, Tiling, kDrop>(a, DropoutDraw(a, place, head), KeyBounds(a, place),
                           group + static_cast<std::int64_t>(a.queries_per_kv) * a.head_dim,
                           first, row, queries, softmax, sum);

  softmax.finish();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float factor[M][2];
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const bool has_keys = softmax.total(m, half) > 0;
      factor[m][half] = has_keys ? a.keep / softmax.total(m, half) : 0.0F;
      const int query = first + row + 16 * m + 8 * half + lane / 4;
      if (lane % 4 == 0 && query < a.seq) {
        a.lse[block.head * a.seq + query] = has_keys ? softmax.log_sum(m, half, a.scale) : 0.0F;
      }
    }
  }
  T* out = static_cast<T*>(a.out) + (place.row + first) * a.out_stride +
           (static_cast<std::int64_t>(place.kv_head) * a.queries_per_kv + head) * a.head_dim;
  store_rows<T, D>(sum, factor, queries, row, out, a.out_stride, a.seq - first, a.head_dim);
}

template <class T>
void attention_forward_half(cudaStream_t stream, const AttentionArgs& a) {
  with_padded_head(a.head_dim, [&](auto padded) {
    constexpr int D = decltype(padded)::value;
    using Tiling = ForwardTiling<D>;
    const std::int64_t heads = a.groups * a.queries_per_kv;
    const std::int64_t tiles = (a.seq + Tiling::kQueries - 1) / Tiling::kQueries;
    const int wave = heads_in_wave(heads, std::int64_t{4} * a.seq * a.head_dim);
    launch(
        a.drop ? attention_forward_kernel<T, D, true> : attention_forward_kernel<T, D, false>,
        dim3(static_cast<unsigned>(heads * tiles)), dim3(Tiling::kThreads),
        Tiling::kSharedBytes, stream, a, wave);
  });
}

}  // namespace trireme::cuda
