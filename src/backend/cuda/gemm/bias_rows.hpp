// SPDX-License-Identifier: Apache-2.0
// Rows that a product is added to.
#pragma once

#include <cuda_runtime.h>

#include "trireme/tensor/tensor.hpp"

namespace trireme::cuda {

/// Each row of c = bias, or += bias with `accumulate`. c has bias's type or is fp32.
void put_bias(cudaStream_t stream, const ConstView& bias, const View& c, bool accumulate);

}  // namespace trireme::cuda
