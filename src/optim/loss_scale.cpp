// SPDX-License-Identifier: Apache-2.0
// How the loss scale begins, and how a saved one is restored.
#include "trireme/optim/loss_scale.hpp"

#include <cmath>

#include "trireme/core/error.hpp"
#include "trireme/optim/optimizer_table.hpp"

namespace trireme {

LossScaleState loss_scale_of(const StepState& state) {
  return {state.scale, static_cast<std::int64_t>(state.clean_steps),
          static_cast<std::int64_t>(state.hysteresis)};
}

StepRule step_rule(const OptimizerConfig& optimizer, const LossScaleConfig& scale) {
  const bool corrects = optimizer.bias_correction && !optimizer_row(optimizer.kind).compresses;
  // 1 − 0ᵗ = 1 corrects nothing.
  return {.beta1 = corrects ? optimizer.beta1 : 0,
          .beta2 = corrects ? optimizer.beta2 : 0,
          .clip = optimizer.gradient_clipping,
          .skips = scale.enabled,
          .window = scale.window,
          .hysteresis = scale.hysteresis,
          .refill = scale.consecutive_hysteresis,
          .min_scale = scale.min,
          .most_skips = scale.most_skips,
          .interval = optimizer.rolling_interval_length,
          .sigma = optimizer.sigma_factor};
}

StepState first_step_state(const LossScaleConfig& config) {
  StepState state;
  if (!config.enabled) return state;
  state.scale = config.fixed > 0 ? config.fixed : std::ldexp(1.0, config.initial_power);
  if (config.fixed == 0) state.hysteresis = static_cast<double>(config.hysteresis);
  return state;
}

void restore_loss_scale(StepState& state, const LossScaleState& saved) {
  if (saved.hysteresis <= 0 || state.hysteresis <= 0) return;
  state.scale = saved.scale;
  state.clean_steps = static_cast<double>(saved.clean_steps);
  state.hysteresis = static_cast<double>(saved.hysteresis);
}

std::string lowest_scale_text(const StepRule& rule, double scale) {
  return fmt::format(
      "gradients overflow fp16 at loss scale {}, and fp16.min_loss_scale is {}: the scale "
      "cannot be lowered further. A lower lr or a longer warmup, a smaller "
      "fp16.min_loss_scale, or bf16 (precision: bfloat16) may help",
      scale, rule.min_scale);
}

std::string many_skips_text(const StepRule& rule, double scale) {
  return fmt::format(
      "gradients overflowed in {} steps in a row, which max_skipped_steps allows at most; the "
      "loss scale is {}. A lower lr, a smaller fp16.loss_scale or fp16.initial_scale_power, or "
      "bf16 (precision: bfloat16) may help",
      rule.most_skips, scale);
}

}  // namespace trireme
