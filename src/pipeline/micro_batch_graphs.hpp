// SPDX-License-Identifier: Apache-2.0
// A training micro-batch's forward and backward as two graphs. The host makes two calls instead
// of hundreds of kernel launches.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "trireme/core/clock.hpp"
#include "trireme/device/block_pool.hpp"
#include "trireme/model/tape.hpp"
#include "trireme/ops/exec.hpp"
#include "trireme/pipeline/plan.hpp"

namespace trireme {

/// Graphs hold addresses. Tokens, targets and the sum of losses therefore lie in tensors of
/// this object, and all that a micro-batch allocates comes from an arena. No one else may hold
/// a block of the arena while a graph runs. Micro-batches are computed eagerly until one has
/// found all its memory in the arena. Libraries have then chosen their algorithms too, and the
/// next micro-batch is captured.
///
/// Micro-batches must be alike and follow each other, each backward after its own forward. No
/// micro-batch may communicate or wait for the host. With `communicates`, the first micro-batch
/// of a step may wait for communication between its units, and the last may start some. These
/// two are not captured, and the last micro-batch is never a graph's launch.
class MicroBatchGraphs {
 public:
  MicroBatchGraphs(const Exec& ex, PhaseClock& clock, bool communicates)
      : ex_(ex), clock_(clock), communicates_(communicates), arena_(ex.device.pool()) {}

  /// The arena for all allocations but those of observers.
  [[nodiscard]] const Arena& arena() const { return arena_; }

  /// Begins a step of such micro-batches. Call outside of the arena.
  void begin(const std::vector<MicroBatch>& step);
  /// Ends a step whose micro-batches are queued: copies the sum to the loss_sum that they
  /// share.
  void end();
  /// Copies micro-batch `index` to the fixed tensors, and returns what forward and backward
  /// use.
  [[nodiscard]] const MicroBatch& take(std::size_t index);

  /// Runs a forward or a backward: calls `work`, captures `work`, or launches the graph of
  /// `work`. A launch calls `follow` first, for what the host keeps account of.
  void run(PlanStep::Kind kind, const std::function<void()>& work,
           const std::function<void()>& follow);

 private:
  enum class Mode : std::uint8_t { eager, capture, launch };

  [[nodiscard]] Mode mode_of(std::size_t index) const;
  [[nodiscard]] std::unique_ptr<Graph> capture(const std::function<void()>& work) const;
  /// Logs that graphs run from here on, except in a dry run.
  void announce() const;

  const Exec& ex_;
  PhaseClock& clock_;
  bool communicates_;
  Arena arena_;
  std::vector<MicroBatch> step_;
  MicroBatch fixed_;
  Mode mode_ = Mode::eager;        ///< how the micro-batch under way is computed
  std::size_t reserved_ = 0;       ///< bytes that the arena had reserved before the micro-batch
  bool memory_is_stable_ = false;  ///< the last eager micro-batch took no new memory
  std::unique_ptr<Graph> forward_;
  std::unique_ptr<Graph> backward_;
};

}  // namespace trireme
