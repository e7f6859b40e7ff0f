// SPDX-License-Identifier: Apache-2.0
// Attention in plain fp32, for arrays of any type and alignment. 16 × 16 threads share a tile
// of scores; each has every sixteenth row and column.
#pragma once

#include "trireme/ops/alibi.hpp"

#include "place.cuh"

namespace trireme::cuda {

template <int HeadDim>
struct GeneralTiling {
  static constexpr int D = HeadDim;  ///< head_dim, padded with zeros
  static constexpr int kThreads = 256;
  static constexpr int kTile = D == 64 ? 64 : D == 128 ? 32 : 16;  ///< rows and columns
  static constexpr int R = kTile / 16;  ///< rows, and columns, of a thread's scores
  static constexpr int C = D / 64;      ///< column quads per thread in a GEMM
  // Four more than D: sixteen rows' elements of one column lie in different banks.
  static constexpr int kStride = D + 4;
  static constexpr int kScoreStride = kTile + 4;
  static constexpr int kTileSize = kTile * kStride;

  /// Bytes of four tiles, one of scores and its dropout mask, and two numbers per query.
  static constexpr std::size_t kSharedBytes =
      sizeof(float) * (4 * kTileSize + kTile * kScoreStride + 2 * kTile) +
      std::size_t{kTile} * kTile / 4;
};

template <class Tiling>
struct GeneralTiles {
  float* tile[4];
  float* scores;
  float* log_sum;
  float* delta;
  std::uint8_t* kept;  ///< dropout mask [query][key / 4], 4 bits each

  __device__ __forceinline__ GeneralTiles() {
    for (int i = 0; i < 4; ++i) tile[i] = shared_memory<float>() + i * Tiling::kTileSize;
    scores = tile[3] + Tiling::kTileSize;
    log_sum = scores + Tiling::kTile * Tiling::kScoreStride;
    delta = log_sum + Tiling::kTile;
    kept = reinterpret_cast<std::uint8_t*>(delta + Tiling::kTile);
  }
};

__device__ __forceinline__ int thread_row() { return static_cast<int>(threadIdx.x) / 16; }
__device__ __forceinline__ int thread_column() { return static_cast<int>(threadIdx.x) % 16; }

/// How products of one query head and its keys become scores.
class GeneralScores {
 public:
  /// `head` is counted within its group, which is at `place`.
  __device__ __forceinline__ GeneralScores(const AttentionArgs& a, const GroupPlace& place,
                                           int head)
      : scale_(a.scale), cap_(a.softcap) {
    if (a.alibi_heads > 0) {
      const int of_all =
          static_cast<int>(a.first_head) + place.kv_head * a.queries_per_kv + head;
      slope_ = static_cast<float>(alibi_slope(of_all, a.alibi_heads));
    }
  }
  /// `bend` receives the score's derivative by scale · product.
  [[nodiscard]] __device__ __forceinline__ float score(float product, int query, int key,
                                                       float& bend) const {
    float s = product * scale_;
    bend = 1;
    if (cap_ > 0) {
      const float t = tanhf(s / cap_);
      s = cap_ * t;
      bend = 1 - t * t;
    }
    return fmaf(slope_, static_cast<float>(key - query), s);
  }

 private:
  float scale_;
  float cap_;
  float slope_ = 0;
};

/// Loads rows of a head as fp32, with zeros beyond `rows_left` and head_dim.
template <class Tiling, class T>
__device__ __forceinline__ void load_general(float* tile, const T* from, std::int64_t stride,
                                             int rows_left, int head_dim) {
  constexpr int kSize = Tiling::kTile * Tiling::D;
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x); i < kSize; i += Tiling::kThreads) {
    const int row = i / Tiling::D;
    const int column = i % Tiling::D;
    const bool valid = row < rows_left && column < head_dim;
    tile[row * Tiling::kStride + column] = valid ? to_float(from[row * stride + column]) : 0.0F;
  }
}

