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
  TRM_CHECK(op.total.dtype() == DType::f64 && op.total.count() == 1 &&
                op.counted.dtype() == DType::f64 && op.counted.count() == 1,
            "loss of {} rows", op.sum.count());
  check_types(op.sum, {op.picked});
  ex.kernels.run(ex.stream, op);
}

void softmax_gradient(const Exec& ex, const SoftmaxGradient& op) {
  TRM_CHECK(
      op.scale_too.empty() || (op.scale_too.dtype() == DType::f64 && op.scale_too.count() == 1),
      "a factor {} {}", name_of(op.scale_too.dtype()), op.scale_too.shape().str());
  check_rows(op.exponentials.rows(), op.targets, {op.factor, op.sum});
  check_smoothing(op.smoothing);
  check_accumulators(op.exponentials, {op.factor, op.sum});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
