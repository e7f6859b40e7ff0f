// SPDX-License-Identifier: Apache-2.0
// Warm-up and the four decay styles.
#include "trireme/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

/// A share of a length, rounded down to a whole number.
std::int64_t share_of(double warmup, std::int64_t length) {
  TRM_REQUIRE(warmup >= 0 && warmup <= 1,
              "warmup is a fraction of lr_decay_iters, between 0 and 1; here it is {}", warmup);
  const double part = warmup * static_cast<double>(length);
  const double whole = std::round(part);  // 0.29 · 100 is a little less than 29 in fp64
  return static_cast<std::int64_t>(std::abs(part - whole) < 1e-9 * (1 + whole) ? whole : part);
}

}  // namespace

std::int64_t warmup_iters(const ScheduleConfig& config) {
  return share_of(config.warmup, config.lr_decay_iters);
}

std::int64_t warmup_samples(const ScheduleConfig& config) {
  return config.lr_warmup_samples > 0 ? config.lr_warmup_samples
                                      : share_of(config.warmup, config.lr_decay_samples);
}

namespace {

using Type = DeepSpeedSchedule::Type;

/// Where a step stands in OneCycle: 0 at min_lr, 1 at max_lr. `at` steps came before.
double height_in_cycle(const OneCycleConfig& c, std::int64_t at) {
  const auto first = static_cast<double>(c.first_step_size);
  const auto second = static_cast<double>(c.size() - c.first_step_size);
  const auto place = static_cast<double>(at % c.size());
  const bool rises = place <= first;
  const std::int64_t stairs =
      rises || c.second_stair_count < 0 ? c.first_stair_count : c.second_stair_count;
  const double left = first + second - place;
  if (stairs == 0) return rises ? place / first : left / second;
  const auto count = static_cast<double>(stairs);
  return std::floor(rises ? place * count / first : left * count / second) / count;
}

/// The factor of a decay after the cycle: 1 + rate · intervals.
double decay_factor(const OneCycleConfig& c, double rate, std::int64_t step) {
  if (c.decay_step_size == 0) return 1;
  const auto steps = static_cast<double>(step - 1 - c.size());
  return 1 + rate * (steps / static_cast<double>(c.decay_step_size));
}

/// Step n ≥ 2 has the place n − 1 in the cycle, and the decay begins with step size() + 2.
bool is_in_cycle(const OneCycleConfig& c, std::int64_t step) { return step - 2 < c.size(); }

double one_cycle_rate(const OneCycleConfig& c, std::int64_t step) {
  if (!is_in_cycle(c, step)) return c.min_lr / decay_factor(c, c.decay_lr_rate, step);
  return c.min_lr + (c.max_lr - c.min_lr) * height_in_cycle(c, step - 1);
}

double range_test_rate(const RangeTestConfig& c, std::int64_t step) {
  const double interval = static_cast<double>(step - 1) / static_cast<double>(c.step_size);
  return c.min_lr * (1 + c.step_rate * (c.staircase ? std::floor(interval) : interval));
}

/// DeepSpeed's rates (deepspeed/runtime/lr_schedules.py). Its first step has the rate from
/// before the warm-up, and step n ≥ 2 the rate of its batch iteration n − 2.
double deepspeed_rate(const ScheduleConfig& config, std::int64_t step) {
  const DeepSpeedSchedule& s = config.deepspeed;
  if (s.type == Type::one_cycle) return one_cycle_rate(s.one_cycle, step);
  if (s.type == Type::range_test) return range_test_rate(s.range_test, step);
  const bool cosine = s.type == Type::cosine;
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
  const double share = s.type == Type::linear ? std::max(0.0, (total - at) / span) : 1;
  return s.min_lr + (s.max_lr - s.min_lr) * share;
}

/// A warm-up, a decay, and where a step stands: all in iterations, or all in samples.
struct Course {
  double warmup = 0;
  double end = 0;
  double at = 0;
};

double annealed(const ScheduleConfig& config, const Course& course) {
  if (course.at <= course.warmup) return config.lr * course.at / course.warmup;
  const double span = course.end - course.warmup;
  const double done = std::min(course.at, course.end) - course.warmup;
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

}  // namespace

double learning_rate(const ScheduleConfig& config, std::int64_t iteration) {
  TRM_CHECK(iteration >= 1, "iteration {}", iteration);
  if (config.deepspeed.type != Type::none) {
    return deepspeed_rate(config, iteration);
  }
  return learning_rate_at(config, static_cast<double>(iteration));
}

double learning_rate_at(const ScheduleConfig& config, double n) {
  return annealed(config, {.warmup = static_cast<double>(warmup_iters(config)),
                           .end = static_cast<double>(config.lr_decay_iters),
                           .at = n});
}

double learning_rate_by_samples(const ScheduleConfig& config, std::int64_t consumed) {
  return annealed(config, {.warmup = static_cast<double>(warmup_samples(config)),
                           .end = static_cast<double>(config.lr_decay_samples),
                           .at = static_cast<double>(consumed)});
}

std::optional<std::array<double, 2>> betas_at(const ScheduleConfig& config,
                                              std::int64_t iteration) {
  const OneCycleConfig& c = config.deepspeed.one_cycle;
  if (config.deepspeed.type != Type::one_cycle || !c.cycle_momentum) return std::nullopt;
  constexpr double kBeta2 = 0.99;
  if (iteration == 1) return std::array{c.min_mom, kBeta2};  // before the scheduler steps
  if (!is_in_cycle(c, iteration)) {
    return std::array{c.max_mom * decay_factor(c, c.decay_mom_rate, iteration), kBeta2};
  }
  const double fall = (c.max_mom - c.min_mom) * height_in_cycle(c, iteration - 1);
  return std::array{c.max_mom - fall, kBeta2};
}

bool reads_key(DeepSpeedSchedule::Type type, std::string_view key) {
  const bool of_cycle = key.starts_with("cycle_") || key.starts_with("decay_");
  if (type == Type::one_cycle) return of_cycle;
  const bool of_test = key.starts_with("lr_range_test_");
  if (type == Type::range_test) return of_test;
  if (type == Type::none || of_cycle || of_test) return false;
  if (key.ends_with("_ratio")) return type == Type::cosine;
  if (key.ends_with("_lr")) return type != Type::cosine;
  return key != "total_num_steps" || type != Type::constant;
}

}  // namespace trireme
