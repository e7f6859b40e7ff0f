// SPDX-License-Identifier: Apache-2.0
// GEMM in half precision with fp32 accumulation.
#pragma once

#include "trireme/ops/types.hpp"

#include "windows.hpp"

namespace trireme::cpu {

/// c = op_a(a) op_b(b) + beta c + bias, as ops/gemm.hpp defines it. `a`, `b` and `bias` share
/// one half-precision type; c has that type or fp32. `scratch` grows to 12 MiB at most. Results
/// have equal bits for any number of threads.
void half_gemm(const ConstView& a, Op op_a, const ConstView& b, Op op_b, const View& c,
               double beta, const ConstView& bias, Scratch<float>& scratch);

}  // namespace trireme::cpu
