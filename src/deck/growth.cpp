// SPDX-License-Identifier: Apache-2.0
// Batches and lengths that grow, and layers that are dropped.
#include "trireme/deck/growth.hpp"

#include <algorithm>
#include <cmath>

#include "trireme/core/error.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/optim/schedule.hpp"

namespace trireme {

namespace {

/// ⌊a·b / c⌋, or ⌈a·b / c⌉ if `up`; a·b may exceed 64 bits.
std::int64_t scaled(std::int64_t a, std::int64_t b, std::int64_t c, bool up) {
  __extension__ using Wide = __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::int64_t>((product + (up ? c - 1 : 0)) / c);
}

}  // namespace

BatchRamp::BatchRamp(const std::vector<std::int64_t>& key, std::int64_t batch,
                     std::int64_t unit)
    : batch_(batch) {
  if (key.empty()) return;
  TRM_REQUIRE(key.size() == 3 && key[0] > 0 && key[1] > 0 && key[2] > 0,
              "rampup_batch_size expects three numbers above 0: the first batch, the increment "
              "and the samples of the ramp-up");
  start_ = key[0];
  increment_ = key[1];
  TRM_REQUIRE(start_ < batch,
              "rampup_batch_size [{}, {}, {}]: the first batch {} must be below "
              "train_batch_size {}; set a larger train_batch_size",
              start_, increment_, key[2], start_, batch);
  TRM_REQUIRE((batch - start_) % increment_ == 0,
              "rampup_batch_size [{}, {}, {}]: increments of {} don't lead from {} to "
              "train_batch_size {}",
              start_, increment_, key[2], increment_, start_, batch);
  TRM_REQUIRE(start_ % unit == 0 && increment_ % unit == 0,
              "rampup_batch_size [{}, {}, {}]: batches from {} in steps of {} are no multiples "
              "of {} = train_micro_batch_size_per_gpu × data-parallel ranks",
              start_, increment_, key[2], start_, increment_, unit);
  increments_ = (batch - start_) / increment_;
  samples_ = key[2];
}

std::int64_t BatchRamp::batch_after(std::int64_t consumed) const {
  if (consumed >= samples_) return batch_;
  return start_ + scaled(consumed, increments_, samples_, false) * increment_;
}

std::int64_t BatchRamp::advance(std::int64_t consumed, std::int64_t steps) const {
  while (steps > 0 && consumed < samples_) {
    const std::int64_t batch = batch_after(consumed);
    const std::int64_t stage = (batch - start_) / increment_;
    const std::int64_t end = scaled(stage + 1, samples_, increments_, true);
    const std::int64_t taken = std::min(steps, (end - consumed + batch - 1) / batch);
    consumed += taken * batch;
    steps -= taken;
  }
  return consumed + steps * batch_;
}

std::int64_t curriculum_length(const CurriculumConfig& config, std::int64_t seq_length,
                               std::int64_t iteration) {
  using Schedule = CurriculumConfig::Schedule;
  TRM_CHECK(iteration >= 1, "iteration {}", iteration);
  if (!config.enabled) return seq_length;
  if (config.schedule == Schedule::fixed_discrete) {
    const auto stage = std::ranges::lower_bound(config.max_step, iteration);
    const auto at = static_cast<std::size_t>(stage - config.max_step.begin());
    return std::min(config.difficulty[at], seq_length);
  }
  const double degree =
      config.schedule == Schedule::fixed_root ? static_cast<double>(config.root_degree) : 1.0;
  const double share = static_cast<double>(iteration) / static_cast<double>(config.total_step);
  const auto rise = static_cast<double>(config.max_difficulty - config.min_difficulty);
  const double reached =
      std::pow(share, 1.0 / degree) * rise + static_cast<double>(config.min_difficulty);
  const std::int64_t enough = config.max_difficulty + config.difficulty_step;
  std::int64_t length =
      reached < static_cast<double>(enough) ? static_cast<std::int64_t>(reached) : enough;
  const std::int64_t step = config.difficulty_step;
  const std::int64_t least = (config.min_difficulty + step - 1) / step * step;
  length = std::max(length - length % step, least);
  return std::min({length, config.max_difficulty, seq_length});
}

double layer_keep(const LayerDropConfig& config, std::int64_t iteration) {
  if (!config.enabled) return 1;
  const auto t = static_cast<double>(std::max<std::int64_t>(0, iteration - 2));
  return (1 - config.theta) * std::exp(-config.gamma * t) + config.theta;
}

std::vector<std::int64_t> sharded_lengths(const CurriculumConfig& config,
                                          std::int64_t seq_length) {
  if (!config.enabled) return {};
  std::vector<std::int64_t> lengths;
  if (config.schedule == CurriculumConfig::Schedule::fixed_discrete) {
    lengths = config.difficulty;
  } else {
    lengths = {config.max_difficulty, config.difficulty_step};
  }
  for (std::int64_t& length : lengths) length = std::min(length, seq_length);
  return lengths;
}

BatchRamp batch_ramp(const Deck& deck) {
  const std::int64_t micro = deck.train_micro_batch_size_per_gpu;
  const std::int64_t rank = micro * deck.gradient_accumulation_steps;
  return {deck.rampup_batch_size, deck.train_batch_size, deck.train_batch_size / rank * micro};
}

std::int64_t iterations_of_samples(const BatchRamp& ramp, std::int64_t samples) {
  constexpr std::int64_t kMost = std::int64_t{1} << 62U;  // no product below overflows
  const std::int64_t whole = ramp.batch_after(kMost);
  std::int64_t low = 0;  // so many steps fit
  std::int64_t high = std::min(samples / ramp.batch_after(0) + 1, kMost / whole);
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (ramp.advance(0, middle) <= samples ? low : high) = middle;
  }
  return low;
}

bool goes_by_samples(const Deck& deck) {
  return (!deck.rampup_batch_size.empty() || deck.train_samples > 0) &&
         deck.schedule.deepspeed.type == DeepSpeedSchedule::Type::none;
}

double rate_of_step(const Deck& deck, std::int64_t iteration, std::int64_t consumed) {
  if (!goes_by_samples(deck)) return learning_rate(deck.schedule, iteration);
  if (deck.schedule.lr_decay_samples > 0) {
    return learning_rate_by_samples(deck.schedule, consumed);
  }
  return learning_rate_at(deck.schedule, static_cast<double>(consumed) /
                                             static_cast<double>(deck.train_batch_size));
}

std::vector<std::string> stop_growth(Deck& deck) {
  std::vector<std::string> keys;
  if (!deck.rampup_batch_size.empty()) keys.emplace_back("rampup_batch_size");
  if (deck.curriculum.enabled) keys.emplace_back("curriculum_learning");
  if (deck.layer_drop.enabled) keys.emplace_back("progressive_layer_drop");
  deck.rampup_batch_size.clear();
  deck.curriculum.enabled = false;
  deck.layer_drop = {};
  return keys;
}

}  // namespace trireme
