// SPDX-License-Identifier: Apache-2.0
// Decides on the device how a training step ends, which saves the host a wait. The decision
// covers clipping, whether the update takes place, and the loss scale.
#pragma once

#include <cmath>
#include <cstdint>

#include "trireme/core/host_device.hpp"

namespace trireme {

/// How a step ends. The rule depends on the deck alone.
struct StepRule {
  double beta1 = 0;  ///< the deck's β1: an optimizer may read bias1 below
  double beta2 = 0;
  /// Targets of a global batch, by which gradients are weighted as if all counted; 0: as they
  /// are.
  double targets = 0;
  double clip = 0;               ///< largest norm of the gradient; 0: no limit
  bool skips = false;            ///< an overflow skips the step (fp16), else it halts the run
  std::int64_t window = 1000;    ///< steps without overflow before the scale doubles
  std::int64_t hysteresis = 2;   ///< overflows before the scale halves
  bool refill = false;           ///< hysteresis is refilled after each clean step
  double min_scale = 1;          ///< an overflow at this scale halts the run
  std::int64_t most_skips = 50;  ///< so many skipped steps in a row halt the run
  /// A finite step is skipped too if its loss or norm lies over `sigma` standard deviations
  /// above the mean of `interval` steps before; 0: not.
  std::int64_t interval = 0;
  double sigma = 6;

  /// Elements of the history: the number of steps, losses of the last ones, and norms.
  [[nodiscard]] TRM_HOST_DEVICE std::int64_t history() const {
    return interval > 0 ? 1 + 2 * interval : 0;
  }
};

/// State of the decision, on the device, equal on all ranks: an fp64 array [kSlots].
struct StepState {
  // Inputs of decide_step():
  double squares = 0;    ///< Σ g² of the whole model's gradient, times loss scale²
  double loss = 0;       ///< Σ token losses of the step, all ranks
  double auxiliary = 0;  ///< Σ auxiliary losses, in the same unit
  double counted = 0;    ///< targets that the loss counts
  double given_up = 0;   ///< ranks that left out work of this step; > 0: the step doesn't count
  // Outputs of decide_step():
  /// Multiplies gradients in the update: clipping, 1 / loss scale, and the weight of targets
  /// that count.
  double factor = 0;
  double updated = 0;  ///< 1: the update takes place; 0: the update changes nothing
  double halted = 0;   ///< 1: not finite and not skipped; no updates until the host acts
  double updates = 0;  ///< updates so far, this one included: AdamW's t
  double bias1 = 1;    ///< 1 − β1ᵗ
  double bias2 = 1;    ///< 1 − β2ᵗ
  double norm = 0;     ///< norm of the gradient, without the loss scale
  // The loss scale, for the next step:
  double scale = 1;
  double clean_steps = 0;  ///< since the last overflow or doubling
  double hysteresis = -1;  ///< overflows left before the scale halves; −1: the scale is static
  double skips = 0;        ///< skipped steps in a row, this step included

