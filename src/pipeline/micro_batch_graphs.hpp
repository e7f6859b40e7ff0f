// SPDX-License-Identifier: Apache-2.0
// A training micro-batch's forward and backward as two graphs, which cost the host two calls
// where their kernels would cost hundreds.
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
/// found all its memory there. Libraries have then chosen their algorithms too, and the next
/// micro-batch is captured.
///
/// Micro-batches must be alike and follow each other, each backward after its own forward. They
/// must neither communicate nor wait for the host. With `exchanges`, the first of a step may
/// wait for communication between its units, and the last one may start some. These two are not
/// captured, and the last is never a graph's launch.
class MicroBatchGraphs {
 public:
  MicroBatchGraphs(const Exec& ex, PhaseClock& clock, bool exchanges)
      : ex_(ex), clock_(clock), exchanges_(exchanges), arena_(ex.device.pool()) {}

  /// Where everything but the units' observers allocates.
  [[nodiscard]] const Arena& arena() const { return arena_; }

  /// A step of such micro-batches. Outside of the arena.
  void begin(const std::vector<MicroBatch>& step);
  /// Its micro-batches are queued: the first one's loss_sum, which all share, gets the sum.
  void end();
  /// What stands for the step's micro-batch `index` in its forward and backward.
  [[nodiscard]] const MicroBatch& take(std::size_t index);

  /// One of the two: by `work`, captured or not, or by the graph of it. `follow` then does what
  /// the host keeps account of, beside the work itself.
  void run(PlanStep::Kind kind, const std::function<void()>& work,
           const std::function<void()>& follow);

 private:
  enum class Mode : std::uint8_t { eager, capture, launch };

  [[nodiscard]] Mode mode_of(std::size_t index) const;
  [[nodiscard]] std::unique_ptr<Graph> capture(const std::function<void()>& work) const;
  /// Tells the user, where this isn't a plan.
  void announce() const;

  const Exec& ex_;
  PhaseClock& clock_;
  bool exchanges_;
  Arena arena_;
  std::vector<MicroBatch> step_;
  MicroBatch fixed_;
  Mode mode_ = Mode::eager;   ///< how the micro-batch under way is computed
  std::size_t reserved_ = 0;  ///< what the arena had reserved when it began
  bool settled_ = false;      ///< the last eager one took nothing from the system
  std::unique_ptr<Graph> forward_;
  std::unique_ptr<Graph> backward_;
};

}  // namespace trireme
