// SPDX-License-Identifier: Apache-2.0
// Loads the deck, as every command with a deck does first.
#include "trireme/deck/load.hpp"

#include <algorithm>

#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/deck/stage_bounds.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/optim/lr_groups.hpp"

namespace trireme {

Deck load_deck(const DeckSource& source, Communicator& world,
               const std::function<void(Deck&)>& check) {
  std::string text;
  if (world.rank() == 0) {
    Deck deck = read_deck(source.files, source.overrides);
    resolve(deck, world.size());
    if (deck.log_format == Deck::LogFormat::json) log::use_json();
    for (const std::string& w : deck.warnings) log::warn("{}", w);
    for (const std::string& n : deck.notes) log::info("deck     {}", n);
    check(deck);
    text = to_yaml(deck);
  }
  Deck deck = parse_deck(world.broadcast_text(text, 0), "the resolved deck");
  resolve(deck, world.size());
  if (deck.log_format == Deck::LogFormat::json) log::use_json();
  return deck;
}

void print_mesh(const Deck& deck, const MeshShape& mesh) {
  log::info("mesh     {}{}{}", mesh_text(mesh),
            deck.sequence_parallel && mesh.tp > 1 ? ", sequence parallel" : "",
            deck.virtual_pipeline_chunks > 1
                ? fmt::format(", {} chunks a stage", deck.virtual_pipeline_chunks)
                : "");
}

namespace {

/// What trains, where that isn't everything at one rate.
void log_tuning(const Deck& deck) {
  const ModelConfig& m = deck.model;
  if (!TrainedParameters(m).all()) {
    const TrainedCount count = count_trained(m);
    log::info("tuning   {} of {} parameters train ({:.3g} %){}", count_text(count.trained),
              count_text(count.all),
              100 * static_cast<double>(count.trained) / static_cast<double>(count.all),
              m.lora.enabled() ? fmt::format(": adapters of rank {}, scaled by {:.3g}",
                                             m.lora.rank, m.lora.scale())
                               : "");
  }
  if (deck.optimizer.lr_groups.empty()) return;
  const LrGroups groups(deck.optimizer.lr_groups);
  std::vector<std::int64_t> counts(deck.optimizer.lr_groups.size());
  visit_model(m, [&](int, const Parameter& p) {
    const std::size_t i = groups.find(p.name);
    const bool counts_here = p.trains && p.role != ParameterRole::tied_copy;
    if (i != LrGroups::kNone && counts_here) counts[i] += p.global_shape.count();
  });
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const LrGroup& g = deck.optimizer.lr_groups[i];
    log::info("         {} parameters of '{}': rate × {}{}", count_text(counts[i]),
              printable(g.match), g.lr_scale,
              g.weight_decay ? fmt::format(", weight decay {}", *g.weight_decay) : "");
  }
}

/// Says how evenly the pipeline's parts share the work, and whether another method would do so
/// better.
void log_partition(const Deck& deck) {
  if (deck.pipe_parallel_size == 1) return;
  constexpr double kPercent = 100;
  const double now = stage_imbalance(deck, deck.pipe_partition_method);
  const double best = stage_imbalance(deck, kByOperations);
  log::info("parts    the largest of {} has {:.1f} % more FLOPs than the mean{}",
            deck.pipe_parallel_size * deck.virtual_pipeline_chunks, kPercent * now,
            best < now ? fmt::format("; pipe_partition_method: {}: {:.1f} %", kByOperations,
                                     kPercent * best)
                       : "");
}

}  // namespace

void print_model(const Deck& deck, const MeshShape& mesh) {
  const ModelConfig& m = deck.model;
  if (m.is_perceptron()) {
    log::info("model    perceptron of widths {}: {} parameters", fmt::join(m.mlp_sizes, ", "),
              count_text(count_parameters(m)));
    log_tuning(deck);
    log::info("batch    {} images: {} a micro-batch × {} × dp {}", deck.train_batch_size,
              deck.train_micro_batch_size_per_gpu, deck.gradient_accumulation_steps, mesh.dp);
    log_partition(deck);
    return;
  }
  const std::string inputs = m.is_vision()
                                 ? fmt::format("{} × {} pixels in patches of {}",
                                               m.image_size[0], m.image_size[1], m.patch_size)
                                 : fmt::format("vocabulary {}", m.vocab_size);
  log::info("model    {} layers, hidden {}, {} heads, {}: {} parameters", m.num_layers,
            m.hidden_size, m.num_attention_heads, inputs, count_text(count_parameters(m)));
  if (m.mup.enabled) {
    log::info("muP      {:.4g} times as wide as the base model of hidden {}",
              static_cast<double>(m.hidden_size) / static_cast<double>(m.mup.hidden_size),
              m.mup.hidden_size);
  }
  log_tuning(deck);
  log::info("batch    {} samples of {} {}: {} a micro-batch × {} × dp {}",
            deck.train_batch_size, m.seq_length, m.rows_name(),
            deck.train_micro_batch_size_per_gpu, deck.gradient_accumulation_steps, mesh.dp);
  log_partition(deck);
  if (const auto& ramp = deck.rampup_batch_size; !ramp.empty()) {
    log::info("         grows from {} by {} until {} samples are consumed; lr goes by samples",
              ramp[0], ramp[1], ramp[2]);
  }
  if (const CurriculumConfig& c = deck.curriculum; c.enabled) {
    log::info("         sequences grow from {} tokens at the first iteration to {} at the last",
              curriculum_length(c, m.seq_length, 1),
              curriculum_length(c, m.seq_length, std::max<std::int64_t>(1, deck.train_iters)));
  }
  if (const LayerDropConfig& drop = deck.layer_drop; drop.enabled) {
    log::info("         the last layer processes a share of {:.3g} of micro-batches at the end",
              layer_keep(drop, deck.train_iters));
  }
}

}  // namespace trireme
