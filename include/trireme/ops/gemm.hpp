// SPDX-License-Identifier: Apache-2.0
// GEMMs of row-major arrays. Accumulation is in fp32 (fp64 for fp64), rounded once at the end.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// c = alpha op_a(a) op_b(b) + beta c + bias. `a`, `b` and `bias` share one type.
struct Gemm {
  ConstView a;  ///< [m, k], or [k, m] if op_a is t
  Op op_a = Op::n;
  ConstView b;  ///< [k, n], or [n, k] if op_b is t
  Op op_b = Op::n;
  View c = {};  ///< [m, n], in a's type or its accumulator_type
  double alpha = 1;
  double beta = 0;
  ConstView bias = {};  ///< [n], added to each row; may be empty
};
void gemm_into(const Exec& ex, const Gemm& op);

/// Returns a new c of a's type. The caller leaves `c` and `beta` out.
[[nodiscard]] Tensor gemm(const Exec& ex, const Gemm& op);

/// before = x weightᵀ + bias and y = kind(before), all of one type.
struct GemmActivation {
  Activation kind;      ///< not gated
  ConstView x;          ///< [m, k]
  ConstView weight;     ///< [n, k]
  ConstView bias = {};  ///< [n]; may be empty
  View before;          ///< [m, n]
  View y;               ///< [m, n]
};
void gemm_activation(const Exec& ex, const GemmActivation& op);

/// dx = (dy weight) ∘ kind'(before), all of one type.
struct GemmActivationBackward {
  Activation kind;   ///< not gated
  ConstView dy;      ///< [m, k]
  ConstView weight;  ///< [k, n]
  ConstView before;  ///< [m, n]
  View dx;           ///< [m, n]; not `before`
};
void gemm_activation_backward(const Exec& ex, const GemmActivationBackward& op);

/// dweight += dyᵀ x and dbias += column sums of dy. Results have dy's type or its
/// accumulator_type.
struct AccumulateWeightGradient {
  ConstView dy;     ///< [m, n]
  ConstView x;      ///< [m, k], in dy's type
  View dweight;     ///< [n, k]
  View dbias = {};  ///< [n]; may be empty
};
void accumulate_weight_gradient(const Exec& ex, const AccumulateWeightGradient& op);

/// sum += column sums of x: the gradient of a bias.
struct AccumulateRows {
  ConstView x;  ///< [m, n]
  View sum;     ///< [n], in x's type or its accumulator_type; left alone if empty
};
void accumulate_rows(const Exec& ex, const ConstView& x, const View& sum);

}  // namespace trireme::ops
