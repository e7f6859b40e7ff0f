// SPDX-License-Identifier: Apache-2.0
// Settings of the update and of the learning rate. Plain data; the deck fills it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trireme/core/dtype.hpp"

namespace trireme {

enum class OptimizerKind : std::uint8_t {
  adamw,
  adam,  ///< decay is added to the gradient
  sgd,
  lion,
  adagrad,
  lamb,
  adafactor,
  muon,
  madgrad,
  sm3,
  one_bit_adam,
  one_bit_lamb,
  zero_one_adam
};

/// Settings of the parameters whose names a pattern matches anywhere.
struct LrGroup {
  std::string match;
  double lr_scale = 1;  ///< factor on the schedule's learning rate
  std::optional<double>
      weight_decay;  ///< instead of OptimizerConfig's, also of biases and norms
  friend bool operator==(const LrGroup&, const LrGroup&) = default;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adamw;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  bool adam_w_mode = true;               ///< false: Adam is OptimizerKind::adam
  bool bias_correction = true;           ///< Adam, AdamW and LAMB divide moments by 1 − βᵗ
  bool eight_bit = false;                ///< AdamW keeps its moments in 8 bits
  std::int64_t min_8bit_size = 4096;     ///< ... of parameters with at least so many elements
  double momentum = 0;                   ///< SGD, MADGRAD, Muon, SM3
  double dampening = 0;                  ///< SGD
  bool nesterov = false;                 ///< SGD
  double beta = 0;                       ///< SM3
  double lr_decay = 0;                   ///< Adagrad
  double initial_accumulator_value = 0;  ///< Adagrad
  double max_coeff = 10;                 ///< LAMB: most that a trust ratio may be
  double min_coeff = 0.01;
  double epsilon2 = 1e-3;     ///< Adafactor: least scale of a parameter
  double beta2_decay = -0.8;  ///< Adafactor: the average forgets by t^beta2_decay
  double clip_threshold = 1;  ///< Adafactor: largest root mean square of an update
  double muon_lr = 0;         ///< Muon: instead of lr, for matrices; 0: lr
  double adam_lr = 0;         ///< ... and for all other parameters
  double peak_lr = 0;         ///< the schedule's lr, which muon_lr and adam_lr replace
  /// OneBitAdam, OneBitLamb: updates after which the variance is frozen, and signs travel.
  std::int64_t freeze_step = 100'000;
  double coeff_beta = 0.9;  ///< OneBitLamb: share of an average trust ratio that stays
  double factor_max = 4;    ///< ... bounds of the factor on this ratio once it is frozen
  double factor_min = 0.5;
  double factor_threshold = 0.1;  ///< ... most that the factor changes by, as a share
  /// ZeroOneAdam: updates after which the variance is frozen, and ranks take local steps.
  std::int64_t var_freeze_step = 100'000;
  std::int64_t var_update_scaler = 16;      ///< ... after which its interval doubles
  std::int64_t local_step_scaler = 32'678;  ///< ... local steps after which theirs doubles
  std::int64_t local_step_clipper = 16;     ///< ... most local steps between two means
  double weight_decay = 0.1;
  double gradient_clipping = 1.0;  ///< global norm; 0 = off
  /// A step is skipped whose loss or norm is over sigma_factor standard deviations above the
  /// mean of this many steps before; 0: none is skipped.
  std::int64_t rolling_interval_length = 0;
  double sigma_factor = 6;
  std::vector<LrGroup> lr_groups;  ///< a parameter takes the first that matches
  friend bool operator==(const OptimizerConfig&, const OptimizerConfig&) = default;
};

/// Where the optimizer keeps its state between updates: DeepSpeed's `offload_optimizer` and
/// `aio`. No bit of a run depends on these settings.
struct OffloadConfig {
  enum class Home : std::uint8_t {
    device,  ///< the memory of the computing device
    host,    ///< the host's memory, which is the device's where CPUs compute
    files    ///< a file of each rank
  };
  Home home = Home::device;
  std::string nvme_path;          ///< folder of the files
  bool pin_memory = false;        ///< GPUs only
  std::int64_t buffer_count = 4;  ///< buffers of the pool through which files are updated
  std::int64_t buffer_size = 2'000'000;  ///< elements of a buffer
  bool fast_init = false;                ///< without effect: new files hold zeros
  double ratio = 1;                      ///< share that is not kept on a GPU
  bool pipeline_read = true;             ///< read what comes next beside an update
  bool pipeline_write = true;            ///< write what was updated beside the next update
  // How files are read and written.
  std::int64_t block_size = std::int64_t{1} << 20U;  ///< bytes of a request
  std::int64_t queue_depth = 8;                      ///< requests of a thread under way
  std::int64_t thread_count = 1;
  bool single_submit = false;  ///< hand requests to the system one by one
  bool overlap_events = true;  ///< submit requests while earlier ones are under way
  friend bool operator==(const OffloadConfig&, const OffloadConfig&) = default;
};

/// An exponential moving average of the values: a ← decay·a + (1 − decay)·θ after every
/// `every_n_steps`-th iteration that updates.
struct AverageConfig {
  bool enabled = false;
  double decay = 0.999;
  std::int64_t every_n_steps = 1;
  bool validate_original = false;  ///< evaluate the values themselves
  friend bool operator==(const AverageConfig&, const AverageConfig&) = default;
};

/// What ZeRO shards over dp (Rajbhandari et al., arXiv 1910.02054). Stages 1 and 2 shard
/// masters, moments and gradients, and stage 3 also values. With `reduce_once_per_step`,
/// stage 1 keeps whole gradients. Sizes are in elements. No bit of a run depends on these
/// settings, with exceptions. `reduce_once_per_step` changes last bits. Bucket sizes and
/// the persistence threshold change the order in which the norm is summed.
struct ZeroConfig {
  int stage = 0;
  bool overlap_comm = true;                          ///< collectives run beside the computation
  std::int64_t reduce_bucket_size = 6'500'000;       ///< most in one reduction (25 MiB of fp32)
  std::int64_t allgather_bucket_size = 500'000'000;  ///< most in one gather
  std::int64_t stage3_prefetch_bucket_size = 50'000'000;      ///< gathered ahead of use
  std::int64_t stage3_param_persistence_threshold = 100'000;  ///< up to this, kept whole
  std::int64_t stage3_max_live_parameters = 1'000'000'000;    ///< gathered at a time
  std::int64_t sub_group_size = 1'000'000'000;  ///< most in one update; 0: no limit
  /// Stages 0 and 1: gradients add up on each rank over all micro-batches and are reduced once.
  bool reduce_once_per_step = false;
  OffloadConfig offload;  ///< where the optimizer's state is kept
  /// Stage 3: so many neighbours along dp share a second copy of the values. All gathers of a
  /// step but the first of each value read this copy. 1: there is none.
  std::int64_t hpz_partition_size = 1;
  /// Stage 3: gathers send values as bytes and a scale for each block. Changes bits.
  bool quantized_weights = false;
  friend bool operator==(const ZeroConfig&, const ZeroConfig&) = default;
};

/// Types of arrays that are kept and sent.
struct PrecisionConfig {
  DType compute = DType::f32;        ///< values and activations: fp32, bf16 or fp16
  DType gradient = DType::f32;       ///< in which gradients of micro-batches add up
  DType master = DType::f32;         ///< type of the values that are updated
  DType moments = DType::f32;        ///< type of the optimizer's state
  DType communication = DType::f32;  ///< in which gradients travel over dp
  friend bool operator==(const PrecisionConfig&, const PrecisionConfig&) = default;
};

/// The factor on the loss that keeps fp16 gradients from vanishing (Micikevicius et al., arXiv
/// 1710.03740). DeepSpeed's rule moves this factor.
struct LossScaleConfig {
  bool enabled = false;                 ///< fp16 only
  double fixed = 0;                     ///< > 0: a fixed scale
  int initial_power = 16;               ///< starts at 2^initial_power
  std::int64_t window = 1000;           ///< clean steps before the scale doubles
  std::int64_t hysteresis = 2;          ///< overflows before the scale halves
  bool consecutive_hysteresis = false;  ///< a clean step refills the hysteresis
  double min = 1;                       ///< least scale: an overflow at this scale ends the run
  std::int64_t most_skips = 50;         ///< so many skipped steps in a row end the run
  friend bool operator==(const LossScaleConfig&, const LossScaleConfig&) = default;
};

enum class DecayStyle : std::uint8_t { constant, linear, cosine, exponential };

/// DeepSpeed's OneCycle: the rate rises from min_lr to max_lr, falls back, and then decays.
struct OneCycleConfig {
  double min_lr = 0;
  double max_lr = 0;
  double decay_lr_rate = 0;
  std::int64_t first_step_size = 2000;
  std::int64_t second_step_size = -1;    ///< −1: first_step_size
  std::int64_t first_stair_count = 0;    ///< stairs of the rise; 0: a line
  std::int64_t second_stair_count = -1;  ///< −1: first_stair_count
  std::int64_t decay_step_size = 0;      ///< 0: no decay
  bool cycle_momentum = true;  ///< β1 falls from max_mom while the rate rises, and β2 is 0.99
  double min_mom = 0.8;
  double max_mom = 0.9;
  double decay_mom_rate = 0;

