// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba et al., arXiv 1607.06450) and RMSNorm (Zhang, Sennrich, arXiv 1910.07467). Over
// the last axis, y = (x − mean)·rstd·w + b with rstd = 1/√(var + ε); var is biased. RMSNorm
// takes mean = 0 and the mean square for var.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// x, y [rows, h]; weight, bias [h]; bias may be empty. statistics [rows, 2] receives mean and
/// rstd, in accumulator_type.
void norm_forward(const Exec& ex, Norm kind, double epsilon, const ConstView& x,
                  const ConstView& weight, const ConstView& bias, const View& y,
                  const View& statistics);

/// sum = x + dropout(residual.add), followed by norm_forward of the stored sum. `sum` may be x
/// or residual.add.
void residual_norm_forward(const Exec& ex, Norm kind, double epsilon, const ConstView& x,
                           const Residual& residual, const ConstView& weight,
                           const ConstView& bias, const View& sum, const View& y,
                           const View& statistics);

/// dx = the gradient of x, plus `add` if not empty; dx may be `add`. `dweight` and `dbias` are
/// accumulated into, and have x's type or its accumulator_type.
void norm_backward(const Exec& ex, Norm kind, const ConstView& dy, const ConstView& x,
                   const ConstView& weight, const ConstView& statistics, const ConstView& add,
                   const View& dx, const View& dweight, const View& dbias);

}  // namespace trireme::ops
