// SPDX-License-Identifier: Apache-2.0
// Stands for cuDNN's attention in a build without cuDNN's headers.
#include "trireme/core/error.hpp"

#include "../attention/cudnn.hpp"

namespace trireme::cuda {

struct CudnnAttention::State {};

CudnnAttention::CudnnAttention(const Workspace& /*workspace*/, FusedAttention choice) {
  TRM_REQUIRE(choice != FusedAttention::cudnn,
              "attention_kernel: cudnn: this program was built without cuDNN; build it where "
              "cudnn.h of 9.8 or later is found, or set attention_kernel: auto");
}

CudnnAttention::~CudnnAttention() = default;

bool CudnnAttention::forward(cudaStream_t /*stream*/, const ConstView& /*qkv*/,
                             const AttentionShape& /*shape*/, const Dropout& /*dropout*/,
                             const View& /*out*/, const View& /*lse*/) {
  return false;
}

bool CudnnAttention::backward(cudaStream_t /*stream*/, const ConstView& /*dout*/,
                              const ConstView& /*qkv*/, const ConstView& /*out*/,
                              const ConstView& /*lse*/, const AttentionShape& /*shape*/,
                              const Dropout& /*dropout*/, const View& /*dqkv*/) {
  return false;
}

}  // namespace trireme::cuda
