// SPDX-License-Identifier: Apache-2.0
// The GPU, real or emulated, whose kernels are compared with the CPU's.
#pragma once

#include "trireme/backend/cuda.hpp"

#include "../../ops/numerics.hpp"

namespace trireme::test {

inline const Exec& gpu() {
  static const std::unique_ptr<Device> device = make_cuda_device(0);
  static const std::unique_ptr<Stream> stream = device->make_stream();
  static const std::unique_ptr<Kernels> kernels = make_cuda_kernels(*device, {});
  static const Exec ex{*device, *kernels, *stream};
  return ex;
}

/// Copies a contiguous array to the GPU.
inline Tensor on_gpu(const Tensor& t) {
  Tensor copy(gpu().device, t.dtype(), t.shape());
  gpu().device.copy_from_host(copy.view().raw(), t.view().raw(), t.view().bytes(),
                              gpu().stream);
  gpu().stream.synchronize();
  return copy;
}
inline Tensor on_cpu(const Tensor& t) {
  Tensor copy(cpu().device, t.dtype(), t.shape());
  gpu().device.copy_to_host(copy.view().raw(), t.view().raw(), t.view().bytes(), gpu().stream);
  gpu().stream.synchronize();
  return copy;
}

}  // namespace trireme::test
