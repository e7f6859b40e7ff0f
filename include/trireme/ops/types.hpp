// SPDX-License-Identifier: Apache-2.0
// Small types that operations and kernels share.
#pragma once

#include <cstdint>

#include "trireme/core/random.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// A matrix used directly (n) or transposed (t).
enum class Op : std::uint8_t { n, t };

enum class Norm : std::uint8_t { layernorm, rmsnorm };

/// `gelu` is the erf form, `gelu_tanh` its tanh approximation. Those from swiglu on are gated.
enum class Activation : std::uint8_t {
  gelu,
  gelu_tanh,
  relu,
  silu,
  swiglu,
  geglu,
  reglu,
  geglu_tanh
};
[[nodiscard]] constexpr bool gated(Activation a) { return a >= Activation::swiglu; }

/// One use of dropout. Whether an element is kept depends only on the seed, the stream and its
/// global row and column. Meshes, backends and recomputation don't change the mask.
struct Dropout {
  double probability = 0;
  RngKey key;
  std::uint64_t first_row = 0;  ///< sample × seq_length + position of the first row
  /// Column of a wider array at which the array begins: a multiple of 4. Not for attention.
  std::uint32_t first_column = 0;
};

/// Shape of the fused attention input. A row is one token. For each kv head, the row holds
/// `queries_per_kv` query heads, the key and the value, each `head_dim` wide (GPT-NeoX's
/// order).
struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::int64_t kv_heads = 0;
  std::int64_t queries_per_kv = 0;
  std::int64_t head_dim = 0;
  std::int64_t first_head = 0;  ///< global index of the first query head; dropout's key

  [[nodiscard]] std::int64_t heads() const { return kv_heads * queries_per_kv; }
  [[nodiscard]] std::int64_t group_width() const { return (queries_per_kv + 2) * head_dim; }
  [[nodiscard]] std::int64_t row_width() const { return kv_heads * group_width(); }
};

/// How attention turns the product q·k of query i and key j into a score: scale · q·k, then
/// c · tanh(score / c), then + slope · (j − i). A causal query i attends to keys
/// i − window + 1 … i, and another one to all.
struct ScoreRule {
  double scale = 0;              ///< 0: 1 / √head_dim
  double softcap = 0;            ///< c; 0: none
  std::int64_t window = 0;       ///< 0: all keys
  std::int64_t alibi_heads = 0;  ///< ALiBi's slopes are those of this many heads; 0: none
  bool causal = true;            ///< without it, window and slopes are 0
  friend bool operator==(const ScoreRule&, const ScoreRule&) = default;
};

/// What is added to x before a norm: sum = x + dropout(add). The norm is computed from sum.
struct Residual {
  ConstView add;
  Dropout dropout;  ///< dropout of `add`; none if its probability is 0
};

struct AdamwStep {
  double lr = 0;
  double beta1 = 0;
  double beta2 = 0;
  double epsilon = 0;
  double weight_decay = 0;
  double gradient_scale = 1;  ///< multiplies the gradient first: clipping, loss scale
  std::int64_t step = 1;      ///< ≥ 1, for the bias corrections
  bool l2 = false;            ///< adds weight_decay · θ to the gradient instead
};

struct SgdStep {
  double lr = 0;
  double momentum = 0;
  double weight_decay = 0;
  double gradient_scale = 1;
  double dampening = 0;
  bool nesterov = false;
  std::int64_t step = 1;  ///< ≥ 1; the first step takes the gradient undamped
};

/// Rules that update each element by itself, with up to three arrays of state.
enum class ElementRule : std::uint8_t { lion, adagrad, madgrad };

struct ElementStep {
  ElementRule rule = ElementRule::lion;
  double lr = 0;
  double beta1 = 0;  ///< Lion
  double beta2 = 0;
  double momentum = 0;  ///< MADGRAD
  double epsilon = 0;
  double weight_decay = 0;
  double lr_decay = 0;        ///< Adagrad
  double initial = 0;         ///< Adagrad: the state before the first step
  double gradient_scale = 1;  ///< multiplies the gradient first
  std::int64_t step = 1;      ///< ≥ 1
};

}  // namespace trireme
