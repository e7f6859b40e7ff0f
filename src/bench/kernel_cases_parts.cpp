// SPDX-License-Identifier: Apache-2.0
// Cases for kernels of parts that only some models have.
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/qk_norm.hpp"

#include "kernel_cases.hpp"

namespace trireme {

ScoreRule KernelCases::scores() const {
  return {.scale = model_.score_factor(),
          .softcap = model_.attention_logit_softcap,
          .window = model_.window_of(0),
          .alibi_heads =
              model_.pos_emb == PositionEmbedding::alibi ? model_.num_attention_heads : 0,
          .causal = !model_.bidirectional_attention};
}

void KernelCases::qk_norms() {
  if (model_.qk_norm == QkNorm::none) return;
  const ops::QkNormRule rule{.shape = heads(),
                             .kind = model_.norm,
                             .epsilon = model_.norm_epsilon,
                             .weight_offset = model_.layernorm_1p ? 1.0 : 0.0,
                             .rows = model_.qk_norm == QkNorm::row};
  const std::int64_t width = rule.shape.row_width();
  const std::int64_t q = (rule.rows ? rule.shape.heads() : 1) * rule.shape.head_dim;
  const std::int64_t k = (rule.rows ? rule.shape.kv_heads : 1) * rule.shape.head_dim;
  const auto arrays = [this, rule, width, q, k] {
    std::array<Tensor, 5> a = {
        random(rows_, width), ex_.make(sums_, Shape{rows_, 2 * rule.layout().norms()}),
        ones(type_, q), ones(type_, k), ex_.make(type_, Shape{rows_, width})};
    ops::qk_norm_sums(ex_, {.norm = rule, .qkv = a[0], .sums = a[1]});
    return a;
  };
  // Backward makes the normed queries and keys again.
  add("norms", "norms of q and k", 2 * layers_, 0, bytes(3 * rows_ * width),
      [this, rule, arrays]() -> Run {
        return [this, rule, a = arrays()] {
          ops::qk_norm_sums(ex_, {.norm = rule, .qkv = a[0], .sums = a[1]});
          ops::qk_norm_forward(ex_, {.norm = rule,
                                     .qkv = a[0],
                                     .sums = a[1],
                                     .q_weight = a[2],
                                     .k_weight = a[3],
                                     .y = a[4]});
        };
      });
  add("norms", "norms of q and k, gradient", layers_, 0, bytes(5 * rows_ * width),
      [this, rule, arrays, width, q, k]() -> Run {
        const auto a = arrays();
        const Tensor slopes = ex_.make(sums_, a[1].shape());
        const Tensor dqkv = random(rows_, width);
        const Tensor dq = ex_.zeros(grad_, Shape{q});
        const Tensor dk = ex_.zeros(grad_, Shape{k});
        return [=, this] {
          ops::qk_norm_sums(ex_, {.norm = rule,
                                  .qkv = a[0],
                                  .dy = dqkv,
                                  .q_weight = a[2],
                                  .k_weight = a[3],
                                  .sums = slopes});
          ops::qk_norm_backward(ex_, {.norm = rule,
                                      .qkv = a[0],
                                      .sums = a[1],
                                      .slopes = slopes,
                                      .q_weight = a[2],
                                      .k_weight = a[3],
                                      .dqkv = dqkv,
                                      .dq_weight = dq,
                                      .dk_weight = dk});
        };
      });
}

void KernelCases::factors() {
  const std::int64_t n = rows_ * h_;
  if (model_.embedding_scale == 1) return;
  add("elementwise", "factor of the embedding", 2 * micro_, 0, bytes(2 * n), [this]() -> Run {
    const Tensor x = random(rows_, h_);
    const Tensor y = ex_.make(type_, Shape{rows_, h_});
    return [=, this] { ops::scale(ex_, {.x = x, .factor = model_.embedding_scale, .y = y}); };
  });
}

}  // namespace trireme