  /// Steps of rise and fall.
  [[nodiscard]] std::int64_t size() const {
    return first_step_size + (second_step_size < 0 ? first_step_size : second_step_size);
  }
  friend bool operator==(const OneCycleConfig&, const OneCycleConfig&) = default;
};

/// DeepSpeed's LRRangeTest: the rate grows by step_rate times min_lr every step_size steps.
struct RangeTestConfig {
  double min_lr = 1e-3;
  std::int64_t step_size = 2000;
  double step_rate = 1;
  bool staircase = false;  ///< else the rate grows at every step
  friend bool operator==(const RangeTestConfig&, const RangeTestConfig&) = default;
};

/// DeepSpeed's schedules of the learning rate, by their names there.
struct DeepSpeedSchedule {
  enum class Type : std::uint8_t {
    none,       ///< GPT-NeoX's schedule holds
    constant,   ///< WarmupLR
    linear,     ///< WarmupDecayLR
    cosine,     ///< WarmupCosineLR
    one_cycle,  ///< OneCycle
    range_test  ///< LRRangeTest
  };
  enum class Warmup : std::uint8_t { log, linear };
  Type type = Type::none;
  double min_lr = 0;  ///< before the warm-up of constant and linear
  double max_lr = 0;  ///< after the warm-up of constant and linear
  std::int64_t warmup_steps = 1000;
  Warmup warmup = Warmup::log;
  std::int64_t total_steps = 0;
  double min_ratio = 0;           ///< cosine: share of lr before the warm-up
  double cos_min_ratio = 0.0001;  ///< cosine: share of lr at the end
  OneCycleConfig one_cycle = {};
  RangeTestConfig range_test = {};
  friend bool operator==(const DeepSpeedSchedule&, const DeepSpeedSchedule&) = default;
};

struct ScheduleConfig {
  double lr = 0;
  double min_lr = 0;
  double warmup = 0.01;  ///< fraction of lr_decay_iters
  std::int64_t lr_decay_iters = 0;
  DecayStyle lr_decay_style = DecayStyle::linear;
  std::int64_t lr_decay_samples = 0;   ///< > 0: instead of lr_decay_iters
  std::int64_t lr_warmup_samples = 0;  ///< > 0: instead of `warmup`, with lr_decay_samples
  DeepSpeedSchedule deepspeed;
  friend bool operator==(const ScheduleConfig&, const ScheduleConfig&) = default;
};

}  // namespace trireme
