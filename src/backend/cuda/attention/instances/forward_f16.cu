// SPDX-License-Identifier: Apache-2.0
// Attention's forward pass on tensor cores in f16.
#include "../forward_half.cuh"

namespace trireme::cuda {

void attention_forward_f16(cudaStream_t stream, const AttentionArgs& a) {
  attention_forward_half<f16>(stream, a);
}

}  // namespace trireme::cuda
