// SPDX-License-Identifier: Apache-2.0
// Checks arguments of GEMMs.
#include "trireme/ops/gemm.hpp"

#include "check.hpp"

namespace trireme::ops {

void gemm_into(const Exec& ex, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
               const View& c, double beta, const ConstView& bias) {
  const std::int64_t m = op_a == Op::n ? a.rows() : a.cols();
  const std::int64_t k = op_a == Op::n ? a.cols() : a.rows();
  const std::int64_t kb = op_b == Op::n ? b.rows() : b.cols();
  const std::int64_t n = op_b == Op::n ? b.cols() : b.rows();
  TRM_CHECK(k == kb && c.rows() == m && c.cols() == n, "gemm of {} and {} into {}",
            a.shape().str(), b.shape().str(), c.shape().str());
  TRM_CHECK(bias.empty() || bias.count() == n, "a bias of {} for {} columns", bias.count(), n);
  check_types(a, {b, bias});
  check_types_or_accumulators(a, {c});
  check_contiguous({bias});
  ex.kernels.gemm(ex.stream, a, op_a, b, op_b, c, beta, bias);
}

Tensor gemm(const Exec& ex, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
            const ConstView& bias) {
  Tensor c = ex.make(a.dtype(), Shape{op_a == Op::n ? a.rows() : a.cols(),
                                      op_b == Op::n ? b.cols() : b.rows()});
  gemm_into(ex, a, op_a, b, op_b, c, 0, bias);
  return c;
}

void gemm_activation(const Exec& ex, const ConstView& x, const ConstView& weight,
                     const ConstView& bias, Activation kind, const View& before,
                     const View& y) {
  TRM_CHECK(!gated(kind) && x.cols() == weight.cols() && before.rows() == x.rows() &&
                before.cols() == weight.rows() && y.rows() == x.rows() &&
                y.cols() == weight.rows() && (bias.empty() || bias.count() == weight.rows()),
            "{} by {}, activated, into {} and {}", x.shape().str(), weight.shape().str(),
            before.shape().str(), y.shape().str());
  check_types(x, {weight, bias, before, y});
  check_contiguous({bias});
  ex.kernels.gemm_activation(ex.stream, x, weight, bias, kind, before, y);
}

void gemm_activation_backward(const Exec& ex, const ConstView& dy, const ConstView& weight,
                              Activation kind, const ConstView& before, const View& dx) {
  TRM_CHECK(!gated(kind) && dy.cols() == weight.rows() && before.rows() == dy.rows() &&
                before.cols() == weight.cols() && dx.rows() == dy.rows() &&
                dx.cols() == weight.cols() && dx.raw() != before.raw(),
            "the gradient of {} by {} through an activation of {} into {}", dy.shape().str(),
            weight.shape().str(), before.shape().str(), dx.shape().str());
  check_types(dy, {weight, before, dx});
  ex.kernels.gemm_activation_backward(ex.stream, dy, weight, kind, before, dx);
}

void accumulate_weight_gradient(const Exec& ex, const ConstView& dy, const ConstView& x,
                                const View& dweight, const View& dbias) {
  TRM_CHECK(dy.rows() == x.rows() && dweight.rows() == dy.cols() &&
                dweight.cols() == x.cols() && (dbias.empty() || dbias.count() == dy.cols()),
            "the gradient of weights {} from {} and {}", dweight.shape().str(),
            dy.shape().str(), x.shape().str());
  check_types(dy, {x});
  check_types_or_accumulators(dy, {dweight, dbias});
  check_contiguous({dbias});
  ex.kernels.accumulate_weight_gradient(ex.stream, dy, x, dweight, dbias);
}

void accumulate_rows(const Exec& ex, const ConstView& x, const View& sum) {
  if (sum.empty()) return;
  TRM_CHECK(sum.count() == x.cols(), "column sums of {} into {}", x.shape().str(),
            sum.shape().str());
  check_types_or_accumulators(x, {sum});
  check_contiguous({sum});
  ex.kernels.accumulate_rows(ex.stream, x, sum);
}

}  // namespace trireme::ops
