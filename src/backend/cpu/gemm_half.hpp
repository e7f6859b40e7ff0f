// SPDX-License-Identifier: Apache-2.0
// Products of half-type matrices, in fp32.
#pragma once

#include "trireme/ops/types.hpp"

#include "windows.hpp"

namespace trireme::cpu {

/// c = op_a(a) op_b(b) + beta c + bias for a, b and bias of one half type, c of it or fp32, as
/// ops/gemm.hpp defines it. `scratch` holds about 12 MiB at most. The same bits on any number
/// of threads.
void half_gemm(const ConstView& a, Op op_a, const ConstView& b, Op op_b, const View& c,
               double beta, const ConstView& bias, Scratch<float>& scratch);

}  // namespace trireme::cpu
