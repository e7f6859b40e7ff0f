// SPDX-License-Identifier: Apache-2.0
// What products reach on a device whose work is queued.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme {

/// Best rate of square products of type `type` with up to n rows, operations a second, over
/// about `seconds`, by the device's clock. On random numbers: GPUs are faster on zeros.
[[nodiscard]] double measure_device_gemm_rate(const Exec& ex, DType type, int n,
                                              double seconds);

}  // namespace trireme
