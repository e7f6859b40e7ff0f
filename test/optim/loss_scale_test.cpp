// SPDX-License-Identifier: Apache-2.0
// The loss scale of every step against tables worked out by DeepSpeed's published rule. The
// scale doubles when the iterations since the last overflow are a multiple of the window.
#include "trireme/optim/loss_scale.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"

namespace trireme {
namespace {

/// A scale that begins at 16, with a window of 3.
LossScaleConfig config(std::int64_t hysteresis, bool consecutive = false) {
  LossScaleConfig c;
  c.enabled = true;
  c.initial_power = 4;
  c.window = 3;
  c.hysteresis = hysteresis;
  c.consecutive_hysteresis = consecutive;
  return c;
}

/// The state of a run whose steps overflow or don't.
class LossScale {
 public:
  explicit LossScale(const LossScaleConfig& config)
      : rule_(step_rule({}, config)), state_(first_step_state(config)) {}
  /// Returns false if the run must halt.
  bool update(bool overflow) { return move_loss_scale(rule_, overflow, state_); }
  void restore(const LossScaleState& saved) { restore_loss_scale(state_, saved); }
  [[nodiscard]] double value() const { return state_.scale; }
  [[nodiscard]] LossScaleState state() const { return loss_scale_of(state_); }
  [[nodiscard]] std::string text() const { return lowest_scale_text(rule_, state_.scale); }

