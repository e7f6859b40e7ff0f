// SPDX-License-Identifier: Apache-2.0
// A thread block's rows in attention's backward pass on tensor cores: queries or keys, and what
// columns add to their gradients.
#pragma once

#include "half.cuh"

namespace trireme::cuda {

enum class GradientOf : std::uint8_t { queries, keys_and_values, keys, values };

template <int HeadDim, GradientOf kOf>
struct BackwardTiling {
  static constexpr int D = HeadDim;
  static constexpr bool kRowsAreQueries = kOf == GradientOf::queries;
  static constexpr bool kScores = kOf != GradientOf::values;  ///< computes scores' gradients
  static constexpr bool kValues =
      kOf == GradientOf::values || kOf == GradientOf::keys_and_values;
  static constexpr int M = D <= 64 || (kRowsAreQueries && D <= 128) ? 2 : 1;
  static constexpr int kWarps = !kRowsAreQueries && (D == 96 || D == 128) ? 8 : 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kRows = 16 * M * kWarps;
  /// Columns of a tile. Shared memory holds two tiles: one in use, one being loaded.
  static constexpr int kColumns = D <= 64 ? 64 : D <= 192 ? 32 : 16;
  static constexpr int kStep = kColumns < 32 ? kColumns : 32;  ///< columns in registers
  static constexpr int N = kStep / 8;
  static constexpr std::size_t kSharedBytes =
      std::size_t{4} * D * (kRows + 2 * kColumns) + sizeof(float) * 4 * kColumns;  // < 99 KiB
};

/// The numbers of a query that an exponential and a score's gradient need.
struct QueryStatistics {
  float log_sum;  ///< lse · log2 e; ∞ beyond the sequence, which makes weights 0
  float delta;
};

__device__ __forceinline__ QueryStatistics statistics_of(const AttentionArgs& a,
                                                         std::int64_t head, int query) {
  if (query >= a.seq) return {INFINITY, 0};
  const std::int64_t at = head * a.seq + query;
  return {a.lse[at] * kLog2E, a.delta[at - a.first_group * a.queries_per_kv * a.seq]};
}

/// Shared memory of a thread block: two tiles of rows, two pairs of column tiles, and
/// statistics of columns that are queries. A pair holds queries and dO, or keys and values.
template <class T, class Tiling>
struct BackwardTiles {
  [[nodiscard]] static __device__ __forceinline__ T* rows() { return shared_memory<T>(); }
  [[nodiscard]] static __device__ __forceinline__ T* row_seconds() {
    return rows() + Tiling::kRows * Tiling::D;
  }
  [[nodiscard]] static __device__ __forceinline__ T* columns(int buffer) {
    return row_seconds() + (Tiling::kRows + 2 * buffer * Tiling::kColumns) * Tiling::D;
  }
  [[nodiscard]] static __device__ __forceinline__ T* column_seconds(int buffer) {
    return columns(buffer) + Tiling::kColumns * Tiling::D;
  }
  [[nodiscard]] static __device__ __forceinline__ QueryStatistics* statistics(int buffer) {
    return reinterpret_cast<QueryStatistics*>(columns(2)) + buffer * Tiling::kColumns;
  }
};

/// A thread's share of a thread block's work.
template <class T, class Tiling, bool kDrop>
class BackwardRows {
 public:
  using Tiles = BackwardTiles<T, Tiling>;
  static constexpr int D = Tiling::D;
  static constexpr int M = Tiling::M;
  static constexpr int N = Tiling::N;

  float first[Tiling::kScores ? M : 1][D / 8][4] = {};   ///< dQ or dK, without the scale
  float second[Tiling::kValues ? M : 1][D / 8][4] = {};  ///< dV, without dropout's factor
  QueryStatistics statistics[M][2] = {};  ///< statistics of rows that are queries

  __device__ __forceinline__ BackwardRows(const AttentionArgs& a, const KeyBounds& bounds,
                                          int first_row)
      : args_(a),
        bounds_(bounds),
        warp_row_(static_cast<int>(threadIdx.x) / 32 * 16 * M),
        row_(first_row + warp_row_) {}

  [[nodiscard]] __device__ __forceinline__ int warp_row() const { return warp_row_; }

  /// Adds the contribution of a tile of columns. `column` is the position of the first in the
  /// sequence.
  __device__ __forceinline__ void steps(int buffer, int column, const DropoutDraw& draw) {
#pragma unroll 1
    for (int at = 0; at < Tiling::kColumns; at += Tiling::kStep) {
      step(buffer, at, column + at, draw);
    }
  }

