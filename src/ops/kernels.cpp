// SPDX-License-Identifier: Apache-2.0
// Runs operations that a backend may fuse as a sequence of simple ones.
#include "trireme/ops/kernels.hpp"

namespace trireme {

void Kernels::gemm_activation(Stream& s, const ConstView& x, const ConstView& weight,
                              const ConstView& bias, Activation kind, const View& before,
                              const View& y) {
  gemm(s, x, Op::n, weight, Op::t, before, 0, bias);
  activation_forward(s, kind, before, y);
}

void Kernels::gemm_activation_backward(Stream& s, const ConstView& dy, const ConstView& weight,
                                       Activation kind, const ConstView& before,
                                       const View& dx) {
  gemm(s, dy, Op::n, weight, Op::n, dx, 0, {});
  activation_backward(s, kind, before, dx, dx);
}

void Kernels::accumulate_weight_gradient(Stream& s, const ConstView& dy, const ConstView& x,
                                         const View& dweight, const View& dbias) {
  if (!dbias.empty()) accumulate_rows(s, dy, dbias);
  gemm(s, dy, Op::t, x, Op::n, dweight, 1, {});
}

void Kernels::residual_norm_forward(Stream& s, Norm kind, double epsilon, const ConstView& x,
                                    const Residual& residual, const ConstView& weight,
                                    const ConstView& bias, const View& sum, const View& y,
                                    const View& statistics) {
  if (residual.dropout.probability > 0) {
    dropout(s, residual.add, residual.dropout, x, sum);
  } else {
    add(s, x, residual.add, sum);
  }
  norm_forward(s, kind, epsilon, sum, weight, bias, y, statistics);
}

}  // namespace trireme
