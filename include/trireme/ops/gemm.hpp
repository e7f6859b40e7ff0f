// SPDX-License-Identifier: Apache-2.0
// Matrix products. Row-major; accumulation in fp32 (fp64 for fp64), rounded once at the end.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// c = op_a(a) op_b(b) + beta c + bias, where bias [n] (may be empty) is added to each row. a,
/// b and bias have one type, c has it too or its accumulator_type.
void gemm_into(const Exec& ex, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
               const View& c, double beta = 0, const ConstView& bias = {});

/// A new tensor op_a(a) op_b(b) + bias of a's type.
[[nodiscard]] Tensor gemm(const Exec& ex, const ConstView& a, Op op_a, const ConstView& b,
                          Op op_b, const ConstView& bias = {});

/// sum[n] += column sums of x [m, n]: the gradient of a bias. `sum` has x's type
/// or its accumulator_type; an empty one is left alone.
void accumulate_rows(const Exec& ex, const ConstView& x, const View& sum);

}  // namespace trireme::ops
