// SPDX-License-Identifier: Apache-2.0
// Attention's backward pass on tensor cores in f16: dQ.
#include "../backward_half.cuh"

namespace trireme::cuda {

void attention_queries_f16(cudaStream_t stream, const AttentionArgs& a) {
  attention_queries_half<f16>(stream, a);
}

}  // namespace trireme::cuda
