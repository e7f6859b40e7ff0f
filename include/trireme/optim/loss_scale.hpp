// SPDX-License-Identifier: Apache-2.0
// The loss scale of fp16 training, as part of how a step ends: ops/step_state.hpp has the rule.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/ops/step_state.hpp"
#include "trireme/optim/config.hpp"

namespace trireme {

/// Where a loss scale stands: part of a checkpoint.
struct LossScaleState {
  double scale = 1;
  std::int64_t clean_steps = 0;  ///< since the last overflow or doubling
  std::int64_t hysteresis = -1;  ///< what is left of it; −1: the scale doesn't move
  friend bool operator==(const LossScaleState&, const LossScaleState&) = default;
};

[[nodiscard]] LossScaleState loss_scale_of(const StepState& state);

[[nodiscard]] StepRule step_rule(const OptimizerConfig& optimizer,
                                 const LossScaleConfig& scale);
/// Before the first step. A fixed scale stays, whatever overflows; without scaling it is 1.
[[nodiscard]] StepState first_step_state(const LossScaleConfig& config);
/// Goes on from `saved`, if the scale moved there and moves here; else stays as it is.
void restore_loss_scale(StepState& state, const LossScaleState& saved);

/// For a run that halted since gradients overflow at the least scale: names the keys that may
/// help.
[[nodiscard]] std::string lowest_scale_text(const StepRule& rule, double scale);

}  // namespace trireme
