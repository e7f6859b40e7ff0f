// SPDX-License-Identifier: Apache-2.0
// Checks arguments of GEMMs.
#include "trireme/ops/gemm.hpp"

#include "check.hpp"

namespace trireme::ops {

void gemm_into(const Exec& ex, const Gemm& op) {
  const std::int64_t m = op.op_a == Op::n ? op.a.rows() : op.a.cols();
  const std::int64_t k = op.op_a == Op::n ? op.a.cols() : op.a.rows();
  const std::int64_t kb = op.op_b == Op::n ? op.b.rows() : op.b.cols();
  const std::int64_t n = op.op_b == Op::n ? op.b.cols() : op.b.rows();
  TRM_CHECK(k == kb && op.c.rows() == m && op.c.cols() == n, "gemm of {} and {} into {}",
            op.a.shape().str(), op.b.shape().str(), op.c.shape().str());
  TRM_CHECK(op.bias.empty() || op.bias.count() == n, "a bias of {} for {} columns",
            op.bias.count(), n);
  check_types(op.a, {op.b, op.bias});
  check_types_or_accumulators(op.a, {op.c});
  check_contiguous({op.bias});
  ex.kernels.run(ex.stream, op);
}

Tensor gemm(const Exec& ex, const Gemm& op) {
  TRM_CHECK(op.c.empty() && op.beta == 0, "gemm makes c, and was given {}", op.c.shape().str());
  Tensor c = ex.make(op.a.dtype(), Shape{op.op_a == Op::n ? op.a.rows() : op.a.cols(),
                                         op.op_b == Op::n ? op.b.cols() : op.b.rows()});
  Gemm into = op;
  into.c = c;
  gemm_into(ex, into);
  return c;
}

void gemm_activation(const Exec& ex, const GemmActivation& op) {
  TRM_CHECK(!gated(op.kind) && op.x.cols() == op.weight.cols() &&
                op.before.rows() == op.x.rows() && op.before.cols() == op.weight.rows() &&
                op.y.rows() == op.x.rows() && op.y.cols() == op.weight.rows() &&
                (op.bias.empty() || op.bias.count() == op.weight.rows()),
            "{} by {}, activated, into {} and {}", op.x.shape().str(), op.weight.shape().str(),
            op.before.shape().str(), op.y.shape().str());
  check_types(op.x, {op.weight, op.bias, op.before, op.y});
  check_contiguous({op.bias});
  ex.kernels.run(ex.stream, op);
}

void gemm_activation_backward(const Exec& ex, const GemmActivationBackward& op) {
  TRM_CHECK(!gated(op.kind) && op.dy.cols() == op.weight.rows() &&
                op.before.rows() == op.dy.rows() && op.before.cols() == op.weight.cols() &&
                op.dx.rows() == op.dy.rows() && op.dx.cols() == op.weight.cols() &&
                op.dx.raw() != op.before.raw(),
            "the gradient of {} by {} through an activation of {} into {}", op.dy.shape().str(),
            op.weight.shape().str(), op.before.shape().str(), op.dx.shape().str());
  check_types(op.dy, {op.weight, op.before, op.dx});
  ex.kernels.run(ex.stream, op);
}

void accumulate_weight_gradient(const Exec& ex, const AccumulateWeightGradient& op) {
  TRM_CHECK(op.dy.rows() == op.x.rows() && op.dweight.rows() == op.dy.cols() &&
                op.dweight.cols() == op.x.cols() &&
                (op.dbias.empty() || op.dbias.count() == op.dy.cols()),
            "the gradient of weights {} from {} and {}", op.dweight.shape().str(),
            op.dy.shape().str(), op.x.shape().str());
  check_types(op.dy, {op.x});
  check_types_or_accumulators(op.dy, {op.dweight, op.dbias});
  check_contiguous({op.dbias});
  ex.kernels.run(ex.stream, op);
}

void accumulate_rows(const Exec& ex, const ConstView& x, const View& sum) {
  if (sum.empty()) return;
  TRM_CHECK(sum.count() == x.cols(), "column sums of {} into {}", x.shape().str(),
            sum.shape().str());
  check_types_or_accumulators(x, {sum});
  check_contiguous({sum});
  ex.kernels.run(ex.stream, AccumulateRows{.x = x, .sum = sum});
}

}  // namespace trireme::ops
