// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass on tensor cores in bf16: dQ.
#include "../backward_half.cuh"

namespace trireme::cuda {

void attention_queries_bf16(cudaStream_t stream, const AttentionArgs& a) {
  attention_queries_half<bf16>(stream, a);
}

}  // namespace trireme::cuda
