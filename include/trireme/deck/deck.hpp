// SPDX-License-Identifier: Apache-2.0
// The deck: everything that a run is told. Read once from GPT-NeoX's or DeepSpeed's YAML or
// JSON, checked, and from then on plain data.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/model/config.hpp"
#include "trireme/optim/config.hpp"
#include "trireme/pipeline/plan.hpp"

namespace trireme {

/// What a deck sets. Two decks compare equal if they ask for the same run.
struct DeckSettings {
  enum class ComputeDevice : std::uint8_t { automatic, cpu, cuda };
  enum class Exchange : std::uint8_t { automatic, nccl, staged };
  enum class AttentionKernel : std::uint8_t { automatic, own, cudnn };
  enum class CheckpointScale : std::uint8_t { linear, log };

  ModelConfig model;  ///< vocab_size 0: the data file's
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  ZeroConfig zero;
  PrecisionConfig types;
  LossScaleConfig loss_scale;
  RecomputeConfig recompute;

  int pipe_parallel_size = 1;   ///< stages
  int model_parallel_size = 1;  ///< tensor parallelism
  bool sequence_parallel = false;
  std::string pipe_partition_method = "type:transformer|mlp";  ///< or uniform, parameters
  int virtual_pipeline_chunks = 1;                             ///< > 1: interleaved 1F1B
  PipelineSchedule pipeline_schedule = PipelineSchedule::one_f_one_b;

  std::int64_t train_batch_size = 0;  ///< samples a step over all ranks; these three are 0
  std::int64_t train_micro_batch_size_per_gpu = 0;  ///< where the deck leaves them open,
  std::int64_t gradient_accumulation_steps = 0;     ///< until resolve() fills them

  std::int64_t train_iters = 0;
  std::uint64_t seed = 1234;
  std::int64_t eval_interval = 1000;  ///< iterations; 0 = never
  std::int64_t eval_iters = 100;      ///< batches an evaluation
  std::int64_t log_interval = 100;
  std::vector<std::int64_t> timeline_iters;  ///< who did what when goes to metrics.h5
  std::string tensorboard_dir;               ///< folder of event files; empty = none
  std::string run_dir;                       ///< folder of the run's own files; empty = `save`
  std::string save;                          ///< folder of checkpoints; empty = none
  std::string load;                          ///< folder to resume from; empty = start afresh
  std::int64_t checkpoint_factor = 0;  ///< iterations between checkpoints; 0 = at the end only
  CheckpointScale checkpoint_scale = CheckpointScale::linear;  ///< log: factor, factor², …
  std::vector<std::int64_t> extra_save_iters;  ///< further iterations to save at
  std::int64_t keep_last_n_checkpoints = 0;    ///< 0 = all
  std::int64_t exit_interval = 0;              ///< save and end at its multiples; 0 = never
  bool no_save_optim = false;                  ///< checkpoints of the weights alone
  bool finetune = false;                       ///< of `load`, the weights alone
  bool no_load_optim = false;                  ///< the optimizer starts afresh
  bool no_load_rng = false;                    ///< the seed may be another
  bool override_lr_scheduler = false;          ///< the deck's schedule, without a word
  bool use_checkpoint_lr_scheduler = false;    ///< the checkpoint's schedule
  bool checkpoint_async = true;                ///< write behind training
  int checkpoint_writers_per_node = 0;         ///< 0 = every rank writes a shard
  bool checkpoint_stop_when_full = false;      ///< end the run when a save finds no space
  double checkpoint_time_margin = 0;  ///< seconds before the batch limit to stop; 0 = measured

  std::vector<std::string> data_path;  ///< cut by `split`; else the three lists below
  std::vector<std::string> train_data_paths;
  std::vector<std::string> valid_data_paths;
  std::vector<std::string> test_data_paths;
  std::vector<double> train_data_weights;  ///< as many as paths; empty = by size
  std::vector<double> valid_data_weights;
  std::vector<double> test_data_weights;
  std::string split = "969, 30, 1";  ///< see split_fractions()

  ComputeDevice device = ComputeDevice::automatic;
  Exchange communication = Exchange::automatic;  ///< of arrays between GPUs
  AttentionKernel attention_kernel = AttentionKernel::automatic;
  bool allow_tf32 = false;     ///< fp32 products with factors of 10 bits
  bool gemm_autotune = false;  ///< products' algorithms by trial
  bool cuda_graphs = false;    ///< of micro-batches; until their gain is measured on a GPU
  bool profile = false;        ///< a CUDA profiler records iterations [start, stop)
  std::int64_t profile_step_start = 10;
  std::int64_t profile_step_stop = 12;
  int threads_per_rank = 0;  ///< 0 = this rank's share of the machine's cores

  /// Where metrics, log and the like go; empty if the run keeps nothing.
  [[nodiscard]] const std::string& run_folder() const {
    return run_dir.empty() ? save : run_dir;
  }

  friend bool operator==(const DeckSettings&, const DeckSettings&) = default;
};

struct Deck : DeckSettings {
  /// What the user should know though the run can go on: keys that mean nothing here. For
  /// rank 0 to print; not part of a comparison.
  std::vector<std::string> warnings;
};

/// Reads decks and merges them left to right, then `overrides` of the form `key=value` (dotted
/// for nested keys: `optimizer.params.lr=1e-3`), key by key: the later one wins. Nested
/// dictionaries merge key by key too, so that a later `optimizer: {params: {lr: 1e-3}}` keeps
/// an earlier deck's `betas`; `null` takes a key, or a whole dictionary, back to its default.
/// `-` and `_` are the same in a key. Not collective: every rank reads alike.
/// Throws Error that names file, line and column: a file that can't be read, a YAML error, an
/// unknown, doubled or contradicting key, a wrong type or range, a feature that isn't
/// available, missing keys.
[[nodiscard]] Deck read_deck(const std::vector<std::string>& files,
                             const std::vector<std::string>& overrides = {});

/// The same from a text; `name` stands for the file in messages.
[[nodiscard]] Deck parse_deck(const std::string& text, const std::string& name);

/// Fills in and checks everything that depends on the number of ranks or on several keys: the
/// batch sizes, and that heads, layers and widths fit the mesh. Throws Error that names the
/// keys and numbers. Resolving twice changes nothing.
void resolve(Deck& deck, int world_size);

/// dp × tp × pp for so many ranks. Throws Error if pp × tp doesn't divide them.
[[nodiscard]] MeshShape mesh_shape(const Deck& deck, int world_size);

/// Every setting as YAML, in a fixed order; parse_deck() of it compares equal.
[[nodiscard]] std::string to_yaml(const Deck& deck);

/// Shares of train, valid and test from "969, 30, 1"; they sum to 1. Throws Error.
[[nodiscard]] std::array<double, 3> split_fractions(const std::string& split);

/// What every key means, its default and range, for people to read.
[[nodiscard]] std::string describe_keys();

/// The name closest to `name` by edit distance, empty if none is close.
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> names);

}  // namespace trireme
