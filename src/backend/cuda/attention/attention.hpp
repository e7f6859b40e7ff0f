// SPDX-License-Identifier: Apache-2.0
// Fused attention with own kernels, after FlashAttention-2 (Dao, arXiv 2307.08691). The
// contract is that of ops/attention.hpp.
#pragma once

#include <cuda_runtime.h>

#include "trireme/ops/attention.hpp"

#include "../runtime/workspace.hpp"

namespace trireme::cuda {

/// Heads have at most 256 entries. Tensor cores run bf16 and f16 arrays with heads aligned to
/// 16 bytes. All other arrays use plain fp32 arithmetic.
void own_attention(cudaStream_t stream, const ops::AttentionForward& op);
void own_attention(cudaStream_t stream, const Workspace& workspace,
                   const ops::AttentionBackward& op);

}  // namespace trireme::cuda
