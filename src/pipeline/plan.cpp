// SPDX-License-Identifier: Apache-2.0
// GPipe, 1F1B and interleaved 1F1B are one loop with different numbers of warm-up forwards.
#include "trireme/pipeline/plan.hpp"

#include <algorithm>

#include "trireme/core/error.hpp"
#include "trireme/core/round_up.hpp"

namespace trireme {

namespace {

void check(int stage, int stages, int micro_batches, int chunks) {
  TRM_REQUIRE(
      stages >= 1 && micro_batches >= 1 && chunks >= 1,
      "a pipeline of {} stages, {} micro-batches and {} chunks a stage: each must be at "
      "least 1",
      stages, micro_batches, chunks);
  TRM_REQUIRE(stage >= 0 && stage < stages, "pipeline stage {} of {}", stage, stages);
}

/// The order in which a stage goes through (micro-batch, chunk): groups of `stages`
/// micro-batches, each group through all chunks. An order has a whole number of groups, and may
/// therefore run beyond the last micro-batch.
struct Order {
  int stages;
  int micro_batches;
  int chunks;

  [[nodiscard]] int total() const { return round_up(micro_batches, stages) * chunks; }
  [[nodiscard]] PlanStep at(PlanStep::Kind kind, int k) const {
    const int group = k / (stages * chunks);
    const int within = k % (stages * chunks);
    const int turn = within / stages;
    return {kind, group * stages + within % stages,
            kind == PlanStep::Kind::forward ? turn : chunks - 1 - turn};
  }
};

/// Forwards before the first backward. With one chunk, a micro-batch must reach the last stage
/// and come back. With several, the first group must besides pass all chunks but the last. A
/// forward and a backward wave share each link, hence the factor 2.
int warm_up(PipelineSchedule schedule, int stage, const Order& order) {
  if (schedule == PipelineSchedule::gpipe) return order.total();
  const int behind = order.stages - stage - 1;
  if (order.chunks == 1) return std::min(behind, order.total());
  return std::min(2 * behind + (order.chunks - 1) * order.stages, order.total());
}

std::optional<PipelinePlace> neighbour(int part, int stages, int chunks) {
  if (part < 0 || part >= stages * chunks) return std::nullopt;
  return PipelinePlace{part % stages, part / stages};
}

}  // namespace

std::vector<PlanStep> plan(PipelineSchedule schedule, int stage, int stages, int micro_batches,
                           int chunks) {
  check(stage, stages, micro_batches, chunks);
  const Order order{stages, micro_batches, chunks};
  const int total = order.total();
  const int warm = warm_up(schedule, stage, order);
  std::vector<PlanStep> steps;
  steps.reserve(2 * static_cast<std::size_t>(micro_batches) * static_cast<std::size_t>(chunks));
  const auto add = [&](const PlanStep& step) {
    if (step.micro_batch < micro_batches) steps.push_back(step);
  };
  for (int k = 0; k < total + warm; ++k) {
    if (k < total) add(order.at(PlanStep::Kind::forward, k));
    if (k >= warm) add(order.at(PlanStep::Kind::backward, k - warm));
  }
  return steps;
}

std::vector<PlanStep> forward_only(int stages, int micro_batches, int chunks) {
  std::vector<PlanStep> steps = plan(PipelineSchedule::gpipe, 0, stages, micro_batches, chunks);
  steps.resize(steps.size() / 2);
  return steps;
}

std::optional<PipelinePlace> input_from(const PlanStep& step, int stage, int stages,
                                        int chunks) {
  const int part = model_part(stage, step.chunk, stages);
  return neighbour(step.kind == PlanStep::Kind::forward ? part - 1 : part + 1, stages, chunks);
}

std::optional<PipelinePlace> output_to(const PlanStep& step, int stage, int stages,
                                       int chunks) {
  const int part = model_part(stage, step.chunk, stages);
  return neighbour(step.kind == PlanStep::Kind::forward ? part + 1 : part - 1, stages, chunks);
}

}  // namespace trireme
