// SPDX-License-Identifier: Apache-2.0
// State of the CUDA backend's kernels: workspace, GEMM and cuDNN's attention.
#include "kernels.hpp"

#include "../attention/cudnn.hpp"
#include "../gemm/gemm.hpp"
#include "../runtime/check.hpp"
#include "../runtime/tuning.hpp"
#include "../runtime/workspace.hpp"

namespace trireme {

namespace cuda {

void* Workspace::take(std::size_t bytes) const {
  TRM_REQUIRE(bytes <= buffer_.bytes(),
              "an operation needs {} MiB of workspace, there are {}: its arrays are too large; "
              "use a smaller micro-batch",
              bytes >> 20U, buffer_.bytes() >> 20U);
  return buffer_.data();
}

CudaKernels::CudaKernels(Device& device, const CudaOptions& options)
    : tuning_(std::make_unique<const Tuning>(tuning_of_environment())),
      workspace_(std::make_unique<Workspace>(device)),
      gemm_(std::make_unique<Gemm>(*workspace_, options, *tuning_)),
      cudnn_attention_(std::make_unique<CudnnAttention>(*workspace_, options.attention)) {}

CudaKernels::~CudaKernels() = default;

}  // namespace cuda

std::unique_ptr<Kernels> make_cuda_kernels(Device& device, const CudaOptions& options) {
  TRM_CHECK(device.kind() == DeviceKind::cuda, "CUDA's kernels on {}", device.name());
  return std::make_unique<cuda::CudaKernels>(device, options);
}

}  // namespace trireme
