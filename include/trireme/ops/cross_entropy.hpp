// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy over a vocabulary that may be cut across ranks (Megatron-LM, arXiv
// 1909.08053, section 3), in place: the logits become exponentials, then their gradient.
//
// With m = max over all ranks, S = Σ exp(z − m): loss = log S − (z_target − m). The order is
// softmax_local → all-reduce max → softmax_rescale → all-reduce sum of (sum, picked) →
// softmax_loss and softmax_gradient. Each rank has columns [first_column, first_column + n).
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// logits [rows, n] ← exp(logits − max); max, sum [rows] of this part, before any rounding to
/// the logits' type, in accumulator_type as all arrays of one value a row; picked [rows] =
/// target's logit, 0 where the target (int32 [rows]) is another rank's. n ≥ 1.
void softmax_local(const Exec& ex, const View& logits, const ConstView& targets,
                   std::int64_t first_column, const View& max, const View& sum,
                   const View& picked);

/// max ← exp(max − global_max), the factor that the exponentials still lack; sum ← sum · max;
/// picked −= global_max where the target is ours.
void softmax_rescale(const Exec& ex, const ConstView& global_max, const ConstView& targets,
                     std::int64_t first_column, std::int64_t columns, const View& max,
                     const View& sum, const View& picked);

/// total (fp64 [1]) += Σ over rows of log(sum) − picked.
void softmax_loss(const Exec& ex, const ConstView& sum, const ConstView& picked,
                  const View& total);

/// exponentials → scale · scale_too · (softmax − onehot(target)); `factor` and `sum` as
/// softmax_rescale and the all-reduce left them. scale_too: fp64 [1], empty for 1.
void softmax_gradient(const Exec& ex, const View& exponentials, const ConstView& targets,
                      std::int64_t first_column, const ConstView& factor, const ConstView& sum,
                      double scale, const ConstView& scale_too = {});

}  // namespace trireme::ops
