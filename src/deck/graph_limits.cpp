// SPDX-License-Identifier: Apache-2.0
// Finds keys that prevent CUDA graphs.
#include "trireme/deck/graph_limits.hpp"

namespace trireme {

namespace {

/// With several data-parallel ranks, the first and last micro-batch of a step wait and
/// communicate. With fewer micro-batches than this, no micro-batch is left to capture.
constexpr std::int64_t kFewestExchanging = 3;

}  // namespace

void check_graphs(const Deck& deck, const MeshShape& mesh) {
  std::vector<std::string> keys;
  const auto add = [&](bool in_the_way, const std::string& text) {
    if (in_the_way) keys.push_back(text);
  };
  const std::int64_t steps = deck.gradient_accumulation_steps;
  add(mesh.tp > 1, fmt::format("model_parallel_size: {} (layers communicate)", mesh.tp));
  add(mesh.pp > 1, fmt::format("pipe_parallel_size: {} (stages communicate)", mesh.pp));
  add(deck.pipeline_schedule == PipelineSchedule::gpipe,
      "pipeline_schedule: gpipe (several micro-batches in flight)");
  add(mesh.dp > 1 && !deck.zero.reduce_once_per_step,
      fmt::format("{} data-parallel ranks without zero_optimization.reduce_once_per_step",
                  mesh.dp));
  add(mesh.dp > 1 && deck.zero.reduce_once_per_step && steps < kFewestExchanging,
      fmt::format("gradient_accumulation_steps: {} on {} data-parallel ranks (at least {})",
                  steps, mesh.dp, kFewestExchanging));
  add(deck.model.hidden_dropout > 0,
      fmt::format("hidden_dropout: {} (random numbers differ each time)",
                  deck.model.hidden_dropout));
  add(deck.model.attention_dropout > 0,
      fmt::format("attention_dropout: {} (random numbers differ each time)",
                  deck.model.attention_dropout));
  add(deck.model.classifier_dropout > 0,
      fmt::format("classifier_dropout: {} (random numbers differ each time)",
                  deck.model.classifier_dropout));
  add(deck.model.lora.enabled() && deck.model.lora.dropout > 0,
      fmt::format("lora.dropout: {} (random numbers differ each time)",
                  deck.model.lora.dropout));
  add(!deck.rampup_batch_size.empty(), "rampup_batch_size (steps differ)");
  add(deck.curriculum.enabled, "curriculum_learning (steps differ)");
  add(deck.layer_drop.enabled, "progressive_layer_drop (micro-batches differ)");
  add(deck.loss_scale.enabled, "precision: fp16 (overflows are checked by micro-batch)");
  add(deck.types.gradient != accumulator_type(deck.types.compute),
      fmt::format("data_types.grad_accum_dtype: {} (the first micro-batch differs)",
                  name_of(deck.types.gradient)));
  add(deck.recompute.kind == RecomputeConfig::Kind::full && deck.recompute.in_host_memory,
      "checkpoint_in_cpu: true (the host takes part)");
  if (keys.empty()) return;
  Error error(fmt::format(
      "cuda_graphs: true does not work with {}; change these keys, or set cuda_graphs: false",
      fmt::join(keys, ", ")));
  throw error.set_everywhere();
}

}  // namespace trireme
