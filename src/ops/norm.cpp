// SPDX-License-Identifier: Apache-2.0
// Checks arguments of the norms.
#include "trireme/ops/norm.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check_forward(const ConstView& x, const ConstView& weight, const ConstView& bias,
                   const View& y, const View& statistics) {
  TRM_CHECK(y.rows() == x.rows() && y.cols() == x.cols() && weight.count() == x.cols() &&
                (bias.empty() || bias.count() == x.cols()) && statistics.rows() == x.rows() &&
                statistics.cols() == 2,
            "norm of {} with weight {} into {}", x.shape().str(), weight.shape().str(),
            y.shape().str());
  check_types(x, {weight, bias, y});
  check_accumulators(x, {statistics});
  check_contiguous({weight, bias});
}

}  // namespace

void norm_forward(const Exec& ex, Norm kind, double epsilon, const ConstView& x,
                  const ConstView& weight, const ConstView& bias, const View& y,
                  const View& statistics) {
  check_forward(x, weight, bias, y, statistics);
  ex.kernels.norm_forward(ex.stream, kind, epsilon, x, weight, bias, y, statistics);
}

void residual_norm_forward(const Exec& ex, Norm kind, double epsilon, const ConstView& x,
                           const Residual& residual, const ConstView& weight,
                           const ConstView& bias, const View& sum, const View& y,
                           const View& statistics) {
  check_forward(x, weight, bias, y, statistics);
  const auto fits = [&](const ConstView& v) {
    return v.rows() == x.rows() && v.cols() == x.cols();
  };
  TRM_CHECK(fits(residual.add) && fits(sum), "norm of {} + {} into {}", x.shape().str(),
            residual.add.shape().str(), sum.shape().str());
  check_types(x, {residual.add, sum});
  ex.kernels.residual_norm_forward(ex.stream, kind, epsilon, x, residual, weight, bias, sum, y,
                                   statistics);
}

void norm_backward(const Exec& ex, Norm kind, const ConstView& dy, const ConstView& x,
                   const ConstView& weight, const ConstView& statistics, const ConstView& add,
                   const View& dx, const View& dweight, const View& dbias) {
  TRM_CHECK(dy.rows() == x.rows() && dy.cols() == x.cols() && dx.rows() == x.rows() &&
                dx.cols() == x.cols() && weight.count() == x.cols() &&
                dweight.count() == x.cols() && (dbias.empty() || dbias.count() == x.cols()) &&
                (add.empty() || (add.rows() == x.rows() && add.cols() == x.cols())),
            "norm gradient of {} from {}", x.shape().str(), dy.shape().str());
  check_types(x, {dy, weight, add, dx});
  check_accumulators(x, {statistics});
  check_types_or_accumulators(x, {dweight, dbias});
  check_contiguous({weight, dweight, dbias});
  ex.kernels.norm_backward(ex.stream, kind, dy, x, weight, statistics, add, dx, dweight, dbias);
}

}  // namespace trireme::ops
