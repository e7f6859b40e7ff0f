// SPDX-License-Identifier: Apache-2.0
// Predicts the time of a training step from a machine's rates, without running a step.
//
// An operation takes its FLOPs over the rate of GEMMs, or its bytes over the bandwidth of
// memory, and a constant besides. On a ring of n ranks, each rank sends (n − 1)/n of an array
// for a gather or a reduce-scatter. An all-reduce sends twice as much. See Thakur et al.,
// IJHPCA 19(1), 2005.
// The simulator of pipeline/simulate.hpp arranges the times of micro-batches.
#pragma once

#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/pipeline/simulate.hpp"

namespace trireme {

/// Seconds of one step. The five parts add up to step().
struct TimePlan {
  double compute = 0;    ///< operations on the busiest stage
  double tensor = 0;     ///< the busiest stage waits for collectives over tp
  double data = 0;       ///< the busiest stage waits for collectives over dp
  double pipeline = 0;   ///< the busiest stage waits for other stages
  double optimizer = 0;  ///< the update

  [[nodiscard]] double step() const { return compute + tensor + data + pipeline + optimizer; }
  /// The part that takes the most besides compute, or "compute" if that is 70 % of the step.
  [[nodiscard]] std::string bound_by() const;
};

/// `deck` is resolved for the mesh's ranks, with a known vocabulary. Each micro-batch is
/// simulated.
[[nodiscard]] TimePlan plan_time(const Deck& deck, const MeshShape& mesh,
                                 const Machine& machine);
/// Estimates plan_time() without a simulation, for ranking many layouts. Stages wait as equal
/// stages would, for (p−1)/v times a micro-batch: see pipeline/plan.hpp.
[[nodiscard]] TimePlan estimate_time(const Deck& deck, const MeshShape& mesh,
                                     const Machine& machine);

/// A step of a stage's plan, and when it runs.
struct ScheduledStep {
  int stage = 0;
  PlanStep step;
  double begin = 0;  ///< seconds from the beginning of the training step
  double end = 0;
};
/// All steps of all stages, as plan_time() simulates them.
[[nodiscard]] std::vector<ScheduledStep> plan_timeline(const Deck& deck, const MeshShape& mesh,
                                                       const Machine& machine);
/// The schedule as a picture in SVG: a row a stage, forwards and backwards in two colours.
/// Throws Error for more than 200,000 steps.
[[nodiscard]] std::string timeline_svg(const std::vector<ScheduledStep>& steps);

}  // namespace trireme