template <class Tiling>
__device__ __forceinline__ void draw_general(std::uint8_t* kept, const DropoutDraw& draw,
                                             int query, int key) {
  constexpr int kQuads = Tiling::kTile / 4;
  for (int i = static_cast<int>(threadIdx.x); i < Tiling::kTile * kQuads;
       i += Tiling::kThreads) {
    kept[i] = static_cast<std::uint8_t>(draw.kept(query + i / kQuads, key / 4 + i % kQuads));
  }
}
template <class Tiling>
__device__ __forceinline__ bool kept_general(const std::uint8_t* kept, int query, int key) {
  return (kept[query * (Tiling::kTile / 4) + key / 4] >> (key % 4) & 1) != 0;
}

/// s ← A Bᵀ
template <class Tiling>
__device__ __forceinline__ void multiply_general(float (&s)[Tiling::R][Tiling::R],
                                                 const float* a, const float* b) {
  constexpr int R = Tiling::R;
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int j = 0; j < R; ++j) s[i][j] = 0;
  }
  a += thread_row() * Tiling::kStride;
  b += thread_column() * Tiling::kStride;
#pragma unroll 4
  for (int k = 0; k < Tiling::D; k += 4) {
    Pack<float, 4> x[R];
    Pack<float, 4> y[R];
#pragma unroll
    for (int i = 0; i < R; ++i) {
      x[i] = *reinterpret_cast<const Pack<float, 4>*>(a + 16 * i * Tiling::kStride + k);
      y[i] = *reinterpret_cast<const Pack<float, 4>*>(b + 16 * i * Tiling::kStride + k);
    }
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) s[i][j] = fmaf(x[i].at[e], y[j].at[e], s[i][j]);
      }
    }
  }
}

/// Writes a thread's scores for accumulate_general.
template <class Tiling>
__device__ __forceinline__ void share_scores(float* scores,
                                             const float (&s)[Tiling::R][Tiling::R]) {
#pragma unroll
  for (int i = 0; i < Tiling::R; ++i) {
#pragma unroll
    for (int j = 0; j < Tiling::R; ++j) {
      scores[(thread_row() + 16 * i) * Tiling::kScoreStride + thread_column() + 16 * j] =
          s[i][j];
    }
  }
}

template <class Tiling>
using GeneralSum = float[Tiling::R][Tiling::C][4];

/// sum += P B. A thread has four of every 64 columns.
template <class Tiling>
__device__ __forceinline__ void accumulate_general(GeneralSum<Tiling>& sum, const float* p,
                                                   const float* b) {
  p += thread_row() * Tiling::kScoreStride;
  b += thread_column() * 4;
#pragma unroll 4
  for (int k = 0; k < Tiling::kTile; ++k) {
    Pack<float, 4> y[Tiling::C];
#pragma unroll
    for (int c = 0; c < Tiling::C; ++c) {
      y[c] = *reinterpret_cast<const Pack<float, 4>*>(b + k * Tiling::kStride + 64 * c);
    }
#pragma unroll
    for (int i = 0; i < Tiling::R; ++i) {
      const float x = p[16 * i * Tiling::kScoreStride + k];
#pragma unroll
      for (int c = 0; c < Tiling::C; ++c) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[i][c][e] = fmaf(x, y[c].at[e], sum[i][c][e]);
      }
    }
  }
}

/// Writes sums, times one factor per row.
template <class Tiling, class T>
__device__ __forceinline__ void store_general(const GeneralSum<Tiling>& sum,
                                              const float (&factor)[Tiling::R], T* to,
                                              std::int64_t stride, int rows_left,
                                              int head_dim) {
#pragma unroll
  for (int i = 0; i < Tiling::R; ++i) {
    const int row = thread_row() + 16 * i;
    if (row >= rows_left) continue;
#pragma unroll
    for (int c = 0; c < Tiling::C; ++c) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = 64 * c + thread_column() * 4 + e;
        if (column < head_dim) {
          to[row * stride + column] = from_float<T>(sum[i][c][e] * factor[i]);
        }
      }
    }
  }
}

/// Calls f(TypeTag<T>, std::integral_constant<int, D>).
template <class F>
void with_general_kernel(DType type, int head_dim, F&& f) {
  with_type(type, [&](auto tag) {
    if (head_dim <= 64) {
      f(tag, std::integral_constant<int, 64>());
    } else if (head_dim <= 128) {
      f(tag, std::integral_constant<int, 128>());
    } else {
      f(tag, std::integral_constant<int, 256>());
    }
  });
}

}  // namespace trireme::cuda
