// SPDX-License-Identifier: Apache-2.0
// Attention's forward pass in fp32 arithmetic. A thread block has a tile of queries of one head
// and loops over the keys up to them.
#include "general.cuh"

namespace trireme::cuda {

namespace {

/// The online softmax of a thread's rows, which 16 adjacent threads share.
template <class Tiling>
struct GeneralSoftmax {
  float max[Tiling::R];
  float total[Tiling::R];

  __device__ __forceinline__ void absorb(float (&s)[Tiling::R][Tiling::R],
                                         GeneralSum<Tiling>& sum) {
#pragma unroll
    for (int i = 0; i < Tiling::R; ++i) {
      float m = max[i];
#pragma unroll
      for (int j = 0; j < Tiling::R; ++j) m = fmaxf(m, s[i][j]);
#pragma unroll
      for (int lane = 8; lane > 0; lane /= 2) {
        m = fmaxf(m, __shfl_xor_sync(0xffffffffU, m, lane));
      }
      // A query has seen no key yet if all keys so far are of other documents.
      const float base = m == -INFINITY ? 0.0F : m;
      const float shrink = expf(max[i] - base);
      max[i] = m;
      float part = 0;
#pragma unroll
      for (int j = 0; j < Tiling::R; ++j) {
        s[i][j] = expf(s[i][j] - base);
        part += s[i][j];
      }
#pragma unroll
      for (int lane = 8; lane > 0; lane /= 2) part += __shfl_xor_sync(0xffffffffU, part, lane);
      total[i] = total[i] * shrink + part;
#pragma unroll
      for (int c = 0; c < Tiling::C; ++c) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[i][c][e] *= shrink;
      }
    }
  }
};

/// Makes scores of a thread's products, in the tiles that begin at query `first` and key `key`.
/// Takes out those of keys that a query does not attend to.
template <class Tiling>
__device__ __forceinline__ void mask_general(float (&s)[Tiling::R][Tiling::R],
                                             const GeneralScores& scores,
                                             const KeyBounds& bounds, int first, int key) {
#pragma unroll
  for (int i = 0; i < Tiling::R; ++i) {
    const int query = first + thread_row() + 16 * i;
    const int first_key = bounds.first_key(query);
    const int end_key = bounds.end_key(query);
#pragma unroll
    for (int j = 0; j < Tiling::R; ++j) {
      const int at = key + thread_column() + 16 * j;
      float bend;
      s[i][j] =
          at >= end_key || at < first_key ? -INFINITY : scores.score(s[i][j], query, at, bend);
    }
  }
}

/// Dropout of a thread's weights, by what draw_general() left in `kept`.
template <class Tiling, class Kept>
__device__ __forceinline__ void drop_general(float (&s)[Tiling::R][Tiling::R], Kept kept_bits,
                                             float keep) {
#pragma unroll
  for (int i = 0; i < Tiling::R; ++i) {
#pragma unroll
    for (int j = 0; j < Tiling::R; ++j) {
      const bool kept =
          kept_general<Tiling>(kept_bits, thread_row() + 16 * i, thread_column() + 16 * j);
      s[i][j] = kept ? s[i][j] * keep : 0.0F;
    }
  }
}

/// 4·d operations for each query and each key that it attends to.
template <class T, int D>
__global__ void __launch_bounds__(GeneralTiling<D>::kThreads)
    general_forward_kernel(const AttentionArgs a, int wave) {
  using Tiling = GeneralTiling<D>;
  constexpr int R = Tiling::R;
  constexpr int kTile = Tiling::kTile;
  const GeneralTiles<Tiling> tiles;
  const int count = (a.seq + kTile - 1) / kTile;
  const BlockPlace block = place_of_block(a.groups * a.queries_per_kv, count, wave);
  const int first = (count - 1 - block.tile) * kTile;
  const int head = static_cast<int>(block.head % a.queries_per_kv);
  const GroupPlace place = place_of_group(a, block.head / a.queries_per_kv);
  const DropoutDraw draw(a, place, head);
  const T* group = static_cast<const T*>(a.qkv) + place.row * a.qkv_stride + place.column;
  const T* keys = group + static_cast<std::int64_t>(a.queries_per_kv) * a.head_dim;
  load_general<Tiling>(
      tiles.tile[0],
      group + first * a.qkv_stride + static_cast<std::int64_t>(head) * a.head_dim, a.qkv_stride,
      a.seq - first, a.head_dim);

  GeneralSum<Tiling> sum = {};
  GeneralSoftmax<Tiling> softmax;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    softmax.max[i] = -INFINITY;
    softmax.total[i] = 0;
  }
  const KeyBounds bounds(a, place);
  const GeneralScores scores(a, place, head);
  const int end = bounds.keys_end(first, kTile);
  for (int key = bounds.first_tile(first, kTile, end); key < end; key += kTile) {
    __syncthreads();  // from here on, the previous tile may be overwritten
    const T* from = keys + key * a.qkv_stride;
    load_general<Tiling>(tiles.tile[1], from, a.qkv_stride, a.seq - key, a.head_dim);
    load_general<Tiling>(tiles.tile[2], from + a.head_dim, a.qkv_stride, a.seq - key,
                         a.head_dim);
    if (a.drop) draw_general<Tiling>(tiles.kept, draw, first, key);
    __syncthreads();
    float s[R][R];
    multiply_general<Tiling>(s, tiles.tile[0], tiles.tile[1]);
    mask_general<Tiling>(s, scores, bounds, first, key);
    softmax.absorb(s, sum);
    if (a.drop) drop_general<Tiling>(s, tiles.kept, a.keep);
    share_scores<Tiling>(tiles.scores, s);
    __syncthreads();
    accumulate_general<Tiling>(sum, tiles.scores, tiles.tile[2]);
  }

  float factor[R];
#pragma unroll
  for (int i = 0; i < R; ++i) {
    factor[i] = softmax.total[i] > 0 ? 1 / softmax.total[i] : 0.0F;
    const int query = first + thread_row() + 16 * i;
    if (thread_column() == 0 && query < a.seq) {
      a.lse[block.head * a.seq + query] =
          factor[i] > 0 ? softmax.max[i] + logf(softmax.total[i]) : 0.0F;
    }
  }
  T* out = static_cast<T*>(a.out) + (place.row + first) * a.out_stride +
           (static_cast<std::int64_t>(place.kv_head) * a.queries_per_kv + head) * a.head_dim;
  store_general<Tiling>(sum, factor, out, a.out_stride, a.seq - first, a.head_dim);
}

}  // namespace

void attention_forward_general(cudaStream_t stream, DType type, const AttentionArgs& a) {
  with_general_kernel(type, a.head_dim, [&](auto tag, auto padded) {
    using T = typename decltype(tag)::type;
    using Tiling = GeneralTiling<decltype(padded)::value>;
    const std::int64_t heads = a.groups * a.queries_per_kv;
    const std::int64_t tiles = (a.seq + Tiling::kTile - 1) / Tiling::kTile;
    launch(general_forward_kernel<T, Tiling::D>, dim3(static_cast<unsigned>(heads * tiles)),
           dim3(Tiling::kThreads), Tiling::kSharedBytes, stream, a,
           heads_in_wave(heads, std::int64_t{8} * a.seq * a.head_dim));
  });
}

}  // namespace trireme::cuda
