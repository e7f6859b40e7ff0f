// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy over a vocabulary that may be sharded across ranks (Megatron-LM, arXiv
// 1909.08053, section 3). In place: the logits become exponentials, and these their gradient.
// With m = max over all ranks and S = Σ exp(z − m): loss = log S − (z_target − m). Call
// softmax_local, all-reduce max, call softmax_rescale, and all-reduce the sum of (sum, picked).
// Call softmax_loss and softmax_gradient last. Each rank holds columns [first_column,
// first_column + n).
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// logits [rows, n] ← exp(logits − max), with n ≥ 1 and targets int32 [rows]. `max` and `sum`
/// [rows] are those of this rank's columns, before any rounding to the logits' type. `picked`
/// [rows] is the target's logit, or 0 if another rank holds the target. Arrays with one value
/// per row have accumulator_type of the logits.
void softmax_local(const Exec& ex, const View& logits, const ConstView& targets,
                   std::int64_t first_column, const View& max, const View& sum,
                   const View& picked);

/// max ← exp(max − global_max), the factor still missing from the exponentials; sum ← sum ·
/// max. picked −= global_max where this rank holds the target.
void softmax_rescale(const Exec& ex, const ConstView& global_max, const ConstView& targets,
                     std::int64_t first_column, std::int64_t columns, const View& max,
                     const View& sum, const View& picked);

/// total (fp64 [1]) += Σ over rows of log(sum) − picked.
void softmax_loss(const Exec& ex, const ConstView& sum, const ConstView& picked,
                  const View& total);

/// exponentials ← scale · scale_too · (softmax − onehot(target)). `factor` is max from
/// softmax_rescale; `sum` is the all-reduced one. scale_too: fp64 [1], empty for 1.
void softmax_gradient(const Exec& ex, const View& exponentials, const ConstView& targets,
                      std::int64_t first_column, const ConstView& factor, const ConstView& sum,
                      double scale, const ConstView& scale_too = {});

}  // namespace trireme::ops
