// SPDX-License-Identifier: Apache-2.0
// Cross entropy of a chunk of rows, and the logits that an evaluation keeps.
#include "target_loss.hpp"

#include "trireme/ops/elementwise.hpp"

namespace trireme {

void target_loss(const Exec& ex, const LossPlace& at, const View& logits,
                 const ConstView& targets) {
  const std::int64_t n = logits.rows();
  const MicroBatch& mb = at.mb;
  const std::int64_t first = at.first_column;
  const ops::LabelSmoothing smoothing = mb.training ? at.smoothing : ops::LabelSmoothing{};
  const DType sums_type = accumulator_type(logits.dtype());
  const Tensor max = ex.make(sums_type, Shape{n});
  const Tensor sums = ex.make(sums_type, Shape{2, n});  // exponentials; targets' logits
  const View sum = sums.view().slice_rows(0, 1);
  const View picked = sums.view().slice_rows(1, 1);
  // The single call takes whole rows and plain targets.
  if (mb.training && at.tp.size() == 1 && smoothing.share == 0) {
    ops::softmax_loss_gradient(ex, {.logits = logits,
                                    .targets = targets,
                                    .max = max,
                                    .sum = sum,
                                    .picked = picked,
                                    .total = mb.token_loss_sum(),
                                    .counted = mb.counted_targets(),
                                    .scale = mb.loss_weight,
                                    .scale_too = mb.loss_scale});
    return;
  }
  ops::softmax_local(ex, {.logits = logits,
                          .targets = targets,
                          .first_column = first,
                          .max = max,
                          .sum = sum,
                          .picked = picked,
                          .smoothing = smoothing});
  const Tensor global_max = ex.make(sums_type, Shape{n});
  ex.device.copy(global_max.view().raw(), max.view().raw(), max.view().bytes(), ex.stream);
  if (at.tp.size() > 1) at.tp.comm->all_reduce(global_max, Reduction::max);
  ops::softmax_rescale(ex, {.global_max = global_max,
                            .targets = targets,
                            .first_column = first,
                            .columns = logits.cols(),
                            .max = max,
                            .sum = sum,
                            .picked = picked,
                            .smoothing = smoothing});
  if (at.tp.size() > 1) at.tp.comm->all_reduce(sums, Reduction::sum);
  ops::softmax_loss(ex, {.sum = sum,
                         .picked = picked,
                         .targets = targets,
                         .total = mb.token_loss_sum(),
                         .counted = mb.counted_targets()});
  if (mb.training) {
    ops::softmax_gradient(ex, {.exponentials = logits,
                               .targets = targets,
                               .first_column = first,
                               .factor = max,
                               .sum = sum,
                               .scale = mb.loss_weight,
                               .scale_too = mb.loss_scale,
                               .smoothing = smoothing});
  }
}

void keep_class_logits(const Exec& ex, const LossPlace& at, const ConstView& logits,
                       std::int64_t first_row) {
  if (!at.mb.class_logits.defined()) return;
  ops::cast(ex, logits,
            at.mb.class_logits.view()
                .slice_rows(first_row, logits.rows())
                .slice_cols(at.first_column, logits.cols()));
}

void share_class_logits(const LossPlace& at) {
  if (!at.mb.class_logits.defined() || at.tp.size() == 1) return;
  at.tp.comm->all_reduce(at.mb.class_logits, Reduction::sum);  // others' columns are zeros
}

}  // namespace trireme
