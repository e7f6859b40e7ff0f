// SPDX-License-Identifier: Apache-2.0
// GEMMs of row-major arrays. Accumulation is in fp32 (fp64 for fp64), rounded once at the end.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// c = op_a(a) op_b(b) + beta c + bias, where bias [n] is added to each row and may be empty.
/// `a`, `b` and `bias` share one type; c has that type or its accumulator_type.
void gemm_into(const Exec& ex, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
               const View& c, double beta = 0, const ConstView& bias = {});

/// Returns a new tensor op_a(a) op_b(b) + bias of a's type.
[[nodiscard]] Tensor gemm(const Exec& ex, const ConstView& a, Op op_a, const ConstView& b,
                          Op op_b, const ConstView& bias = {});

/// before = x weightᵀ + bias and y = kind(before). `bias` may be empty; kind must not be gated.
/// Shapes are x [m, k], weight [n, k], before and y [m, n], all of one type.
void gemm_activation(const Exec& ex, const ConstView& x, const ConstView& weight,
                     const ConstView& bias, Activation kind, const View& before, const View& y);
/// dx = (dy weight) ∘ kind'(before). dy [m, k], weight [k, n], before and dx [m, n].
void gemm_activation_backward(const Exec& ex, const ConstView& dy, const ConstView& weight,
                              Activation kind, const ConstView& before, const View& dx);
/// dweight [n, k] += dyᵀ x and dbias [n] += column sums of dy; dbias may be empty. `dy` [m, n]
/// and `x` [m, k] share a type; results have that type or its accumulator_type.
void accumulate_weight_gradient(const Exec& ex, const ConstView& dy, const ConstView& x,
                                const View& dweight, const View& dbias);

/// sum [n] += column sums of x [m, n]: the gradient of a bias. `sum` has x's type or its
/// accumulator_type; an empty `sum` is left alone.
void accumulate_rows(const Exec& ex, const ConstView& x, const View& sum);

}  // namespace trireme::ops
