// SPDX-License-Identifier: Apache-2.0
// The loss scale of fp16 training. ops/step_state.hpp has the rule that moves the scale.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/ops/step_state.hpp"
#include "trireme/optim/config.hpp"

namespace trireme {

/// The state of a loss scale, which checkpoints store.
struct LossScaleState {
  double scale = 1;
  std::int64_t clean_steps = 0;  ///< since the last overflow or doubling
  std::int64_t hysteresis = -1;  ///< what is left of the hysteresis; −1: the scale doesn't move
  friend bool operator==(const LossScaleState&, const LossScaleState&) = default;
};

[[nodiscard]] LossScaleState loss_scale_of(const StepState& state);

[[nodiscard]] StepRule step_rule(const OptimizerConfig& optimizer,
                                 const LossScaleConfig& scale);
/// The state before the first step. A fixed scale never moves, and no scaling means scale 1.
[[nodiscard]] StepState first_step_state(const LossScaleConfig& config);
/// Continues from `saved` if the saved scale moved and this run's moves. Else keeps `state`.
void restore_loss_scale(StepState& state, const LossScaleState& saved);

/// The message for a run that halted because gradients overflow at the least scale. The text
/// names keys that may help.
[[nodiscard]] std::string lowest_scale_text(const StepRule& rule, double scale);

/// The message for a run that halted after too many skipped steps in a row.
[[nodiscard]] std::string many_skips_text(const StepRule& rule, double scale);

}  // namespace trireme
