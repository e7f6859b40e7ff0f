// SPDX-License-Identifier: Apache-2.0
// Phases nest: each second is counted once, in the innermost phase.
#include "trireme/core/clock.hpp"

#include <numeric>
#include <thread>

#include <boost/test/unit_test.hpp>

namespace trireme {
namespace {

using std::chrono::milliseconds;

double seconds_of(const PhaseClock& clock, Phase phase) {
  return clock.seconds()[static_cast<std::size_t>(phase)];
}

BOOST_AUTO_TEST_CASE(time_is_counted_once_in_the_innermost_phase) {
  PhaseClock clock;
  const double start = now();
  {
    const auto backward = clock.scope(Phase::backward);
    std::this_thread::sleep_for(milliseconds(5));
    {
      const auto reduce = clock.scope(Phase::reduce);
      std::this_thread::sleep_for(milliseconds(10));
      {
        const auto wait = clock.scope(Phase::backward);
        std::this_thread::sleep_for(milliseconds(5));
      }
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  const double wall = now() - start;
  const double backward = seconds_of(clock, Phase::backward);
  const double reduce = seconds_of(clock, Phase::reduce);
  BOOST_TEST(backward >= 0.015);
  BOOST_TEST(reduce >= 0.010);
  BOOST_TEST(backward + reduce <= wall);
  const auto& all = clock.seconds();
  BOOST_TEST(std::accumulate(all.begin(), all.end(), 0.0) == backward + reduce);
}

BOOST_AUTO_TEST_CASE(time_outside_any_phase_is_not_counted) {
  PhaseClock clock;
  { const auto data = clock.scope(Phase::data); }
  std::this_thread::sleep_for(milliseconds(10));
  const double before = now();
  { const auto optimizer = clock.scope(Phase::optimizer); }
  const double spent = now() - before;
  BOOST_TEST(seconds_of(clock, Phase::optimizer) <= spent);
  clock.reset();
  for (const double s : clock.seconds()) BOOST_TEST(s == 0.0);
}

BOOST_AUTO_TEST_CASE(an_error_leaves_the_phase) {
  PhaseClock clock;
  const auto fail = [&] {
    const auto forward = clock.scope(Phase::forward);
    throw 1;
  };
  BOOST_CHECK_THROW(fail(), int);
  const double forward = seconds_of(clock, Phase::forward);
  { const auto data = clock.scope(Phase::data); }
  BOOST_TEST(seconds_of(clock, Phase::forward) == forward);
}

BOOST_AUTO_TEST_CASE(every_phase_has_a_name) {
  BOOST_TEST(kPhaseNames[static_cast<std::size_t>(Phase::data)] == "data");
  BOOST_TEST(kPhaseNames[static_cast<std::size_t>(Phase::pipeline_wait)] == "pipeline_wait");
  BOOST_TEST(kPhaseNames[static_cast<std::size_t>(Phase::checkpoint)] == "checkpoint");
}

}  // namespace
}  // namespace trireme

BOOST_AUTO_TEST_CASE(forgets_what_ran_since) {
  trireme::PhaseClock clock;
  const auto work = [&] {
    const auto scope = clock.scope(trireme::Phase::forward);
    const double begin = trireme::now();
    while (trireme::now() - begin < 1e-3) {
    }
  };
  work();
  const auto kept = clock.seconds();
  work();
  BOOST_TEST(clock.seconds()[1] > kept[1]);
  clock.reset(kept);
  BOOST_TEST((clock.seconds() == kept));
}
