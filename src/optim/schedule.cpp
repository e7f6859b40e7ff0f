// SPDX-License-Identifier: Apache-2.0
// Warm-up and the four decay styles.
#include "trireme/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "trireme/core/error.hpp"

namespace trireme {

std::int64_t warmup_iters(const ScheduleConfig& config) {
  TRM_REQUIRE(config.warmup >= 0 && config.warmup <= 1,
              "warmup is a fraction of lr_decay_iters, between 0 and 1; here it is {}",
              config.warmup);
  const double iters = config.warmup * static_cast<double>(config.lr_decay_iters);
  const double whole = std::round(iters);  // 0.29 · 100 is a little less than 29 in fp64
  return static_cast<std::int64_t>(std::abs(iters - whole) < 1e-9 * (1 + whole) ? whole
                                                                                : iters);
}

double learning_rate(const ScheduleConfig& config, std::int64_t iteration) {
  TRM_CHECK(iteration >= 1, "iteration {}", iteration);
  const std::int64_t warmup = warmup_iters(config);
  if (iteration <= warmup) {
    return config.lr * static_cast<double>(iteration) / static_cast<double>(warmup);
  }

  const auto span = static_cast<double>(config.lr_decay_iters - warmup);
  const auto done = static_cast<double>(std::min(iteration, config.lr_decay_iters) - warmup);
  const double x = span > 0 ? done / span : 1;  // share of the decay that is over
  double lr = config.lr;
  switch (config.lr_decay_style) {
    case DecayStyle::constant:
      break;
    case DecayStyle::linear:
      lr = span > 0 ? config.lr * (span - done) / span : 0;
      break;
    case DecayStyle::cosine:
      lr = config.min_lr +
           (config.lr - config.min_lr) / 2 * (std::cos(std::numbers::pi * x) + 1);
      break;
    case DecayStyle::exponential:
      lr = config.lr * std::exp(-0.693 * x);
      break;
  }
  return std::max(lr, config.min_lr);
}

}  // namespace trireme
