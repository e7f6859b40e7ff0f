// SPDX-License-Identifier: Apache-2.0
// Halving and doubling.
#include "trireme/optim/loss_scale.hpp"

#include <algorithm>
#include <cmath>

#include "trireme/core/error.hpp"

namespace trireme {

LossScale::LossScale(const LossScaleConfig& config) : config_(config) {
  if (!config.enabled) return;
  if (config.fixed > 0) {
    state_.scale = config.fixed;
    return;
  }
  state_ = {std::ldexp(1.0, config.initial_power), 0, config.hysteresis};
}

void LossScale::update(bool overflow) {
  if (state_.hysteresis < 0) return;
  if (overflow) {
    state_.clean_steps = 0;
    if (state_.hysteresis > 1) {
      --state_.hysteresis;
      return;
    }
    if (state_.scale <= config_.min) {
      Error error(fmt::format(
          "gradients overflow fp16 at loss scale {}, and fp16.min_loss_scale is {}: the scale "
          "cannot be lowered further. A lower lr or a longer warmup, a smaller "
          "fp16.min_loss_scale, or bf16 (precision: bfloat16) may help",
          state_.scale, config_.min));
      throw error.set_everywhere();
    }
    state_.scale = std::max(state_.scale / 2, config_.min);
    return;
  }
  if (config_.consecutive_hysteresis) state_.hysteresis = config_.hysteresis;
  if (++state_.clean_steps < config_.window) return;
  state_.clean_steps = 0;
  state_.hysteresis = config_.hysteresis;
  state_.scale *= 2;
}

void LossScale::restore(const State& state) {
  if (state.hysteresis > 0 && state_.hysteresis > 0) state_ = state;
}

}  // namespace trireme
