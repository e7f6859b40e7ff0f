// SPDX-License-Identifier: Apache-2.0
// Which updates of 0/1 Adam (Lu et al., arXiv 2202.06009) do what. Pure.
#pragma once

#include <cstdint>

#include "trireme/optim/config.hpp"

namespace trireme {

/// Update t, from 1 on, is one of these:
///   exact        gradients are summed, and variance and momentum take the sum
///   compressed   the momentum takes the compressed mean of the gradients
///   local        each rank takes a step of its own; after some such steps follows a mean
/// Until var_freeze_step, update t is exact if the interval divides t. After var_update_scaler
/// exact updates, the interval doubles. All later updates are local. A mean follows if the
/// local interval divides t. After local_step_scaler updates, this interval doubles, but to
/// local_step_clipper at most. DeepSpeed counts in this way, too.
class ZeroOneIntervals {
 public:
  /// `config` must outlive the object.
  explicit ZeroOneIntervals(const OptimizerConfig& config) : config_(&config) {}

  /// Moves to the update after `updates` others.
  void move_to(std::int64_t updates);
  [[nodiscard]] bool is_local() const { return t_ > config_->var_freeze_step; }
  [[nodiscard]] bool is_first_local() const { return t_ == config_->var_freeze_step + 1; }
  [[nodiscard]] bool is_exact() const { return !is_local() && t_ % interval_ == 0; }
  /// Whether ranks average after this local update.
  [[nodiscard]] bool averages() const { return is_local() && t_ % local_interval_ == 0; }

 private:
  void pass();

  const OptimizerConfig* config_;
  std::int64_t t_ = 1;
  std::int64_t interval_ = 1;
  std::int64_t exact_ = 0;  ///< exact updates since the interval's last change
  std::int64_t local_interval_ = 1;
  std::int64_t local_ = 0;
};

/// Updates of a run before the first that isn't exact.
[[nodiscard]] std::int64_t updates_until_signs(const OptimizerConfig& config);

}  // namespace trireme
