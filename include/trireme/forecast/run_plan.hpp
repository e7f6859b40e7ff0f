// SPDX-License-Identifier: Apache-2.0
// What a run of any size takes, known before it starts: a step of every kind of rank is gone
// through on the dry backend, by the code that trains.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// The rank of a pipeline stage that needs the most memory. Bytes, but for the counts.
struct StagePlan {
  std::int64_t parameters = 0;  ///< with the gaps between them
  std::int64_t values = 0;
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;
  std::int64_t activations = 0;  ///< what else is in use at the peak: tapes, work, tables
  std::int64_t unsent =
      0;  ///< of that: messages that may not have left, however slow others are
  std::int64_t tapes = 0;         ///< the most that tapes held, of that
  std::int64_t unused = 0;        ///< in blocks kept for reuse, beyond the peak
  std::int64_t copy = 0;          ///< of a checkpoint, while it is written; in host memory
  std::int64_t kept_on_host = 0;  ///< of a GPU's run: inputs of layers that wait there
  int in_flight = 0;         ///< most micro-batches (of one chunk) between forward and backward
  std::int64_t reduced = 0;  ///< elements reduced and gathered over dp, a step
  std::int64_t tensor_traffic = 0;    ///< given to exchanges over tp, a step
  std::int64_t pipeline_traffic = 0;  ///< sent to other stages, a step

  /// The most of its arrays that are in use at once: MemoryUse::peak of CpuDevice, `unsent`
  /// aside exactly.
  [[nodiscard]] std::int64_t peak() const {
    return values + gradients + optimizer + activations;
  }
  /// What the device takes from the system: MemoryUse::reserved.
  [[nodiscard]] std::int64_t reserved() const { return peak() + unused; }
  /// On CPUs all of it is the host's memory; on GPUs reserved() is the GPU's.
  [[nodiscard]] std::int64_t total() const { return reserved() + copy + kept_on_host; }
};

struct CheckpointPlan {
  std::int64_t bytes = 0;    ///< of arrays, over all ranks
  std::int64_t writers = 0;  ///< shards
  std::int64_t least = 0;    ///< bytes of a writer
  std::int64_t most = 0;
};

struct RunPlan {
  MeshShape mesh;
  std::vector<StagePlan> stages;
  double idle = 0;            ///< share of all stages' time in which they wait for each other
  CheckpointPlan checkpoint;  ///< all 0 if the deck sets no `save`
};

/// `deck` is resolved for `ranks`, and its vocabulary known. For `idle` it is taken
/// that time goes by operations: backward twice the forward, but for the head's, which is a
/// part of it. `ranks_per_node` counts if the deck sets checkpoint.writers_per_node; throws
/// Error if it does and that is 0.
[[nodiscard]] RunPlan plan_run(const Deck& deck, int ranks, int ranks_per_node);

/// The same in parts, where the ranks are there and each can plan itself: what this one needs,
/// its own share of a checkpoint among it, without what may wait to be sent; ...
[[nodiscard]] StagePlan plan_rank(const Deck& deck, const MeshShape& mesh, const MeshIndex& at);
/// ... and the schedule of stages that were planned so: `idle`, and of each stage `in_flight`
/// and `unsent`.
void plan_schedule(const Deck& deck, RunPlan& run);

}  // namespace trireme
