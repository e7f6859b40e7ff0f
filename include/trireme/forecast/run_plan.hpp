// SPDX-License-Identifier: Apache-2.0
// Forecasts the memory and traffic of a run of any size before the run starts. The trainer's
// own code runs a step of every kind of rank on the dry backend.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/deck/deck.hpp"

namespace trireme {

/// The rank of a pipeline stage that needs the most memory. Memory is in bytes.
struct StagePlan {
  std::int64_t parameters = 0;  ///< gaps between parameters included
  std::int64_t values = 0;
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;
  /// everything else in use at the peak: tapes, work space, tables
  std::int64_t activations = 0;
  std::int64_t unsent = 0;  ///< messages not yet sent in the worst case, part of activations
  std::int64_t tapes = 0;   ///< the most that tapes held, part of activations
  std::int64_t unused = 0;  ///< in blocks kept for reuse, beyond the peak
  std::int64_t copy = 0;    ///< a checkpoint's copy while it is written; in host memory
  std::int64_t kept_on_host = 0;  ///< inputs of layers that a GPU run keeps in host memory
  std::int64_t files = 0;         ///< the optimizer's state in files
  int in_flight = 0;         ///< most micro-batches (of one chunk) between forward and backward
  std::int64_t reduced = 0;  ///< elements reduced and gathered over dp, a step
  std::int64_t data_traffic = 0;  ///< bytes of these elements
  /// Elements, and their bytes, gathered from neighbours instead: zero_hpz_partition_size.
  std::int64_t nearby = 0;
  std::int64_t nearby_traffic = 0;
  /// Bytes of quantized values gathered, part of data_traffic: zero_quantized_weights.
  std::int64_t quantized_traffic = 0;
  /// Bytes of signs and scales instead, in a step whose mean is compressed; 0: the run ends
  /// before the first such step.
  std::int64_t compressed_traffic = 0;
  std::int64_t tensor_traffic = 0;    ///< bytes of collectives over tp, a step
  std::int64_t pipeline_traffic = 0;  ///< bytes sent to other stages, a step
  /// What `trireme generate` and `trireme eval` need on the run's mesh: values alone, and keys
  /// and values of each token of a sequence.
  std::int64_t used_values = 0;
  std::int64_t cache_a_token = 0;
  double work = 1;  ///< operations of the stage, relative to the mean of all stages

  /// The peak of the arrays in use. Without `unsent`, peak() equals MemoryUse::peak of
  /// CpuDevice.
  [[nodiscard]] std::int64_t peak() const {
    return values + gradients + optimizer + activations;
  }
  /// The memory that the device takes from the system: MemoryUse::reserved.
  [[nodiscard]] std::int64_t reserved() const { return peak() + unused; }
  /// Host memory beside the device's: on CPUs, both are one memory.
  [[nodiscard]] std::int64_t beside() const { return copy + kept_on_host; }
  /// What decides whether a rank fits: a GPU's memory, or all memory of a rank on CPUs.
  [[nodiscard]] std::int64_t decisive(bool on_gpu) const {
    return on_gpu ? reserved() : reserved() + beside();
  }
};

struct CheckpointPlan {
  std::int64_t bytes = 0;    ///< size of the arrays, over all ranks
  std::int64_t writers = 0;  ///< number of shards
  std::int64_t least = 0;    ///< bytes of the smallest shard
  std::int64_t most = 0;
};

struct RunPlan {
  MeshShape mesh;
  bool on_gpu = false;  ///< whether device and host have memories of their own
  std::vector<StagePlan> stages;
  double idle = 0;            ///< share of all stages' time spent waiting for other stages
  double idle_if_equal = 0;   ///< this share if all stages did equal work
  CheckpointPlan checkpoint;  ///< all 0 if the deck does not set `save`
};

/// Requires a `deck` that is resolved for `ranks`, with a known vocabulary. `idle` assumes that
/// time is proportional to operations. A layer's backward is twice its forward; the head's
/// forward contains the head's backward. `ranks_per_node` is used if the deck sets
/// checkpoint.writers_per_node. Throws Error if `ranks_per_node` is needed but 0.
[[nodiscard]] RunPlan plan_run(const Deck& deck, int ranks, int ranks_per_node);

/// One rank's share of the forecast, so that running ranks can each compute their own. Its
/// `copy` is this rank's; what plan_schedule() sets is left as it is.
[[nodiscard]] StagePlan plan_rank(const Deck& deck, const MeshShape& mesh, const MeshIndex& at);
/// Completes a forecast whose stages came from plan_rank(): sets `on_gpu`, `idle` and
/// `idle_if_equal`, and each stage's `in_flight`, `unsent` and `work`.
void plan_schedule(const Deck& deck, RunPlan& run);

}  // namespace trireme
