// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy over a vocabulary that may be sharded across ranks (Megatron-LM, arXiv
// 1909.08053, section 3). In place: the logits become exponentials, and these their gradient.
// With m = max over all ranks and S = Σ exp(z − m): loss = log S − (z_target − m). Call
// softmax_local, all-reduce max, call softmax_rescale, and all-reduce the sum of (sum, picked).
// Call softmax_loss and softmax_gradient last. Each rank holds columns [first_column,
// first_column + n). Targets are int32 [rows]; the row of a target below 0 doesn't count.
// Arrays with one value per row have accumulator_type of the logits.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// Label smoothing (Szegedy et al., arXiv 1512.00567): each class has `share` / `classes` of
/// the target, and the sample's own class has 1 − share besides.
struct LabelSmoothing {
  double share = 0;
  std::int64_t classes = 1;  ///< over all ranks

  [[nodiscard]] double own() const { return 1 - share; }
  [[nodiscard]] double each() const { return share / static_cast<double>(classes); }
};

/// logits ← exp(logits − max).
struct SoftmaxLocal {
  View logits;  ///< [rows, n], n ≥ 1
  ConstView targets;
  std::int64_t first_column;
  View max;  ///< [rows], over this rank's columns
  View sum;  ///< [rows], over this rank's columns, before any rounding to the logits' type
  /// [rows], the target's logit, or 0 if another rank holds the target. With smoothing the
  /// logits' sum, each with its share of the target.
  View picked;
  LabelSmoothing smoothing = {};
};
void softmax_local(const Exec& ex, const SoftmaxLocal& op);

/// max ← exp(max − global_max), the factor still missing from the exponentials; sum ← sum ·
/// max. picked −= global_max · this rank's share of the target.
struct SoftmaxRescale {
  ConstView global_max;  ///< [rows], over all ranks
  ConstView targets;
  std::int64_t first_column;
  std::int64_t columns;  ///< n
  View max;
  View sum;
  View picked;
  LabelSmoothing smoothing = {};
};
void softmax_rescale(const Exec& ex, const SoftmaxRescale& op);

/// Over rows that count: total += Σ log(sum) − picked, and counted += 1 for each.
struct SoftmaxLoss {
  ConstView sum;      ///< [rows], over all ranks
  ConstView picked;   ///< [rows], over all ranks
  ConstView targets;  ///< [rows]
  View total;         ///< fp64 [1]
  View counted;       ///< fp64 [1]
};
void softmax_loss(const Exec& ex, const SoftmaxLoss& op);

/// exponentials ← scale · scale_too · (softmax − target), or 0 in rows that don't count. A
/// target is 1 for its class, unless it is smoothed.
struct SoftmaxGradient {
  View exponentials;  ///< [rows, n], the logits of softmax_local
  ConstView targets;
  std::int64_t first_column;
  ConstView factor;  ///< [rows], max of softmax_rescale
  ConstView sum;     ///< [rows], over all ranks
  double scale;
  ConstView scale_too = {};  ///< fp64 [1]; empty for 1
  LabelSmoothing smoothing = {};
};
void softmax_gradient(const Exec& ex, const SoftmaxGradient& op);

/// All of these for a rank that holds every column. A backend may read the logits only once.
/// logits ← scale · scale_too · (softmax − onehot(target)), or 0 in rows that don't count.
struct SoftmaxLossGradient {
  View logits;        ///< [rows, n], n ≥ 1
  ConstView targets;  ///< [rows]
  View max;           ///< [rows], scratch
  View sum;           ///< [rows], scratch
  View picked;        ///< [rows], scratch
  View total;         ///< fp64 [1], as in SoftmaxLoss
  View counted;       ///< fp64 [1]
  double scale;
  ConstView scale_too = {};  ///< fp64 [1]; empty for 1
};
void softmax_loss_gradient(const Exec& ex, const SoftmaxLossGradient& op);

}  // namespace trireme::ops
