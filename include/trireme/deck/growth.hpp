// SPDX-License-Identifier: Apache-2.0
// What changes while a run trains: the batch, the length of sequences, and the layers that a
// step keeps. Pure functions of samples and iterations, so that a restart goes on exactly.
#pragma once

#include <cstdint>
#include <vector>

namespace trireme {

/// The global batch as a function of the samples consumed (Megatron's `rampup_batch_size`:
/// start, increment, samples). The whole batch comes after n = (batch − start) / increment
/// increments, which are spread evenly over the samples: c samples consumed give
/// start + ⌊c·n / samples⌋ · increment.
class BatchRamp {
 public:
  /// `key` is empty, for a batch that never changes, or has the three numbers. `batch` is the
  /// whole batch. Every size must be a multiple of `unit`, the samples of a micro-batch on all
  /// data-parallel ranks. Throws Error that names the numbers.
  BatchRamp(const std::vector<std::int64_t>& key, std::int64_t batch, std::int64_t unit);

  [[nodiscard]] bool grows() const { return samples_ > 0; }
  /// Samples of the step that begins after `consumed` samples.
  [[nodiscard]] std::int64_t batch_after(std::int64_t consumed) const;
  /// Samples consumed once `steps` more steps have followed `consumed` samples.
  [[nodiscard]] std::int64_t advance(std::int64_t consumed, std::int64_t steps) const;

 private:
  std::int64_t batch_;
  std::int64_t start_ = 0;
  std::int64_t increment_ = 0;
  std::int64_t samples_ = 0;  ///< 0: the batch never changes
  std::int64_t increments_ = 0;
};

/// DeepSpeed's curriculum: the length of sequences, by iteration.
struct CurriculumConfig {
  enum class Schedule : std::uint8_t { fixed_linear, fixed_root, fixed_discrete };
  bool enabled = false;
  std::int64_t min_difficulty = 0;
  std::int64_t max_difficulty = 0;
  Schedule schedule = Schedule::fixed_linear;
  std::int64_t total_step = 0;           ///< linear and root: iterations until max_difficulty
  std::int64_t difficulty_step = 0;      ///< ... lengths are multiples of this, but the last
  std::int64_t root_degree = 0;          ///< root
  std::vector<std::int64_t> difficulty;  ///< discrete: the lengths
  std::vector<std::int64_t> max_step;    ///< ... and the last iteration of each but the last
  friend bool operator==(const CurriculumConfig&, const CurriculumConfig&) = default;
};

/// Tokens of each sequence at iteration n ≥ 1 (deepspeed/runtime/data_pipeline's
/// curriculum_scheduler.py), at most `seq_length`. With d = max_difficulty − min_difficulty,
/// root and linear (degree 1) give min + d·(n / total_step)^(1/degree), rounded down to a
/// multiple of difficulty_step. Lengths are at least min_difficulty, rounded up to such a
/// multiple, and at most max_difficulty. The discrete schedule gives the
/// first length whose max_step isn't below n.
[[nodiscard]] std::int64_t curriculum_length(const CurriculumConfig& config,
                                             std::int64_t seq_length, std::int64_t iteration);

/// Lengths whose multiples are all that the curriculum gives: sequence parallelism shards them.
[[nodiscard]] std::vector<std::int64_t> sharded_lengths(const CurriculumConfig& config,
                                                        std::int64_t seq_length);

/// Progressive layer drop (Zhang and He, arXiv 2010.13369), with DeepSpeed's keys.
struct LayerDropConfig {
  bool enabled = false;
  double theta = 1;      ///< where θ(t) ends
  double gamma = 0.001;  ///< how fast
  friend bool operator==(const LayerDropConfig&, const LayerDropConfig&) = default;
};

/// θ(t) = (1 − θ)·exp(−γ·t) + θ: the share of micro-batches that the last layer processes.
/// Layer i of L processes a share of 1 − i/L·(1 − θ(t)). Like DeepSpeed's engine, iteration n
/// takes t = n − 2, and the first iteration t = 0. Without layer drop the result is 1.
[[nodiscard]] double layer_keep(const LayerDropConfig& config, std::int64_t iteration);

/// GPT-NeoX's estimate of the gradient noise scale (McCandlish et al., arXiv 1812.06162).
struct NoiseScaleConfig {
  bool enabled = false;
  std::int64_t n_batches = 5;  ///< steps whose mean gradient stands for the large batch
  bool cpu_offload = false;
  friend bool operator==(const NoiseScaleConfig&, const NoiseScaleConfig&) = default;
};

}  // namespace trireme
