// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass on tensor cores in bf16: dK and dV.
#include "../backward_half.cuh"

namespace trireme::cuda {

void attention_keys_bf16(cudaStream_t stream, const AttentionArgs& a) {
  attention_keys_half<bf16>(stream, a);
}

}  // namespace trireme::cuda