  static constexpr std::int64_t kSlots = 16;
  static constexpr std::int64_t kSums = 5;  ///< the inputs, which are sums over ranks
  static constexpr std::int64_t kGivenUpSlot = 4;
  static constexpr std::int64_t kScaleSlot = 12;
};
static_assert(sizeof(StepState) == StepState::kSlots * sizeof(double));

/// Moves DeepSpeed's dynamic loss scale. An overflow uses up one hysteresis; once hysteresis is
/// 1, an overflow halves the scale, but not below min_scale. `window` clean steps in a row
/// double the scale and refill hysteresis. Returns false if an overflow finds the scale at
/// min_scale.
TRM_HOST_DEVICE inline bool move_loss_scale(const StepRule& rule, bool overflow, StepState& s) {
  if (s.hysteresis < 0) return true;
  if (overflow) {
    s.clean_steps = 0;
    if (s.hysteresis > 1) {
      s.hysteresis -= 1;
      return true;
    }
    if (s.scale <= rule.min_scale) return false;
    s.scale = s.scale / 2 > rule.min_scale ? s.scale / 2 : rule.min_scale;
    return true;
  }
  if (rule.refill) s.hysteresis = static_cast<double>(rule.hysteresis);
  s.clean_steps += 1;
  if (s.clean_steps < static_cast<double>(rule.window)) return true;
  s.clean_steps = 0;
  s.hysteresis = static_cast<double>(rule.hysteresis);
  s.scale *= 2;
  return true;
}

/// What makes gradients, weighted as if all targets counted, those of a mean over the targets
/// that count: exactly 1 if all do. Without a target all gradients are 0, and need no weight.
TRM_HOST_DEVICE inline double counted_weight(const StepRule& rule, const StepState& s) {
  return rule.targets > 0 && s.counted > 0 ? rule.targets / s.counted : 1;
}

/// Whether `latest` lies over `sigma` standard deviations above the mean of n ≥ 2 values.
TRM_HOST_DEVICE inline bool far_above(const double* values, std::int64_t n, double latest,
                                      double sigma) {
  double mean = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += values[i] / static_cast<double>(n);
  double square = 0;
  for (std::int64_t i = 0; i < n; ++i) square += (values[i] - mean) * (values[i] - mean);
  return latest - mean > sigma * std::sqrt(square / static_cast<double>(n - 1));
}

/// Whether a finite step is an outlier (OLMo's rule), and notes the step in the history. The
/// first interval / 2 steps are none, and neither are the first two.
TRM_HOST_DEVICE inline bool is_outlier(const StepRule& rule, const StepState& s,
                                       double* history) {
  const auto steps = static_cast<std::int64_t>(history[0]);
  double* losses = history + 1;
  double* norms = losses + rule.interval;
  const double loss = s.counted > 0 ? s.loss / s.counted : 0;
  const std::int64_t least = rule.interval / 2 > 2 ? rule.interval / 2 : 2;
  const std::int64_t known = steps < rule.interval ? steps : rule.interval;
  const bool far = steps >= least && known >= 2 &&
                   (far_above(losses, known, loss, rule.sigma) ||
                    far_above(norms, known, s.norm, rule.sigma));
  losses[steps % rule.interval] = loss;
  norms[steps % rule.interval] = s.norm;
  history[0] += 1;
  return far;
}

/// Computes the decision from the inputs. A halted state stays halted. The loss is not scaled:
/// no smaller scale mends a loss that is not finite, which therefore halts the run. A step that
/// was given up changes nothing. `history` has rule.history() elements.
TRM_HOST_DEVICE inline void decide(const StepRule& rule, StepState& s,
                                   double* history = nullptr) {
  const double weight = counted_weight(rule, s);
  s.norm = std::sqrt(s.squares) / s.scale * weight;
  const bool sound = std::isfinite(s.loss + s.auxiliary);
  const bool finite = std::isfinite(s.norm) && sound;
  s.updated = 0;
  s.factor = 0;
  if (s.halted != 0 || s.given_up > 0) return;
  if (!finite && (!rule.skips || !sound)) {
    s.halted = 1;
    return;
  }
  s.skips = finite ? 0 : s.skips + 1;
  const bool outlier = finite && rule.interval > 0 && is_outlier(rule, s, history);
  if (finite && !outlier) {
    // The 1e-6 keeps a zero gradient finite, as in clip_grad_norm_ of PyTorch.
    const double clip =
        rule.clip > 0 && rule.clip < s.norm + 1e-6 ? rule.clip / (s.norm + 1e-6) : 1;
    s.factor = clip / s.scale * weight;
    s.updated = 1;
    s.updates += 1;
    s.bias1 = 1 - std::pow(rule.beta1, s.updates);
    s.bias2 = 1 - std::pow(rule.beta2, s.updates);
  }
  if (!move_loss_scale(rule, !finite, s)) s.halted = 1;
  if (!finite && s.skips >= static_cast<double>(rule.most_skips)) s.halted = 1;
}

}  // namespace trireme
