// SPDX-License-Identifier: Apache-2.0
// Fused attention by kernels of our own, in the manner of FlashAttention-2 (Dao, arXiv
// 2307.08691); the contract is that of ops/attention.hpp.
#pragma once

#include <cuda_runtime.h>

#include "trireme/ops/types.hpp"

#include "../runtime/workspace.hpp"

namespace trireme::cuda {

/// Heads of at most 256 entries. Tensor cores multiply bf16 and f16 arrays whose heads are
/// aligned to 16 bytes, plain fp32 arithmetic all others.
void own_attention_forward(cudaStream_t stream, const ConstView& qkv,
                           const AttentionShape& shape, const Dropout& dropout, const View& out,
                           const View& lse);

void own_attention_backward(cudaStream_t stream, const Workspace& workspace,
                            const ConstView& dout, const ConstView& qkv, const ConstView& out,
                            const ConstView& lse, const AttentionShape& shape,
                            const Dropout& dropout, const View& dqkv);

}  // namespace trireme::cuda
