// SPDX-License-Identifier: Apache-2.0
// What the updates of 0/1 Adam do, against lists by hand.
#include "../../src/optim/zero_one_intervals.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

namespace {

using namespace trireme;

constexpr std::int64_t kUpdates = 24;

/// Updates 1 to 24: e is exact, c compressed, l local, and m local with a mean after it.
std::string kinds(const OptimizerConfig& config) {
  std::string text;
  ZeroOneIntervals at(config);
  for (std::int64_t updates = 0; updates < kUpdates; ++updates) {
    at.move_to(updates);
    ZeroOneIntervals again(config);  // a restart
    again.move_to(updates);
    BOOST_TEST(again.is_exact() == at.is_exact());
    BOOST_TEST(again.averages() == at.averages());
    BOOST_TEST(at.is_first_local() == (updates == config.var_freeze_step));
    if (at.is_local()) {
      text += at.averages() ? 'm' : 'l';
    } else {
      text += at.is_exact() ? 'e' : 'c';
    }
  }
  return text;
}

OptimizerConfig settings(std::int64_t freeze, std::int64_t scaler, std::int64_t local_scaler,
                         std::int64_t clipper) {
  OptimizerConfig c;
  c.var_freeze_step = freeze;
  c.var_update_scaler = scaler;
  c.local_step_scaler = local_scaler;
  c.local_step_clipper = clipper;
  return c;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(zero_one_intervals)

BOOST_AUTO_TEST_CASE(intervals_double) {
  BOOST_TEST(kinds(settings(100, 2, 1, 1)) == "eececececcceccceccccccce");
  BOOST_TEST(kinds(settings(2, 1, 2, 4)) == "eemmlmlmlllmlllmlllmlllm");
  BOOST_TEST(kinds(settings(20, 100, 1, 3)) == "eeeeeeeeeeeeeeeeeeeemmlm");
}

BOOST_AUTO_TEST_CASE(updates_before_the_first_signs) {
  for (std::int64_t freeze = 1; freeze < 9; ++freeze) {
    for (std::int64_t scaler = 1; scaler < 9; ++scaler) {
      const OptimizerConfig c = settings(freeze, scaler, 3, 4);
      BOOST_TEST(updates_until_signs(c) ==
                 static_cast<std::int64_t>(kinds(c).find_first_of("cm")));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
