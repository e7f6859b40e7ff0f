// SPDX-License-Identifier: Apache-2.0
// Attention by cuDNN, where it is found when the program runs and takes the arrays.
#pragma once

#include <cuda_runtime.h>
#include <memory>

#include "trireme/backend/cuda.hpp"

#include "../runtime/workspace.hpp"

namespace trireme::cuda {

/// For bf16 and f16 on compute capability 9.0 without dropout and without shared keys. Every
/// shape is decided on at its first call, for good and for both passes, and has the same bits
/// in every run. Where `choice` is cudnn, Error says why a shape can't be had.
class CudnnAttention {
 public:
  CudnnAttention(const Workspace& workspace, FusedAttention choice);
  ~CudnnAttention();
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  /// False, and nothing is queued, where our own kernels are to be taken.
  [[nodiscard]] bool forward(cudaStream_t stream, const ConstView& qkv,
                             const AttentionShape& shape, const Dropout& dropout,
                             const View& out, const View& lse);
  [[nodiscard]] bool backward(cudaStream_t stream, const ConstView& dout, const ConstView& qkv,
                              const ConstView& out, const ConstView& lse,
                              const AttentionShape& shape, const Dropout& dropout,
                              const View& dqkv);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace trireme::cuda
