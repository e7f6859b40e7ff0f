// SPDX-License-Identifier: Apache-2.0
// Checks arguments of the norms.
#include "trireme/ops/norm.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

template <class Operation>
void check_forward(const Operation& op) {
  TRM_CHECK(op.y.rows() == op.x.rows() && op.y.cols() == op.x.cols() &&
                op.weight.count() == op.x.cols() &&
                (op.bias.empty() || op.bias.count() == op.x.cols()) &&
                op.statistics.rows() == op.x.rows() && op.statistics.cols() == 2,
            "norm of {} with weight {} into {}", op.x.shape().str(), op.weight.shape().str(),
            op.y.shape().str());
  check_types(op.x, {op.weight, op.bias, op.y});
  check_accumulators(op.x, {op.statistics});
  check_contiguous({op.weight, op.bias});
}

}  // namespace

void norm_forward(const Exec& ex, const NormForward& op) {
  check_forward(op);
  ex.kernels.run(ex.stream, op);
}

void residual_norm_forward(const Exec& ex, const ResidualNormForward& op) {
  check_forward(op);
  const auto fits = [&](const ConstView& v) {
    return v.rows() == op.x.rows() && v.cols() == op.x.cols();
  };
  TRM_CHECK(fits(op.residual.add) && fits(op.sum), "norm of {} + {} into {}",
            op.x.shape().str(), op.residual.add.shape().str(), op.sum.shape().str());
  check_types(op.x, {op.residual.add, op.sum});
  ex.kernels.run(ex.stream, op);
}

void norm_backward(const Exec& ex, const NormBackward& op) {
  TRM_CHECK(
      op.dy.rows() == op.x.rows() && op.dy.cols() == op.x.cols() &&
          op.dx.rows() == op.x.rows() && op.dx.cols() == op.x.cols() &&
          op.weight.count() == op.x.cols() && op.dweight.count() == op.x.cols() &&
          (op.dbias.empty() || op.dbias.count() == op.x.cols()) &&
          (op.add.empty() || (op.add.rows() == op.x.rows() && op.add.cols() == op.x.cols())),
      "norm gradient of {} from {}", op.x.shape().str(), op.dy.shape().str());
  check_types(op.x, {op.dy, op.weight, op.add, op.dx});
  check_accumulators(op.x, {op.statistics});
  check_types_or_accumulators(op.x, {op.dweight, op.dbias});
  check_contiguous({op.weight, op.dweight, op.dbias});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
