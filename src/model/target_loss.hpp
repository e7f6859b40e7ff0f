// SPDX-License-Identifier: Apache-2.0
// The loss of logits against targets, whose columns may be sharded over tp.
#pragma once

#include "trireme/model/seam.hpp"
#include "trireme/model/tape.hpp"
#include "trireme/ops/cross_entropy.hpp"

namespace trireme {

/// Where logits stand: a rank of tp has columns from `first_column` on.
struct LossPlace {
  const MicroBatch& mb;
  TensorParallel tp;  ///< one rank alone if each rank has all columns
  std::int64_t first_column = 0;
  ops::LabelSmoothing smoothing{};  ///< in training
};

/// Adds the loss of some rows to the micro-batch's sums. In training, their gradient replaces
/// the logits. `targets` are int32 [rows, 1].
void target_loss(const Exec& ex, const LossPlace& at, const View& logits,
                 const ConstView& targets);

/// Writes logits of rows from `first_row` on to MicroBatch::class_logits, if an evaluation
/// asked for these.
void keep_class_logits(const Exec& ex, const LossPlace& at, const ConstView& logits,
                       std::int64_t first_row);
/// Makes MicroBatch::class_logits whole on every rank. Call after all rows.
void share_class_logits(const LossPlace& at);

}  // namespace trireme
