// SPDX-License-Identifier: Apache-2.0
// Exec: the device, kernels and stream of an operation.
#pragma once

#include "trireme/core/random.hpp"
#include "trireme/device/device.hpp"
#include "trireme/ops/kernels.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// What an operation runs with: device, kernels, stream, and the seed of its random numbers.
/// Operations allocate results on `device` and queue work on `stream`.
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
