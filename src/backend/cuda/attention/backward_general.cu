// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass in fp32 arithmetic. A thread block owns rows: queries of a head, or
// keys of a group. The thread block loops over the columns that meet these rows, like the
// tensor-core kernels.
#include "general.cuh"

namespace trireme::cuda {

namespace {

/// Tiles 0 and 1 hold rows, 2 and 3 columns: queries and dO, or keys and values.
template <class T, int D, bool kRowsAreQueries>
class GeneralBackward {
 public:
  using Tiling = GeneralTiling<D>;
  static constexpr int R = Tiling::R;
  static constexpr int kTile = Tiling::kTile;

  KeyBounds bounds;
  GeneralSum<Tiling> first = {};                             ///< dQ or dK
  float second[kRowsAreQueries ? 1 : R][Tiling::C][4] = {};  ///< dV

  __device__ __forceinline__ GeneralBackward(const AttentionArgs& a, std::int64_t group)
      : bounds(a, place_of_group(a, group)),
        args_(a),
        group_(group),
        place_(place_of_group(a, group)) {}

  __device__ __forceinline__ void load_queries(int at, int head, int query) {
    const std::int64_t column = static_cast<std::int64_t>(head) * args_.head_dim;
    const std::int64_t row = place_.row + query;
    const int left = args_.seq - query;
    load_general<Tiling>(
        tiles_.tile[at],
        static_cast<const T*>(args_.qkv) + row * args_.qkv_stride + place_.column + column,
        args_.qkv_stride, left, args_.head_dim);
    load_general<Tiling>(
        tiles_.tile[at + 1],
        static_cast<const T*>(args_.dout) + row * args_.dout_stride +
            static_cast<std::int64_t>(place_.kv_head) * args_.queries_per_kv * args_.head_dim +
            column,
        args_.dout_stride, left, args_.head_dim);
    const std::int64_t begin = (group_ * args_.queries_per_kv + head) * args_.seq + query;
    const std::int64_t delta = begin - args_.first_group * args_.queries_per_kv * args_.seq;
    for (int i = static_cast<int>(threadIdx.x); i < kTile; i += Tiling::kThreads) {
      tiles_.log_sum[i] = i < left ? args_.lse[begin + i] : INFINITY;  // ∞ makes weights 0
      tiles_.delta[i] = i < left ? args_.delta[delta + i] : 0.0F;
    }
  }

  __device__ __forceinline__ void load_keys(int at, int key) {
    const T* from = static_cast<const T*>(args_.qkv) + (place_.row + key) * args_.qkv_stride +
                    place_.column +
                    static_cast<std::int64_t>(args_.queries_per_kv) * args_.head_dim;
    const int left = args_.seq - key;
    load_general<Tiling>(tiles_.tile[at], from, args_.qkv_stride, left, args_.head_dim);
    load_general<Tiling>(tiles_.tile[at + 1], from + args_.head_dim, args_.qkv_stride, left,
                         args_.head_dim);
  }

  /// Adds the contribution of a pair of column tiles, whose loading the caller has begun.
  __device__ __forceinline__ void add(int head, int query, int key) {
    if (args_.drop) {
      draw_general<Tiling>(tiles_.kept, DropoutDraw(args_, place_, head), query, key);
    }
    __syncthreads();
    float p[R][R];
    float d[R][R];
    multiply_general<Tiling>(p, tiles_.tile[0], tiles_.tile[2]);
    multiply_general<Tiling>(d, tiles_.tile[1], tiles_.tile[3]);
    const GeneralScores scores(args_, place_, head);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const int row = thread_row() + 16 * i;
        const int column = thread_column() + 16 * j;
        const int q = kRowsAreQueries ? row : column;
        const int k = kRowsAreQueries ? column : row;
        const bool hidden = key + k >= bounds.end_key(query + q) ||
                            (bounds.exist() && key + k < bounds.first_key(query + q));
        float bend;
        const float score = scores.score(p[i][j], query + q, key + k, bend);
        const float weight = hidden ? 0.0F : expf(score - tiles_.log_sum[q]);
        const bool kept = !args_.drop || kept_general<Tiling>(tiles_.kept, q, k);
        const float factor = kept ? args_.keep : 0.0F;
        p[i][j] = weight * factor;
        d[i][j] = weight * (d[i][j] * factor - tiles_.delta[q]) * args_.scale * bend;
      }
    }
    if constexpr (!kRowsAreQueries) {
      share_scores<Tiling>(tiles_.scores, p);
      __syncthreads();
      accumulate_general<Tiling>(second, tiles_.scores, tiles_.tile[3]);
      __syncthreads();
    }
    share_scores<Tiling>(tiles_.scores, d);
    __syncthreads();
    accumulate_general<Tiling>(first, tiles_.scores, tiles_.tile[2]);
    __syncthreads();  // from here on, columns and scores may be overwritten
  }

