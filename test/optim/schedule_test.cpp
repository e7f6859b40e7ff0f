// SPDX-License-Identifier: Apache-2.0
// Learning rates against values worked out by hand.
#include "trireme/optim/schedule.hpp"

#include <cmath>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme {
namespace {

// 100 iterations of which 10 are warm-up, down from 1e-3.
ScheduleConfig config(DecayStyle style, double min_lr = 0) {
  ScheduleConfig c;
  c.lr = 1e-3;
  c.min_lr = min_lr;
  c.warmup = 0.1;
  c.lr_decay_iters = 100;
  c.lr_decay_style = style;
  return c;
}

void check(const ScheduleConfig& c, std::int64_t iteration, double expected) {
  BOOST_TEST_INFO("iteration " << iteration);
  BOOST_CHECK_SMALL(learning_rate(c, iteration) - expected, 1e-15);
}

BOOST_AUTO_TEST_CASE(warm_up_rises_in_a_line) {
  for (const DecayStyle s : {DecayStyle::constant, DecayStyle::linear, DecayStyle::cosine,
                             DecayStyle::exponential}) {
    check(config(s), 1, 1e-4);
    check(config(s), 5, 5e-4);
    check(config(s), 10, 1e-3);
    check(config(s, 3e-4), 1, 1e-4);  // min_lr doesn't lift the warm-up
  }
}

BOOST_AUTO_TEST_CASE(constant) {
  const auto c = config(DecayStyle::constant);
  check(c, 11, 1e-3);
  check(c, 100, 1e-3);
  check(c, 5000, 1e-3);
}

BOOST_AUTO_TEST_CASE(linear) {
  const auto c = config(DecayStyle::linear);
  check(c, 19, 9e-4);  // 9 of 90
  check(c, 55, 5e-4);  // 45 of 90
  check(c, 99, 1e-3 / 90);
  check(c, 100, 0);
  check(c, 5000, 0);
  const auto floor = config(DecayStyle::linear, 2e-4);
  check(floor, 55, 5e-4);
  check(floor, 81, 1e-3 * 19 / 90);
  check(floor, 83, 2e-4);  // 17/90 is below the floor
  check(floor, 5000, 2e-4);
}

BOOST_AUTO_TEST_CASE(cosine) {
  const auto c = config(DecayStyle::cosine, 1e-4);
  check(c, 25, 1e-4 + 4.5e-4 * (std::sqrt(3.0) / 2 + 1));  // π/6
  check(c, 40, 1e-4 + 4.5e-4 * 1.5);                       // π/3
  check(c, 55, 5.5e-4);                                    // π/2
  check(c, 70, 1e-4 + 4.5e-4 * 0.5);                       // 2π/3
  check(c, 100, 1e-4);
  check(c, 145, 1e-4);  // doesn't rise again
}

BOOST_AUTO_TEST_CASE(exponential) {
  const auto c = config(DecayStyle::exponential);
  check(c, 55, 1e-3 * 0.7071588192872713);   // e^−0.3465
  check(c, 100, 1e-3 * 0.5000735956957677);  // e^−0.693
  check(c, 5000, 1e-3 * 0.5000735956957677);
  check(config(DecayStyle::exponential, 6e-4), 100, 6e-4);
}

BOOST_AUTO_TEST_CASE(shares_that_fp64_rounds_below_a_whole_number) {
  auto c = config(DecayStyle::linear);
  for (const int percent : {29, 57, 58}) {
    c.warmup = percent / 100.0;
    BOOST_TEST(warmup_iters(c) == percent);
  }
  c.warmup = 0.2999;
  BOOST_TEST(warmup_iters(c) == 29);
}

BOOST_AUTO_TEST_CASE(no_warm_up_and_nothing_else) {
  auto c = config(DecayStyle::linear);
  c.warmup = 0;
  BOOST_TEST(warmup_iters(c) == 0);
  check(c, 1, 9.9e-4);
  check(c, 100, 0);
  c.warmup = 1;
  BOOST_TEST(warmup_iters(c) == 100);
  check(c, 100, 1e-3);
  check(c, 101, 0);
  c.lr_decay_style = DecayStyle::cosine;
  c.min_lr = 1e-5;
  check(c, 101, 1e-5);
}

BOOST_AUTO_TEST_CASE(warm_up_is_cut_to_a_whole_number) {
  ScheduleConfig c;
  c.warmup = 0.01;
  c.lr_decay_iters = 143000;
  BOOST_TEST(warmup_iters(c) == 1430);
  c.lr_decay_iters = 199;
  BOOST_TEST(warmup_iters(c) == 1);
  c.lr_decay_iters = 99;
  BOOST_TEST(warmup_iters(c) == 0);
}

BOOST_AUTO_TEST_CASE(nonsense_is_refused) {
  auto c = config(DecayStyle::linear);
  BOOST_CHECK_THROW((void)learning_rate(c, 0), Error);
  c.warmup = 10;  // someone meant iterations
  BOOST_CHECK_THROW((void)learning_rate(c, 1), Error);
  c.warmup = -0.1;
  BOOST_CHECK_THROW((void)learning_rate(c, 1), Error);
}

// Values of deepspeed/runtime/lr_schedules.py, by its formulas in Python's fp64.
BOOST_AUTO_TEST_CASE(deepspeeds_schedules) {
  using Type = DeepSpeedSchedule::Type;
  using Warmup = DeepSpeedSchedule::Warmup;
  const auto rates = [](Type type, Warmup warmup, const std::vector<double>& expected) {
    ScheduleConfig c;
    c.lr = 2e-3;
    c.lr_decay_iters = 60;
    c.deepspeed = {type, 1e-5, 1e-3, 10, warmup, 50, 0.1, 0.05};
    const std::vector<std::int64_t> steps{1, 2, 3, 7, 12, 13, 30, 52, 60};
    for (std::size_t i = 0; i < steps.size(); ++i) check(c, steps[i], expected[i]);
  };
  rates(
      Type::constant, Warmup::log,
      {1e-5, 1e-5, 0.0003080196957073414, 0.0007803697378798071, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3});
  rates(Type::constant, Warmup::linear,
        {1e-5, 1e-5, 0.000109, 0.000505, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3});
  rates(Type::linear, Warmup::log,
        {1e-5, 1e-5, 0.0003080196957073414, 0.0007803697378798071, 1e-3, 0.00097525, 0.0005545,
         1e-5, 1e-5});
  rates(Type::cosine, Warmup::log,
        {0, 0.0002, 0.0007418539921951661, 0.0016006722506905584, 0.001997071467046472,
         0.001988303923565381, 0.001124536140941453, 0.0001, 0.0001});
  rates(Type::cosine, Warmup::linear,
        {0, 0.0002, 0.00038, 0.0011, 0.001997071467046472, 0.001988303923565381,
         0.001124536140941453, 0.0001, 0.0001});
}

}  // namespace
}  // namespace trireme
