// SPDX-License-Identifier: Apache-2.0
// Batches of Megatron's ramp-up and lengths of DeepSpeed's curriculum are those that the two
// programs computed: golden/make_growth.py.
#include "trireme/deck/growth.hpp"

#include <cmath>
#include <fstream>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

using Numbers = std::vector<std::int64_t>;

/// A line of growth.txt.
struct Line {
  std::string word;
  Numbers before;  ///< a slash stands as −1
  Numbers pairs;
};

std::vector<Line> lines() {
  std::ifstream file(TRIREME_TEST_DIR "/support/golden/growth.txt");
  std::vector<Line> all;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    Line line;
    words >> line.word;
    Numbers* into = &line.before;
    for (std::string word; words >> word;) {
      if (word == ":") {
        into = &line.pairs;
      } else {
        into->push_back(word == "/" ? -1 : std::stoll(word));
      }
    }
    all.push_back(std::move(line));
  }
  BOOST_REQUIRE_GE(all.size(), 10U);
  return all;
}

Deck resolved(const std::string& more, int ranks = 1) {
  Deck d = parse_deck(kLeast + "vocab_size: 300\n" + more, "x.yml");
  resolve(d, ranks);
  return d;
}

std::string error(const std::string& more, int ranks = 1) {
  return message_of([&] { static_cast<void>(resolved(more, ranks)); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_growth)

BOOST_AUTO_TEST_CASE(keys_that_have_an_effect_are_not_warned_of) {
  const std::string start =
      "curriculum_learning: {enabled: true, min_difficulty: 8, "
      "max_difficulty: 16, schedule_type: ";
  const std::string rise = "schedule_config: {total_curriculum_step: 4, difficulty_step: 8";
  const auto quiet = parse_deck(kLeast, "x.yml").warnings.size();
  for (const std::string& more :
       {start + "fixed_linear, " + rise + "}}\n",
        start + "fixed_root, " + rise + ", root_degree: 2}}\n",
        start + "fixed_discrete, schedule_config: {difficulty: [8, 16], max_step: [3]}}\n"}) {
    const Deck d = parse_deck(kLeast + more, "x.yml");
    BOOST_TEST(d.warnings.size() == quiet, fmt::format("{}", fmt::join(d.warnings, "; ")));
  }
}

BOOST_AUTO_TEST_CASE(batches_are_megatrons) {
  for (const Line& line : lines()) {
    if (line.word != "ramp") continue;
    const Numbers& n = line.before;
    const BatchRamp ramp({n[0], n[1], n[2]}, n[3], 1);
    for (std::size_t i = 0; i < line.pairs.size(); i += 2) {
      BOOST_TEST(ramp.batch_after(line.pairs[i]) == line.pairs[i + 1],
                 "ramp to " << n[3] << " after " << line.pairs[i]);
    }
    std::int64_t consumed = 0;
    for (std::int64_t steps = 0; steps < 200; ++steps) {
      BOOST_TEST(ramp.advance(0, steps) == consumed);
      BOOST_TEST(ramp.advance(ramp.advance(0, steps), 7) == ramp.advance(0, steps + 7));
      consumed += ramp.batch_after(consumed);
    }
  }
  const BatchRamp large({1 << 20, 1 << 20, std::int64_t{1} << 60}, 1 << 26, 1 << 20);
  BOOST_TEST(large.batch_after((std::int64_t{1} << 60) - 1) == (1 << 26) - (1 << 20));
  BOOST_TEST(BatchRamp({}, 8, 2).advance(3, 5) == 43);
}

BOOST_AUTO_TEST_CASE(lengths_are_deepspeeds) {
  using Schedule = CurriculumConfig::Schedule;
  for (const Line& line : lines()) {
    const Numbers& n = line.before;
    CurriculumConfig c;
    c.enabled = true;
    if (line.word == "root") {
      c.min_difficulty = n[0];
      c.max_difficulty = n[1];
      c.total_step = n[2];
      c.difficulty_step = n[3];
      c.schedule = n[4] == 1 ? Schedule::fixed_linear : Schedule::fixed_root;
      c.root_degree = n[4];
    } else if (line.word == "discrete") {
      c.schedule = Schedule::fixed_discrete;
      bool last = false;
      for (const std::int64_t x : n) {
        if (x < 0) {
          last = true;
        } else {
          (last ? c.max_step : c.difficulty).push_back(x);
        }
      }
    } else {
      continue;
    }
    for (std::size_t i = 0; i < line.pairs.size(); i += 2) {
      BOOST_TEST(curriculum_length(c, 4096, line.pairs[i]) == line.pairs[i + 1],
                 line.word << " " << n[0] << " at " << line.pairs[i]);
      BOOST_TEST(curriculum_length(c, 20, line.pairs[i]) ==
                 std::min<std::int64_t>(20, line.pairs[i + 1]));
    }
  }
}

BOOST_AUTO_TEST_CASE(theta_falls) {
  const LayerDropConfig drop{.enabled = true, .theta = 0.5, .gamma = 0.01};
  BOOST_TEST(layer_keep(drop, 1) == 1);
  BOOST_TEST(layer_keep(drop, 2) == 1);
  BOOST_TEST(std::abs(layer_keep(drop, 102) - (0.5 * std::exp(-1.0) + 0.5)) < 1e-15);
  BOOST_TEST(layer_keep({}, 102) == 1);
}

BOOST_AUTO_TEST_CASE(each_batch_must_fit_the_micro_batches) {
  const std::string batch = "train_batch_size: 16\n";
  const auto ramp = [&](const std::string& key, int ranks = 1) {
    return error(batch + "rampup_batch_size: " + key + "\n", ranks);
  };
  BOOST_CHECK_NO_THROW(
      static_cast<void>(resolved(batch + "rampup_batch_size: [4, 4, 9]\n", 2)));
  CHECK_CONTAINS(ramp("[4, 4, 100]", 4), "no multiples of 8 = train_micro_batch_size_per_gpu");
  CHECK_CONTAINS(ramp("[4, 5, 100]"),
                 "increments of 5 don't lead from 4 to train_batch_size 16");
  CHECK_CONTAINS(ramp("[16, 4, 100]"), "must be below train_batch_size 16");
  CHECK_CONTAINS(ramp("[4, 4]"), "rampup_batch_size expects three numbers");
  CHECK_CONTAINS(ramp("[4, 4, 0]"), "rampup_batch_size must be ≥ 1, is 0");
}

BOOST_AUTO_TEST_CASE(the_rate_falls_over_the_samples) {
  const std::string batch = "train_batch_size: 16\n";
  BOOST_TEST(resolved(batch).schedule.lr_decay_iters == 100);
  const Deck d = resolved(batch + "rampup_batch_size: [4, 4, 100]\n");
  const std::int64_t samples = batch_ramp(d).advance(0, 100);
  BOOST_TEST(samples < 1600);
  BOOST_TEST(d.schedule.lr_decay_iters == (samples + 15) / 16);
  BOOST_CHECK(parse_deck(to_yaml(d), "y") == d);
}

// Megatron's update_train_iters, for runs that go on after the ramp-up.
BOOST_AUTO_TEST_CASE(samples_give_as_many_steps_as_in_megatron) {
  BOOST_TEST(iterations_of_samples(BatchRamp({}, 8, 2), 79) == 9);
  BOOST_TEST(iterations_of_samples(BatchRamp({}, 1'000'000'000, 2), 1'000'000'000'000'000) ==
             1'000'000);
  for (const Line& line : lines()) {
    if (line.word != "ramp") continue;
    const Numbers& n = line.before;
    const BatchRamp ramp({n[0], n[1], n[2]}, n[3], 1);
    for (std::int64_t samples = n[2] + 2 * n[3]; samples < 3 * n[2] + 50 * n[3];
         samples += 13) {
      std::int64_t consumed = 0;
      std::int64_t steps = 0;
      for (; consumed <= n[2] && consumed <= samples; ++steps) {
        consumed += ramp.batch_after(consumed);
      }
      steps += (samples - consumed) / n[3];
      BOOST_TEST(iterations_of_samples(ramp, samples) == steps);
    }
    BOOST_TEST(iterations_of_samples(ramp, n[0] - 1) == 0);
    BOOST_TEST(iterations_of_samples(ramp, n[0]) == 1);
  }
}

BOOST_AUTO_TEST_CASE(the_rate_goes_by_samples_of_the_run) {
  const std::string samples = "train_batch_size: 16\ntrain_samples: 1603\n";
  const Deck d = resolved(samples + "lr_warmup_samples: 160\n");
  const auto close = [](double a, double b) { return std::abs(a - b) < 1e-15; };
  BOOST_TEST(d.train_iters == 100);
  BOOST_TEST(close(rate_of_step(d, 1, 16), 1e-4));
  BOOST_TEST(close(rate_of_step(d, 10, 160), 1e-3));
  BOOST_TEST(close(rate_of_step(d, 100, 1600), 1e-3 * 3 / 1443));
  BOOST_CHECK(parse_deck(to_yaml(d), "y") == d);
  const Deck share = resolved(samples + "warmup: 0.1\nlr_decay_samples: 803\n");
  BOOST_TEST(close(rate_of_step(share, 5, 80), 1e-3));  // 80.3 samples of warm-up, cut to 80
  BOOST_TEST(rate_of_step(share, 51, 816) == 0);
  const Deck by_steps =
      resolved(samples + "scheduler: {type: WarmupDecayLR, params: {warmup_num_steps: 10}}\n");
  BOOST_TEST(by_steps.schedule.deepspeed.total_steps == 100);
  BOOST_TEST(!goes_by_samples(by_steps));
}

BOOST_AUTO_TEST_CASE(both_spellings_of_the_curriculum) {
  const std::string old = R"(curriculum_learning: {enabled: true, curriculum_type: seqlen,
  min_difficulty: 8, max_difficulty: 64, schedule_type: fixed_root,
  schedule_config: {total_curriculum_step: 40, difficulty_step: 8, root_degree: 2}}
)";
  const std::string later = R"(data_efficiency: {enabled: true, seed: 1234,
  data_sampling: {enabled: true, num_workers: 2, curriculum_learning: {enabled: true,
  data_cluster_path: x, curriculum_metrics: {seqlen_truncate: {difficulty_type: value,
  index_to_sample_path: dummy, index_to_metric_path: dummy, clustering_type: single_cluster,
  min_difficulty: 8, max_difficulty: 64, schedule_type: fixed_root,
  schedule_config: {total_curriculum_step: 40, difficulty_step: 8, root_degree: 2}}}}}}
)";
  const Deck a = resolved(old);
  const Deck b = resolved(later);
  BOOST_CHECK(a.curriculum.enabled && a.curriculum == b.curriculum);
  BOOST_CHECK(a == b);
  BOOST_CHECK(parse_deck(to_yaml(b), "y") == b);
  CHECK_CONTAINS(error("curriculum_learning: {enabled: true}\n"),
                 "curriculum_learning needs min_difficulty");
  CHECK_CONTAINS(error("curriculum_learning: {enabled: true, curriculum_type: vocab}\n"),
                 "curriculum_learning.curriculum_type: vocab is not available");
  const std::string parallel = R"(sequence_parallel: true
model_parallel_size: 4
curriculum_learning: {enabled: true, min_difficulty: 2, max_difficulty: 32,
  schedule_config: {total_curriculum_step: 40, difficulty_step: )";
  BOOST_CHECK_NO_THROW(static_cast<void>(resolved(parallel + "2}}\n", 4)));
  CHECK_CONTAINS(error(parallel + "1}}\n", 4), "sequences of 1 tokens");
}

BOOST_AUTO_TEST_CASE(averages_need_the_optimizers_state) {
  CHECK_CONTAINS(error("ema: {enable: true}\nno_save_optim: true\n"), "ema needs the state");
}

BOOST_AUTO_TEST_CASE(growth_can_be_taken_out) {
  Deck d = resolved(
      "train_batch_size: 8\nrampup_batch_size: [2, 2, 50]\n"
      "progressive_layer_drop: {enabled: true, theta: 0.5}\n");
  BOOST_TEST(fmt::format("{}", fmt::join(stop_growth(d), " ")) ==
             "rampup_batch_size progressive_layer_drop");
  BOOST_TEST(stop_growth(d).empty());
}

BOOST_AUTO_TEST_SUITE_END()
