// SPDX-License-Identifier: Apache-2.0
// The intervals of 0/1 Adam, counted update by update.
#include "zero_one_intervals.hpp"

#include <algorithm>

namespace trireme {

void ZeroOneIntervals::pass() {
  if (is_local()) {
    if (++local_ == config_->local_step_scaler) {
      local_ = 0;
      local_interval_ = std::min(config_->local_step_clipper, 2 * local_interval_);
    }
  } else if (is_exact() && ++exact_ == config_->var_update_scaler) {
    exact_ = 0;
    interval_ *= 2;
  }
  ++t_;
}

void ZeroOneIntervals::move_to(std::int64_t updates) {
  if (updates < t_ - 1) *this = ZeroOneIntervals(*config_);
  while (t_ - 1 < updates) pass();
}

std::int64_t updates_until_signs(const OptimizerConfig& config) {
  // The interval is 1, and then 2.
  return std::min(config.var_freeze_step,
                  config.var_update_scaler + (config.var_update_scaler % 2 == 0 ? 0 : 1));
}

}  // namespace trireme
