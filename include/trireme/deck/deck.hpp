// SPDX-License-Identifier: Apache-2.0
// The deck: all settings of a run. A deck is read once from YAML or JSON, in the words of
// GPT-NeoX or DeepSpeed, and checked. Afterwards a deck is plain data.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/data/image_augmentation.hpp"
#include "trireme/data/packing.hpp"
#include "trireme/deck/generation.hpp"
#include "trireme/deck/growth.hpp"
#include "trireme/model/config.hpp"
#include "trireme/optim/config.hpp"
#include "trireme/pipeline/plan.hpp"

namespace trireme {

/// What `split` is where the deck leaves it out. Parts that have too little data are left out.
inline constexpr const char* kDefaultSplit = "969, 30, 1";

/// The settings of a deck. Two decks compare equal if they ask for equal runs.
struct DeckSettings {
  enum class ComputeDevice : std::uint8_t { automatic, cpu, cuda };
  enum class Communication : std::uint8_t { automatic, nccl, staged };
  enum class AttentionKernel : std::uint8_t { automatic, own, cudnn };
  enum class CheckpointScale : std::uint8_t { linear, log };
  enum class LogFormat : std::uint8_t { text, json };
  /// GPT-NeoX's names for kinds of tokenizers. any: whatever vocab_file holds.
  enum class TokenizerType : std::uint8_t {
    any,
    gpt2_bpe,
    hugging_face,
    hugging_face_gpt2,
    sentence_piece,
    characters,
    tiktoken
  };

  ModelConfig model;  ///< vocab_size 0: taken from the data file
  OptimizerConfig optimizer;
  AverageConfig ema;
  ScheduleConfig schedule;
  ZeroConfig zero;
  PrecisionConfig types;
  LossScaleConfig loss_scale;
  RecomputeConfig recompute;
  GenerationConfig generation;
  CurriculumConfig curriculum;
  LayerDropConfig layer_drop;
  NoiseScaleConfig noise_scale;

  std::string base_shapes_file;   ///< holds mup's base widths; empty: the deck does
  bool save_base_shapes = false;  ///< write that file instead of training
  bool coord_check = false;       ///< measure activations over widths instead of training

  int pipe_parallel_size = 1;   ///< pipeline stages
  int model_parallel_size = 1;  ///< ranks of tensor parallelism
  bool sequence_parallel = false;
  std::string pipe_partition_method = "type:transformer|mlp";  ///< or "uniform" or "parameters"
  int virtual_pipeline_chunks = 1;                             ///< > 1: interleaved 1F1B
  PipelineSchedule pipeline_schedule = PipelineSchedule::one_f_one_b;

  std::int64_t train_batch_size = 0;  ///< samples a step over all ranks; 0: set by resolve()
  std::int64_t train_micro_batch_size_per_gpu = 0;  ///< 0: set by resolve()
  std::int64_t gradient_accumulation_steps = 0;     ///< 0: set by resolve()
  std::vector<std::int64_t> rampup_batch_size;      ///< see BatchRamp; may be empty

  std::int64_t train_iters = 0;
  std::int64_t train_samples = 0;  ///< > 0: train_iters follows, once resolve() has set it
  std::uint64_t seed = 1234;
  std::int64_t eval_interval = 1000;    ///< iterations; 0 = never
  std::int64_t eval_iters = 100;        ///< batches an evaluation
  std::vector<std::string> eval_tasks;  ///< YAML files of tasks
  std::int64_t eval_tasks_iters = 0;    ///< iterations between runs of the tasks; 0 = never
  std::int64_t eval_tasks_limit = 0;    ///< questions of each task; 0 = all
  std::string eval_tasks_data;          ///< folder of the tasks' data; empty = that of each
  std::int64_t log_interval = 100;
  LogFormat log_format = LogFormat::text;    ///< the screen's and log.txt's
  std::vector<std::int64_t> timeline_iters;  ///< iterations whose timeline metrics.h5 records
  std::string tensorboard_dir;               ///< folder of event files; empty = none
  std::string run_dir;                       ///< folder of the run's own files; empty = `save`
  std::string save;                          ///< folder of checkpoints; empty = none
  std::string load;                          ///< folder to resume from; empty = start afresh
  double checkpoint_factor = 0;  ///< iterations between checkpoints; 0 = at the end only
  CheckpointScale checkpoint_scale =
      CheckpointScale::linear;                 ///< log: at 1, factor, factor², …
  std::vector<std::int64_t> extra_save_iters;  ///< further iterations; 0 = the initial weights
  std::int64_t keep_last_n_checkpoints = 0;    ///< 0 = all
  std::int64_t exit_interval = 0;              ///< save and end at multiples of this; 0 = never
  bool no_save_optim = false;                  ///< save the weights alone
  bool finetune = false;                       ///< load the weights alone
  bool no_load_optim = false;                  ///< start with new optimizer state
  bool no_load_rng = false;                    ///< accept a seed unlike the checkpoint's
  bool override_lr_scheduler = false;          ///< use the deck's schedule without asking
  bool use_checkpoint_lr_scheduler = false;    ///< use the checkpoint's schedule
  bool checkpoint_async = true;                ///< write while training goes on
  int checkpoint_writers_per_node = 0;         ///< 0 = every rank writes a shard
  bool checkpoint_stop_when_full = false;      ///< end the run when a save finds no space
  double checkpoint_time_margin = 0;  ///< seconds before the batch limit to stop; 0 = measured
  double stop_grace = 0;  ///< seconds from a signal to the kill; 0 = what the launcher says

