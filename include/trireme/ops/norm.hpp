// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba et al., arXiv 1607.06450) and RMSNorm (Zhang, Sennrich, arXiv 1910.07467). Over
// the last axis, y = (x − mean)·rstd·w + b with rstd = 1/√(var + ε); var is biased. RMSNorm
// takes mean = 0 and the mean square for var.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

struct NormForward {
  Norm kind;
  double epsilon;
  ConstView x;               ///< [rows, h]
  ConstView weight;          ///< [h]
  ConstView bias = {};       ///< [h]; may be empty
  double weight_offset = 0;  ///< added to each weight
  View y;                    ///< [rows, h]
  View statistics;           ///< [rows, 2] receives mean and rstd, in accumulator_type
};
void norm_forward(const Exec& ex, const NormForward& op);

/// sum = x + dropout(residual.add), followed by NormForward of the stored sum.
struct ResidualNormForward {
  Norm kind;
  double epsilon;
  ConstView x;  ///< [rows, h]
  Residual residual;
  ConstView weight;          ///< [h]
  ConstView bias = {};       ///< [h]; may be empty
  double weight_offset = 0;  ///< added to each weight
  View sum;                  ///< [rows, h]; may be x or residual.add
  View y;                    ///< [rows, h]
  View statistics;           ///< [rows, 2] receives mean and rstd, in accumulator_type
};
void residual_norm_forward(const Exec& ex, const ResidualNormForward& op);

/// dx = the gradient of x, plus `add` if not empty. `dweight` and `dbias` are accumulated into,
/// and have x's type or its accumulator_type.
struct NormBackward {
  Norm kind;
  ConstView dy;              ///< [rows, h]
  ConstView x;               ///< [rows, h]
  ConstView weight;          ///< [h]
  double weight_offset = 0;  ///< forward's
  ConstView statistics;      ///< forward's
  ConstView add = {};        ///< [rows, h]; may be empty
  View dx;                   ///< [rows, h]; may be `add`
  View dweight;              ///< [h]
  View dbias = {};           ///< [h]; may be empty
};
void norm_backward(const Exec& ex, const NormBackward& op);

}  // namespace trireme::ops
