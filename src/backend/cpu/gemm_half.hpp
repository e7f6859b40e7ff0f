// SPDX-License-Identifier: Apache-2.0
// GEMM in half precision with fp32 accumulation.
#pragma once

#include "trireme/ops/gemm.hpp"

#include "windows.hpp"

namespace trireme::cpu {

/// Runs a GEMM whose `a`, `b` and `bias` have one half-precision type; c has that type or fp32.
/// `scratch` grows to 12 MiB at most. Results have equal bits for any number of threads.
void half_gemm(const ops::Gemm& op, Scratch<float>& scratch);

}  // namespace trireme::cpu