  std::vector<std::string> data_path;  ///< divided by `split`; empty: the three lists below
  std::vector<std::string> train_data_paths;
  std::vector<std::string> valid_data_paths;
  std::vector<std::string> test_data_paths;
  std::vector<double> train_data_weights;  ///< one a path; empty = equal shares
  std::vector<double> valid_data_weights;
  std::vector<double> test_data_weights;
  bool weight_by_num_documents = false;  ///< shares by documents instead: NeoX's formula
  double weighted_sampler_alpha = 1;
  std::vector<std::string> train_label_data_paths;  ///< one a path, or empty
  std::vector<std::string> valid_label_data_paths;
  std::vector<std::string> test_label_data_paths;
  Packing pack_impl = Packing::packed;
  bool allow_chopped = true;
  bool eod_mask_loss = false;  ///< targets that follow an end of document don't count
  /// The id that ends documents, where data files don't say it; −1 = unknown. Filled in from
  /// the deck's tokenizer, and from the data where the model needs it.
  std::int64_t end_of_document = -1;
  TokenizerType tokenizer_type = TokenizerType::any;
  std::string vocab_file;  ///< the tokenizer of data that have none; empty: none is named
  std::string merge_file;  ///< GPT-2's merges; empty: merges.txt beside vocab_file
  std::string tokenizer_encoding;  ///< whose pattern a .tiktoken file needs; empty: recognised
  double mask_prob = 0.15;         ///< see MaskingRule
  bool whole_word_mask = false;
  std::int64_t mask_token_id = -1;  ///< −1: the tokenizer's
  ImageAugmentation augmentation;   ///< what changes training images
  double fim_rate = 0;              ///< share of documents with fill-in-the-middle
  double fim_spm_rate = 0.5;
  std::vector<std::int64_t> fim_tokens;  ///< ids of the marks for prefix, middle, suffix
  std::string split;  ///< see split_fractions(); empty: chosen from kDefaultSplit by the data

  ComputeDevice device = ComputeDevice::automatic;
  Communication communication = Communication::automatic;  ///< how GPUs communicate
  AttentionKernel attention_kernel = AttentionKernel::automatic;
  bool allow_tf32 = false;     ///< fp32 GEMMs may round inputs to 10 bits
  bool gemm_autotune = false;  ///< choose GEMM algorithms by trial
  bool cuda_graphs = false;    ///< capture micro-batches; off until a GPU shows the gain
  bool profile = false;        ///< a CUDA profiler records iterations [start, stop)
  std::int64_t profile_step_start = 10;
  std::int64_t profile_step_stop = 12;
  int threads_per_rank = 0;    ///< 0 = this rank's share of the machine's cores
  double comm_timeout = 1800;  ///< seconds that a rank may wait for others; 0: for ever

  /// The folder for metrics, log and the like; empty if the run keeps none.
  [[nodiscard]] const std::string& run_folder() const {
    return run_dir.empty() ? save : run_dir;
  }

