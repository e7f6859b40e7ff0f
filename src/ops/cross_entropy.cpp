// SPDX-License-Identifier: Apache-2.0
// Checks arguments of the sharded cross-entropy.
#include "trireme/ops/cross_entropy.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_rows(std::int64_t rows, const ConstView& targets,
                std::initializer_list<ConstView> per_row) {
  TRM_CHECK(targets.dtype() == DType::i32 && targets.count() == rows, "{} targets for {} rows",
            targets.count(), rows);
  check_contiguous({targets});
  check_contiguous(per_row);
  for (const ConstView& v : per_row) {
    TRM_CHECK(v.count() == rows, "{} values for {} rows", v.count(), rows);
  }
}

void check_smoothing(const LabelSmoothing& s) {
  TRM_CHECK(s.share >= 0 && s.share < 1 && s.classes > 0, "label smoothing {} of {} classes",
            s.share, s.classes);
}

void check_single(const ConstView& v) {
  TRM_CHECK(v.dtype() == DType::f64 && v.count() == 1, "a loss or factor {} {}",
            name_of(v.dtype()), v.shape().str());
}

}  // namespace

void softmax_local(const Exec& ex, const SoftmaxLocal& op) {
  check_rows(op.logits.rows(), op.targets, {op.max, op.sum, op.picked});
  TRM_CHECK(op.logits.cols() > 0, "softmax over no column");
  check_smoothing(op.smoothing);
  check_accumulators(op.logits, {op.max, op.sum, op.picked});
  ex.kernels.run(ex.stream, op);
}

void softmax_rescale(const Exec& ex, const SoftmaxRescale& op) {
  check_rows(op.global_max.count(), op.targets, {op.global_max, op.max, op.sum, op.picked});
  check_types(op.global_max, {op.max, op.sum, op.picked});
  check_smoothing(op.smoothing);
  ex.kernels.run(ex.stream, op);
}

void softmax_loss(const Exec& ex, const SoftmaxLoss& op) {
  check_rows(op.sum.count(), op.targets, {op.sum, op.picked});
  check_single(op.total);
  check_single(op.counted);
  check_types(op.sum, {op.picked});
  ex.kernels.run(ex.stream, op);
}

void softmax_loss_gradient(const Exec& ex, const SoftmaxLossGradient& op) {
  check_rows(op.logits.rows(), op.targets, {op.max, op.sum, op.picked});
  TRM_CHECK(op.logits.cols() > 0, "softmax over no column");
  check_accumulators(op.logits, {op.max, op.sum, op.picked});
  check_single(op.total);
  check_single(op.counted);
  if (!op.scale_too.empty()) check_single(op.scale_too);
  ex.kernels.run(ex.stream, op);
}

void softmax_gradient(const Exec& ex, const SoftmaxGradient& op) {
  if (!op.scale_too.empty()) check_single(op.scale_too);
  check_rows(op.exponentials.rows(), op.targets, {op.factor, op.sum});
  check_smoothing(op.smoothing);
  check_accumulators(op.exponentials, {op.factor, op.sum});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
