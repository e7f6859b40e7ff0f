// SPDX-License-Identifier: Apache-2.0
// Simulates the plans of all stages: whether they end, when, and how much is in flight.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "trireme/pipeline/plan.hpp"

namespace trireme {

/// Time of one forward and one backward of a model part, in any unit.
struct PartCost {
  double forward = 1;
  double backward = 1;
};

struct Simulation {
  bool finished = false;
  /// If not finished: each stage that stopped, at which step, and whose output it waits for.
  std::string deadlock;
  double makespan = 0;
  double bubble_fraction = 0;      ///< share of stages × makespan in which a stage did nothing
  std::vector<double> busy;        ///< for each stage
  std::vector<int> max_in_flight;  ///< for each stage: (micro-batch, chunk) activations
  struct Span {
    double begin = 0;
    double end = 0;
  };
  std::vector<std::vector<Span>> spans;  ///< for each stage: when its steps ran, in order
};

/// Executes plans[stage] under the contract of plan.hpp. Sends don't block, and a step begins
/// when the stage is free and its input has arrived. An input arrives `latency` after the
/// sender finished the step. `costs` has one entry for each of plans.size() × chunks model
/// parts. Plans needn't be plan()'s: a backward before its forward, or an output that no step
/// takes, counts as not finished. Throws Error if a step names a negative micro-batch or a
/// chunk that doesn't exist.
[[nodiscard]] Simulation simulate(std::span<const std::vector<PlanStep>> plans, int chunks,
                                  std::span<const PartCost> costs, double latency = 0);
/// All parts cost the same.
[[nodiscard]] Simulation simulate(std::span<const std::vector<PlanStep>> plans, int chunks,
                                  const PartCost& cost = {}, double latency = 0);

}  // namespace trireme
