// SPDX-License-Identifier: Apache-2.0
// What all attention kernels take, where a block works, and which weights dropout keeps.
#pragma once

#include <Random123/philox.h>

#include "types.cuh"

namespace trireme::cuda {

/// Arrays and sizes of one call. A group is a kv head of one sequence, numbered sequence ·
/// kv_heads + kv head; a query head is numbered group · queries_per_kv + head within it, which
/// is its row of lse.
struct AttentionArgs {
  const void* qkv = nullptr;
  const void* dout = nullptr;
  void* out = nullptr;
  void* dqkv = nullptr;
  float* lse = nullptr;
  float* delta = nullptr;  ///< Σ dO·O of each query, from the first query of first_group on
  std::int64_t qkv_stride = 0;
  std::int64_t dout_stride = 0;
  std::int64_t out_stride = 0;
  std::int64_t dqkv_stride = 0;
  std::int64_t first_group = 0;  ///< of this launch
  std::int64_t groups = 0;
  int seq = 0;
  int kv_heads = 0;
  int queries_per_kv = 0;
  int head_dim = 0;
  float scale = 0;  ///< 1/√head_dim
  // Dropout.
  bool drop = false;
  std::uint32_t threshold = 0;  ///< smallest word that keeps a weight
  float keep = 1;               ///< 1/(1 − p)
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  std::uint64_t first_row = 0;
  std::int64_t first_head = 0;
};

/// Where a group's rows and columns begin in qkv.
struct GroupPlace {
  std::int64_t row;
  std::int64_t column;
  int kv_head;
};

__device__ __forceinline__ GroupPlace place_of_group(const AttentionArgs& a,
                                                     std::int64_t group) {
  const std::int64_t sequence = group / a.kv_heads;
  const int kv_head = static_cast<int>(group - sequence * a.kv_heads);
  return {sequence * a.seq,
          static_cast<std::int64_t>(kv_head) * (a.queries_per_kv + 2) * a.head_dim, kv_head};
}

/// A block's part: a head (or group), counted from the launch's first, and a tile of its rows.
struct BlockPlace {
  std::int64_t head;
  int tile;
};

/// Heads in waves that share the L2 cache, in each wave all heads' tile 0 first.
__device__ __forceinline__ BlockPlace place_of_block(std::int64_t heads, int tiles, int wave) {
  const std::int64_t block = blockIdx.x;
  const std::int64_t first = block / (static_cast<std::int64_t>(wave) * tiles) * wave;
  const int rest = static_cast<int>(block - first * tiles);
  const int width = static_cast<int>(heads - first < wave ? heads - first : wave);
  return {first + rest % width, rest / width};
}

/// Heads whose `bytes_each` fill about a third of a large GPU's L2 cache.
inline int heads_in_wave(std::int64_t heads, std::int64_t bytes_each) {
  const std::int64_t fit = (std::int64_t{16} << 20) / (bytes_each > 0 ? bytes_each : 1);
  const std::int64_t wave = fit < heads ? fit : heads;
  return static_cast<int>(wave < 1 ? 1 : wave > 1024 ? 1024 : wave);
}

/// The weights of one query head that dropout keeps.
class DropoutDraw {
 public:
  /// `head` within its group, at `place`.
  __device__ __forceinline__ DropoutDraw(const AttentionArgs& a, const GroupPlace& place,
                                         int head)
      : args_(a),
        row_(a.first_row + static_cast<std::uint64_t>(place.row)),
        column_(static_cast<std::uint32_t>(
            (a.first_head + place.kv_head * a.queries_per_kv + head) * ((a.seq + 3) / 4))) {}

  /// Of keys 4·quad … 4·quad + 3 of a query: bit j is set where the weight of key j is kept.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t kept(int query, int quad) const {
    const std::uint64_t row = row_ + static_cast<std::uint64_t>(query);
    const r123::Philox4x32::ctr_type counter = {
        {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32U),
         column_ + static_cast<std::uint32_t>(quad), args_.stream}};
    const r123::Philox4x32::key_type key = {{static_cast<std::uint32_t>(args_.seed),
                                             static_cast<std::uint32_t>(args_.seed >> 32U)}};
    const r123::Philox4x32::ctr_type word = r123::Philox4x32()(counter, key);
    std::uint32_t bits = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) bits |= (word[j] >= args_.threshold ? 1U : 0U) << j;
    return bits;
  }

 private:
  const AttentionArgs& args_;
  std::uint64_t row_;
  std::uint32_t column_;
};

// One launcher for each type and pass; `a` as above, on the rows and heads of its groups.
void attention_forward_bf16(cudaStream_t stream, const AttentionArgs& a);
void attention_forward_f16(cudaStream_t stream, const AttentionArgs& a);
void attention_queries_bf16(cudaStream_t stream, const AttentionArgs& a);  ///< dQ
void attention_queries_f16(cudaStream_t stream, const AttentionArgs& a);
void attention_keys_bf16(cudaStream_t stream, const AttentionArgs& a);  ///< dK and dV
void attention_keys_f16(cudaStream_t stream, const AttentionArgs& a);
void attention_forward_general(cudaStream_t stream, DType type, const AttentionArgs& a);
void attention_backward_general(cudaStream_t stream, DType type, const AttentionArgs& a);
/// a.delta; `vectors`: heads are aligned to 16 bytes.
void attention_delta(cudaStream_t stream, DType type, const AttentionArgs& a, bool vectors);

}  // namespace trireme::cuda
