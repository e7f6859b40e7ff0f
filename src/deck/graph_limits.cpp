// SPDX-License-Identifier: Apache-2.0
// What stands in the way of graphs.
#include "trireme/deck/graph_limits.hpp"

namespace trireme {

namespace {

/// Of several ranks of dp the first and last micro-batch of a step wait and exchange: with
/// fewer than this there is none between them to capture.
constexpr std::int64_t kFewestExchanging = 3;

}  // namespace

void check_graphs(const Deck& deck, const MeshShape& mesh) {
  std::vector<std::string> keys;
  const auto add = [&](bool in_the_way, const std::string& text) {
    if (in_the_way) keys.push_back(text);
  };
  const std::int64_t steps = deck.gradient_accumulation_steps;
  add(mesh.tp > 1, fmt::format("model_parallel_size: {} (layers exchange)", mesh.tp));
  add(mesh.pp > 1, fmt::format("pipe_parallel_size: {} (stages exchange)", mesh.pp));
  add(deck.pipeline_schedule == PipelineSchedule::gpipe,
      "pipeline_schedule: gpipe (several micro-batches are under way)");
  add(mesh.dp > 1 && !deck.zero.reduce_once_per_step,
      fmt::format("{} data-parallel ranks that exchange in each micro-batch "
                  "(zero_optimization.reduce_once_per_step: true ends that)",
                  mesh.dp));
  add(mesh.dp > 1 && deck.zero.reduce_once_per_step && steps < kFewestExchanging,
      fmt::format("gradient_accumulation_steps: {} on {} data-parallel ranks (at least {})",
                  steps, mesh.dp, kFewestExchanging));
  add(deck.model.hidden_dropout > 0,
      fmt::format("hidden_dropout: {} (each micro-batch draws other numbers)",
                  deck.model.hidden_dropout));
  add(deck.model.attention_dropout > 0,
      fmt::format("attention_dropout: {} (each micro-batch draws other numbers)",
                  deck.model.attention_dropout));
  add(deck.loss_scale.enabled, "precision: fp16 (overflows are told by micro-batch)");
  add(deck.types.gradient != accumulator_type(deck.types.compute),
      fmt::format("data_types.grad_accum_dtype: {} (the first micro-batch is added otherwise)",
                  name_of(deck.types.gradient)));
  add(deck.recompute.kind == RecomputeConfig::Kind::full && deck.recompute.in_host_memory,
      "checkpoint_in_cpu: true (the host takes part)");
  if (keys.empty()) return;
  Error error(
      fmt::format("cuda_graphs: true doesn't go with {}; change that, or set "
                  "cuda_graphs: false",
                  fmt::join(keys, ", ")));
  throw error.set_everywhere();
}

}  // namespace trireme
