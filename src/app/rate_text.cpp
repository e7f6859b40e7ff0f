// SPDX-License-Identifier: Apache-2.0
// What the log and `trireme plan` say of the learning rate.
#include "rate_text.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "trireme/optim/schedule.hpp"

namespace trireme {

namespace {

using Type = DeepSpeedSchedule::Type;

std::string text_of_cycle(const ScheduleConfig& rate, const std::string& ends) {
  const OneCycleConfig& c = rate.deepspeed.one_cycle;
  std::string text =
      fmt::format("OneCycle of DeepSpeed: {}, {:.3g} at iteration {}, {:.3g} at {}", ends,
                  learning_rate(rate, c.first_step_size + 1), c.first_step_size + 1,
                  learning_rate(rate, c.size() + 1), c.size() + 1);
  if (c.cycle_momentum) {
    text += fmt::format("; momentum from {} to {} and back", c.max_mom, c.min_mom);
  }
  return text;
}

std::string text_of_deepspeed(const Deck& deck) {
  const ScheduleConfig& rate = deck.schedule;
  const DeepSpeedSchedule& own = rate.deepspeed;
  const double last = learning_rate(rate, std::max<std::int64_t>(1, deck.train_iters));
  const double first = learning_rate(rate, 1);
  if (own.type == Type::one_cycle) {
    return text_of_cycle(
        rate, fmt::format("{:.3g} at the first iteration, {:.3g} at the last", first, last));
  }
  if (own.type == Type::range_test) {
    return fmt::format(
        "LRRangeTest of DeepSpeed: {:.3g} at the first iteration, {:.3g} at the last", first,
        last);
  }
  constexpr std::array kTypes = {"", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"};
  return fmt::format(
      "{} of DeepSpeed: {:.3g} at the first iteration, {:.3g} after {} iterations, {:.3g} at "
      "the "
      "last",
      kTypes[static_cast<std::size_t>(own.type)], first,
      learning_rate(rate, own.warmup_steps + 2), own.warmup_steps + 2, last);
}

}  // namespace

std::string rate_text(const Deck& deck) {
  const ScheduleConfig& rate = deck.schedule;
  if (rate.deepspeed.type != Type::none) return text_of_deepspeed(deck);
  constexpr std::array kDecays = {"constant", "linear", "cosine", "exponential"};
  const bool by_samples = rate.lr_decay_samples > 0;
  const std::int64_t warmup = by_samples ? warmup_samples(rate) : warmup_iters(rate);
  const std::int64_t end = by_samples ? rate.lr_decay_samples : rate.lr_decay_iters;
  const double lowest = by_samples ? learning_rate_by_samples(rate, std::max(end, warmup + 1))
                                   : learning_rate(rate, std::max(end, warmup + 1));
  std::string text = fmt::format("{:.3g}", rate.lr);
  if (warmup > 0) {
    text +=
        fmt::format(" after {} {} of warmup", warmup, by_samples ? "samples" : "iterations");
  }
  if (rate.lr_decay_style == DecayStyle::constant) return text + ", then constant";
  return text + fmt::format(", {} to {:.3g} by {} {}",
                            kDecays[static_cast<std::size_t>(rate.lr_decay_style)], lowest,
                            by_samples ? "sample" : "iteration", end);
}

}  // namespace trireme