  __device__ __forceinline__ void store(const GeneralSum<Tiling>& sum, int head, int row) {
    float one[R];
#pragma unroll
    for (int i = 0; i < R; ++i) one[i] = 1;
    T* to = static_cast<T*>(args_.dqkv) + (place_.row + row) * args_.dqkv_stride +
            place_.column + static_cast<std::int64_t>(head) * args_.head_dim;
    store_general<Tiling>(sum, one, to, args_.dqkv_stride, args_.seq - row, args_.head_dim);
  }

 private:
  const AttentionArgs& args_;
  std::int64_t group_;
  GroupPlace place_;
  GeneralTiles<Tiling> tiles_;
};

template <class T, int D>
__global__ void __launch_bounds__(GeneralTiling<D>::kThreads)
    general_queries_kernel(const AttentionArgs a, int wave) {
  constexpr int kTile = GeneralTiling<D>::kTile;
  const int count = (a.seq + kTile - 1) / kTile;
  const BlockPlace block = place_of_block(a.groups * a.queries_per_kv, count, wave);
  const int query = (count - 1 - block.tile) * kTile;
  const int head = static_cast<int>(block.head % a.queries_per_kv);
  GeneralBackward<T, D, true> rows(a, a.first_group + block.head / a.queries_per_kv);
  rows.load_queries(0, head, query);
  const int end = rows.bounds.keys_end(query, kTile);
  for (int key = rows.bounds.first_tile(query, kTile, end); key < end; key += kTile) {
    rows.load_keys(2, key);
    rows.add(head, query, key);
  }
  rows.store(rows.first, head, query);
}

template <class T, int D>
__global__ void __launch_bounds__(GeneralTiling<D>::kThreads)
    general_keys_kernel(const AttentionArgs a, int wave) {
  constexpr int kTile = GeneralTiling<D>::kTile;
  const BlockPlace block = place_of_block(a.groups, (a.seq + kTile - 1) / kTile, wave);
  const int key = block.tile * kTile;
  GeneralBackward<T, D, false> rows(a, a.first_group + block.head);
  rows.load_keys(0, key);
  const int begin = rows.bounds.queries_begin(key);
  const int end = rows.bounds.queries_end(key + kTile - 1);
  for (int head = 0; head < a.queries_per_kv; ++head) {
    for (int query = begin; query < end; query += kTile) {
      rows.load_queries(2, head, query);
      rows.add(head, query, key);
    }
  }
  rows.store(rows.first, a.queries_per_kv, key);
  rows.store(rows.second, a.queries_per_kv + 1, key);
}

}  // namespace

void attention_backward_general(cudaStream_t stream, DType type, const AttentionArgs& a) {
  with_general_kernel(type, a.head_dim, [&](auto tag, auto padded) {
    using T = typename decltype(tag)::type;
    using Tiling = GeneralTiling<decltype(padded)::value>;
    const std::int64_t heads = a.groups * a.queries_per_kv;
    const std::int64_t tiles = (a.seq + Tiling::kTile - 1) / Tiling::kTile;
    const std::int64_t bytes = std::int64_t{8} * a.seq * a.head_dim;
    launch(general_queries_kernel<T, Tiling::D>, dim3(static_cast<unsigned>(heads * tiles)),
           dim3(Tiling::kThreads), Tiling::kSharedBytes, stream, a,
           heads_in_wave(heads, bytes));
    launch(general_keys_kernel<T, Tiling::D>, dim3(static_cast<unsigned>(a.groups * tiles)),
           dim3(Tiling::kThreads), Tiling::kSharedBytes, stream, a,
           heads_in_wave(a.groups, bytes * a.queries_per_kv));
  });
}

}  // namespace trireme::cuda
