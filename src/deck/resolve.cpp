// SPDX-License-Identifier: Apache-2.0
// Resolves what depends on the number of ranks or on several keys: batch sizes, and whether the
// model fits the mesh.
#include <algorithm>
#include <cmath>
#include <limits>

#include "trireme/core/printable.hpp"
#include "trireme/data/sampler.hpp"
#include "trireme/deck/stage_bounds.hpp"
#include "trireme/model/mup.hpp"
#include "trireme/optim/optimizer_table.hpp"
#include "trireme/optim/width_rate.hpp"

#include "fold.hpp"
#include "tuning.hpp"

namespace trireme {
namespace {

/// No machine holds more than these, and their counts must not overflow.
void check_sizes(const Deck& deck) {
  const ModelConfig& m = deck.model;
  const auto real = [](std::int64_t n) { return static_cast<double>(n); };
  const double width =
      std::max(real(m.hidden_size), real(m.num_attention_heads) * real(m.head_dim()));
  const double parameters =
      real(m.num_layers) * real(m.hidden_size) * (4 * width + 3 * real(m.intermediate_size)) +
      2 * real(m.hidden_size) * real(m.vocab_size + m.max_position_embeddings);
  constexpr double kMost = 1e16;
  TRM_REQUIRE(
      parameters <= kMost,
      "num_layers {}, hidden_size {}, heads of {}, intermediate_size {} and vocab_size {} make "
      "about {:.0e} parameters; {:.0e} are possible",
      m.num_layers, m.hidden_size, m.head_dim(), m.intermediate_size, m.vocab_size, parameters,
      kMost);
  const double tokens = real(m.seq_length) * real(deck.train_micro_batch_size_per_gpu);
  const double widest =
      std::max({width, real(m.intermediate_size), real(m.vocab_size), real(m.seq_length)});
  TRM_REQUIRE(tokens * widest <= kMost,
              "seq_length {} × train_micro_batch_size_per_gpu {} tokens of width {:.0f} make "
              "an array of {:.0e} elements; {:.0e} are possible",
              m.seq_length, deck.train_micro_batch_size_per_gpu, widest, tokens * widest,
              kMost);
}

void check_tensor_parallel(const Deck& deck) {
  const ModelConfig& m = deck.model;
  if (m.is_perceptron()) return;  // see check_perceptron()
  const int tp = deck.model_parallel_size;
  const auto divisible = [tp](std::int64_t n, std::string_view what) {
    TRM_REQUIRE(n % tp == 0, "{} {} is not divisible by model_parallel_size {}", what, n, tp);
  };
  divisible(m.num_attention_heads, "num_attention_heads");
  divisible(m.num_kv_heads, "num_kv_heads");
  divisible(m.mlp_inner(),
            gated(m.activation)
                ? "the inner width of the gated mlp, a third of intermediate_size,"
                : "intermediate_size");
  TRM_REQUIRE(m.vocab_size == 0 || m.vocab_size >= tp || m.is_vision(),
              "a vocabulary of {} cannot be partitioned over model_parallel_size {}",
              m.vocab_size, tp);
  if (!deck.sequence_parallel) return;
  const std::int64_t micro = deck.train_micro_batch_size_per_gpu;
  TRM_REQUIRE(
      m.seq_length * micro % tp == 0,
      "sequence_parallel: seq_length {} × train_micro_batch_size_per_gpu {} = {} tokens "
      "are not divisible by model_parallel_size {}",
      m.seq_length, micro, m.seq_length * micro, tp);
}

void check_neighbours(const Deck& deck, int dp) {
  TRM_REQUIRE(
      !deck.zero.quantized_weights || deck.zero.stage == 3,
      "zero_optimization.zero_quantized_weights: true is for zero_optimization.stage 3, "
      "which gathers weights; the stage is {}",
      deck.zero.stage);
  const std::int64_t near = deck.zero.hpz_partition_size;
  if (near == 1) return;
  TRM_REQUIRE(deck.zero.stage == 3,
              "zero_optimization.zero_hpz_partition_size {} is for zero_optimization.stage 3, "
              "which shards weights; the stage is {}",
              near, deck.zero.stage);
  TRM_REQUIRE(
      dp % near == 0,
      "zero_optimization.zero_hpz_partition_size {} does not divide the {} data-parallel "
      "ranks",
      near, dp);
}

/// Samples and tasks during training take the values and rows as the training has them.
void check_questions(const Deck& deck) {
  const bool samples = deck.generation.sample_interval > 0;
  const bool tasks = deck.eval_tasks_iters > 0;
  if (!samples && !tasks) return;
  TRM_REQUIRE(!samples || !deck.generation.sample_prompts.empty(),
              "sample_interval {} needs sample_prompts, a list of texts",
              deck.generation.sample_interval);
  TRM_REQUIRE(!tasks || !deck.eval_tasks.empty(),
              "eval_tasks_iters {} needs eval_tasks, a list of YAML files",
              deck.eval_tasks_iters);
  TRM_REQUIRE(!deck.model.bidirectional_attention,
              "{} asks what comes next, which a model with bidirectional_attention sees: leave "
              "it out",
              samples ? "sample_interval" : "eval_tasks_iters");
  const char* const hinders = deck.zero.stage == 3               ? "zero_optimization.stage 3"
                              : deck.sequence_parallel           ? "sequence_parallel"
                              : deck.virtual_pipeline_chunks > 1 ? "virtual_pipeline_chunks"
                              : deck.cuda_graphs                 ? "cuda_graphs"
                                                                 : nullptr;
  TRM_REQUIRE(hinders == nullptr, "{} does not work with {}: use `trireme {}` on checkpoints",
              samples ? "sample_interval" : "eval_tasks_iters", hinders,
              samples ? "generate" : "eval");
}

void check_encoder(const Deck& deck) {
  TRM_REQUIRE(
      !deck.layer_drop.enabled || deck.model.norm_placement != NormPlacement::after_sum,
      "progressive_layer_drop and norm_placement: after_sum don't go together: the norm of a "
      "sum would act in layers that are left out");
}

void check_pipeline(const Deck& deck) {
  const std::int64_t pp = deck.pipe_parallel_size;
  const std::int64_t chunks = deck.virtual_pipeline_chunks;
  TRM_REQUIRE(deck.model.num_layers >= pp * chunks,
              "fewer layers than stages: {} {} < pipe_parallel_size {} × "
              "virtual_pipeline_chunks {}",
              deck.model.is_perceptron() ? "the layers of mlp_sizes," : "num_layers",
              deck.model.num_layers, pp, chunks);
  static_cast<void>(stage_bounds(deck));
  if (chunks == 1) return;
  TRM_REQUIRE(pp > 1,
              "virtual_pipeline_chunks {} requires a pipeline, but pipe_parallel_size is 1",
              chunks);
  TRM_REQUIRE(deck.pipeline_schedule != PipelineSchedule::gpipe,
              "pipeline_schedule gpipe has no virtual_pipeline_chunks ({}); use 1f1b", chunks);
}

/// train = micro × accumulation × dp; 0 marks a size that the deck leaves open.
void resolve_batch(Deck& deck, std::int64_t dp) {
  std::int64_t& train = deck.train_batch_size;
  std::int64_t& micro = deck.train_micro_batch_size_per_gpu;
  std::int64_t& steps = deck.gradient_accumulation_steps;
  TRM_REQUIRE(train > 0 || micro > 0,
              "no batch size: set train_micro_batch_size_per_gpu or train_batch_size");
  const auto divide = [&](std::int64_t by, const std::string& what) {
    TRM_REQUIRE(train % by == 0, "train_batch_size {} is not divisible by {} = {}", train, what,
                by);
    return train / by;
  };
  deck.derives_batch = deck.derives_batch || train == 0;
  deck.derives_accumulation = deck.derives_accumulation || steps == 0;
  if (train == 0) {
    if (steps == 0) steps = 1;
    train = micro * steps * dp;
  } else if (micro == 0) {
    if (steps == 0) steps = 1;
    micro = divide(steps * dp, fmt::format("gradient_accumulation_steps {} × {} data-parallel "
                                           "ranks",
                                           steps, dp));
  } else if (steps == 0) {
    steps = divide(micro * dp, fmt::format("train_micro_batch_size_per_gpu {} × {} "
                                           "data-parallel ranks",
                                           micro, dp));
  }
  TRM_REQUIRE(train == micro * steps * dp,
              "contradicting batch sizes: train_batch_size {} is not "
              "train_micro_batch_size_per_gpu {} × gradient_accumulation_steps {} × {} "
              "data-parallel ranks = {}; leave one of them out",
              train, micro, steps, dp, micro * steps * dp);
}

void check_weights(const std::vector<double>& weights, std::size_t paths,
                   std::string_view name) {
  if (weights.empty()) return;
  TRM_REQUIRE(weights.size() == paths, "{}_data_weights has {} values, but {}_data_paths {}",
              name, weights.size(), name, paths);
  double sum = 0;
  for (const double w : weights) sum += w;
  TRM_REQUIRE(sum > 0, "{}_data_weights are all 0", name);
}

void check_labels(const std::vector<std::string>& labels, std::size_t paths,
                  std::string_view name) {
  TRM_REQUIRE(labels.empty() || labels.size() == paths,
              "{}_label_data_paths has {} files, but {}_data_paths {}", name, labels.size(),
              name, paths);
}

void check_data_keys(const Deck& deck) {
  check_weights(deck.train_data_weights, deck.train_data_paths.size(), "train");
  check_weights(deck.valid_data_weights, deck.valid_data_paths.size(), "valid");
  check_weights(deck.test_data_weights, deck.test_data_paths.size(), "test");
  check_labels(deck.train_label_data_paths, deck.train_data_paths.size(), "train");
  check_labels(deck.valid_label_data_paths, deck.valid_data_paths.size(), "valid");
  check_labels(deck.test_label_data_paths, deck.test_data_paths.size(), "test");
  TRM_REQUIRE(deck.fim_rate == 0 || deck.fim_tokens.size() == 3,
              "fim_rate {} needs fim_tokens: the ids of the three marks for prefix, middle and "
              "suffix; there are {}",
              deck.fim_rate, deck.fim_tokens.size());
  for (const std::int64_t id : deck.fim_tokens) {
    TRM_REQUIRE(id <= std::numeric_limits<std::int32_t>::max() &&
                    (deck.model.vocab_size == 0 || id < deck.model.vocab_size),
                "fim_tokens: {} is not in the vocabulary of {}", id, deck.model.vocab_size);
  }
}

void check_run(const Deck& deck) {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / deck.model.seq_length;
  TRM_REQUIRE(
      deck.train_batch_size <= most &&
          deck.train_iters <= most / std::max<std::int64_t>(deck.train_batch_size, 1),
      "train_iters {} × train_batch_size {} × seq_length {} are more tokens than can be "
      "counted; lower train_iters",
      deck.train_iters, deck.train_batch_size, deck.model.seq_length);
  TRM_REQUIRE(deck.schedule.min_lr <= deck.schedule.lr, "min_lr {} is above lr {}",
              deck.schedule.min_lr, deck.schedule.lr);
  check_data_keys(deck);
  TRM_REQUIRE(deck.timeline_iters.empty() || !deck.run_folder().empty(),
              "timeline_iters needs save or run_dir: the folder of the metrics.h5 that takes "
              "the timeline");
}

void check_mup_keys(const Deck& deck) {
  const bool uses = deck.model.mup.enabled;
  TRM_REQUIRE(uses || !deck.save_base_shapes,
              "save_base_shapes: true needs use_mup: true, which reads the file");
  TRM_REQUIRE(uses || !deck.coord_check,
              "coord_check: true needs use_mup: true and the base model's widths");
  TRM_REQUIRE(!deck.save_base_shapes || !deck.base_shapes_file.empty(),
              "save_base_shapes: true needs base_shapes_file: the file to write");
  TRM_REQUIRE(!deck.save_base_shapes || !deck.coord_check,
              "save_base_shapes: true contradicts coord_check: true; keep one of them");
  const OptimizerKind kind = deck.optimizer.kind;
  TRM_REQUIRE(!uses || has_width_rate(kind),
              "use_mup: true has no rule for learning rates of {}: choose AdamW, Adam, "
              "OneBitAdam, ZeroOneAdam, Lion, Adagrad or SGD as optimizer.type",
              optimizer_row(kind).name);
}

void check_checkpoints(const Deck& deck) {
  using Scale = DeckSettings::CheckpointScale;
  const double factor = deck.checkpoint_factor;
  const std::string text = factor == 0 ? "null" : fmt::format("{}", factor);
  if (deck.checkpoint_scale == Scale::log) {
    TRM_REQUIRE(
        factor > 1,
        "checkpoint_scale: log requires a checkpoint_factor above 1, such as 2; it is {}",
        text);
    TRM_REQUIRE(factor >= 1.001,
                "checkpoint_factor {} with checkpoint_scale: log saves at "
                "almost every iteration; use 1.001 or more",
                text);
  } else {
    TRM_REQUIRE(std::trunc(factor) == factor,
                "checkpoint_factor {} counts iterations and must be a whole number; only "
                "checkpoint_scale: log takes others",
                text);
  }
  TRM_REQUIRE(
      !deck.override_lr_scheduler || !deck.use_checkpoint_lr_scheduler,
      "override_lr_scheduler contradicts use_checkpoint_lr_scheduler; keep one of them");
  TRM_REQUIRE(!deck.finetune || !deck.use_checkpoint_lr_scheduler,
              "finetune: true starts its own schedule: leave out use_checkpoint_lr_scheduler");
  TRM_REQUIRE(
      !deck.ema.enabled || !deck.no_save_optim,
      "ema needs the state that no_save_optim: true doesn't save: leave one of them out");
  TRM_REQUIRE(!deck.finetune || !deck.load.empty(),
              "finetune: true needs load: the folder of the weights to start from");
}

}  // namespace

void deck::fill_open(DeckSettings& deck) {
  ModelConfig& m = deck.model;
  if (m.num_kv_heads == 0) m.num_kv_heads = m.num_attention_heads;
  if (m.max_position_embeddings == 0) {
    m.max_position_embeddings = m.seq_length + m.position_offset;
  }
  using Type = DeepSpeedSchedule::Type;
  ScheduleConfig& rate = deck.schedule;
  const bool by_samples = deck.train_samples > 0;
  const bool grows = !deck.rampup_batch_size.empty();  // see check_growth()
  if (by_samples && rate.deepspeed.type == Type::none && rate.lr_decay_samples == 0) {
    rate.lr_decay_samples = deck.train_samples;
  }
  if (!by_samples && rate.lr_decay_iters == 0 && !grows) {
    rate.lr_decay_iters = deck.train_iters;
  }
  const bool ends = rate.deepspeed.type == Type::linear || rate.deepspeed.type == Type::cosine;
  if (ends && rate.deepspeed.total_steps == 0) rate.deepspeed.total_steps = deck.train_iters;
}

std::array<double, 3> split_fractions(const std::string& split) {
  const auto shares = parse_split(printable(split));
  TRM_REQUIRE(shares[0] > 0, "split \"{}\": the first share, of training, must be above 0",
              printable(split));
  return shares;
}

MeshShape mesh_shape(const Deck& deck, int world_size) {
  const int pp = deck.pipe_parallel_size;
  const int tp = deck.model_parallel_size;
  const std::int64_t one = std::int64_t{pp} * tp;
  TRM_REQUIRE(
      world_size > 0 && one > 0 && world_size % one == 0,
      "{} rank{} cannot hold pipe_parallel_size {} × model_parallel_size {} = {} ranks a "
      "model; start a multiple of {}",
      world_size, world_size == 1 ? "" : "s", pp, tp, one, one);
  return {static_cast<int>(world_size / one), tp, pp};
}

void resolve(Deck& deck, int world_size) {
  try {
    const MeshShape mesh = mesh_shape(deck, world_size);
    resolve_batch(deck, mesh.dp);
    deck::resolve_length(deck);
    deck::fill_open(deck);
    if (deck.save_base_shapes) deck.model.mup = mup_widths_of(deck.model);
    deck::check_model(deck.model);
    check_mup_keys(deck);
    check_sizes(deck);
    deck::check_growth(deck);
    deck::check_perceptron(deck);
    deck::check_vision(deck);
    deck::check_task(deck);
    deck::check_schedule(deck);
    check_tensor_parallel(deck);
    check_neighbours(deck, mesh.dp);
    check_pipeline(deck);
    check_questions(deck);
    check_encoder(deck);
    check_run(deck);
    check_checkpoints(deck);
    deck::check_tuning(deck);
  } catch (Error& e) {  // every rank has the same deck
    e.set_everywhere();
    throw;
  }
}

}  // namespace trireme
