// SPDX-License-Identifier: Apache-2.0
// Arguments of all attention kernels, and the functions that launch the kernels.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>

#include "trireme/core/dtype.hpp"

namespace trireme::cuda {

/// Arrays and sizes of one call. A group is a kv head of one sequence, with index sequence ·
/// kv_heads + kv head. A query head has index group · queries_per_kv + head within its group,
/// and this index is its row of lse.
struct AttentionArgs {
  const void* qkv = nullptr;
  const void* dout = nullptr;
  void* out = nullptr;
  void* dqkv = nullptr;
  float* lse = nullptr;
  /// The first key of its sequence that each query of all rows attends to; null: 0.
  const std::int32_t* first_keys = nullptr;
  /// The place after the last key, likewise; null: seq.
  const std::int32_t* end_keys = nullptr;
  float* delta = nullptr;  ///< Σ dO·O of each query, beginning with first_group's first query
  std::int64_t qkv_stride = 0;
  std::int64_t dout_stride = 0;
  std::int64_t out_stride = 0;
  std::int64_t dqkv_stride = 0;
  std::int64_t first_group = 0;  ///< first group of this launch
  std::int64_t groups = 0;
  int seq = 0;
  int kv_heads = 0;
  int queries_per_kv = 0;
  int head_dim = 0;
  float scale = 0;
  bool causal = true;   ///< a query attends to no later key
  int window = 0;       ///< keys that a query attends to; 0: all
  float softcap = 0;    ///< 0: none; the general kernels alone have caps and slopes
  int alibi_heads = 0;  ///< heads of all ranks; 0: no slopes
  // Dropout.
  bool drop = false;
  std::uint32_t threshold = 0;  ///< smallest word that keeps a weight
  float keep = 1;               ///< 1/(1 − p)
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  std::uint64_t first_row = 0;
  std::int64_t first_head = 0;
};

// Launchers for each type and pass. `a` covers the rows and heads of its groups.
void attention_forward_bf16(cudaStream_t stream, const AttentionArgs& a);
void attention_forward_f16(cudaStream_t stream, const AttentionArgs& a);
void attention_queries_bf16(cudaStream_t stream, const AttentionArgs& a);  ///< dQ
void attention_queries_f16(cudaStream_t stream, const AttentionArgs& a);
void attention_keys_bf16(cudaStream_t stream, const AttentionArgs& a);  ///< dK and dV
void attention_keys_f16(cudaStream_t stream, const AttentionArgs& a);
void attention_forward_general(cudaStream_t stream, DType type, const AttentionArgs& a);
void attention_backward_general(cudaStream_t stream, DType type, const AttentionArgs& a);
/// Writes a.delta. `vectors`: heads are aligned to 16 bytes.
void attention_delta(cudaStream_t stream, DType type, const AttentionArgs& a, bool vectors);

}  // namespace trireme::cuda
