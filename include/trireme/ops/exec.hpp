// SPDX-License-Identifier: Apache-2.0
// Exec: where an operation runs.
#pragma once

#include "trireme/core/random.hpp"
#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// Device, kernels and stream that an operation uses, and the seed that its random numbers
/// take. Operations allocate their results on `device` and queue their work on `stream`.
struct Exec {
  Device& device;
  Kernels& kernels;
  Stream& stream;
  std::uint64_t seed = 0;

  [[nodiscard]] Tensor make(DType dtype, const Shape& shape) const {
    return {device, dtype, shape};
  }
  [[nodiscard]] Tensor zeros(DType dtype, const Shape& shape) const {
    return Tensor::zeros(device, dtype, shape, stream);
  }
};

}  // namespace trireme