  friend bool operator==(const DeckSettings&, const DeckSettings&) = default;
};

struct Deck : DeckSettings {
  /// Key overwrite: this start may move the files of another run aside. A property of the
  /// start and not of the run: the resolved deck leaves it out.
  bool overwrite = false;
  /// Warnings about keys that have no effect; the run can go on. Rank 0 prints them.
  /// Comparisons of decks ignore them.
  std::vector<std::string> warnings;
  // Set by the resolve() that computed the value. Comparisons ignore these, too.
  bool derives_batch = false;         ///< train_batch_size follows from the micro-batch
  bool derives_accumulation = false;  ///< gradient_accumulation_steps was not given
  /// What the reader filled in and why, for the log.
  std::vector<std::string> notes;
  /// Where a value was written, by the key's path: "deck.yml:3:1", "--set seed=7".
  std::map<std::string, std::string> sources;
};

/// Reads decks and merges them key by key, left to right; later values replace earlier ones.
/// `overrides` come last and have the form `key=value`, with dots for nested keys:
/// `optimizer.params.lr=1e-3`. Nested dictionaries are merged too: a later `optimizer: {params:
/// {lr: 1e-3}}` keeps an earlier deck's `betas`. `null` resets a key, or a whole dictionary, to
/// its default. `-` and `_` are equivalent in a key. In paths, `~`, `~user`, `$NAME` and
/// `${NAME}` are replaced, and `$$` stands for a dollar sign. Not collective: every rank reads
/// the files. Throws Error that names file, line and column for unreadable files and YAML
/// errors. Further errors are keys that are unknown, doubled, contradicting or missing, wrong
/// types or ranges, and features that are not available.
[[nodiscard]] Deck read_deck(const std::vector<std::string>& files,
                             const std::vector<std::string>& overrides = {});

/// Parses a deck from `text`; `name` stands for the file in messages. `overrides` are those of
/// read_deck(). Paths are taken as they stand, as in a resolved deck.
[[nodiscard]] Deck parse_deck(const std::string& text, const std::string& name,
                              const std::vector<std::string>& overrides = {});

/// parse_deck() for the resolved deck of a checkpoint. Settings of another optimizer than the
/// deck's had no effect in earlier versions, and have none here.
[[nodiscard]] Deck parse_stored_deck(const std::string& text, const std::string& name);

/// parse_stored_deck() for a deck of an older version, which took `intermediate_size` for the
/// whole up-projection of a gated MLP.
[[nodiscard]] Deck parse_deck_with_whole_widths(const std::string& text,
                                                const std::string& name);

/// Fills in and checks everything that depends on the number of ranks or on several keys. Sets
/// the batch sizes, and checks that heads, layers and widths fit the mesh. Throws Error that
/// names the keys and numbers. A second call changes no setting.
void resolve(Deck& deck, int world_size);

/// The batches of a resolved deck. Throws Error if they don't fit the micro-batches.
[[nodiscard]] BatchRamp batch_ramp(const Deck& deck);
/// Steps that take at most so many samples from the run's start on, as Megatron counts them for
/// `train_samples`. A partial last batch is left out.
[[nodiscard]] std::int64_t iterations_of_samples(const BatchRamp& ramp, std::int64_t samples);
/// Whether the learning rate goes by samples instead of iterations.
[[nodiscard]] bool goes_by_samples(const Deck& deck);
/// The learning rate of an iteration after which the run has consumed so many samples. Where
/// the batch grows, or `train_samples` gives the run's length, GPT-NeoX's schedules go by
/// samples, as in Megatron.
[[nodiscard]] double rate_of_step(const Deck& deck, std::int64_t iteration,
                                  std::int64_t consumed);
/// Takes out of a deck what makes steps differ: batches and sequences are then the largest, and
/// no layer is dropped. Returns the keys that had an effect.
std::vector<std::string> stop_growth(Deck& deck);

/// The mesh dp × tp × pp of `world_size` ranks. Throws Error if pp × tp doesn't divide their
/// number.
[[nodiscard]] MeshShape mesh_shape(const Deck& deck, int world_size);

/// Every setting as YAML, in a fixed order. parse_deck() of this text gives an equal deck.
[[nodiscard]] std::string to_yaml(const Deck& deck);
/// Like to_yaml(), but for read_deck(), which replaces names in paths.
[[nodiscard]] std::string to_yaml_for_users(const Deck& deck);

/// Shares of train, valid and test, with sum 1, from a text such as "969, 30, 1". Throws Error
/// on other texts.
[[nodiscard]] std::array<double, 3> split_fractions(const std::string& split);

/// Describes the known keys with type, default, meaning and origin, for people to read. Each
/// word of a pattern must occur in a key's name, aliases, meaning or section; * stands for any
/// text. The result is "" if no key has them. An empty pattern describes all keys.
[[nodiscard]] std::string describe_keys(const std::string& pattern = "");
/// Describes the known keys as tables in Markdown.
[[nodiscard]] std::string key_reference();

/// The name closest to `name` by edit distance; empty if none is close.
[[nodiscard]] std::string nearest_name(std::string_view name,
                                       std::span<const std::string> names);

}  // namespace trireme
