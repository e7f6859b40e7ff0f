// SPDX-License-Identifier: Apache-2.0
// Softmax attention on the fused qkv array, and rotary position embedding of its q and k. O =
// softmax(scores + mask) V, by tiles with an online softmax: memory is O(s·d) per head
// (FlashAttention-2, Dao, arXiv 2307.08691). Rotary embedding: Su et al., arXiv 2104.09864,
// half-split form. The mask is causal, or each query sees all keys. Attention may end at
// documents: a query then attends to keys of its own document alone.
#pragma once

#include <vector>

#include "trireme/ops/exec.hpp"

namespace trireme::ops {

/// The angles of rotary embedding.
struct RotaryTable {
  DType dtype;              ///< type of the arrays to be rotated
  std::int64_t seq;         ///< positions
  std::int64_t rotary_dim;  ///< entries of a head to be rotated; even
  double base;
  /// [rotary_dim / 2] angles from one position to the next. Empty: base^(−2i/rotary_dim).
  std::vector<double> frequencies = {};
  double factor = 1;  ///< multiplies cosines and sines
};
/// Returns factor · cos and sin of position · frequency as [seq, rotary_dim], cosines first.
/// The table has accumulator_type(dtype).
[[nodiscard]] Tensor rotary_table(const Exec& ex, const RotaryTable& t);

/// Rotates the first table.cols() entries of each q and k.
struct Rotary {
  AttentionShape shape;
  View qkv;         ///< [batch·seq, row_width], in place
  ConstView table;  ///< made by rotary_table for qkv's type
  /// int32 [batch·seq]: each row's row in the table. Empty: its place in the sequence.
  ConstView positions = {};
  bool inverse = false;  ///< rotates back, which is the adjoint
};
void rotary(const Exec& ex, const Rotary& op);

/// Dropout acts on the softmax; kept weights are divided by 1 − p. Word k mod 4 of `philox(key,
/// first_row + i, h · ⌈seq/4⌉ + k / 4)` decides on key k of the query in row i and global head
/// h. The weight is kept if the word is ≥ p · 2³².
struct AttentionForward {
  AttentionShape shape;
  ScoreRule scores = {};
  Dropout dropout = {};
  /// int32 [batch·seq]: the first key of its sequence that each query attends to, never before
  /// that of the query before. Empty: 0.
  ConstView first_keys = {};
  /// int32 [batch·seq]: the place after the last key, likewise. A causal mask may end before.
  /// Empty: seq. A query without any key has zeros in out, and 0 in lse.
  ConstView end_keys = {};
  ConstView qkv;  ///< [batch·seq, row_width]
  View out;       ///< [batch·seq, heads·head_dim]
  View lse;       ///< [batch, heads, seq], in accumulator_type: log Σ exp of the scores
};
void attention_forward(const Exec& ex, const AttentionForward& op);

struct AttentionBackward {
  AttentionShape shape;
  ScoreRule scores = {};      ///< forward's
  Dropout dropout = {};       ///< forward's
  ConstView first_keys = {};  ///< forward's
  ConstView end_keys = {};    ///< forward's
  ConstView dout;             ///< out's shape
  ConstView qkv;              ///< forward's, as are out and lse
  ConstView out;
  ConstView lse;
  View dqkv;  ///< [batch·seq, row_width], overwritten
};
void attention_backward(const Exec& ex, const AttentionBackward& op);

/// Copies keys and values of new tokens behind those that a cache holds.
struct CacheAppend {
  AttentionShape shape;
  ConstView slots;    ///< int32 [batch]: each sequence's place in the cache
  ConstView lengths;  ///< int32 [batch]: tokens that the slot holds already
  ConstView counts;   ///< int32 [batch]: how many of a sequence's seq rows are tokens
  ConstView qkv;      ///< [batch·seq, row_width]
  View keys;          ///< [slots, kv_heads, max_length, head_dim]
  View values;        ///< like keys
};
void cache_append(const Exec& ex, const CacheAppend& op);

/// Attention of one token of each sequence over the cache, which holds this token too.
struct AttentionCached {
  AttentionShape shape;   ///< seq is 1
  ScoreRule scores = {};  ///< the window counts keys back from the token
  ConstView slots;        ///< int32 [batch]
  ConstView lengths;      ///< int32 [batch]: tokens before this one, at least 0
  ConstView qkv;          ///< [batch, row_width]; its queries alone are read
  ConstView keys;         ///< [slots, kv_heads, max_length, head_dim]
  ConstView values;       ///< like keys
  View out;               ///< [batch, heads·head_dim]
};
void attention_cached(const Exec& ex, const AttentionCached& op);

}  // namespace trireme::ops
