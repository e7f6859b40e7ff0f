// SPDX-License-Identifier: Apache-2.0
// The GEMM rate of a device whose work is queued.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme {

/// The best rate of square GEMMs of type `type` with up to n rows, in operations a second.
/// Measures by the device's clock over about `seconds`. Inputs are random: GPUs are faster on
/// zeros.
[[nodiscard]] double measure_device_gemm_rate(const Exec& ex, DType type, int n,
                                              double seconds);

}  // namespace trireme
