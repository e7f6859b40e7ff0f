// SPDX-License-Identifier: Apache-2.0
// What each rank writes to a checkpoint, and copies for it, by arithmetic on the boxes of one
// rank of each stage and tp index. Ranks that differ by dp alone hold boxes of one layout.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/forecast/run_plan.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

/// Bytes that `trainer`'s own rank copies for a checkpoint.
[[nodiscard]] std::int64_t checkpoint_copy(const Deck& deck, const Trainer& trainer);

/// Collects what all ranks write.
class CheckpointShares {
 public:
  CheckpointShares(const Deck& deck, const MeshShape& shape)
      : deck_(deck), shape_(shape), bytes_(static_cast<std::size_t>(shape.size())) {}

  /// Adds the ranks that differ from `at`, which is `trainer`'s rank with dp index 0, by dp
  /// alone. Returns the most that one of these ranks copies.
  std::int64_t add(const MeshIndex& at, const Trainer& trainer);
  /// Sums up by writers, which ranks of a node share if the deck sets writers_per_node.
  [[nodiscard]] CheckpointPlan sum(int ranks_per_node) const;

 private:
  /// A number that ranks with a common writer share.
  [[nodiscard]] std::int64_t writer_of(std::int64_t rank, std::int64_t node_size) const;

  const Deck& deck_;
  MeshShape shape_;
  std::vector<std::int64_t> bytes_;  ///< bytes written, by rank
};

}  // namespace trireme
