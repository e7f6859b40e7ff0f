// SPDX-License-Identifier: Apache-2.0
// Attention with cuDNN, if cuDNN is installed and can take the arrays.
#pragma once

#include <cuda_runtime.h>
#include <memory>

#include "trireme/backend/cuda.hpp"
#include "trireme/ops/attention.hpp"

#include "../runtime/workspace.hpp"

namespace trireme::cuda {

/// For bf16 and f16 on compute capability 9.0, without dropout and without shared keys. The
/// first call of a shape decides once for both passes. Results have the same bits in every run.
/// With `choice` cudnn, an unusable shape throws Error with the reason.
class CudnnAttention {
 public:
  CudnnAttention(const Workspace& workspace, FusedAttention choice);
  ~CudnnAttention();
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  /// Returns false, without queuing work, if the program's own kernels must run instead.
  [[nodiscard]] bool run(cudaStream_t stream, const ops::AttentionForward& op);
  [[nodiscard]] bool run(cudaStream_t stream, const ops::AttentionBackward& op);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trireme::cuda