 private:
  StepRule rule_;
  StepState state_;
};

/// `steps`: x for an overflow, . for a clean one; `expected`: the scale after each.
void check(const LossScaleConfig& c, const std::string& steps,
           const std::vector<double>& expected) {
  BOOST_REQUIRE_EQUAL(steps.size(), expected.size());
  LossScale scale(c);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    BOOST_TEST_INFO("step " << i << " of " << steps);
    BOOST_TEST(scale.update(steps[i] == 'x'));
    BOOST_TEST(scale.value() == expected[i]);
  }
}

BOOST_AUTO_TEST_CASE(every_overflow_halves_with_hysteresis_1) {
  check(config(1), "xx...x......x.",  //
        {8, 4, 4, 4, 8, 4, 4, 4, 8, 8, 8, 16, 8, 8});
}

BOOST_AUTO_TEST_CASE(doubling_gives_hysteresis_back_and_halving_does_not) {
  check(config(2), "xx...x.xx..x...xx.",
        {16, 8, 8, 8, 16, 16, 16, 8, 4, 4, 4, 2, 2, 2, 4, 4, 2, 2});
  check(config(4), "xxxxx...xxx.xx..x...x",
        {16, 16, 16, 8, 4, 4, 4, 8, 8, 8, 8, 8, 4, 2, 2, 2, 1, 1, 1, 2, 2});
}

BOOST_AUTO_TEST_CASE(consecutive_hysteresis_comes_back_after_each_clean_step) {
  check(config(2, true), "x.x.xx..xxx...xx.",
        {16, 16, 16, 16, 16, 8, 8, 8, 8, 4, 2, 2, 2, 4, 4, 2, 2});
  check(config(2, false), "x.x.xx..x", {16, 16, 8, 8, 4, 2, 2, 2, 1});
}

BOOST_AUTO_TEST_CASE(an_overflow_begins_the_window_anew) {
  LossScaleConfig c = config(1);
  c.window = 5;
  check(c, "....x.....x....x..........",
        {16, 16, 16, 16, 8, 8, 8, 8, 8, 16, 8, 8, 8, 8, 8, 4, 4, 4, 4, 4, 8, 8, 8, 8, 8, 16});
}

BOOST_AUTO_TEST_CASE(an_overflow_at_the_minimum_halts) {
  LossScaleConfig c = config(1);
  c.min = 3;  // 16 divided by powers of 2 never gives 3
  LossScale scale(c);
  for (const double expected : {8.0, 4.0, 3.0}) {
    BOOST_TEST(scale.update(true));
    BOOST_TEST(scale.value() == expected);
  }
  BOOST_TEST(!scale.update(true));
  BOOST_TEST(scale.value() == 3);
  const std::string text = scale.text();
  for (const char* word : {"loss scale 3", "fp16.min_loss_scale is 3", "lr", "bfloat16"}) {
    TRM_TEST_MENTIONS(text, word);
  }
  BOOST_TEST(text.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(hysteresis_counts_at_the_minimum_too) {
  LossScaleConfig c = config(2);
  c.initial_power = 0;
  LossScale scale(c);
  BOOST_TEST(scale.update(true));
  BOOST_TEST(scale.value() == 1);
  BOOST_TEST(!scale.update(true));
}

BOOST_AUTO_TEST_CASE(a_fixed_scale_stays) {
  LossScaleConfig c = config(1);
  c.fixed = 0.5;  // the minimum is for scales that move
  check(c, "xx....x", {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5});
}

BOOST_AUTO_TEST_CASE(without_fp16_it_is_1) {
  LossScaleConfig c = config(1);
  c.enabled = false;
  c.fixed = 128;
  check(c, "x....", {1, 1, 1, 1, 1});
}

BOOST_AUTO_TEST_CASE(it_starts_as_deepspeed_does) {
  LossScaleConfig c;
  c.enabled = true;
  const LossScale scale(c);
  BOOST_TEST((scale.state() == LossScaleState{65536, 0, 2}));
}

BOOST_AUTO_TEST_CASE(a_restored_scale_goes_on_as_the_first_would_have) {
  const std::string steps = "x..xx...x.x...xx....";
  for (std::size_t at = 0; at < steps.size(); ++at) {
    LossScale whole(config(2));
    LossScale half(config(2));
    for (std::size_t i = 0; i < at; ++i) whole.update(steps[i] == 'x');
    half.restore(whole.state());
    for (std::size_t i = at; i < steps.size(); ++i) {
      whole.update(steps[i] == 'x');
      half.update(steps[i] == 'x');
      BOOST_TEST((half.state() == whole.state()));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_did_not_move_is_not_gone_on_from) {
  LossScaleConfig c = config(2);
  LossScaleConfig fixed = c;
  fixed.fixed = 128;
  LossScaleConfig off = c;
  off.enabled = false;
  LossScale moving(c);
  moving.restore(LossScale(fixed).state());
  BOOST_TEST((moving.state() == LossScaleState{16, 0, 2}));
  moving.restore(LossScale(off).state());
  BOOST_TEST((moving.state() == LossScaleState{16, 0, 2}));
  LossScale still(fixed);
  still.restore(moving.state());
  BOOST_TEST(still.value() == 128);
  LossScale one(off);
  one.restore(moving.state());
  BOOST_TEST(one.value() == 1);
}

/// The state after a step whose scaled gradients have the norm `norm`.
StepState decided(const StepRule& rule, StepState s, double norm, double loss = 1) {
  s.squares = norm * norm;
  s.loss = loss;
  decide(rule, s);
  return s;
}

BOOST_AUTO_TEST_CASE(a_gradient_is_clipped_to_its_norm_and_freed_of_the_scale) {
  OptimizerConfig adam;
  adam.gradient_clipping = 2;
  adam.beta1 = 0.5;
  adam.beta2 = 0.75;
  const StepRule rule = step_rule(adam, config(1));
  StepState s = decided(rule, first_step_state(config(1)), 16 * 8);
  BOOST_TEST(s.updated == 1);
  BOOST_TEST(s.norm == 8);
  BOOST_TEST(s.factor == 2 / (8 + 1e-6) / 16);
  BOOST_TEST(s.updates == 1);
  BOOST_TEST(s.bias1 == 0.5);
  BOOST_TEST(s.bias2 == 0.25);
  s = decided(rule, s, 16 * 1.5);  // below the limit
  BOOST_TEST(s.factor == 1.0 / 16);
  BOOST_TEST(s.updates == 2);
  BOOST_TEST(s.bias1 == 0.75);
  BOOST_TEST(s.bias2 == 1 - 0.75 * 0.75);
  BOOST_TEST(s.halted == 0);
}

BOOST_AUTO_TEST_CASE(gradients_are_those_of_a_mean_over_the_targets_that_count) {
  OptimizerConfig adam;
  adam.gradient_clipping = 0;
  StepRule rule = step_rule(adam, config(1));
  rule.targets = 100;
  StepState s = first_step_state(config(1));
  s.counted = 100;
  const StepState all = decided(rule, s, 16 * 8);
  BOOST_TEST(all.norm == 8);
  BOOST_TEST(all.factor == 1.0 / 16);
  s.counted = 25;
  const StepState some = decided(rule, s, 16 * 8);
  BOOST_TEST(some.norm == 32);
  BOOST_TEST(some.factor == 4.0 / 16);
  s.counted = 0;
  const StepState none = decided(rule, s, 0, 0);
  BOOST_TEST(none.norm == 0);
  BOOST_TEST(none.updated == 1);
  BOOST_TEST(none.halted == 0);
}

BOOST_AUTO_TEST_CASE(moments_may_go_uncorrected) {
  OptimizerConfig adam;
  adam.bias_correction = false;
  const StepState s = decided(step_rule(adam, config(1)), first_step_state(config(1)), 1);
  BOOST_TEST(s.bias1 == 1);
  BOOST_TEST(s.bias2 == 1);
}

BOOST_AUTO_TEST_CASE(an_overflow_skips_the_step_and_does_not_count) {
  const StepRule rule = step_rule({}, config(1));
  const double inf = std::numeric_limits<double>::infinity();
  StepState s = decided(rule, first_step_state(config(1)), inf);
  BOOST_TEST(s.updated == 0);
  BOOST_TEST(s.halted == 0);
  BOOST_TEST(s.updates == 0);
  BOOST_TEST(s.scale == 8);
  s = decided(rule, s, inf);
  BOOST_TEST(s.updated == 0);
  BOOST_TEST(s.skips == 2);
  BOOST_TEST(s.scale == 4);
  s = decided(rule, s, 1);
  BOOST_TEST(s.updated == 1);
  BOOST_TEST(s.updates == 1);
  BOOST_TEST(s.factor == 0.25);
  BOOST_TEST(s.skips == 0);
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_halts_with_a_loss_scale_too) {
  const StepRule rule = step_rule({}, config(1));
  for (const double norm : {1.0, std::numeric_limits<double>::infinity()}) {
    const StepState s = decided(rule, first_step_state(config(1)), norm, std::nan(""));
    BOOST_TEST(s.halted == 1);
    BOOST_TEST(s.updated == 0);
    BOOST_TEST(s.scale == 16);
  }
}

BOOST_AUTO_TEST_CASE(too_many_skipped_steps_in_a_row_halt) {
  LossScaleConfig fixed;
  fixed.enabled = true;
  fixed.fixed = 8;
  fixed.most_skips = 3;
  const StepRule rule = step_rule({}, fixed);
  const double inf = std::numeric_limits<double>::infinity();
  StepState s = first_step_state(fixed);
  for (const double norm : {inf, inf, 1.0, inf, inf}) {
    s = decided(rule, s, norm);
    BOOST_TEST(s.halted == 0);
  }
  s = decided(rule, s, inf);
  BOOST_TEST(s.halted == 1);
}

BOOST_AUTO_TEST_CASE(a_step_that_was_given_up_changes_nothing) {
  const StepRule rule = step_rule({}, config(1));
  const StepState before = decided(rule, first_step_state(config(1)), 1);
  StepState s = before;
  s.given_up = 1;
  s = decided(rule, s, std::nan(""), std::nan(""));
  BOOST_TEST(s.updated == 0);
  BOOST_TEST(s.halted == 0);
  BOOST_TEST(s.updates == before.updates);
  BOOST_TEST(s.scale == before.scale);
  BOOST_TEST(s.clean_steps == before.clean_steps);
  BOOST_TEST(s.skips == 0);
}

BOOST_AUTO_TEST_CASE(without_a_loss_scale_what_is_not_finite_halts_for_good) {
  LossScaleConfig off;
  const StepRule rule = step_rule({}, off);
  StepState s = decided(rule, first_step_state(off), 1);
  BOOST_TEST(s.updated == 1);
  s = decided(rule, s, std::nan(""));
  BOOST_TEST(s.halted == 1);
  BOOST_TEST(s.updated == 0);
  s = decided(rule, s, 1);  // queued before the host saw the halt
  BOOST_TEST(s.halted == 1);
  BOOST_TEST(s.updated == 0);
  BOOST_TEST(s.updates == 1);
}

}  // namespace
}  // namespace trireme
