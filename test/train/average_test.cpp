// SPDX-License-Identifier: Apache-2.0
// The moving average of the weights, and steps that are skipped as outliers.
#include <algorithm>
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

Json deck_of(const Json& more, int stage = 0, const char* precision = "fp32") {
  return merged(lever_model(2),
                {{"num_layers", 2},
                 {"train_iters", 6},
                 {"eval_interval", 6},
                 {"warmup", 0},
                 {"lr_decay_iters", 20},
                 {"precision", precision},
                 {"zero_optimization", {{"stage", stage}}}},
                more);
}

const Json kTp2{{"model_parallel_size", 2}};

Json ema(double decay, const Json& more = Json::object()) {
  return {{"ema", merged({{"enable", true}, {"decay", decay}}, more)}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(average)

BOOST_AUTO_TEST_CASE(the_average_is_that_of_the_values) {
  const double decay = 0.6;
  const Training run = train(deck_of(ema(decay, {{"every_n_steps", 2}})), 1);
  std::map<std::string, std::vector<double>> expected;
  for (const int until : {0, 2, 4, 6}) {
    const Training now = train(deck_of(Json::object()), 1, {.until = until});
    for (const auto& [name, array] : now.arrays) {
      if (!name.starts_with("model/")) continue;
      const auto values = array.values();
      auto& mine = expected[name.substr(6)];
      if (mine.empty()) mine.assign(values.begin(), values.end());
      for (std::size_t i = 0; i < values.size(); ++i) {
        mine[i] = decay * mine[i] + (1 - decay) * values[i];
      }
    }
  }
  for (const auto& [name, values] : expected) {
    const auto got = run.arrays.at("optimizer/ema/" + name).values();
    BOOST_REQUIRE(got.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      BOOST_TEST(std::abs(got[i] - values[i]) <= 1e-6, name << " " << i);
    }
  }
}

BOOST_AUTO_TEST_CASE(stages_give_equal_averages) {
  for (const char* precision : {"fp32", "bfloat16"}) {
    const Training plain = train(deck_of(kTp2, 0, precision), 4);
    const Training expected = train(deck_of(merged(kTp2, ema(0.9)), 0, precision), 4);
    BOOST_TEST(expected.losses() == plain.losses());
    BOOST_TEST(expected.valid != plain.valid);
    for (const int stage : {1, 2, 3}) {
      const std::string off =
          difference(train(deck_of(merged(kTp2, ema(0.9)), stage, precision), 4), expected);
      BOOST_TEST(off.empty(), precision << " stage " << stage << ": " << off);
    }
  }
}

BOOST_AUTO_TEST_CASE(evaluations_take_the_average) {
  for (const int stage : {0, 3}) {
    const auto valid = [&](const Json& more) {
      return train(deck_of(merged(kTp2, more), stage, "bfloat16"), 4).valid;
    };
    const auto plain = valid(Json::object());
    BOOST_TEST(valid(ema(0)) == plain);  // nothing but the values
    BOOST_TEST(valid(ema(0.9, {{"validate_original_weights", true}})) == plain);
    BOOST_TEST(valid(ema(1)) == valid({{"lr", 0}}));  // nothing but the first values
  }
}

BOOST_AUTO_TEST_CASE(a_restart_keeps_average_and_history) {
  const Json skip{{"skip_step", {{"rolling_interval_length", 4}, {"sigma_factor", 0.5}}}};
  const Json deck = deck_of(merged(kTp2, ema(0.8), skip, {{"eval_iters", 0}}), 2);
  const Training whole = train(deck, 4);
  const TemporaryFolder folder(memory_folder());
  const Training part = train(deck, 4, {.save = folder / "save", .until = 3});
  const Training rest = train(deck, 4, {.load = folder / "save/global_step3"});
  BOOST_TEST(array_difference(rest, whole).empty(), array_difference(rest, whole));
  for (std::size_t i = 0; i < rest.steps.size(); ++i) {
    BOOST_TEST(rest.steps[i].loss == whole.steps[3 + i].loss);
    BOOST_TEST(rest.steps[i].outlier == whole.steps[3 + i].outlier);
  }
}

BOOST_AUTO_TEST_CASE(outliers_are_skipped) {
  // With such a small factor, each loss or norm above the mean of three is an outlier.
  const Json skip{{"skip_step", {{"rolling_interval_length", 3}, {"sigma_factor", 1e-6}}},
                  {"train_iters", 12},
                  {"gradient_clipping", 0}};
  const Training run = train(deck_of(merged(skip, kTp2)), 4);
  std::vector<double> losses;
  std::vector<double> norms;
  int skipped = 0;
  for (const Trainer::StepResult& s : run.steps) {
    const auto above = [&](const std::vector<double>& all, double latest) {
      const std::size_t n = std::min<std::size_t>(3, all.size());
      double mean = 0;
      double square = 0;
      for (std::size_t i = all.size() - n; i < all.size(); ++i) {
        mean += all[i] / static_cast<double>(n);
      }
      for (std::size_t i = all.size() - n; i < all.size(); ++i) {
        square += (all[i] - mean) * (all[i] - mean);
      }
      return latest - mean > 1e-6 * std::sqrt(square / static_cast<double>(n - 1));
    };
    const bool far =
        losses.size() >= 2 && (above(losses, s.loss) || above(norms, s.gradient_norm));
    BOOST_TEST(s.outlier == far, "iteration " << s.iteration);
    BOOST_TEST(s.skipped == far);
    losses.push_back(s.loss);
    norms.push_back(s.gradient_norm);
    skipped += far ? 1 : 0;
  }
  BOOST_TEST(skipped > 0);
  BOOST_TEST(skipped < 12);
  BOOST_TEST(run.optimizer_steps == 12 - skipped);
  BOOST_TEST(difference(train(deck_of(merged(skip, kTp2), 3), 4), run).empty());
}

BOOST_AUTO_TEST_SUITE_END()
