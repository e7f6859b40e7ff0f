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

void activation_forward(const Exec& ex, Activation kind, const ConstView& x, const View& y) {
  check(kind, x, y);
  ex.kernels.activation_forward(ex.stream, kind, x, y);
}

void activation_backward(const Exec& ex, Activation kind, const ConstView& x,
                         const ConstView& dy, const View& dx) {
  check(kind, x, dy);
  TRM_CHECK(dx.rows() == x.rows() && dx.cols() == x.cols(), "activation gradient of {} into {}",
            x.shape().str(), dx.shape().str());
  check_types(x, {dx});
  ex.kernels.activation_backward(ex.stream, kind, x, dy, dx);
}

}  // namespace trireme::ops