 private:
  /// Adds the contribution of Tiling::kStep columns of a tile, from `at` on. `column` is the
  /// position of the first in the sequence.
  __device__ __forceinline__ void step(int buffer, int at, int column,
                                       const DropoutDraw& draw) {
    const bool nothing = Tiling::kRowsAreQueries
                             ? column >= bounds_.keys_end(row_, 16 * M)
                             : bounds_.keys_end(column, Tiling::kStep) <= row_;
    if (nothing) return;
    std::uint32_t kept[M][Tiling::kRowsAreQueries ? 2 : 4];
    if constexpr (kDrop && Tiling::kRowsAreQueries) draw_queries<N>(kept, draw, row_, column);
    if constexpr (kDrop && !Tiling::kRowsAreQueries) draw_keys<N>(kept, draw, column, row_);
    const Swizzle<D> places = row_places<D>(warp_row_);
    float p[M][N][4];
    multiply_rows<T, D>(p, Tiles::rows(), places, Tiles::columns(buffer), at);
    const QueryStatistics* columns = Tiles::statistics(buffer) + at;
    exponentials(p, columns, column);
    if constexpr (Tiling::kScores) {
      float d[M][N][4];
      multiply_rows<T, D>(d, Tiles::row_seconds(), places, Tiles::column_seconds(buffer), at);
      slopes(d, p, columns, kept);
      accumulate_product<T, D>(first, d, Tiles::columns(buffer), at);
    }
    if constexpr (Tiling::kValues) {
      if constexpr (kDrop) {
        for_each(p,
                 [&](int m, int n, int e) { return is_kept(kept[m], n, e) ? p[m][n][e] : 0; });
      }
      accumulate_product<T, D>(second, p, Tiles::column_seconds(buffer), at);
    }
  }

  template <class F>
  static __device__ __forceinline__ void for_each(float (&x)[M][N][4], F&& f) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) x[m][n][e] = f(m, n, e);
      }
    }
  }

  template <std::size_t Words>
  static __device__ __forceinline__ bool is_kept(const std::uint32_t (&kept)[Words], int n,
                                                 int e) {
    if constexpr (Tiling::kRowsAreQueries) {
      return kept_query(kept, n, e);
    } else {
      return kept_key(kept, n, e);
    }
  }

  [[nodiscard]] __device__ __forceinline__ QueryStatistics of(const QueryStatistics* columns,
                                                              int m, int n, int e) const {
    if constexpr (Tiling::kRowsAreQueries) {
      return statistics[m][e / 2];
    } else {
      return columns[8 * n + static_cast<int>(threadIdx.x) % 4 * 2 + e % 2];
    }
  }

  /// Turns scores into weights.
  __device__ __forceinline__ void exponentials(float (&p)[M][N][4],
                                               const QueryStatistics* columns, int column) {
    const float scale = args_.scale * kLog2E;
    for_each(p, [&](int m, int n, int e) {
      return exp2_fast(fmaf(p[m][n][e], scale, -of(columns, m, n, e).log_sum));
    });
    if (bounds_.exist()) mask_earlier_keys(p, column);
    const bool masked = Tiling::kRowsAreQueries ? column + Tiling::kStep > bounds_.end_key(row_)
                                                : bounds_.end_key(column) < row_ + 16 * M;
    if (!masked) return;
    if (!bounds_.end_at_queries()) return mask_later_keys(p, column);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int distance = row_ + lane / 4 - column - lane % 4 * 2;
    for_each(p, [&](int m, int n, int e) {
      const int row_ahead = distance + 16 * m + e / 2 * 8 - 8 * n - e % 2;
      const bool later = Tiling::kRowsAreQueries ? row_ahead < 0 : row_ahead > 0;
      return later ? 0.0F : p[m][n][e];
    });
  }

  /// Sets weights of keys from a query's end on to 0.
  __device__ __forceinline__ void mask_later_keys(float (&p)[M][N][4], int column) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for_each(p, [&](int m, int n, int e) {
      const int row = row_ + lane / 4 + 16 * m + e / 2 * 8;
      const int at = column + lane % 4 * 2 + 8 * n + e % 2;
      const int query = Tiling::kRowsAreQueries ? row : at;
      const int key = Tiling::kRowsAreQueries ? at : row;
      return key >= bounds_.end_key(query) ? 0.0F : p[m][n][e];
    });
  }

  /// Sets weights of keys of other documents to 0.
  __device__ __forceinline__ void mask_earlier_keys(float (&p)[M][N][4], int column) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for_each(p, [&](int m, int n, int e) {
      const int row = row_ + lane / 4 + 16 * m + e / 2 * 8;
      const int at = column + lane % 4 * 2 + 8 * n + e % 2;
      const int query = Tiling::kRowsAreQueries ? row : at;
      const int key = Tiling::kRowsAreQueries ? at : row;
      return key < bounds_.first_key(query) ? 0.0F : p[m][n][e];
    });
  }

  /// Turns dP into dS, without the scale.
  template <std::size_t Words>
  __device__ __forceinline__ void slopes(float (&d)[M][N][4], const float (&p)[M][N][4],
                                         const QueryStatistics* columns,
                                         const std::uint32_t (&kept)[M][Words]) {
    for_each(d, [&](int m, int n, int e) {
      float dp = d[m][n][e];
      if constexpr (kDrop) dp = is_kept(kept[m], n, e) ? dp * args_.keep : 0.0F;
      return p[m][n][e] * (dp - of(columns, m, n, e).delta);
    });
  }

  const AttentionArgs& args_;
  const KeyBounds& bounds_;
  int warp_row_;  ///< first row of the warp in the thread block
  int row_;       ///< first row of the warp in the sequence
};

}  // namespace trireme::cuda
