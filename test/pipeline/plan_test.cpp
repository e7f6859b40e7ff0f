// SPDX-License-Identifier: Apache-2.0
// The schedules, simulated: no deadlock, each step once, activations in flight, bubble.
#include "trireme/pipeline/plan.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"
#include "trireme/pipeline/simulate.hpp"

namespace trireme {
namespace {

using Kind = PlanStep::Kind;
constexpr Kind F = Kind::forward;
constexpr Kind B = Kind::backward;

const std::vector<int> kStages = {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64};
const std::vector<int> kMicroBatches = {1,  2,  3,  4,  5,   6,   7,   8,   12,  16, 17,
                                        31, 32, 48, 64, 100, 128, 255, 256, 511, 512};
const std::vector<int> kChunks = {1, 2, 4};
const std::vector<PipelineSchedule> kSchedules = {PipelineSchedule::gpipe,
                                                  PipelineSchedule::one_f_one_b};

std::vector<std::vector<PlanStep>> all_plans(PipelineSchedule schedule, int stages, int m,
                                             int chunks) {
  std::vector<std::vector<PlanStep>> plans;
  for (int s = 0; s < stages; ++s) plans.push_back(plan(schedule, s, stages, m, chunks));
  return plans;
}

template <class Check>
void for_all_cases(const Check& check) {
  for (const PipelineSchedule schedule : kSchedules) {
    for (const int p : kStages) {
      for (const int m : kMicroBatches) {
        for (const int v : kChunks) {
          BOOST_TEST_INFO_SCOPE("schedule " << static_cast<int>(schedule) << ", stages " << p
                                            << ", micro-batches " << m << ", chunks " << v);
          check(schedule, p, m, v);
        }
      }
    }
  }
}

/// Each (micro-batch, chunk) forward once and later backward once; the backwards of a chunk in
/// the order of micro-batches.
bool complete_and_ordered(const std::vector<PlanStep>& steps, int m, int v) {
  if (steps.size() != 2 * static_cast<std::size_t>(m) * static_cast<std::size_t>(v)) {
    return false;
  }
  std::vector<int> state(static_cast<std::size_t>(m * v), 0);
  std::vector<int> last(static_cast<std::size_t>(v), -1);
  for (const PlanStep& s : steps) {
    if (s.micro_batch < 0 || s.micro_batch >= m || s.chunk < 0 || s.chunk >= v) return false;
    int& at = state[static_cast<std::size_t>(s.micro_batch * v + s.chunk)];
    if (at != (s.kind == F ? 0 : 1)) return false;
    ++at;
    if (s.kind == B) {
      int& before = last[static_cast<std::size_t>(s.chunk)];
      if (s.micro_batch <= before) return false;
      before = s.micro_batch;
    }
  }
  return true;
}

/// Activations in flight, as plan.hpp promises: an upper bound where p does not divide m.
int expected_in_flight(PipelineSchedule schedule, int stage, int p, int m, int v) {
  if (schedule == PipelineSchedule::gpipe) return m * v;
  if (v == 1) return std::min(m, p - stage);
  return std::min(m * v, 2 * (p - stage - 1) + (v - 1) * p + 1);
}

BOOST_AUTO_TEST_CASE(every_step_once_and_no_deadlock) {
  for_all_cases([](PipelineSchedule schedule, int p, int m, int v) {
    const auto plans = all_plans(schedule, p, m, v);
    for (const auto& steps : plans) BOOST_REQUIRE(complete_and_ordered(steps, m, v));
    const Simulation run = simulate(plans, v, PartCost{1, 2});
    BOOST_REQUIRE_MESSAGE(run.finished, run.deadlock);
    for (int s = 0; s < p; ++s) {
      const int seen = run.max_in_flight[static_cast<std::size_t>(s)];
      const int promised = expected_in_flight(schedule, s, p, m, v);
      if (v == 1 || m % p == 0 || schedule == PipelineSchedule::gpipe) {
        BOOST_REQUIRE_EQUAL(seen, promised);
      } else {
        BOOST_REQUIRE_LE(seen, promised);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(bubble_is_as_published) {
  for_all_cases([](PipelineSchedule schedule, int p, int m, int v) {
    const auto plans = all_plans(schedule, p, m, v);
    // One stage's whole work is 1 forward and 2 backward, whatever the number of chunks.
    const Simulation run = simulate(plans, v, PartCost{1.0 / v, 2.0 / v});
    BOOST_REQUIRE(run.finished);
    const double ramp = static_cast<double>(p - 1) / v;
    if (v == 1 || m % p == 0) {
      BOOST_REQUIRE_CLOSE(run.makespan, 3 * (m + ramp), 1e-9);
      BOOST_REQUIRE_SMALL(run.bubble_fraction - ramp / (m + ramp), 1e-12);
    } else {  // no later than with whole groups of micro-batches
      const int full = (m + p - 1) / p * p;
      BOOST_REQUIRE_LE(run.makespan, 3 * (full + ramp) + 1e-9);
      BOOST_REQUIRE_GE(run.makespan, 3 * (m + ramp) - 1e-9);
    }
  });
}

BOOST_AUTO_TEST_CASE(no_deadlock_whatever_the_costs) {
  // An embedding, a head and slow links must change times only.
  for (const int p : {2, 3, 8}) {
    for (const int m : {1, 5, 8, 24}) {
      for (const int v : kChunks) {
        std::vector<PartCost> costs(static_cast<std::size_t>(p * v));
        for (std::size_t i = 0; i < costs.size(); ++i) {
          costs[i] = {0.1 + 0.7 * static_cast<double>(i % 3),
                      3.0 - 0.4 * static_cast<double>(i % 5)};
        }
        const auto plans = all_plans(PipelineSchedule::one_f_one_b, p, m, v);
        const Simulation quick = simulate(plans, v, costs);
        const Simulation slow = simulate(plans, v, costs, 2.5);
        BOOST_TEST(quick.finished);
        BOOST_TEST(slow.finished);
        BOOST_TEST(slow.makespan > quick.makespan);
        for (int s = 0; s < p; ++s) {
          BOOST_TEST(slow.max_in_flight[static_cast<std::size_t>(s)] <=
                     expected_in_flight(PipelineSchedule::one_f_one_b, s, p, m, v));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(small_plans_by_hand) {
  const std::vector<PlanStep> first = {{F, 0, 0}, {F, 1, 0}, {B, 0, 0},
                                       {F, 2, 0}, {B, 1, 0}, {B, 2, 0}};
  const std::vector<PlanStep> last = {{F, 0, 0}, {B, 0, 0}, {F, 1, 0},
                                      {B, 1, 0}, {F, 2, 0}, {B, 2, 0}};
  BOOST_TEST((plan(PipelineSchedule::one_f_one_b, 0, 2, 3, 1) == first));
  BOOST_TEST((plan(PipelineSchedule::one_f_one_b, 1, 2, 3, 1) == last));
  const std::vector<PlanStep> gpipe = {{F, 0, 0}, {F, 1, 0}, {B, 0, 0}, {B, 1, 0}};
  BOOST_TEST((plan(PipelineSchedule::gpipe, 1, 2, 2, 1) == gpipe));
  // Interleaved, last of two stages, two chunks: warm-up of (chunks − 1)·stages forwards.
  const std::vector<PlanStep> interleaved = {{F, 0, 0}, {F, 1, 0}, {F, 0, 1}, {B, 0, 1},
                                             {F, 1, 1}, {B, 1, 1}, {B, 0, 0}, {B, 1, 0}};
  BOOST_TEST((plan(PipelineSchedule::one_f_one_b, 1, 2, 2, 2) == interleaved));
  const std::vector<PlanStep> forwards = {{F, 0, 0}, {F, 1, 0}, {F, 0, 1},
                                          {F, 1, 1}, {F, 2, 0}, {F, 2, 1}};
  BOOST_TEST((forward_only(2, 3, 2) == forwards));
}

BOOST_AUTO_TEST_CASE(evaluation_runs_through) {
  for (const int p : kStages) {
    for (const int m : {1, 3, 64, 100}) {
      for (const int v : kChunks) {
        const std::vector<std::vector<PlanStep>> plans(static_cast<std::size_t>(p),
                                                       forward_only(p, m, v));
        std::set<int> seen;
        for (const PlanStep& s : plans[0]) {
          BOOST_REQUIRE(s.kind == F);
          seen.insert(s.micro_batch * v + s.chunk);
        }
        BOOST_TEST(plans[0].size() == static_cast<std::size_t>(m * v));
        BOOST_TEST(seen.size() == plans[0].size());
        const Simulation run = simulate(plans, v);
        BOOST_TEST(run.finished, run.deadlock);
        if (m % p == 0) BOOST_TEST(run.makespan == m * v + p - 1);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(places_and_tags_agree_between_sender_and_receiver) {
  for (const int p : {1, 2, 5}) {
    for (const int v : kChunks) {
      const int m = 6;
      std::set<std::pair<std::pair<int, int>, int>> used;
      for (int s = 0; s < p; ++s) {
        for (const PlanStep& step : plan(PipelineSchedule::one_f_one_b, s, p, m, v)) {
          const auto to = output_to(step, s, p, v);
          const bool ends = model_part(s, step.chunk, p) == (step.kind == F ? p * v - 1 : 0);
          BOOST_REQUIRE_EQUAL(to.has_value(), !ends);
          if (!to) continue;
          const PlanStep taker{step.kind, step.micro_batch, to->chunk};
          const auto from = input_from(taker, to->stage, p, v);
          BOOST_REQUIRE(from.has_value());
          BOOST_TEST((*from == PipelinePlace{s, step.chunk}));
          BOOST_TEST(std::abs(model_part(s, step.chunk, p) -
                              model_part(to->stage, to->chunk, p)) == 1);
          const int tag = message_tag(taker, v);
          BOOST_TEST((tag >= 0 && tag < 2 * m * v));
          BOOST_TEST(used.insert({{s, to->stage}, tag}).second);
        }
      }
    }
  }
}

/// NCCL has no tags and relies on this order. Messages go around a ring, forward ones to the
/// next stage and backward ones to the one before, each in the order in which they are
/// received.
BOOST_AUTO_TEST_CASE(messages_of_one_direction_keep_their_order) {
  for_all_cases([](PipelineSchedule schedule, int p, int m, int v) {
    if (p == 1) return;
    std::vector<std::vector<int>> sent(2 * static_cast<std::size_t>(p));
    std::vector<std::vector<int>> received(sent.size());
    for (int stage = 0; stage < p; ++stage) {
      for (const PlanStep& step : plan(schedule, stage, p, m, v)) {
        const int direction = step.kind == F ? 0 : 1;
        const auto lane = [&](int sender) {
          return static_cast<std::size_t>(2 * sender + direction);
        };
        if (const auto from = input_from(step, stage, p, v)) {
          received[lane(from->stage)].push_back(message_tag(step, v));
        }
        if (const auto to = output_to(step, stage, p, v)) {
          BOOST_REQUIRE(to->stage == (stage + (direction == 0 ? 1 : p - 1)) % p);
          sent[lane(stage)].push_back(message_tag({step.kind, step.micro_batch, to->chunk}, v));
          BOOST_REQUIRE(sent[lane(stage)].back() % 2 == direction);
        }
      }
    }
    BOOST_REQUIRE((sent == received));
  });
}

BOOST_AUTO_TEST_CASE(the_simulator_sees_a_deadlock) {
  // Stage 0 wants a gradient before it has sent the second micro-batch, stage 1 wants both
  // micro-batches before it sends one.
  const std::vector<std::vector<PlanStep>> plans = {
      {{F, 0, 0}, {B, 0, 0}, {F, 1, 0}, {B, 1, 0}},
      {{F, 0, 0}, {F, 1, 0}, {B, 0, 0}, {B, 1, 0}}};
  const Simulation run = simulate(plans, 1);
  BOOST_TEST(!run.finished);
  BOOST_TEST(run.deadlock ==
             "stage 0 at step 1 (backward of micro-batch 0, chunk 0) waits for stage 1, chunk "
             "0; stage 1 at step 1 (forward of micro-batch 1, chunk 0) waits for stage 0, "
             "chunk 0");
}

BOOST_AUTO_TEST_CASE(the_simulator_sees_broken_plans) {
  const std::vector<std::vector<PlanStep>> no_forward = {{{B, 0, 0}, {F, 0, 0}}};
  BOOST_TEST(simulate(no_forward, 1).deadlock.find("its own forward") != std::string::npos);
  const std::vector<std::vector<PlanStep>> lost = {{{F, 0, 0}}, {}};
  BOOST_TEST(!simulate(lost, 1).finished);
  const std::vector<std::vector<PlanStep>> foreign = {{{F, 0, 1}}};
  BOOST_CHECK_THROW((void)simulate(foreign, 1), Error);
}

BOOST_AUTO_TEST_CASE(one_stage_of_a_huge_machine) {
  // 65,536 stages: a plan is made from a few integers, at once.
  const auto steps = plan(PipelineSchedule::one_f_one_b, 40000, 65536, 64, 4);
  BOOST_TEST(complete_and_ordered(steps, 64, 4));
}

BOOST_AUTO_TEST_CASE(nonsense_is_refused) {
  const auto s = PipelineSchedule::one_f_one_b;
  BOOST_CHECK_THROW((void)plan(s, 0, 0, 1, 1), Error);
  BOOST_CHECK_THROW((void)plan(s, 0, 1, 0, 1), Error);
  BOOST_CHECK_THROW((void)plan(s, 0, 1, 1, 0), Error);
  BOOST_CHECK_THROW((void)plan(s, 2, 2, 1, 1), Error);
  BOOST_CHECK_THROW((void)plan(s, -1, 2, 1, 1), Error);
}

}  // namespace
}  // namespace trireme
