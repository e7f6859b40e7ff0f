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

bool CudnnAttention::run(cudaStream_t /*stream*/, const ops::AttentionForward& /*op*/) {
  return false;
}

bool CudnnAttention::run(cudaStream_t /*stream*/, const ops::AttentionBackward& /*op*/) {
  return false;
}

}  // namespace trireme::cuda
