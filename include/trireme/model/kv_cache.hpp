// SPDX-License-Identifier: Apache-2.0
// The cache of keys and values, which makes a token's cost independent of the tokens before.
#pragma once

#include <vector>

#include "trireme/model/config.hpp"
#include "trireme/model/seam.hpp"

namespace trireme {

/// Keys and values of the layers of a model part, for this rank's kv heads. A sequence has a
/// slot of max_length tokens.
class KvCache {
 public:
  /// For layers [first_layer, first_layer + layers).
  struct Extent {
    std::int64_t first_layer = 0;
    std::int64_t layers = 0;
    std::int64_t slots = 0;
    std::int64_t max_length = 0;
  };
  KvCache(const Exec& ex, DType dtype, const ModelConfig& config, const TensorParallel& tp,
          const Extent& extent);

  /// [slots, kv_heads, max_length, head_dim] of a layer, by its number in the model.
  [[nodiscard]] View keys(std::int64_t layer) const;
  [[nodiscard]] View values(std::int64_t layer) const;
  [[nodiscard]] const Extent& extent() const { return extent_; }

  /// Bytes that a cache takes on this rank.
  [[nodiscard]] static std::size_t bytes(DType dtype, const ModelConfig& config,
                                         const TensorParallel& tp, const Extent& extent);

 private:
  Extent extent_;
  std::vector<Tensor> keys_;
  std::vector<Tensor> values_;
};

/// How a micro-batch uses a cache. The rows of a sequence are padded to the micro-batch's seq.
struct CachePass {
  const KvCache* cache = nullptr;
  /// Every slot is empty: rows attend to each other. Otherwise a sequence has one row, which
  /// attends to its slot.
  bool first = true;
  Tensor slots;    ///< int32 [batch]: each sequence's slot
  Tensor lengths;  ///< int32 [batch]: tokens that the slot holds before this pass
  Tensor counts;   ///< int32 [batch]: rows that are tokens; the others are padding
};

}  // namespace trireme
