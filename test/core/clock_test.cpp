// SPDX-License-Identifier: Apache-2.0
// Phases nest: each second is counted once, in the innermost phase, and in one step.
#include "trireme/core/clock.hpp"

#include <stdexcept>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace trireme {
namespace {

/// A line on which every mark comes so many seconds after the one before.
class Steady : public TimeLine {
 public:
  explicit Steady(double& next) : next_(next) {}
  void mark() override { gaps_.push_back(next_); }
  std::vector<double> gaps() override {
    std::vector<double> since(gaps_.begin() + 1, gaps_.end());
    gaps_.resize(1);
    return since;
  }

 private:
  double& next_;
  std::vector<double> gaps_;
};

struct Fixture {
  double gap = 0;
  PhaseClock clock{std::make_unique<Steady>(gap)};
};

double of(const StepTime& step, Phase phase) {
  return step.phases[static_cast<std::size_t>(phase)];
}

BOOST_FIXTURE_TEST_CASE(time_is_counted_once_in_the_innermost_phase, Fixture) {
  gap = 1;
  clock.begin_step();  // 1 s nowhere
  {
    const auto backward = (gap = 2, clock.scope(Phase::backward));  // 2 s in no phase
    {
      const auto reduce = (gap = 4, clock.scope(Phase::reduce));  // 4 s of backward
      {
        const auto again = (gap = 8, clock.scope(Phase::backward));  // 8 s of reduce
        gap = 16;                                                    // of the inner backward
      }
      gap = 32;  // of reduce
    }
    gap = 64;  // of backward
  }
  gap = 128;  // in no phase
  clock.end_step();
  const auto steps = clock.take();
  BOOST_REQUIRE(steps.size() == 1);
  BOOST_TEST(of(steps[0], Phase::backward) == 4 + 16 + 64);
  BOOST_TEST(of(steps[0], Phase::reduce) == 8 + 32);
  BOOST_TEST(of(steps[0], Phase::forward) == 0);
  BOOST_TEST(steps[0].seconds == 2 + 4 + 8 + 16 + 32 + 64 + 128);
  BOOST_TEST(clock.take().empty());
}

BOOST_FIXTURE_TEST_CASE(a_pause_counts_nowhere_and_steps_are_kept_apart, Fixture) {
  clock.begin_step();
  gap = 1;
  clock.pause();
  {
    const auto forward = (gap = 10, clock.scope(Phase::forward));
    gap = 20;
  }
  gap = 30;
  clock.resume();
  gap = 2;
  clock.end_step();
  {
    const auto data = (gap = 3, clock.scope(Phase::data));
    gap = 4;
    BOOST_TEST(clock.take().size() == 1);  // the second goes on
  }
  gap = 5;
  clock.end_step();
  const auto second = clock.take();
  BOOST_REQUIRE(second.size() == 1);
  BOOST_TEST(second[0].seconds == 3 + 4 + 5);
  BOOST_TEST(of(second[0], Phase::data) == 4);
}

BOOST_FIXTURE_TEST_CASE(what_is_held_counts_outside, Fixture) {
  clock.begin_step();
  gap = 1;
  {
    const auto forward = clock.scope(Phase::forward);
    gap = 2;
    const auto hold = clock.hold();
    {
      gap = 100;  // of no mark
      const auto reduce = clock.scope(Phase::reduce);
      const auto again = clock.hold();
      const auto data = clock.scope(Phase::data);
    }
    const auto reduce = clock.scope(Phase::reduce);
    gap = 4;
  }
  gap = 8;
  clock.end_step();
  const auto steps = clock.take();
  BOOST_REQUIRE(steps.size() == 1);
  BOOST_TEST(of(steps[0], Phase::forward) == 4);
  BOOST_TEST(of(steps[0], Phase::reduce) == 0);
  BOOST_TEST(of(steps[0], Phase::data) == 0);
  BOOST_TEST(steps[0].seconds == 1 + 4 + 8);
}

BOOST_AUTO_TEST_CASE(an_error_leaves_the_phase_and_the_host_has_a_line) {
  PhaseClock clock;
  clock.begin_step();
  const auto fail = [&] {
    const auto forward = clock.scope(Phase::forward);
    throw std::runtime_error("in forward");
  };
  BOOST_CHECK_THROW(fail(), std::runtime_error);
  const double before = now();
  while (now() - before < 0.01) {
  }
  clock.end_step();
  const auto steps = clock.take();
  BOOST_REQUIRE(steps.size() == 1);
  BOOST_TEST(steps[0].seconds >= 0.01);
  BOOST_TEST(of(steps[0], Phase::forward) < steps[0].seconds - 0.009);
}

BOOST_FIXTURE_TEST_CASE(a_traced_step_hands_its_spans_over, Fixture) {
  constexpr int kForward = static_cast<int>(Phase::forward);
  constexpr int kReduce = static_cast<int>(Phase::reduce);
  gap = 1;
  clock.begin_traced_step();
  {
    const auto forward = (gap = 2, clock.scope(Phase::forward, 3, 1));  // 2 s of no work
    {
      const auto reduce = (gap = 4, clock.scope(Phase::reduce));  // 4 s of forward
      gap = 8;                                                    // of reduce, for the same
    }
    gap = 16;
  }
  gap = 32;
  clock.pause();
  gap = 64;  // nowhere, but it passes
  clock.resume();
  gap = 128;
  clock.end_step();
  clock.end_step();  // a step of 128 s that isn't traced
  const auto steps = clock.take();
  BOOST_REQUIRE(steps.size() == 2);
  BOOST_TEST(steps[1].seconds == 128);
  BOOST_TEST(steps[1].spans.empty());
  const auto& spans = steps[0].spans;
  const std::vector<Span> expected = {{{}, 0, 2},
                                      {{kForward, 3, 1}, 2, 4},
                                      {{kReduce, 3, 1}, 6, 8},
                                      {{kForward, 3, 1}, 14, 16},
                                      {{}, 30, 32},
                                      {{}, 126, 128}};
  BOOST_REQUIRE(spans.size() == expected.size());
  double sum = 0;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    BOOST_TEST((spans[i].work == expected[i].work), "span " << i);
    BOOST_TEST(spans[i].start == expected[i].start);
    BOOST_TEST(spans[i].seconds == expected[i].seconds);
    sum += spans[i].seconds;
  }
  BOOST_TEST(sum == steps[0].seconds);
}

