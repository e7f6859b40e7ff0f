// SPDX-License-Identifier: Apache-2.0
// Norms of queries and keys in the fused qkv array: Henry et al., arXiv 2010.04245. A norm
// covers one head (Qwen 3), or all query heads or all key heads of a token (OLMo 2). In the
// second case, a norm may cover the heads of several ranks, which sum what qk_norm_sums
// returns.
#pragma once

#include "trireme/core/host_device.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// Which entries of a row of qkv each norm covers. A norm's heads lie apart.
struct QkNormLayout {
  std::int64_t kv_heads = 0;
  std::int64_t queries_per_kv = 0;
  std::int64_t head_dim = 0;
  bool rows = false;  ///< norm 0 covers all query heads, norm 1 all key heads

  [[nodiscard]] TRM_HOST_DEVICE std::int64_t norms() const {
    return rows ? 2 : kv_heads * (queries_per_kv + 1);
  }
  [[nodiscard]] TRM_HOST_DEVICE bool of_keys(std::int64_t norm) const {
    return rows ? norm == 1 : norm % (queries_per_kv + 1) == queries_per_kv;
  }
  [[nodiscard]] TRM_HOST_DEVICE std::int64_t heads(std::int64_t norm) const {
    return !rows ? 1 : norm == 1 ? kv_heads : kv_heads * queries_per_kv;
  }
  /// The first column of a head of a norm.
  [[nodiscard]] TRM_HOST_DEVICE std::int64_t column(std::int64_t norm,
                                                    std::int64_t head) const {
    const std::int64_t per_group = rows && norm == 0 ? queries_per_kv : queries_per_kv + 1;
    const std::int64_t at = rows ? head : norm;
    const std::int64_t group = rows && norm == 1 ? head : at / per_group;
    const std::int64_t within = rows && norm == 1 ? queries_per_kv : at % per_group;
    return (group * (queries_per_kv + 2) + within) * head_dim;
  }
  /// The place of a head's first weight among those of queries, or of keys.
  [[nodiscard]] TRM_HOST_DEVICE std::int64_t weight(std::int64_t head) const {
    return rows ? head * head_dim : 0;
  }
};

/// What the three operations share. Weights have head_dim entries, or one for each entry of
/// this rank's row of queries, or of keys.
struct QkNormRule {
  AttentionShape shape;
  Norm kind;
  double epsilon;
  double weight_offset = 0;  ///< added to each weight
  bool rows = false;         ///< one norm of all queries of a token, and one of all keys
  std::int64_t ranks = 1;    ///< a row's norm covers so many times this rank's entries

  [[nodiscard]] QkNormLayout layout() const {
    return {shape.kv_heads, shape.queries_per_kv, shape.head_dim, rows};
  }
  /// Entries that a norm covers on all ranks.
  [[nodiscard]] std::int64_t entries(std::int64_t norm) const {
    return layout().heads(norm) * shape.head_dim * (rows ? ranks : 1);
  }
};

/// Without dy: sums[row] = Σ x and Σ x² of each norm. With dy: Σ g and Σ g·x, where g = dy·w.
struct QkNormSums {
  QkNormRule norm;
  ConstView qkv;
  ConstView dy = {};        ///< qkv's shape
  ConstView q_weight = {};  ///< with dy only, like k_weight
  ConstView k_weight = {};
  View sums;  ///< [rows, 2 · norms], in accumulator_type
};
void qk_norm_sums(const Exec& ex, const QkNormSums& op);

/// y = (x − mean)·rstd·w + b for queries and keys; y = x for values.
struct QkNormForward {
  QkNormRule norm;
  ConstView qkv;
  ConstView sums;  ///< from qk_norm_sums, over all ranks
  ConstView q_weight;
  ConstView k_weight;
  ConstView q_bias = {};  ///< may be empty, like k_bias
  ConstView k_bias = {};
  View y;  ///< qkv's shape
};
void qk_norm_forward(const Exec& ex, const QkNormForward& op);

/// Replaces the gradient of queries and keys of y by that of x. Adds to the gradients of
/// weights and biases.
struct QkNormBackward {
  QkNormRule norm;
  ConstView qkv;     ///< forward's
  ConstView sums;    ///< forward's
  ConstView slopes;  ///< from qk_norm_sums with dy, over all ranks
  ConstView q_weight;
  ConstView k_weight;
  View dqkv;  ///< dy, and then dx
  View dq_weight;
  View dk_weight;
  View dq_bias = {};
  View dk_bias = {};
};
void qk_norm_backward(const Exec& ex, const QkNormBackward& op);

}  // namespace trireme::ops
