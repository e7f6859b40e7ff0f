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

namespace {

/// DeepSpeed's rates (deepspeed/runtime/lr_schedules.py). Its first step has the rate from
/// before the warm-up, and step n ≥ 2 the rate of its batch iteration n − 2.
double deepspeed_rate(const ScheduleConfig& config, std::int64_t step) {
  const DeepSpeedSchedule& s = config.deepspeed;
  const bool cosine = s.type == DeepSpeedSchedule::Type::cosine;
  if (step == 1) return cosine ? 0 : s.min_lr;
  const auto at = static_cast<double>(step - 2);
  const auto warmup = static_cast<double>(std::max<std::int64_t>(2, s.warmup_steps));
  const auto total = static_cast<double>(s.total_steps);
  if (at < warmup) {
    const double share = s.warmup == DeepSpeedSchedule::Warmup::log
                             ? std::log(at + 1) / std::log(warmup)
                             : at / warmup;
    return cosine ? config.lr * (s.min_ratio + (1 - s.min_ratio) * share)
                  : s.min_lr + (s.max_lr - s.min_lr) * share;
  }
  const double span = std::max(1.0, total - warmup);
  if (cosine) {
    const double x = std::min(1.0, (at - warmup + 1) / span);
    const double fall = (1 + std::cos(std::numbers::pi * x)) / 2;
    return config.lr * std::max(0.0, s.cos_min_ratio + (1 - s.cos_min_ratio) * fall);
  }
  const double share =
      s.type == DeepSpeedSchedule::Type::linear ? std::max(0.0, (total - at) / span) : 1;
  return s.min_lr + (s.max_lr - s.min_lr) * share;
}

}  // namespace

double learning_rate(const ScheduleConfig& config, std::int64_t iteration) {
  TRM_CHECK(iteration >= 1, "iteration {}", iteration);
  if (config.deepspeed.type != DeepSpeedSchedule::Type::none) {
    return deepspeed_rate(config, iteration);
  }
  return learning_rate_at(config, static_cast<double>(iteration));
}

double learning_rate_at(const ScheduleConfig& config, double n) {
  const auto warmup = static_cast<double>(warmup_iters(config));
  if (n <= warmup) return config.lr * n / warmup;

  const auto end = static_cast<double>(config.lr_decay_iters);
  const double span = end - warmup;
  const double done = std::min(n, end) - warmup;
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
