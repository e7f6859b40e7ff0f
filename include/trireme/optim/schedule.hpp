// SPDX-License-Identifier: Apache-2.0
// The learning rate as a function of the iteration (GPT-NeoX's annealing).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "trireme/optim/config.hpp"

namespace trireme {

/// Iterations of warm-up: warmup × lr_decay_iters, rounded down.
[[nodiscard]] std::int64_t warmup_iters(const ScheduleConfig& config);

/// Samples of warm-up, where `lr_decay_samples` counts: lr_warmup_samples, or the share
/// `warmup`.
[[nodiscard]] std::int64_t warmup_samples(const ScheduleConfig& config);

/// Learning rate of the update that ends iteration n ≥ 1. With W = warmup_iters:
///   n ≤ W        lr · n / W, also below min_lr
///   n > W        with m = min(n, lr_decay_iters) − W and M = lr_decay_iters − W:
///     constant     lr
///     linear       lr · (M − m) / M
///     cosine       min_lr + (lr − min_lr) / 2 · (cos(π m / M) + 1)
///     exponential  lr · e^(−0.693 m / M)
///                never below min_lr. From lr_decay_iters on, the rate is constant.
/// `config.deepspeed` replaces this rule by DeepSpeed's unless its type is none.
/// Throws Error if n < 1 or the warm-up isn't within 0 … 1 of lr_decay_iters.
[[nodiscard]] double learning_rate(const ScheduleConfig& config, std::int64_t iteration);
/// The rule above for n > 0 that is no whole number: the samples consumed over those of a whole
/// batch, where the batch grows. `config.deepspeed` must be none.
[[nodiscard]] double learning_rate_at(const ScheduleConfig& config, double n);
/// The rule above where `lr_decay_samples` counts instead of lr_decay_iters: `consumed` samples
/// take the place of n, and the warm-up has warmup_samples().
[[nodiscard]] double learning_rate_by_samples(const ScheduleConfig& config,
                                              std::int64_t consumed);

/// β1 and β2 of an iteration, where DeepSpeed's OneCycle sets them.
[[nodiscard]] std::optional<std::array<double, 2>> betas_at(const ScheduleConfig& config,
                                                            std::int64_t iteration);
/// Whether a schedule of DeepSpeed's reads this key of `scheduler.params`.
[[nodiscard]] bool reads_key(DeepSpeedSchedule::Type type, std::string_view key);

}  // namespace trireme
