// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass on tensor cores. A thread block owns rows: queries of a head for
// dQ, or keys of a group for dK and dV. The thread block loops in order over the columns that
// meet these rows. No two thread blocks add to one element. Scores are recomputed from lse.
#pragma once

#include "backward_rows.cuh"

namespace trireme::cuda {

/// Computes dQ of a tile: 6·d operations for each query and each key up to the query.
template <class T, int D, bool kDrop>
__global__ void __launch_bounds__(BackwardTiling<D, GradientOf::queries>::kThreads)
    attention_queries_kernel(const AttentionArgs a, int wave) {
  using Tiling = BackwardTiling<D, GradientOf::queries>;
  constexpr int M = Tiling::M;
  constexpr int kColumns = Tiling::kColumns;
  using Tiles = BackwardTiles<T, Tiling>;
  const int count = (a.seq + Tiling::kRows - 1) / Tiling::kRows;
  const BlockPlace block = place_of_block(a.groups * a.queries_per_kv, count, wave);
  const int first = (count - 1 - block.tile) * Tiling::kRows;  // the longest first
  const std::int64_t head = a.first_group * a.queries_per_kv + block.head;
  const int in_group = static_cast<int>(head % a.queries_per_kv);
  const GroupPlace place = place_of_group(a, head / a.queries_per_kv);
  const std::int64_t column = place.column + static_cast<std::int64_t>(in_group) * a.head_dim;
  const std::int64_t out_column =
      (static_cast<std::int64_t>(place.kv_head) * a.queries_per_kv + in_group) * a.head_dim;
  const T* keys = static_cast<const T*>(a.qkv) + place.row * a.qkv_stride + place.column +
                  static_cast<std::int64_t>(a.queries_per_kv) * a.head_dim;
  const auto load = [&](int key) {
    const int buffer = key / kColumns % 2;
    const T* from = keys + key * a.qkv_stride;
    load_tile<kColumns, D, Tiling::kThreads>(Tiles::columns(buffer), from, a.qkv_stride,
                                             a.seq - key, a.head_dim);
    load_tile<kColumns, D, Tiling::kThreads>(Tiles::column_seconds(buffer), from + a.head_dim,
                                             a.qkv_stride, a.seq - key, a.head_dim);
    cp_async_commit();
  };
  load_tile<Tiling::kRows, D, Tiling::kThreads>(
      Tiles::rows(), static_cast<const T*>(a.qkv) + (place.row + first) * a.qkv_stride + column,
      a.qkv_stride, a.seq - first, a.head_dim);
  load_tile<Tiling::kRows, D, Tiling::kThreads>(
      Tiles::row_seconds(),
      static_cast<const T*>(a.dout) + (place.row + first) * a.dout_stride + out_column,
      a.dout_stride, a.seq - first, a.head_dim);
  const KeyBounds bounds(a, place);
  const int last = bounds.keys_end(first, Tiling::kRows);
  const int begin = bounds.first_tile(first, kColumns, last);
  load(begin);

  BackwardRows<T, Tiling, kDrop> rows(a, bounds, first);
  const int lane_row = first + rows.warp_row() + static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
  for (int m = 0; m < M; ++m) {
    rows.statistics[m][0] = statistics_of(a, head, lane_row + 16 * m);
    rows.statistics[m][1] = statistics_of(a, head, lane_row + 16 * m + 8);
  }
  const DropoutDraw draw(a, place, in_group);
  for (int key = begin; key < last; key += kColumns) {
    cp_async_wait<0>();
    __syncthreads();  // this tile has arrived, and the previous one is free
    if (key + kColumns < last) load(key + kColumns);
    rows.steps(key / kColumns % 2, key, draw);
  }
  wait_for_unread(begin >= last);
  float factor[M][2];
#pragma unroll
  for (int m = 0; m < M; ++m) factor[m][0] = factor[m][1] = a.scale;
  store_rows<T, D>(rows.first, factor, Tiles::rows(), rows.warp_row(),
                   static_cast<T*>(a.dqkv) + (place.row + first) * a.dqkv_stride + column,
                   a.dqkv_stride, a.seq - first, a.head_dim);
}

/// Tiles of `kColumns` queries from query `begin` to `end`.
template <int kColumns>
__device__ __forceinline__ std::int64_t tiles_between(int begin, int end) {
  return begin < end ? (end - begin + kColumns - 1) / kColumns : 0;
}

/// A tile of queries of one of a group's heads.
struct QueryTile {
  int head;
  int query;
};

/// All tiles of a head from query `first` to `end`, then those of the next.
template <int kColumns>
__device__ __forceinline__ QueryTile tile_after(const QueryTile& tile, int first, int end) {
  const bool wraps = tile.query + kColumns >= end;
  return {wraps ? tile.head + 1 : tile.head, wraps ? first : tile.query + kColumns};
}

/// Keys and values of a tile, where they are needed: those that begin at `keys`.
template <class T, class Tiling>
__device__ __forceinline__ void load_keys(const AttentionArgs& a, const T* keys, int first) {
  using Tiles = BackwardTiles<T, Tiling>;
  load_tile<Tiling::kRows, Tiling::D, Tiling::kThreads>(Tiles::rows(), keys, a.qkv_stride,
                                                        a.seq - first, a.head_dim);
  if constexpr (Tiling::kScores) {
    load_tile<Tiling::kRows, Tiling::D, Tiling::kThreads>(
        Tiles::row_seconds(), keys + a.head_dim, a.qkv_stride, a.seq - first, a.head_dim);
  }
}

/// dK and dV of a tile, where they are made, to places that begin at `to`.
template <class T, class Tiling, class Rows>
__device__ __forceinline__ void store_key_gradients(const AttentionArgs& a, const Rows& rows,
                                                    T* to, int first) {
  using Tiles = BackwardTiles<T, Tiling>;
  constexpr int M = Tiling::M;
  float factor[M][2];
  if constexpr (Tiling::kScores) {
#pragma unroll
    for (int m = 0; m < M; ++m) factor[m][0] = factor[m][1] = a.scale;
    store_rows<T, Tiling::D>(rows.first, factor, Tiles::rows(), rows.warp_row(), to,
                             a.dqkv_stride, a.seq - first, a.head_dim);
  }
  if constexpr (Tiling::kValues) {
#pragma unroll
    for (int m = 0; m < M; ++m) factor[m][0] = factor[m][1] = a.keep;
    store_rows<T, Tiling::D>(rows.second, factor, Tiles::row_seconds(), rows.warp_row(),
                             to + a.head_dim, a.dqkv_stride, a.seq - first, a.head_dim);
  }
}

/// Computes dK and dV of a tile: 8·d operations for each key and each query that sees it. If
/// registers hold only one of dK and dV, two launches need 6·d and 4·d.
template <class T, int D, bool kDrop, GradientOf kOf>
__global__ void __launch_bounds__(BackwardTiling<D, kOf>::kThreads)
    attention_keys_kernel(const AttentionArgs a, int wave) {
  using Tiling = BackwardTiling<D, kOf>;
  constexpr int kColumns = Tiling::kColumns;
  using Tiles = BackwardTiles<T, Tiling>;
  const int count = (a.seq + Tiling::kRows - 1) / Tiling::kRows;
  const BlockPlace block = place_of_block(a.groups, count, wave);
  const int first = block.tile * Tiling::kRows;
  const std::int64_t group = a.first_group + block.head;
  const GroupPlace place = place_of_group(a, group);
  const T* queries = static_cast<const T*>(a.qkv) + place.row * a.qkv_stride + place.column;
  const T* douts = static_cast<const T*>(a.dout) + place.row * a.dout_stride +
                   static_cast<std::int64_t>(place.kv_head) * a.queries_per_kv * a.head_dim;
  const std::int64_t key_offset = static_cast<std::int64_t>(a.queries_per_kv) * a.head_dim;

  const KeyBounds bounds(a, place);
  const int begin = bounds.queries_begin(first);
  const int end = bounds.queries_end(first + Tiling::kRows - 1);
  const std::int64_t all = tiles_between<kColumns>(begin, end) * a.queries_per_kv;
  const auto load = [&](int buffer, const QueryTile& tile) {
    const auto [head, query] = tile;
    const std::int64_t offset = static_cast<std::int64_t>(head) * a.head_dim;
    load_tile<kColumns, D, Tiling::kThreads>(Tiles::columns(buffer),
                                             queries + query * a.qkv_stride + offset,
                                             a.qkv_stride, a.seq - query, a.head_dim);
    load_tile<kColumns, D, Tiling::kThreads>(Tiles::column_seconds(buffer),
                                             douts + query * a.dout_stride + offset,
                                             a.dout_stride, a.seq - query, a.head_dim);
    cp_async_commit();
  };
  const int thread = static_cast<int>(threadIdx.x);
  const auto statistics = [&](const QueryTile& at) {
    if (thread >= kColumns) return QueryStatistics{};
    return statistics_of(a, group * a.queries_per_kv + at.head, at.query + thread);
  };
  load_keys<T, Tiling>(a, queries + first * a.qkv_stride + key_offset, first);
  QueryTile tile{0, begin};
  load(0, tile);
  if (thread < kColumns) Tiles::statistics(0)[thread] = statistics(tile);
  BackwardRows<T, Tiling, kDrop> rows(a, bounds, first);
  for (std::int64_t i = 0; i < all; ++i) {
    const int buffer = static_cast<int>(i % 2);
    cp_async_wait<0>();
    __syncthreads();  // this tile has arrived, and the previous one is free
    const QueryTile next_tile = tile_after<kColumns>(tile, begin, end);
    const bool more = i + 1 < all;
    QueryStatistics next = {};
    if (more) {
      load(1 - buffer, next_tile);
      next = statistics(next_tile);
    }
    const DropoutDraw draw(a, place, tile.head);
    rows.steps(buffer, tile.query, draw);
    if (more && thread < kColumns) Tiles::statistics(1 - buffer)[thread] = next;
    tile = next_tile;
  }
  wait_for_unread(all == 0);
  T* to =
      static_cast<T*>(a.dqkv) + (place.row + first) * a.dqkv_stride + place.column + key_offset;
  store_key_gradients<T, Tiling>(a, rows, to, first);
}

template <class T>
void attention_queries_half(cudaStream_t stream, const AttentionArgs& a) {
  with_padded_head(a.head_dim, [&](auto padded) {
    constexpr int D = decltype(padded)::value;
    using Tiling = BackwardTiling<D, GradientOf::queries>;
    const std::int64_t heads = a.groups * a.queries_per_kv;
    const std::int64_t tiles = (a.seq + Tiling::kRows - 1) / Tiling::kRows;
    launch(
        a.drop ? attention_queries_kernel<T, D, true> : attention_queries_kernel<T, D, false>,
        dim3(static_cast<unsigned>(heads * tiles)), dim3(Tiling::kThreads),
        Tiling::kSharedBytes, stream, a,
        heads_in_wave(heads, std::int64_t{4} * a.seq * a.head_dim));
  });
}

template <class T, int D, GradientOf kOf>
void launch_attention_keys(cudaStream_t stream, const AttentionArgs& a) {
  using Tiling = BackwardTiling<D, kOf>;
  const std::int64_t tiles = (a.seq + Tiling::kRows - 1) / Tiling::kRows;
  const std::int64_t bytes = std::int64_t{4} * a.seq * a.head_dim * a.queries_per_kv;
  launch(
      a.drop ? attention_keys_kernel<T, D, true, kOf> : attention_keys_kernel<T, D, false, kOf>,
      dim3(static_cast<unsigned>(a.groups * tiles)), dim3(Tiling::kThreads),
      Tiling::kSharedBytes, stream, a, heads_in_wave(a.groups, bytes));
}

template <class T>
void attention_keys_half(cudaStream_t stream, const AttentionArgs& a) {
  with_padded_head(a.head_dim, [&](auto padded) {
    constexpr int D = decltype(padded)::value;
    if constexpr (D <= 128) {
      launch_attention_keys<T, D, GradientOf::keys_and_values>(stream, a);
    } else {  // a thread's registers can't hold both sums
      launch_attention_keys<T, D, GradientOf::keys>(stream, a);
      launch_attention_keys<T, D, GradientOf::values>(stream, a);
    }
  });
}

}  // namespace trireme::cuda
