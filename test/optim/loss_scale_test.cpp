// SPDX-License-Identifier: Apache-2.0
// The loss scale's way against tables worked out by DeepSpeed's published rule: it counts
// iterations, and doubles where those since the last overflow are a multiple of the window.
#include "trireme/optim/loss_scale.hpp"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

#include "../error_of.hpp"

namespace trireme {
namespace {

/// From 16, with a window of 3.
LossScaleConfig config(std::int64_t hysteresis, bool consecutive = false) {
  LossScaleConfig c;
  c.enabled = true;
  c.initial_power = 4;
  c.window = 3;
  c.hysteresis = hysteresis;
  c.consecutive_hysteresis = consecutive;
  return c;
}

/// `steps`: x for an overflow, . for a clean one; `expected`: the scale after each.
void check(const LossScaleConfig& c, const std::string& steps,
           const std::vector<double>& expected) {
  BOOST_REQUIRE_EQUAL(steps.size(), expected.size());
  LossScale scale(c);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    scale.update(steps[i] == 'x');
    BOOST_TEST_INFO("step " << i << " of " << steps);
    BOOST_TEST(scale.value() == expected[i]);
  }
}

std::string overflow(LossScale& scale) {
  return test::error_of([&] { scale.update(true); });
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

BOOST_AUTO_TEST_CASE(an_overflow_at_the_minimum_is_an_error) {
  LossScaleConfig c = config(1);
  c.min = 3;  // not 16 over a power of 2
  LossScale scale(c);
  for (const double expected : {8.0, 4.0, 3.0}) {
    scale.update(true);
    BOOST_TEST(scale.value() == expected);
  }
  const std::string text = overflow(scale);
  for (const char* word : {"loss scale 3", "fp16.min_loss_scale is 3", "lr", "bfloat16"})
    TRM_TEST_MENTIONS(text, word);
  BOOST_TEST(text.find('\n') == std::string::npos);
  try {
    scale.update(true);
  } catch (const Error& e) {
    BOOST_TEST(e.everywhere());
  }
}

BOOST_AUTO_TEST_CASE(hysteresis_counts_at_the_minimum_too) {
  LossScaleConfig c = config(2);
  c.initial_power = 0;
  LossScale scale(c);
  scale.update(true);
  BOOST_TEST(scale.value() == 1);
  BOOST_TEST(!overflow(scale).empty());
}

BOOST_AUTO_TEST_CASE(a_fixed_scale_stays) {
  LossScaleConfig c = config(1);
  c.fixed = 0.5;  // below the minimum, which is of the other kind
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
  BOOST_TEST((scale.state() == LossScale::State{65536, 0, 2}));
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
  BOOST_TEST((moving.state() == LossScale::State{16, 0, 2}));
  moving.restore(LossScale(off).state());
  BOOST_TEST((moving.state() == LossScale::State{16, 0, 2}));
  LossScale still(fixed);
  still.restore(moving.state());
  BOOST_TEST(still.value() == 128);
  LossScale one(off);
  one.restore(moving.state());
  BOOST_TEST(one.value() == 1);
}

}  // namespace
}  // namespace trireme
