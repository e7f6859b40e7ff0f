// SPDX-License-Identifier: Apache-2.0
// GEMM of a few rows with a transposed matrix: the steps of generation.
#pragma once

#include "trireme/ops/gemm.hpp"

#include "windows.hpp"

namespace trireme::cpu {

/// Whether few_rows_gemm() takes a GEMM.
[[nodiscard]] bool has_few_rows(const ops::Gemm& op);

/// Computes c at the rate at which memory gives b. Bits of a row of c depend on neither the
/// other rows nor the number of threads.
void few_rows_gemm(const ops::Gemm& op, Scratch<float>& scratch);

}  // namespace trireme::cpu
