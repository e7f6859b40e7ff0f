// SPDX-License-Identifier: Apache-2.0
// Adds a bias to each row of a matrix.
#pragma once

#include <cuda_runtime.h>

#include "trireme/tensor/tensor.hpp"

namespace trireme::cuda {

/// Sets each row of c to bias, or adds bias to each row with `accumulate`. c has bias's type or
/// is fp32.
void put_bias(cudaStream_t stream, const ConstView& bias, const View& c, bool accumulate);

}  // namespace trireme::cuda
