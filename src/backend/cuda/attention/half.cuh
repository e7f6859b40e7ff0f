// SPDX-License-Identifier: Apache-2.0
// Parts of attention on tensor cores: tiles of 16-bit elements in shared memory, their GEMMs,
// and dropout in the layout of mma's results.
#pragma once

#include <cstring>

#include "place.cuh"

namespace trireme::cuda {

inline constexpr float kLog2E = 1.4426950408889634F;

/// Offset of a piece, 8 elements of a row, in a tile whose rows have D elements. Pieces of one
/// column in eight adjacent rows lie in different banks, which avoids conflicts.
template <int D>
__device__ __forceinline__ int swizzled(int row, int piece) {
  const int turned = D % 64 == 0 ? piece ^ (row & 7) : piece ^ ((row >> 1) & 3);
  return row * D + turned * 8;
}

/// Computes swizzled(row + rows, piece + pieces) for many constants `rows` and `pieces`. `rows`
/// is a multiple of 8, `pieces` even, `piece` 0 or 1. Each offset takes one exclusive or and
/// one sum, and no register of its own.
template <int D>
class Swizzle {
 public:
  __device__ __forceinline__ Swizzle(int row, int piece) : base_(swizzled<D>(row, piece)) {}
  [[nodiscard]] __device__ __forceinline__ int at(int rows, int pieces) const {
    constexpr int kTurned = D % 64 == 0 ? 7 : 3;
    return (base_ ^ (pieces & kTurned) * 8) + (pieces & ~kTurned) * 8 + rows * D;
  }

 private:
  int base_;
};

/// Offsets that this lane passes to ldmatrix for a 16×16 matrix. From row_places(), the matrix
/// is operand A of mma, or B if transposed. From column_places(), the matrix is operand B.
template <int D>
__device__ __forceinline__ Swizzle<D> row_places(int row) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return {row + lane % 16, lane / 16};
}
template <int D>
__device__ __forceinline__ Swizzle<D> column_places() {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return {lane % 8 + lane / 16 * 8, lane / 8 % 2};
}

/// Starts copies of `Rows` rows by the whole thread block, with zeros beyond `rows_left` and
/// head_dim.
template <int Rows, int D, int Threads, class T>
__device__ __forceinline__ void load_tile(T* tile, const T* from, std::int64_t stride,
                                          int rows_left, int head_dim) {
  constexpr int kLanes = D % 64 == 0 ? 8 : 4;  // lanes per row
  constexpr int kStep = Threads / kLanes;      // a multiple of 8
  const int first = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  T* to = tile + swizzled<D>(first, lane);
  const T* source = from + first * stride + lane * 8;
#pragma unroll
  for (int row = 0; row < Rows; row += kStep) {
    if (Rows % kStep != 0 && row + first >= Rows) break;
#pragma unroll
    for (int piece = 0; piece < D / 8; piece += kLanes) {
      const bool valid = row + first < rows_left && (piece + lane) * 8 < head_dim;
      cp_async16(to + row * D + piece * 8, valid ? source + piece * 8 : from, valid);
    }
    source += kStep * stride;
  }
}

/// Waits for tiles that arrive although no step reads them, where there is no step.
__device__ __forceinline__ void wait_for_unread(bool no_step) {
  if (!no_step) return;
  cp_async_wait<0>();
  __syncthreads();
}

/// s ← A Bᵀ, with 16·M rows of tile `a` at `places`, and 8·N rows of tile `b` from `row` on.
template <class T, int D, int M, int N>
__device__ __forceinline__ void multiply_rows(float (&s)[M][N][4], const T* a,
                                              const Swizzle<D>& places, const T* b, int row) {
  const Swizzle<D> columns = column_places<D>();
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) s[m][n][e] = 0;
    }
  }
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    std::uint32_t x[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) ldmatrix4(x[m], a + places.at(16 * m, 2 * k));
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      std::uint32_t y[4];
      ldmatrix4(y, b + columns.at(row + 8 * n, 2 * k));
      const std::uint32_t low[2] = {y[0], y[1]};
      const std::uint32_t high[2] = {y[2], y[3]};
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma<T>(s[m][n], x[m], low);
        mma<T>(s[m][n + 1], x[m], high);
      }
    }
  }
}

template <class T>
__device__ __forceinline__ std::uint32_t packed(float low, float high) {
  std::uint32_t bits;
  if constexpr (std::is_same_v<T, bf16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    memcpy(&bits, &pair, sizeof bits);
  } else {
    const __half2 pair = __floats2half2_rn(low, high);
    memcpy(&bits, &pair, sizeof bits);
  }
  return bits;
}

