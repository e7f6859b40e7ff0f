// SPDX-License-Identifier: Apache-2.0
// The loss scale of fp16 training.
#pragma once

#include <cstdint>

#include "trireme/optim/config.hpp"

namespace trireme {

/// DeepSpeed's dynamic loss scale. An overflow uses up one `hysteresis`; once that is 1 it
/// halves the scale, not below `min`. After `window` clean steps in a row the scale doubles and
/// hysteresis is refilled (with `consecutive_hysteresis` after every clean step). A fixed scale
/// stays, whatever overflows.
class LossScale {
 public:
  /// Where it stands: part of a checkpoint.
  struct State {
    double scale = 1;
    std::int64_t clean_steps = 0;  ///< since the last overflow or doubling
    std::int64_t hysteresis = -1;  ///< what is left of it; −1: the scale doesn't move
    friend bool operator==(const State&, const State&) = default;
  };

  explicit LossScale(const LossScaleConfig& config);

  /// Multiplies the loss. 1 where scaling is off.
  [[nodiscard]] double value() const { return state_.scale; }
  /// A step ended, the same way on all ranks. Throws Error where the gradient overflows at the
  /// minimum: it names the keys that may help.
  void update(bool overflow);

  [[nodiscard]] const State& state() const { return state_; }
  /// Goes on from there, if the scale moved there and moves here; else stays as it began.
  void restore(const State& state);

 private:
  LossScaleConfig config_;
  State state_;
};

}  // namespace trireme
