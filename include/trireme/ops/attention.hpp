// SPDX-License-Identifier: Apache-2.0
// Causal softmax attention on the fused qkv array, and rotary position embedding of its q and
// k. O = softmax(Q Kᵀ/√d + causal mask) V, by tiles with an online softmax: memory is O(s·d)
// per head (FlashAttention-2, Dao, arXiv 2307.08691). Rotary embedding: Su et al., arXiv
// 2104.09864, half-split form.
#pragma once

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// Returns cos and sin of position / base^(2i/rotary_dim) as [seq, rotary_dim], cosines first.
/// `dtype` is that of the arrays to be rotated; the table has accumulator_type(dtype).
[[nodiscard]] Tensor rotary_table(const Exec& ex, DType dtype, std::int64_t seq,
                                  std::int64_t rotary_dim, double base);

/// Rotates the first table.cols() entries of each q and k of qkv [batch·seq, row_width] in
/// place. `inverse` rotates back, which is the adjoint. `table` has accumulator_type of qkv's
/// type.
void rotary(const Exec& ex, const View& qkv, const AttentionShape& shape,
            const ConstView& table, bool inverse);

/// out [batch·seq, heads·head_dim]; lse [batch, heads, seq], in accumulator_type, receives log
/// Σ exp of the scaled scores. Dropout acts on the softmax; kept weights are divided by 1 − p.
/// Word k mod 4 of `philox(key, first_row + i, h · ⌈seq/4⌉ + k / 4)` decides on key k of the
/// query in row i and global head h. The weight is kept if the word is ≥ p · 2³².
void attention_forward(const Exec& ex, const ConstView& qkv, const AttentionShape& shape,
                       const Dropout& dropout, const View& out, const View& lse);

/// dqkv [batch·seq, row_width] is overwritten.
void attention_backward(const Exec& ex, const ConstView& dout, const ConstView& qkv,
                        const ConstView& out, const ConstView& lse, const AttentionShape& shape,
                        const Dropout& dropout, const View& dqkv);

}  // namespace trireme::ops