/// sum += P B, with P rounded to T, and B the 8·N rows of a tile from `row` on.
template <class T, int D, int M, int N>
__device__ __forceinline__ void accumulate_product(float (&sum)[M][D / 8][4],
                                                   const float (&p)[M][N][4], const T* b,
                                                   int row) {
  const Swizzle<D> places = row_places<D>(0);
#pragma unroll
  for (int k = 0; k < N / 2; ++k) {
    std::uint32_t x[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const auto& left = p[m][2 * k];
      const auto& right = p[m][2 * k + 1];
      x[m][0] = packed<T>(left[0], left[1]);
      x[m][1] = packed<T>(left[2], left[3]);
      x[m][2] = packed<T>(right[0], right[1]);
      x[m][3] = packed<T>(right[2], right[3]);
    }
#pragma unroll
    for (int n = 0; n < D / 8; n += 2) {
      std::uint32_t y[4];
      ldmatrix4_transposed(y, b + places.at(row + 16 * k, n));
      const std::uint32_t low[2] = {y[0], y[1]};
      const std::uint32_t high[2] = {y[2], y[3]};
#pragma unroll
      for (int m = 0; m < M; ++m) {
        mma<T>(sum[m][n], x[m], low);
        mma<T>(sum[m][n + 1], x[m], high);
      }
    }
  }
}

/// Writes a warp's 16·M rows, times factor[m][row half], through rows of a tile that no other
/// warp reads.
template <class T, int D, int M>
__device__ __forceinline__ void store_rows(const float (&sum)[M][D / 8][4],
                                           const float (&factor)[M][2], T* tile, int row, T* to,
                                           std::int64_t stride, int rows_left, int head_dim) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Pack<T, 2> pair = {from_float<T>(sum[m][n][2 * half] * factor[m][half]),
                                 from_float<T>(sum[m][n][2 * half + 1] * factor[m][half])};
        T* at = tile + swizzled<D>(row + 16 * m + 8 * half + lane / 4, n) + lane % 4 * 2;
        *reinterpret_cast<Pack<T, 2>*>(at) = pair;
      }
    }
  }
  __syncwarp();
  constexpr int kPieces = D / 8;
  for (int i = lane; i < 16 * M * kPieces; i += 32) {
    const int r = row + i / kPieces;
    const int piece = i % kPieces;
    if (r >= rows_left || piece * 8 >= head_dim) continue;
    *reinterpret_cast<Pack<T, 8>*>(to + r * stride + piece * 8) =
        *reinterpret_cast<const Pack<T, 8>*>(tile + swizzled<D>(r, piece));
  }
}

/// Draws which weights of 16·M queries × 8·N keys are kept. Rows of mma's results are queries.
template <int N, int M>
__device__ __forceinline__ void draw_queries(std::uint32_t (&kept)[M][2],
                                             const DropoutDraw& draw, int query, int key) {
  static_assert(N <= 8);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int odd = lane % 2;
#pragma unroll
  for (int m = 0; m < M; ++m) {
    std::uint32_t mine = 0;  // bits of one of the two rows; the neighbour draws the other
#pragma unroll
    for (int n = 0; n < N; ++n) {
      mine |= draw.kept(query + 16 * m + lane / 4 + 8 * odd, key / 4 + 2 * n + lane % 4 / 2)
              << (4 * n);
    }
    const std::uint32_t other = __shfl_xor_sync(0xffffffffU, mine, 1);
    kept[m][0] = (odd != 0 ? other : mine) >> (2 * odd);
    kept[m][1] = (odd != 0 ? mine : other) >> (2 * odd);
  }
}
/// Whether element e of result n is kept.
__device__ __forceinline__ bool kept_query(const std::uint32_t (&kept)[2], int n, int e) {
  return (kept[e / 2] >> (4 * n + e % 2) & 1U) != 0;
}

/// Draws like draw_queries, with keys as rows.
template <int N, int M>
__device__ __forceinline__ void draw_keys(std::uint32_t (&kept)[M][4], const DropoutDraw& draw,
                                          int query, int key) {
  static_assert(N <= 8);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int word = lane / 4 % 4;  // four lanes share their queries, and each draws a quarter
#pragma unroll
  for (int m = 0; m < M; ++m) {
    std::uint32_t mine = 0;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      mine |= draw.kept(query + 8 * n + lane % 4 * 2 + word % 2,
                        key / 4 + 4 * m + lane / 16 + word / 2 * 2)
              << (4 * n);
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      kept[m][e] = __shfl_sync(0xffffffffU, mine, (lane & 0x13) | e << 2) >> word;
    }
  }
}
__device__ __forceinline__ bool kept_key(const std::uint32_t (&kept)[4], int n, int e) {
  return (kept[e] >> (4 * n) & 1U) != 0;
}

/// Calls f(std::integral_constant<int, D>) for the smallest supported D ≥ head_dim.
template <class F>
void with_padded_head(int head_dim, F&& f) {
  const auto call = [&](auto... sizes) {
    bool done = false;
    ((!done && head_dim <= sizes ? (f(sizes), done = true) : done), ...);
  };
  call(std::integral_constant<int, 32>(), std::integral_constant<int, 64>(),
       std::integral_constant<int, 96>(), std::integral_constant<int, 128>(),
       std::integral_constant<int, 160>(), std::integral_constant<int, 192>(),
       std::integral_constant<int, 256>());
}

}  // namespace trireme::cuda
