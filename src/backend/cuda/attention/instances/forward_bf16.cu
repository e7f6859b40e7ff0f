// SPDX-License-Identifier: Apache-2.0
// Attention's forward pass on tensor cores in bf16.
#include "../forward_half.cuh"

namespace trireme::cuda {

void attention_forward_bf16(cudaStream_t stream, const AttentionArgs& a) {
  attention_forward_half<bf16>(stream, a);
}

}  // namespace trireme::cuda
