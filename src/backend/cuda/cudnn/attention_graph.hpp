// SPDX-License-Identifier: Apache-2.0
// Causal attention and its gradients as graphs of cuDNN's operations.
#pragma once

#include "graph.hpp"

namespace trireme::cuda {

/// Ids of the caller's arrays and values, in both graphs.
inline constexpr std::int64_t kQuery = 1;
inline constexpr std::int64_t kKey = 2;
inline constexpr std::int64_t kValue = 3;
inline constexpr std::int64_t kOut = 4;
inline constexpr std::int64_t kLse = 5;
inline constexpr std::int64_t kScale = 6;
inline constexpr std::int64_t kMinusInfinity = 7;
inline constexpr std::int64_t kOutGradient = 8;
inline constexpr std::int64_t kQueryGradient = 9;
inline constexpr std::int64_t kKeyGradient = 10;
inline constexpr std::int64_t kValueGradient = 11;
inline constexpr std::int64_t kRowSum = 12;  ///< Σ dO·O of each query: scratch
inline constexpr std::int64_t kOne = 13;

/// A shape: heads of one size, sequences of one length, keys and values for each query head.
/// Gradients have the layout of their arrays.
struct AttentionProblem {
  cudnnDataType_t type = CUDNN_DATA_BFLOAT16;
  std::int64_t batch = 0;
  std::int64_t heads = 0;
  std::int64_t seq = 0;
  std::int64_t head_dim = 0;
  std::int64_t qkv_row = 0;  ///< elements from a token's q, k, v to those of the next token
  std::int64_t out_row = 0;

  friend auto operator<=>(const AttentionProblem&, const AttentionProblem&) = default;
};

/// `lse` is the natural logarithm of Σ exp of the scaled scores, [batch, heads, seq].
[[nodiscard]] Graph attention_forward_graph(const AttentionProblem& p);
/// Asks for reproducible gradients, like NVIDIA's frontend: dQ is a GEMM of stored score
/// gradients. If dQ is an fp32 array, the engine uses atomic additions instead. The engine's
/// notes don't show the difference.
[[nodiscard]] Graph attention_backward_graph(const AttentionProblem& p);

}  // namespace trireme::cuda
