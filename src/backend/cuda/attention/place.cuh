// SPDX-License-Identifier: Apache-2.0
// Assigns work to thread blocks of an attention kernel, and draws dropout.
#pragma once

#include <Random123/philox.h>

#include "../kernels/types.cuh"
#include "args.hpp"

namespace trireme::cuda {

/// First row and column of a group in qkv.
struct GroupPlace {
  std::int64_t row;
  std::int64_t column;
  int kv_head;
};

__device__ __forceinline__ GroupPlace place_of_group(const AttentionArgs& a,
                                                     std::int64_t group) {
  const std::int64_t sequence = group / a.kv_heads;
  const int kv_head = static_cast<int>(group - sequence * a.kv_heads);
  return {sequence * a.seq,
          static_cast<std::int64_t>(kv_head) * (a.queries_per_kv + 2) * a.head_dim, kv_head};
}

/// Which keys the queries of a sequence attend to: those from first_key() to end_key(), neither
/// of which decreases from a query to the next.
class KeyBounds {
 public:
  __device__ __forceinline__ KeyBounds(const AttentionArgs& a, const GroupPlace& place)
      : first_keys_(a.first_keys == nullptr ? nullptr : a.first_keys + place.row),
        end_keys_(a.end_keys == nullptr ? nullptr : a.end_keys + place.row),
        seq_(a.seq),
        window_(a.window),
        causal_(a.causal) {}

  /// Whether a query attends to no key before some; else all first keys are 0.
  [[nodiscard]] __device__ __forceinline__ bool exist() const {
    return first_keys_ != nullptr || window_ > 0;
  }
  /// Whether each query attends to keys up to its own.
  [[nodiscard]] __device__ __forceinline__ bool end_at_queries() const {
    return causal_ && end_keys_ == nullptr;
  }
  [[nodiscard]] __device__ __forceinline__ int first_key(int query) const {
    if (query >= seq_) return 0;
    const int of_document = first_keys_ != nullptr ? first_keys_[query] : 0;
    const int of_window = window_ > 0 ? query - window_ + 1 : 0;
    return of_document > of_window ? of_document : of_window;
  }
  [[nodiscard]] __device__ __forceinline__ int end_key(int query) const {
    if (query >= seq_) return seq_;
    const int of_document = end_keys_ != nullptr ? end_keys_[query] : seq_;
    return causal_ && query + 1 < of_document ? query + 1 : of_document;
  }
  /// The end of the keys that `queries` queries from `query` on attend to.
  [[nodiscard]] __device__ __forceinline__ int keys_end(int query, int queries) const {
    const int end = query + queries < seq_ ? query + queries : seq_;
    return query < seq_ ? end_key(end - 1) : 0;
  }
  /// Where the first tile of `keys` keys begins that queries from `query` on attend to, whose
  /// keys have the end `end`. Queries without any key begin at the end.
  [[nodiscard]] __device__ __forceinline__ int first_tile(int query, int keys, int end) const {
    const int key = first_key(query);
    return key < end ? key / keys * keys : end;
  }
  /// The first query that attends to a key from `key` on.
  [[nodiscard]] __device__ __forceinline__ int queries_begin(int key) const {
    if (end_at_queries()) return key;
    return first_where(0, [&](int query) { return end_key(query) > key; });
  }
  /// The end of the queries that attend to a key up to `key`.
  [[nodiscard]] __device__ __forceinline__ int queries_end(int key) const {
    if (!exist()) return seq_;
    // A key's own query attends to it under a causal mask.
    return first_where(end_at_queries() ? key : 0,
                       [&](int query) { return first_key(query) > key; });
  }

 private:
  /// The first query from `low` on of which `is_beyond` is true, as it is of all that follow.
  template <class F>
  [[nodiscard]] __device__ __forceinline__ int first_where(int low, F&& is_beyond) const {
    int high = seq_;
    if (low > high) low = high;
    while (low < high) {
      const int middle = low + (high - low) / 2;
      if (is_beyond(middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  const std::int32_t* first_keys_;
  const std::int32_t* end_keys_;
  int seq_;
  int window_;
  bool causal_;
};

/// A thread block's work: a head or group, counted from the launch's first, and a tile of rows.
struct BlockPlace {
  std::int64_t head;
  int tile;
};

/// Orders heads in waves that share the L2 cache. Within a wave, tile 0 of all heads comes
/// first.
__device__ __forceinline__ BlockPlace place_of_block(std::int64_t heads, int tiles, int wave) {
  const std::int64_t block = blockIdx.x;
  const std::int64_t first = block / (static_cast<std::int64_t>(wave) * tiles) * wave;
  const int rest = static_cast<int>(block - first * tiles);
  const int width = static_cast<int>(heads - first < wave ? heads - first : wave);
  return {first + rest % width, rest / width};
}

/// The number of heads whose `bytes_each` fill about a third of a large GPU's L2 cache.
inline int heads_in_wave(std::int64_t heads, std::int64_t bytes_each) {
  const std::int64_t fit = (std::int64_t{16} << 20) / (bytes_each > 0 ? bytes_each : 1);
  const std::int64_t wave = fit < heads ? fit : heads;
  return static_cast<int>(wave < 1 ? 1 : wave > 1024 ? 1024 : wave);
}

/// Draws which weights of one query head are kept.
class DropoutDraw {
 public:
  /// `head` is counted within its group, which is at `place`.
  __device__ __forceinline__ DropoutDraw(const AttentionArgs& a, const GroupPlace& place,
                                         int head)
      : args_(a),
        row_(a.first_row + static_cast<std::uint64_t>(place.row)),
        column_(static_cast<std::uint32_t>(
            (a.first_head + place.kv_head * a.queries_per_kv + head) * ((a.seq + 3) / 4))) {}

  /// For keys 4·quad … 4·quad + 3 of a query: bit j is set if key j's weight is kept.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t kept(int query, int quad) const {
    const std::uint64_t row = row_ + static_cast<std::uint64_t>(query);
    const r123::Philox4x32::ctr_type counter = {
        {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32U),
         column_ + static_cast<std::uint32_t>(quad), args_.stream}};
    const r123::Philox4x32::key_type key = {{static_cast<std::uint32_t>(args_.seed),
                                             static_cast<std::uint32_t>(args_.seed >> 32U)}};
    const r123::Philox4x32::ctr_type word = r123::Philox4x32()(counter, key);
    std::uint32_t bits = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) bits |= (word[j] >= args_.threshold ? 1U : 0U) << j;
    return bits;
  }

 private:
  const AttentionArgs& args_;
  std::uint64_t row_;
  std::uint32_t column_;
};

}  // namespace trireme::cuda
