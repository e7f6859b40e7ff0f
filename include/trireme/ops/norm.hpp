// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba et al., arXiv 1607.06450) and RMSNorm (Zhang and Sennrich, arXiv 1910.07467)
// over the last axis: y = (x − mean)·rstd·w + b, with rstd = 1/√(var + ε), the variance biased;
// RMSNorm takes mean = 0 and the mean square for the variance.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// x, y [rows, h]; weight, bias [h] (bias may be empty); statistics [rows, 2] receives mean,
/// rstd, in accumulator_type.
void norm_forward(const Exec& ex, Norm kind, double epsilon, const ConstView& x,
                  const ConstView& weight, const ConstView& bias, const View& y,
                  const View& statistics);

/// sum = x + dropout(residual.add), and norm_forward of the sum as it is stored. `sum` may be x
/// or residual.add.
void residual_norm_forward(const Exec& ex, Norm kind, double epsilon, const ConstView& x,
                           const Residual& residual, const ConstView& weight,
                           const ConstView& bias, const View& sum, const View& y,
                           const View& statistics);

/// dx = gradient (+ add, if not empty); dweight, dbias, of x's type or its
/// accumulator_type, are accumulated into. dx may be `add`.
void norm_backward(const Exec& ex, Norm kind, const ConstView& dy, const ConstView& x,
                   const ConstView& weight, const ConstView& statistics, const ConstView& add,
                   const View& dx, const View& dweight, const View& dbias);

}  // namespace trireme::ops