BOOST_FIXTURE_TEST_CASE(what_came_before_a_traced_step_is_no_span_of_it, Fixture) {
  clock.begin_step();
  clock.end_step();
  {
    const auto checkpoint = (gap = 1, clock.scope(Phase::checkpoint));
    gap = 2;  // counted in the next step, as ever
  }
  gap = 4;
  clock.begin_traced_step();
  gap = 8;
  clock.end_step();
  const auto steps = clock.take();
  BOOST_REQUIRE(steps.size() == 2);
  BOOST_TEST(of(steps[1], Phase::checkpoint) == 2);
  BOOST_REQUIRE(steps[1].spans.size() == 1);
  BOOST_TEST(steps[1].spans[0].start == 0);
  BOOST_TEST(steps[1].spans[0].seconds == 8);
}

BOOST_AUTO_TEST_CASE(spans_of_the_same_work_merge_over_what_is_too_short_to_see) {
  const Work forward{1, 0, 0};
  const Work other{1, 1, 0};
  const Work reduce{3, 0, 0};
  const auto merged = merge_spans({{forward, 0, 1},
                                   {reduce, 1, 5e-7},  // goes to forward
                                   {reduce, 1 + 5e-7, 5e-7},
                                   {forward, 1 + 1e-6, 1},
                                   {other, 2 + 1e-6, 2},
                                   {{}, 4 + 1e-6, 5e-7},  // nowhere
                                   {reduce, 5, 1},
                                   {reduce, 7, 1}});  // after a pause
  BOOST_REQUIRE(merged.size() == 4);
  BOOST_TEST((merged[0].work == forward));
  BOOST_TEST(merged[0].start == 0);
  BOOST_TEST(merged[0].seconds == 2 + 1e-6, boost::test_tools::tolerance(1e-12));
  BOOST_TEST((merged[1].work == other));
  BOOST_TEST(merged[1].seconds == 2);
  BOOST_TEST((merged[2].work == reduce));
  BOOST_TEST(merged[2].seconds == 1);
  BOOST_TEST(merged[3].start == 7);
  BOOST_TEST(merge_spans({}).empty());
}

BOOST_AUTO_TEST_CASE(every_phase_has_a_name) {
  BOOST_TEST(kPhaseNames[static_cast<std::size_t>(Phase::data)] == "data");
  BOOST_TEST(kPhaseNames[static_cast<std::size_t>(Phase::pipeline_wait)] == "pipeline_wait");
  BOOST_TEST(kPhaseNames[static_cast<std::size_t>(Phase::checkpoint)] == "checkpoint");
}

}  // namespace
}  // namespace trireme
