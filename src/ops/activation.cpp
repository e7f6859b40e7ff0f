// SPDX-License-Identifier: Apache-2.0
// Checks arguments of activations.
#include "trireme/ops/activation.hpp"

#include "check.hpp"

namespace trireme::ops {

namespace {

void check(Activation kind, const ConstView& x, const ConstView& y) {
  TRM_CHECK(x.rows() == y.rows() && x.cols() == (gated(kind) ? 2 : 1) * y.cols(),
            "activation of {} into {}", x.shape().str(), y.shape().str());
  check_types(x, {y});
}

}  // namespace

void activation_forward(const Exec& ex, const ActivationForward& op) {
  check(op.kind, op.x, op.y);
  ex.kernels.run(ex.stream, op);
}

void activation_backward(const Exec& ex, const ActivationBackward& op) {
  check(op.kind, op.x, op.dy);
  TRM_CHECK(op.dx.rows() == op.x.rows() && op.dx.cols() == op.x.cols(),
            "activation gradient of {} into {}", op.x.shape().str(), op.dx.shape().str());
  check_types(op.x, {op.dx});
  ex.kernels.run(ex.stream, op);
}

}  // namespace trireme::ops
